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
The tasks: what lies on the table, what the sentence asks, and when it is done.

A task is a function from a random generator to an `Assignment`; success is a function of the
arena's state. Ids count the assignment's items from 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ivm_ros.language.colours import COLOURS, unlike
from ivm_ros.language.nouns import NOUNS
from ivm_ros.language.words import Description, PAIR, pick, PLACES
from ivm_sim.arena import Arena
from ivm_sim.sampler import Item

Rng = np.random.Generator
MOVABLE = ('cube', 'can', 'cup', 'mug', 'duck', 'cylinder', 'apple', 'candle')
PUSHABLE = ('cube', 'can', 'cup', 'duck', 'cylinder', 'apple')  # others topple
RECEIVERS = ('plate', 'pan', 'pot', 'bowl')
PICK = ('pick up {x}', 'pick up {x}', 'pick {x} up', 'grab {x}', 'lift {x}', 'take {x}',
        'please pick up {x}', 'can you pick up {x}?', 'grab {x} and hold it')
PUSH = ('push {x} to the {w}', 'slide {x} to the {w}', 'push {x} {w}', 'move {x} to the {w}',
        'please push {x} to the {w}')
STACK = ('stack {a} on {b}', 'put {a} on {b}', 'put {a} on top of {b}', 'place {a} on {b}')
TWO = ('put {a} and {c} {p} {b}', 'put both {a} and {c} {p} {b}', 'place {a} and {c} {p} {b}',
       'move {a} and {c} {p} {b}')
LIFTED = .08  # m that a picked thing is above the table
PUSHED = .07  # m that a pushed thing has moved
STILL = .05  # m/s
WAYS = {'left': (0.0, -1.0), 'right': (0.0, 1.0)}  # as the front camera sees it


@dataclass(frozen=True)
class Goal:
    """
    One thing to be done.

    Attributes:
        verb (str): 'put' into or onto, 'stack', 'lift' or 'push'.
        thing (int): Id of what is moved.
        onto (int): Id of where it goes, 0 for nowhere.
        way (str): Key of `WAYS` for 'push'.
    """

    verb: Literal['put', 'stack', 'lift', 'push']
    thing: int
    onto: int = 0
    way: str = ''


@dataclass(frozen=True)
class Assignment:
    """
    What one episode is about.

    Attributes:
        items (tuple[Item, ...]): What the task needs on the table; ids count them from 1.
        goals (tuple[Goal, ...]): To be reached, in this order.
        instruction (str): The sentence.
        near (tuple[int, int, int] | None): Ids (anchor, nearer, farther) where a relation must
            hold between places.
    """

    items: tuple[Item, ...]
    goals: tuple[Goal, ...]
    instruction: str
    near: tuple[int, int, int] | None = None

    @property
    def targets(self) -> tuple[int, ...]:
        """Ids of what is acted on and where it goes."""
        return tuple(sorted({thing for goal in self.goals for thing in (goal.thing, goal.onto)
                             if thing}))

    @property
    def receivers(self) -> set[int]:
        """Indices of the items that others are put into or onto."""
        return {goal.onto - 1 for goal in self.goals if goal.onto}


