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
What can lie on the table: kinds, their colours and sizes.

A kind's shape comes from `dishes` or `toys`; here stands how it may stand and what it is painted
with. What it is called stands in `ivm_ros.language.nouns` under the same name, as do the names of
colours in `ivm_ros.language.colours`. All figures are our choice.
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
        colours (tuple[str, ...]): Its colours in nature, drawn more often than others.
        lies (bool): Is sometimes found on its side.
        room (float): Radius in metres of the flat place where things can be put.
        floor (float): Height in metres of that place.
    """

    draw: Callable[[np.random.Generator], list[Part]]
    colours: tuple[str, ...] = ()
    lies: bool = False
    room: float = 0.0
    floor: float = 0.0


KINDS: dict[str, Kind] = {
    'cube': Kind(toys.cube),
    'ball': Kind(toys.sphere),
    'can': Kind(dishes.can, lies=True),
    'bar': Kind(toys.bar),
    'cup': Kind(dishes.cup, lies=True),
    'mug': Kind(dishes.mug, lies=True),
    'bowl': Kind(dishes.bowl, room=.050, floor=.012),
    'plate': Kind(dishes.plate, ('white',), room=.070, floor=.006),
    'pan': Kind(dishes.pan, ('black', 'silver', 'gray'), room=.065, floor=.009),
    'pot': Kind(dishes.pot, ('silver', 'black', 'red'), room=.055, floor=.009),
    'bottle': Kind(dishes.bottle, ('green', 'blue'), lies=True),
    'duck': Kind(toys.duck, ('yellow',)),
    'box': Kind(toys.crate, ('brown',), room=.036, floor=.007),
    'cylinder': Kind(toys.cylinder, lies=True),
    'cone': Kind(toys.cone, ('orange',), lies=True),
    'pyramid': Kind(toys.pyramid),
    'ring': Kind(toys.ring),
    'banana': Kind(toys.banana, ('yellow', 'yellow', 'green')),
    'spoon': Kind(dishes.spoon, ('silver', 'silver', 'brown')),
    'fork': Kind(dishes.fork, ('silver', 'silver', 'black')),
    'hammer': Kind(toys.hammer, ('gray', 'black')),
    'book': Kind(toys.book, room=.045, floor=.036),
    'tray': Kind(dishes.tray, ('brown', 'black'), room=.075, floor=.007),
    'lid': Kind(dishes.lid, ('silver', 'black')),
    'egg': Kind(toys.egg, ('white', 'brown', 'brown')),
    'sponge': Kind(toys.sponge, ('yellow', 'yellow', 'pink')),
    'lamp': Kind(toys.lamp),
    'car': Kind(toys.car, ('red',)),
    'star': Kind(toys.star, ('yellow',)),
    'domino': Kind(toys.domino, ('black', 'white')),
    'candle': Kind(dishes.candle, ('white', 'red')),
    'jar': Kind(dishes.jar, ('brown', 'orange')),
    'kettle': Kind(dishes.kettle, ('silver', 'red')),
    'apple': Kind(toys.apple, ('red', 'green')),
    'carrot': Kind(toys.carrot, ('orange', 'orange', 'orange')),
    'mushroom': Kind(toys.mushroom, ('red', 'brown')),
    'screwdriver': Kind(toys.screwdriver, ('red', 'yellow')),
    'tower': Kind(toys.tower),
    'teddy': Kind(toys.teddy, ('brown', 'brown')),
    'basket': Kind(dishes.basket, ('brown',), room=.042, floor=.009),
}

RGB: dict[str, tuple[float, float, float]] = {
    'red': (.78, .05, .06),
    'orange': (.96, .4, .03),
    'yellow': (.95, .82, .06),
    'green': (.08, .5, .12),
    'teal': (.03, .58, .6),
    'blue': (.06, .16, .78),
    'purple': (.42, .1, .62),
    'pink': (.97, .48, .7),
    'brown': (.36, .19, .08),
    'white': (.94, .94, .92),
    'black': (.055, .055, .06),
    'gray': (.42, .42, .43),
    'silver': (.8, .81, .83),
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
