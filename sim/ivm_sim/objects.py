# Copyright 2026 The ivm_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""
What can lie on the table: kinds, their words, colours and sizes.

A kind's shape comes from `dishes` or `toys`; here stands what a sentence may call it and how it
may stand. All figures are our choice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ivm_sim import dishes, toys
from ivm_sim.parts import Part


@dataclass(frozen=True)
class Kind:
    """
    One kind of object.

    Attributes:
        draw (Callable): Makes the parts of one instance from a random generator.
        nouns (tuple[str, ...]): What it is called, the usual word first.
        colours (tuple[str, ...]): Its colours in nature, drawn more often than others.
        lies (bool): Is sometimes found on its side.
        into (str): 'in' or 'on' when things can be put there, else ''.
        room (float): Radius in metres of the flat place where things can be put.
        floor (float): Height in metres of that place.
        like (tuple[str, ...]): Kinds a person might call by the same word; never mixed in
            sentences whose truth depends on telling them apart.
    """

    draw: Callable[[np.random.Generator], list[Part]]
    nouns: tuple[str, ...]
    colours: tuple[str, ...] = ()
    lies: bool = False
    into: str = ''
    room: float = 0.0
    floor: float = 0.0
    like: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    'cube': Kind(toys.cube, ('cube', 'block')),
    'ball': Kind(toys.sphere, ('ball', 'sphere')),
    'can': Kind(dishes.can, ('can', 'tin'), lies=True, like=('cylinder',)),
    'bar': Kind(toys.bar, ('bar', 'stick')),
    'cup': Kind(dishes.cup, ('cup', 'tumbler'), lies=True, into='in', like=('mug',)),
    'mug': Kind(dishes.mug, ('mug', 'coffee mug'), lies=True, into='in', like=('cup',)),
    'bowl': Kind(dishes.bowl, ('bowl',), into='in', room=.050, floor=.012, like=('basket',)),
    'plate': Kind(dishes.plate, ('plate', 'dish'), ('white',), into='on', room=.070, floor=.006,
                  like=('tray', 'bowl')),
    'pan': Kind(dishes.pan, ('pan', 'frying pan', 'skillet'), ('black', 'silver', 'gray'),
                into='in', room=.065, floor=.009, like=('pot',)),
    'pot': Kind(dishes.pot, ('pot', 'cooking pot'), ('silver', 'black', 'red'), into='in',
                room=.055, floor=.009, like=('pan',)),
    'bottle': Kind(dishes.bottle, ('bottle', 'flask'), ('green', 'blue'), lies=True),
    'duck': Kind(toys.duck, ('duck', 'rubber duck'), ('yellow',)),
    'box': Kind(toys.crate, ('box', 'open box'), ('brown',), into='in', room=.036, floor=.007),
    'cylinder': Kind(toys.cylinder, ('cylinder',), lies=True, like=('can', 'candle')),
    'cone': Kind(toys.cone, ('cone',), ('orange',), lies=True, like=('pyramid',)),
    'pyramid': Kind(toys.pyramid, ('pyramid',), like=('cone',)),
    'ring': Kind(toys.ring, ('ring', 'hoop')),
    'banana': Kind(toys.banana, ('banana',), ('yellow', 'yellow', 'green')),
    'spoon': Kind(dishes.spoon, ('spoon',), ('silver', 'silver', 'brown')),
    'fork': Kind(dishes.fork, ('fork',), ('silver', 'silver', 'black')),
    'hammer': Kind(toys.hammer, ('hammer', 'mallet'), ('gray', 'black')),
    'book': Kind(toys.book, ('book',), into='on', room=.045, floor=.036),
    'tray': Kind(dishes.tray, ('tray',), ('brown', 'black'), into='on', room=.075, floor=.007,
                 like=('plate', 'box')),
    'lid': Kind(dishes.lid, ('lid',), ('silver', 'black')),
    'egg': Kind(toys.egg, ('egg',), ('white', 'brown', 'brown')),
    'sponge': Kind(toys.sponge, ('sponge',), ('yellow', 'yellow', 'pink')),
    'lamp': Kind(toys.lamp, ('lamp',)),
    'car': Kind(toys.car, ('car', 'toy car'), ('red',)),
    'star': Kind(toys.star, ('star',), ('yellow',)),
    'domino': Kind(toys.domino, ('domino', 'domino tile'), ('black', 'white')),
    'candle': Kind(dishes.candle, ('candle',), ('white', 'red'), like=('cylinder',)),
    'jar': Kind(dishes.jar, ('jar',), ('brown', 'orange'), like=('can',)),
    'kettle': Kind(dishes.kettle, ('kettle', 'teapot'), ('silver', 'red')),
    'apple': Kind(toys.apple, ('apple',), ('red', 'green')),
    'carrot': Kind(toys.carrot, ('carrot',), ('orange', 'orange', 'orange')),
    'mushroom': Kind(toys.mushroom, ('mushroom',), ('red', 'brown')),
    'screwdriver': Kind(toys.screwdriver, ('screwdriver',), ('red', 'yellow')),
    'tower': Kind(toys.tower, ('stacking toy', 'ring stack')),
    'teddy': Kind(toys.teddy, ('teddy bear', 'bear', 'teddy'), ('brown', 'brown')),
    'basket': Kind(dishes.basket, ('basket',), ('brown',), into='in', room=.042, floor=.009,
                   like=('bowl',)),
}

COLOURS: dict[str, tuple[tuple[float, float, float], tuple[str, ...]]] = {
    'red': ((.78, .05, .06), ('scarlet', 'crimson')),
    'orange': ((.96, .40, .03), ()),
    'yellow': ((.95, .82, .06), ()),
    'green': ((.08, .50, .12), ()),
    'teal': ((.03, .58, .60), ('turquoise', 'cyan')),
    'blue': ((.06, .16, .78), ('navy blue',)),
    'purple': ((.42, .10, .62), ('violet',)),
    'pink': ((.97, .48, .70), ()),
    'brown': ((.36, .19, .08), ()),
    'white': ((.94, .94, .92), ()),
    'black': ((.055, .055, .06), ()),
    'gray': ((.42, .42, .43), ('grey',)),
    'silver': ((.80, .81, .83), ('metal', 'steel')),
}
METALS = ('silver',)
# Metal and plain grey or white look alike under a dim light: a scene holds silver or these two.
SILVER_CLASH = ('gray', 'white')
METAL_KINDS = ('can', 'cup', 'mug', 'bowl', 'plate', 'pan', 'pot', 'bottle', 'spoon', 'fork',
               'tray', 'lid', 'kettle', 'hammer', 'ring', 'bar', 'ball', 'cube')

# Parts that keep their colour whatever the object's is: rgb, or a factor on the object's own.
PAINTS: dict[str, tuple[float, float, float]] = {
    'black': (.05, .05, .055), 'paper': (.93, .92, .88), 'steel': (.75, .76, .78),
    'wood': (.55, .36, .18), 'beak': (.98, .52, .05), 'stem': (.30, .24, .10),
    'leaf': (.12, .52, .12), 'flame': (1.0, .72, .15), 'glass': (.12, .16, .20),
    'scour': (.10, .32, .16),
}
DARKER = {'dark': .6}

SIZES: dict[str, float] = {'small': .74, 'normal': 1.0, 'large': 1.36}


def draw(kind: str, scale: float, rng: np.random.Generator) -> list[Part]:
    """Draw one instance of a kind, `scale` times its usual size."""
    return [part.scaled(scale) for part in KINDS[kind].draw(rng)]
