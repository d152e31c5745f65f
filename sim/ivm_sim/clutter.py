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
Clutter: what else lies on the table, and where everything stands.

Distractors never fit what the sentence names, and never stand where the hand has to go.
"""

from dataclasses import dataclass

import numpy as np

from ivm_ros.language.colours import ALIKE, COLOURS
from ivm_ros.language.nouns import NOUNS
from ivm_ros.language.words import pick
from ivm_sim.arena import shape, Slide
from ivm_sim.objects import KINDS, METAL_KINDS
from ivm_sim.parts import Part
from ivm_sim.sampler import Item
from ivm_sim.solids import Bounds, bounds_of
from ivm_sim.suites import COUNTS
from ivm_sim.tasks import Assignment, WAYS

Rng = np.random.Generator
MOVING, UNSEEN = ('moving', 'all'), ('look', 'all')  # levels where things slide, looks are new
KINDS_USED = tuple(kind for kind in KINDS if kind not in (
    'tray', 'plate', 'pan', 'pot', 'basket', 'bar', 'spoon', 'fork', 'hammer', 'screwdriver',
    'carrot', 'banana', 'box', 'book', 'kettle', 'lid', 'ring', 'tower'))
INNER = (-.10, .14, -.17, .17)  # where the task's things stand: x from, to, y from, to (m)
OUTER = (-.20, .27, -.31, .31)  # where distractors may stand
HAND = .072  # radius that the open hand takes around what it grips
GAP = .012  # between any two things
REACH = .04  # m that sliding things go
EDGE = .36  # m from the table's middle that nothing reaches beyond
TRIES, ATTEMPTS = 60, 100
NEARER = .07  # m by which the nearer of two is nearer


class ClutterError(RuntimeError):
    """The things of an episode found no places."""


@dataclass(frozen=True)
class Places:
    """
    Where things stand.

    Attributes:
        poses (dict[int, tuple[float, float, float]]): x, y (m), turn about z (rad), by id.
        slides (dict[int, Slide]): Those that move.
    """

    poses: dict[int, tuple[float, float, float]]
    slides: dict[int, Slide]


def draw_distractors(rng: Rng, level: str, assignment: Assignment) -> list[Item]:
    """Draw what a level adds: a third of them of a named colour, a third of a named kind."""
    low, high = COUNTS[level]
    items: list[Item] = []
    for number in range(int(rng.integers(low, high + 1))):
        while not (item := _decoy(rng, number, assignment)):
            pass
        items.append(item)
    return items


def _decoy(rng: Rng, number: int, assignment: Assignment) -> Item | None:
    other = pick(assignment.items, rng)
    kind, colour = pick(KINDS_USED, rng), pick(tuple(COLOURS), rng)
    if number % 3 == 0:
        colour = other.colour
    elif number % 3 == 1 and other.kind in KINDS_USED and assignment.near is None:
        kind = other.kind
    if colour == 'silver' and kind not in METAL_KINDS:
        return None
    item = Item(kind, colour, 'normal')
    return None if any(confusable(item, named, assignment.near is not None)
                       for named in assignment.items) else item


def confusable(item: Item, named: Item, by_kind: bool = False) -> bool:
    """Tell whether a person might call one what the other is called; `by_kind`: without colour."""
    kinds = {named.kind, *NOUNS[named.kind].like,
             *(kind for kind in KINDS if named.kind in NOUNS[kind].like)}
    if item.kind not in kinds:
        return False
    return by_kind or item.colour == named.colour or any(
        {item.colour, named.colour} <= pair for pair in ALIKE)


def lay_out(rng: Rng, assignment: Assignment, level: str
            ) -> tuple[list[Item], list[list[Part]], Places]:
    """
    Draw what lies on the table, its shapes and its places.

    Args:
        rng: Source of randomness.
        assignment: Its items come first.
        level: Key of `COUNTS`.

    Raises:
        ClutterError: There is no room.
    """
    for _ in range(ATTEMPTS):
        items = [*assignment.items, *draw_distractors(rng, level, assignment)]
        shapes = [shape(item, rng) for item in items]
        places = _place(rng, assignment, [bounds_of(parts) for parts in shapes], level)
        if places is not None:
            return items, shapes, places
    raise ClutterError(f'no room for {assignment.instruction!r} at clutter {level!r}')


def _place(rng: Rng, assignment: Assignment, bounds: list[Bounds], level: str) -> Places | None:
    """Find places one by one, the task's things first, then the others by size."""
    named, moved = len(assignment.items), {goal.thing for goal in assignment.goals}
    order = [*range(named), *sorted(range(named, len(bounds)), key=lambda i: -bounds[i].radius)]
    taken: list[tuple[float, float, float]] = []  # discs: x, y, radius
    poses, slides = {}, {}
    for number in (index + 1 for index in order):
        size, mine = bounds[number - 1], number <= named
        discs = [*size.discs, *([(0.0, 0.0, HAND)] if number in moved else [])]
        ends = [(0.0, 0.0)]
        slide = _slide(rng) if level in MOVING and not mine and number % 3 == 0 else None
        if slide:
            ends.append((slide.way[0] * REACH, slide.way[1] * REACH))
        for goal in assignment.goals:
            if goal.verb == 'push' and goal.thing == number:  # from behind it to its end
                ends += [(share * WAYS[goal.way][0], share * WAYS[goal.way][1])
                         for share in (-.08, .07, .14)]
        found = _spot(rng, INNER if mine else OUTER, discs, ends, taken)
        if found is None:
            return None
        pose, covered = found
        poses[number] = pose
        taken += covered
        if slide:
            slides[number] = Slide(pose[:2], slide.way, REACH, slide.period)
    return Places(poses, slides) if _holds(assignment, poses) else None