@dataclass
class Judge:
    """
    Tells when an assignment is done.

    Args:
        assignment: What is asked.
        arena: The world, at the beginning of the episode.
    """

    assignment: Assignment
    arena: Arena
    _start: dict[int, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        """Remember where things were."""
        self._start = {goal.thing: self.arena.position(goal.thing)
                       for goal in self.assignment.goals}

    def done(self) -> bool:
        """Tell whether all goals are reached now."""
        return all(map(self.reached, self.assignment.goals))

    def reached(self, goal: Goal) -> bool:
        """Tell whether a goal is reached now."""
        arena, place = self.arena, self.arena.position(goal.thing)
        if goal.verb == 'lift':
            return place[2] > LIFTED and arena.touched(goal.thing) == 2
        if goal.verb == 'push':
            moved = (place - self._start[goal.thing])[:2]
            along = float(moved @ WAYS[goal.way])
            return along > PUSHED and along > 2 * float(np.linalg.norm(
                moved - along * np.asarray(WAYS[goal.way]))) and place[2] < .03
        if arena.touched(goal.thing) or arena.speed(goal.thing) > STILL:
            return False
        return self._rests(goal, place)

    def _rests(self, goal: Goal, place: np.ndarray) -> bool:
        """Tell whether a thing lies in, on or on top of another."""
        base, below = self.arena.position(goal.onto), self.arena.props[goal.onto - 1].bounds
        away = float(np.hypot(*(place - base)[:2]))
        lift = float(place[2] - base[2])
        if goal.verb == 'stack':
            return away < .8 * below.body_radius and lift > .7 * below.height
        inside = away < .85 * below.body_radius and -.004 < lift < below.height + .05
        # In a vessel things also lie on each other; on a plate they touch it.
        return inside and (self.arena.meet(goal.thing, goal.onto)
                           or len(self.assignment.goals) > 1)


# --- the paper's four ------------------------------------------------------------------------

def _fixed(moved: Item, place: Item) -> Callable[[Rng], Assignment]:
    def assign(rng: Rng) -> Assignment:
        return _pair(rng, (moved, place), Goal('put', 1, 2))
    return assign


def _pair(rng: Rng, items: tuple[Item, Item], goal: Goal) -> Assignment:
    text = pick(PAIR, rng).format(a=name(items[0], rng), b=name(items[1], rng),
                                  p=pick(PLACES[NOUNS[items[1].kind].into], rng))
    return Assignment(items, (goal,), text)


# --- drawn ones ------------------------------------------------------------------------------

def _pick(rng: Rng) -> Assignment:
    item = draw_item(rng, MOVABLE)
    return Assignment((item,), (Goal('lift', 1),), pick(PICK, rng).format(x=name(item, rng)))


def _put(rng: Rng) -> Assignment:
    items = draw_item(rng, MOVABLE), draw_item(rng, RECEIVERS)
    return _pair(rng, items, Goal('put', 1, 2))


def _push(rng: Rng) -> Assignment:
    item, way = draw_item(rng, PUSHABLE), pick(tuple(WAYS), rng)
    text = pick(PUSH, rng).format(x=name(item, rng), w=way)
    return Assignment((item,), (Goal('push', 1, way=way),), text)


def _stack(rng: Rng) -> Assignment:
    top = Item('cube', pick(tuple(COLOURS)[:9], rng), 'normal')
    below = Item('cube', pick(unlike({top.colour}, tuple(COLOURS)[:9]), rng), 'normal')
    text = pick(STACK, rng).format(a=name(top, rng), b=name(below, rng))
    return Assignment((top, below), (Goal('stack', 1, 2),), text)


def _two(rng: Rng) -> Assignment:
    # A large one: in a usual bowl the second thing may stay on the first, and topple out.
    place = Item(pick(('pan', 'pot', 'bowl', 'plate'), rng), pick(tuple(COLOURS), rng), 'large')
    small = [draw_item(rng, ('cube', 'apple', 'candle'), 'small')]
    while len(small) < 2:
        other = draw_item(rng, ('cube', 'apple', 'candle'), 'small')
        small += [other] if other.kind != small[0].kind else []
    text = pick(TWO, rng).format(a=name(small[0], rng), c=name(small[1], rng),
                                 b=name(place, rng), p=pick(PLACES[NOUNS[place.kind].into], rng))
    return Assignment((*small, place), (Goal('put', 1, 3), Goal('put', 2, 3)), text)


def _relation(rng: Rng) -> Assignment:
    """Pick one of two alike by which is nearer to a third."""
    item, anchor = draw_item(rng, ('cup', 'cube', 'can', 'duck')), draw_item(rng, RECEIVERS)
    nearer = bool(rng.random() < .6)
    which = pick(('nearest to', 'closest to') if nearer else ('farthest from', 'furthest from'),
                 rng)
    text = pick(PICK, rng).format(
        x=f'the {Description(item.kind).noun(rng)} {which} {name(anchor, rng)}')
    return Assignment((item, item, anchor), (Goal('lift', 1),), text,
                      (3, 1, 2) if nearer else (3, 2, 1))


TASKS: dict[str, Callable[[Rng], Assignment]] = {
    'cup_on_plate': _fixed(Item('cup', 'red', 'normal'), Item('plate', 'red', 'normal')),
    'cup_on_pan': _fixed(Item('cup', 'red', 'normal'), Item('pan', 'silver', 'normal')),
    'duck_in_pot': _fixed(Item('duck', 'yellow', 'normal'), Item('pot', 'blue', 'normal')),
    'duck_on_plate': _fixed(Item('duck', 'yellow', 'normal'), Item('plate', 'green', 'normal')),
    'pick': _pick, 'put': _put, 'push': _push, 'stack': _stack, 'two': _two,
    'relation': _relation}
PAPER = ('cup_on_plate', 'cup_on_pan', 'duck_in_pot', 'duck_on_plate')


def draw_item(rng: Rng, kinds: tuple[str, ...], size: str = 'normal') -> Item:
    """Draw a thing of one of some kinds, in a colour that is not metal."""
    return Item(pick(kinds, rng), pick([name for name in COLOURS if name != 'silver'], rng), size)


def name(item: Item, rng: Rng) -> str:
    """Say a thing with its article and colour."""
    return f'the {Description(item.kind, item.colour).noun(rng)}'
