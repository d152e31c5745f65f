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
Noun phrases that mean one thing in a picture and nothing else.

A description fits exactly one of all things in view, or a relation or superlative singles one out
with a margin (`things`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ivm_ros.language import things, words
from ivm_ros.language.nouns import ASKED_SORTS, NOUNS
from ivm_ros.language.things import Thing
from ivm_ros.language.words import Description, pick

Rng = np.random.Generator
TRIES = 8
RELATIONS: dict[str, Callable[[Thing, Thing], bool | None]] = {
    'left': things.is_left, 'right': things.is_right, 'behind': things.is_behind,
    'before': things.is_before, 'on': things.is_on}
DISTANCES = {'nearest': things.nearest, 'farthest': things.farthest}
SUPERLATIVES = {
    'largest': things.largest, 'smallest': things.smallest, 'leftmost': things.leftmost,
    'rightmost': things.rightmost, 'frontmost': things.frontmost, 'backmost': things.backmost}


@dataclass(frozen=True)
class Phrase:
    """
    A noun phrase with its article, and the one thing it means.

    Attributes:
        text (str): The phrase.
        thing (Thing): What it means.
        detail (str): Relation, superlative or 'size' where one singles it out; else ''.
        alike (tuple[Thing, ...]): What it is singled out from, itself included; empty: alone.
        anchor (Thing | None): What only says where it is.
    """

    text: str
    thing: Thing
    detail: str = ''
    alike: tuple[Thing, ...] = ()
    anchor: Thing | None = None


class Namer:
    """
    Names the things of one picture.

    Attributes:
        things (list[Thing]): All that is visible, however little of it.
        clear (list[Thing]): What is visible enough to ask for.
        rng (np.random.Generator): Source of randomness.
    """

    def __init__(self, things: list[Thing], rng: Rng, unseen: bool = False):
        """Take what a picture shows; `unseen`: prefer words that training never says."""
        self.things = things
        self.rng = rng
        self.unseen = unseen
        self.clear = [thing for thing in things if thing.clear]

    def say(self, asked: Description, plural: bool = False) -> str:
        """Say a description without an article."""
        return asked.noun(self.rng, plural, self.unseen)

    def phrase(self, goal: bool = False) -> Phrase | None:
        """Mean one thing, most often by its name; a goal is most often something with room."""
        sort = self.rng.random()
        if sort < .12:
            return self.related()
        if sort < .18:
            return self.superlative_phrase()
        pool = [thing for thing in self.clear if thing.into] if goal else self.clear
        chosen = pool if pool and self.rng.random() < .85 else self.clear
        return self.named(self.any(chosen), plain=.4)

    def named(self, thing: Thing | None, plain: float) -> Phrase | None:
        """Name a thing so that nothing else in view fits; `plain`: share of one-word names."""
        if thing is None:
            return None
        kind, colour = thing.kind, thing.colour
        if self.rng.random() < plain:
            asked = Description(kind) if self.rng.random() < .8 else self._vague(thing)
        else:
            asked = Description(kind, colour)
        group = self.fitting(asked)
        if len(group) > 1 or (plain == .0 and self.rng.random() < .25):
            group = self.fitting(Description(kind, asked.colour))
            for size, find in (('large', things.largest), ('small', things.smallest)):
                if kind and asked.kind and find(group) is thing:
                    sized = Description(kind, asked.colour, size)
                    return Phrase(f'the {self.say(sized)}', thing, 'size', tuple(group))
        if self.fitting(asked) != [thing] or asked == Description():
            return None
        return Phrase(f'the {self.say(asked)}', thing)

    def _vague(self, thing: Thing) -> Description:
        """Describe a thing by its colour alone, or by the sort of thing that it is."""
        sorts = [sort for sort in NOUNS[thing.kind].sorts if sort in ASKED_SORTS]
        if sorts and (thing.colour is None or self.rng.random() < .5):
            return Description(sort=pick(sorts, self.rng))
        return Description(None, thing.colour)

    def related(self) -> Phrase | None:
        """Mean one of several alike by where it is."""
        asked, group = self.alike()
        others = [thing for thing in self.clear if thing not in group]
        anchor = self.named(self.any(others), plain=.5)
        if anchor is None:
            return None
        relation = pick(['left', 'right', 'behind', 'before', 'nearest', 'farthest', 'on', 'on'],
                        self.rng)
        found = _find(relation, group, anchor.thing)
        if found is None or not found.clear:
            return None
        where = (f'{anchor.thing.into} {anchor.text}' if relation == 'on'
                 else pick(words.RELATIONS[relation], self.rng).format(a=anchor.text))
        return Phrase(f'the {self.say(asked)} {where}', found, relation, tuple(group),
                      anchor.thing)

    def superlative_phrase(self) -> Phrase | None:
        """Mean the largest, leftmost, ... of several of a kind."""
        asked, group = self.alike(named=True)
        if len(group) < 2:
            return None
        which = pick(list(words.SUPERLATIVES), self.rng)
        found = SUPERLATIVES[which](group)
        if found is None or not found.clear or not all(t.clear for t in group):
            return None
        text = pick(words.SUPERLATIVES[which], self.rng).format(x=self.say(asked))
        return Phrase(text, found, which, tuple(group))

    def alike(self, named: bool = False) -> tuple[Description, list[Thing]]:
        """Draw a description that fits two things or more, and these."""
        for _ in range(TRIES):
            seed = self.any(self.clear)
            if seed is None:
                break
            sort = self.rng.random()
            asked = Description(seed.kind if sort < .85 or named else None,
                                seed.colour if sort > .65 else None)
            if asked == Description():
                continue
            group = self.fitting(asked)
            if len(group) > 1:
                return asked, group
        return Description(), []

    def fitting(self, asked: Description) -> list[Thing]:
        """List the visible things that a description fits; none where that is open to debate."""
        answers = [asked.fits(thing) for thing in self.things]
        if None in answers:
            return []
        return [thing for thing, fits in zip(self.things, answers) if fits]

    def any(self, things: list[Thing]) -> Thing | None:
        """Draw one, or None where there is none."""
        return things[int(self.rng.integers(len(things)))] if things else None


def _find(relation: str, group: list[Thing], anchor: Thing) -> Thing | None:
    """Find the one of a group in this relation; None when none, several or doubtful."""
    if relation in DISTANCES:
        return DISTANCES[relation](group, anchor)
    if relation == 'on' and not anchor.into:
        return None
    answers = [RELATIONS[relation](thing, anchor) for thing in group]
    if None in answers or sum(map(bool, answers)) != 1:
        return None
    return group[answers.index(True)]
