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
What a scene holds: which kinds, colours and sizes lie on the table together.

Sentences that need more than a colour word only exist where something else has the same colour
or kind. So most things are drawn as a variation of one that is already there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ivm_ros.language.colours import COLOURS
from ivm_sim.model import SLOT_SIZES
from ivm_sim.objects import KINDS, METAL_KINDS, METALS, SILVER_CLASH
from ivm_sim.style import FEWEST, MOST

Rng = np.random.Generator
CONTAINERS = tuple(name for name, kind in KINDS.items() if kind.room)
VARIATIONS = ('same kind', 'same colour', 'twin', 'container', 'new')
SHARES = (.24, .20, .14, .12, .30)
MESH_SHARE = .45  # of things, where there are household meshes


@dataclass(frozen=True)
class Item:
    """
    One thing to be placed.

    Attributes:
        kind (str): Key of `nouns.NOUNS`.
        colour (str): Key of `COLOURS`; '' for a mesh, which has its own.
        size (str): Key of `SIZES`.
        mesh (str): Name of a household mesh, else ''.
    """

    kind: str
    colour: str
    size: str
    mesh: str = ''


def draw_items(rng: Rng, meshes: Sequence[Item] = (), count: tuple[int, int] = (FEWEST, MOST),
               shown: Callable[[str, str], bool] | None = None) -> list[Item]:
    """
    Draw some things, no more of a kind and size than the pool holds.

    Args:
        rng: Source of randomness.
        meshes: Household meshes in the pool, each once for every size.
        count: Fewest and most things.
        shown: Tells whether a kind may be shown in a colour; None: all may.
    """
    fewest, most = count
    wanted = round(fewest + (most - fewest) * rng.beta(1.5, 1.7))
    palette = [name for name in COLOURS
               if name not in (SILVER_CLASH if rng.random() < .35 else METALS)]
    items: list[Item] = []
    while len(items) < wanted:
        item = (meshes[int(rng.integers(len(meshes)))] if meshes and rng.random() < MESH_SHARE
                else _draw_item(rng, items, palette))
        if _fits(item, items) and (item.mesh or shown is None or shown(item.kind, item.colour)):
            items.append(item)
    return items


def _draw_item(rng: Rng, items: list[Item], palette: list[str]) -> Item:
    """Draw one more thing, most often as a variation of one that is there."""
    items = [item for item in items if not item.mesh]
    if not items:
        return _draw_new(rng, list(KINDS), palette)
    sort = rng.choice(VARIATIONS, p=SHARES)
    other = items[rng.integers(len(items))]
    if sort == 'same kind':
        return Item(other.kind, _colour(rng, other.kind, palette), _size(rng, .5))
    if sort == 'same colour':
        kind = rng.choice(list(KINDS))
        if other.colour in _allowed(kind, palette):
            return Item(str(kind), other.colour, _size(rng, .3))
    if sort == 'twin':
        return Item(other.kind, other.colour, _size(rng, .6))
    return _draw_new(rng, list(CONTAINERS if sort == 'container' else KINDS), palette)


def _draw_new(rng: Rng, kinds: list[str], palette: list[str]) -> Item:
    kind = str(rng.choice(kinds))
    return Item(kind, _colour(rng, kind, palette), _size(rng, .3))


def _size(rng: Rng, share: float) -> str:
    """Draw 'small' or 'large' with this probability together."""
    return str(rng.choice(['small', 'large'])) if rng.random() < share else 'normal'


def _allowed(kind: str, palette: list[str]) -> list[str]:
    return [name for name in palette if name not in METALS or kind in METAL_KINDS]


def _colour(rng: Rng, kind: str, palette: list[str]) -> str:
    allowed = _allowed(kind, palette)
    natural = [name for name in KINDS[kind].colours if name in allowed]
    return str(rng.choice(natural if natural and rng.random() < .3 else allowed))


def _fits(item: Item, items: list[Item]) -> bool:
    if item.mesh:
        return item not in items
    used = sum(other.kind == item.kind and other.size == item.size and not other.mesh
               for other in items)
    return used < SLOT_SIZES.count(item.size)
