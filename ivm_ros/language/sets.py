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
Sentences about several things: counted, listed, and all but some.

Every function draws one from what a `Namer` sees, or gives None where the picture does not allow
it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ivm_ros.language import words
from ivm_ros.language.colours import doubtful
from ivm_ros.language.phrases import Namer, Phrase
from ivm_ros.language.things import Thing
from ivm_ros.language.words import Description, is_plural, pick

FEWEST_LEFT = 1  # things that "everything but" leaves


class Draft(NamedTuple):
    """
    A sentence before its case and full stop.

    Attributes:
        text (str): The sentence.
        targets (tuple[Thing, ...]): What it means.
        detail (str): What is special about it.
        phrases (tuple[Phrase, ...]): Of single things in it.
        spared (tuple[Thing, ...]): What it names and does not mean.
    """

    text: str
    targets: tuple[Thing, ...]
    detail: str = ''
    phrases: tuple[Phrase, ...] = ()
    spared: tuple[Thing, ...] = ()


def counted(names: Namer) -> Draft | None:
    """Count: 'the two red cups', where there are just two."""
    asked, group = names.alike(named=True)
    if len(group) not in words.NUMBERS or is_plural(names.say(asked)):
        return None
    number, several = pick(words.NUMBERS[len(group)], names.rng), names.say(asked, plural=True)
    goal = _goal(names, group) if names.rng.random() < .3 else None
    if goal is None:
        text = pick(words.COUNTED, names.rng).format(n=number, xs=several)
        return Draft(text, tuple(group), 'count')
    text = pick(words.COUNTED_TO, names.rng).format(n=number, xs=several, b=goal.text,
                                                    p=place(goal, names))
    return Draft(text, (*group, goal.thing), 'count goal', (goal,))


def listed(names: Namer) -> Draft | None:
    """List: 'the cup and the fork', 'the cup, the fork and the duck', also to a place."""
    count = 2 if names.rng.random() < .65 else 3
    phrases: list[Phrase] = []
    for _ in range(2 * count):
        phrase = names.phrase()
        if phrase and len(phrases) < count and all(p.thing is not phrase.thing for p in phrases):
            phrases.append(phrase)
    if len(phrases) < count:
        return None
    things = tuple(phrase.thing for phrase in phrases)
    several = (f'{", ".join(phrase.text for phrase in phrases[:-1])} and {phrases[-1].text}')
    goal = _goal(names, things) if names.rng.random() < .4 else None
    if goal is not None:
        templates = [t for t in words.LISTED_TO if count == 2 or 'both' not in t]
        text = pick(templates, names.rng).format(l=several, b=goal.text, p=place(goal, names))
        return Draft(text, (*things, goal.thing), f'list {count} goal', (*phrases, goal))
    templates = [t for t in words.LISTED if count == 2 or '{f}' not in t]
    text = pick(templates, names.rng).format(l=several, f=phrases[0].text, s=phrases[1].text)
    return Draft(text, things, f'list {count}', tuple(phrases))


def all_but(names: Namer) -> Draft | None:
    """Leave out: 'everything but the duck', 'all cups except the red one'."""
    if names.rng.random() < .55:
        kept = names.phrase() if names.rng.random() < .7 else None
        group = [kept.thing] if kept else []
        text = kept.text if kept else ''
        if kept is None:
            asked, group = names.alike(named=True)
            text = f'the {names.say(asked, plural=True)}'
        if not group or len(names.things) - len(group) < FEWEST_LEFT:
            return None
        rest = tuple(thing for thing in names.things if thing not in group)
        sentence = pick(words.ALL_BUT, names.rng).format(e=pick(words.BUT, names.rng), x=text)
        return Draft(sentence, rest, 'everything but', (kept,) if kept else (), tuple(group))
    return _some_but(names)


def _some_but(names: Namer) -> Draft | None:
    asked, group = names.alike(named=True)
    if len(group) < 2 or is_plural(names.say(asked)):
        return None
    out = names.any(group)
    if out is None or asked.colour or out.colour is None:
        return None
    if sum(t.colour == out.colour for t in group) > 1 or any(
            doubtful(out.colour, t.colour) for t in group if t is not out):
        return None
    text = pick(words.SOME_BUT, names.rng).format(
        xs=names.say(asked, plural=True), y=names.say(asked), e=pick(words.BUT, names.rng),
        x=f'the {words.colour_of(out.colour, names.rng, names.unseen)} one')
    rest = tuple(thing for thing in group if thing is not out)
    return Draft(text, rest, 'all but', (), (out,))


def not_but(names: Namer) -> Draft | None:
    """Name one that is not meant: 'not the red cup but the blue one'."""
    asked, group = names.alike(named=True)
    if len(group) == 2 and asked.colour is None and names.rng.random() < .5:
        one, other = (group if names.rng.random() < .5 else group[::-1])
        if one.colour and other.colour and not doubtful(one.colour, other.colour) and (
                one.colour != other.colour):
            first = f'the {names.say(Description(one.kind, one.colour))}'
            second = f'the {words.colour_of(other.colour, names.rng, names.unseen)} one'
            if other.clear:
                return _not_but(names, first, second, one, other)
        return None
    left, taken = names.phrase(), names.phrase()
    if left is None or taken is None or left.thing is taken.thing or taken.thing is left.anchor:
        return None
    return _not_but(names, left.text, taken.text, left.thing, taken.thing, (left, taken))


def _not_but(names: Namer, spared: str, meant: str, left: Thing, taken: Thing,
             phrases: tuple[Phrase, ...] = ()) -> Draft:
    text = pick(words.NOT_BUT, names.rng).format(x=spared, y=meant)
    return Draft(text, (taken,), 'not', phrases, (left,))


def not_coloured(names: Namer) -> Draft | None:
    """Leave out a colour: 'everything that is not red', where nobody would argue about red."""
    seed = names.any(names.clear)
    if seed is None or seed.colour is None:
        return None
    others = [thing for thing in names.things if thing.colour != seed.colour]
    if not others or any(doubtful(seed.colour, thing.colour) for thing in others):
        return None
    text = pick(words.NOT_COLOUR, names.rng).format(
        c=words.colour_of(seed.colour, names.rng, names.unseen))
    spared = tuple(thing for thing in names.things if thing.colour == seed.colour)
    return Draft(text, tuple(others), 'not colour', (), spared)


def _goal(names: Namer, group: Sequence[Thing]) -> Phrase | None:
    """Draw a place to go to that is none of a group and that none of it is at already."""
    goal = names.phrase(goal=True)
    if goal is None or goal.thing in group or any(
            thing.on == goal.thing.id or goal.thing.on == thing.id for thing in group):
        return None
    return goal


def place(goal: Phrase, names: Namer) -> str:
    """Draw a preposition that fits where things go."""
    return pick(words.PLACES[goal.thing.into], names.rng)