def _slide(rng: Rng) -> Slide:
    angle = rng.uniform(-np.pi, np.pi)
    return Slide((0, 0), (float(np.cos(angle)), float(np.sin(angle))), REACH,
                 float(rng.uniform(2, 4)))


def _spot(rng: Rng, area: tuple[float, ...], discs: list[tuple[float, float, float]],
          ends: list[tuple[float, float]], taken: list[tuple[float, float, float]]
          ) -> tuple[tuple[float, float, float], list[tuple[float, float, float]]] | None:
    """Draw x, y and turn of a thing, so that its discs are free at all ends of its way."""
    used = np.array(taken).reshape(-1, 3)
    outline, ways = np.array(discs), np.array(ends)
    for _ in range(TRIES):
        x, y = float(rng.uniform(area[0], area[1])), float(rng.uniform(area[2], area[3]))
        angle = float(rng.uniform(-np.pi, np.pi))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned = outline[:, :2] @ turn + (x, y)
        spots = (turned[None] + ways[:, None]).reshape(-1, 2)  # [E * D, 2]
        radii = np.tile(outline[:, 2], len(ways))
        if np.abs(spots).max() > EDGE:
            continue
        away = np.hypot(*(spots[:, None] - used[None, :, :2]).transpose(2, 0, 1))
        if (away > radii[:, None] + used[None, :, 2] + GAP).all():
            covered = [(float(sx), float(sy), float(r)) for (sx, sy), r in zip(spots, radii)]
            return (x, y, angle), covered
    return None


def _holds(assignment: Assignment, poses: dict[int, tuple[float, float, float]]) -> bool:
    """Tell whether the relation of the sentence holds with a margin, and pushing ends in reach."""
    for goal in assignment.goals:
        if goal.verb == 'push' and np.dot(poses[goal.thing][:2], WAYS[goal.way]) > .09:
            return False
    if assignment.near is None:
        return True
    anchor, near, far = (np.asarray(poses[thing][:2]) for thing in assignment.near)
    return bool(np.linalg.norm(far - anchor) - np.linalg.norm(near - anchor) > NEARER)
