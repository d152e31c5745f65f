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
"""Things as a picture shows them, and relations between them that hold with a margin."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import math

from ivm_ros.language.nouns import NOUNS

# All margins are our choice: where two people might disagree, no sentence is made.
SIDE_MARGIN = .05  # of the picture's width or height
SLOPE = .6  # 'left of' must be more sideways than this share of up-down
NEAR_RATIO, FAR_RATIO = 1.35, 1.25
SIZE_RATIO = 1.22
CLEAR_SHARE = .35
CLEAR_PIXELS = 60 / (192 * 256)


@dataclass(frozen=True)
class Thing:
    """
    One object as the picture shows it.

    Attributes:
        id (int): Its value in the segmentation.
        kind (str): Key of `nouns.NOUNS`.
        colour (str | None): Key of `colours.COLOURS`; None: of several.
        scale (float): Size factor, relative to its kind.
        held (bool): The hand holds it.
        on (int): Id of what it lies in or on, else 0.
        pixels (int): Visible pixels, at least 1.
        full (int): Pixels it would cover with nothing before it, beyond the border included.
        row (float): Middle of its visible pixels, 0 (top) to 1.
        col (float): The same, 0 (left) to 1.
        foot (float): Row of the point it stands on, 0 to 1 inside the picture.
        place (tuple[float, float, float]): Metres in the world; in a flat picture, where it is.
        aspect (float): Width of the picture divided by its height.
        area (int): Pixels of the picture.
    """

    id: int
    kind: str
    colour: str | None
    scale: float
    held: bool
    on: int
    pixels: int
    full: int
    row: float
    col: float
    foot: float
    place: tuple[float, float, float]
    aspect: float
    area: int

    @property
    def clear(self) -> bool:
        """Enough of it is visible to ask for it."""
        return (self.pixels >= CLEAR_PIXELS * self.area
                and self.pixels >= CLEAR_SHARE * self.full)

    @property
    def into(self) -> str:
        """'in' or 'on' when things can be put there, else ''."""
        return NOUNS[self.kind].into


def is_left(thing: Thing, anchor: Thing) -> bool | None:
    """Tell whether a thing is left of an anchor in the picture; None: people might disagree."""
    way = (anchor.col - thing.col) * thing.aspect
    if way < -.02:
        return False
    steep = abs(anchor.row - thing.row) * SLOPE > way
    return True if way > SIDE_MARGIN * thing.aspect and not steep else None


def is_right(thing: Thing, anchor: Thing) -> bool | None:
    """Mirror of `is_left`."""
    return is_left(anchor, thing)


def is_behind(thing: Thing, anchor: Thing) -> bool | None:
    """Tell whether a thing stands farther from the camera; None: people might disagree."""
    if thing.held or anchor.held or thing.on == anchor.id or anchor.on == thing.id:
        return None
    way = anchor.foot - thing.foot
    if way < -.02:
        return False
    slanted = abs(anchor.col - thing.col) * thing.aspect * SLOPE > way
    return True if way > SIDE_MARGIN and not slanted else None


def is_before(thing: Thing, anchor: Thing) -> bool | None:
    """Mirror of `is_behind`."""
    return is_behind(anchor, thing)


def is_on(thing: Thing, anchor: Thing) -> bool | None:
    """Tell whether a thing lies in or on the anchor."""
    return thing.on == anchor.id


def in_picture(one: Thing, other: Thing) -> float:
    """Distance in the picture, in picture heights."""
    return math.hypot(one.row - other.row, (one.col - other.col) * one.aspect)


def on_table(one: Thing, other: Thing) -> float:
    """Distance on the table in metres."""
    return math.hypot(one.place[0] - other.place[0], one.place[1] - other.place[1])


def nearest(group: Sequence[Thing], anchor: Thing) -> Thing | None:
    """Find the one nearest to the anchor, in the picture and on the table alike."""
    return _extreme(group, lambda t: in_picture(t, anchor), lambda t: on_table(t, anchor),
                    NEAR_RATIO)


def farthest(group: Sequence[Thing], anchor: Thing) -> Thing | None:
    """Find the one farthest from the anchor, in the picture and on the table alike."""
    return _extreme(group, lambda t: 1 / (in_picture(t, anchor) + 1e-6),
                    lambda t: 1 / (on_table(t, anchor) + 1e-6), FAR_RATIO)


def largest(group: Sequence[Thing]) -> Thing | None:
    """Find the largest one of a kind, in life and in the picture alike."""
    return _extreme(group, lambda t: 1 / t.scale, lambda t: 1 / (t.full + 1e-6), SIZE_RATIO)


def smallest(group: Sequence[Thing]) -> Thing | None:
    """Find the smallest one of a kind, in life and in the picture alike."""
    return _extreme(group, lambda t: t.scale, lambda t: t.full, SIZE_RATIO)


def leftmost(group: Sequence[Thing]) -> Thing | None:
    """Find the leftmost in the picture, with a clear margin."""
    return _first(group, lambda t: t.col)


def rightmost(group: Sequence[Thing]) -> Thing | None:
    """Find the rightmost in the picture, with a clear margin."""
    return _first(group, lambda t: -t.col)


def frontmost(group: Sequence[Thing]) -> Thing | None:
    """Find the one nearest to the camera, with a clear margin in the picture."""
    return None if any(t.held or t.on for t in group) else _first(group, lambda t: -t.foot)


def backmost(group: Sequence[Thing]) -> Thing | None:
    """Find the one farthest from the camera, with a clear margin in the picture."""
    return None if any(t.held or t.on for t in group) else _first(group, lambda t: t.foot)


def _extreme(group: Sequence[Thing], measure: Callable[[Thing], float],
             check: Callable[[Thing], float], ratio: float) -> Thing | None:
    """Return the least by `measure` when the next is `ratio` times it, and by `check` too."""
    if len(group) < 2:
        return None
    best, second = sorted(group, key=measure)[:2]
    if measure(second) < ratio * measure(best):
        return None
    others = min(check(t) for t in group if t is not best)
    return best if others > 1.1 * check(best) else None


def _first(group: Sequence[Thing], measure: Callable[[Thing], float]) -> Thing | None:
    if len(group) < 2:
        return None
    best, second = sorted(group, key=measure)[:2]
    return best if measure(second) - measure(best) > SIDE_MARGIN else None
