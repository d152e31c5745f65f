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
"""Vocabulary: how a thing, a relation and a wish are put into words. All our choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ivm_sim.objects import COLOURS, KINDS
from ivm_sim.sight import Thing

Drawn = TypeVar('Drawn')
Rng = np.random.Generator
PLURALS = {'box': 'boxes', 'open box': 'open boxes', 'domino': 'dominoes', 'teddy': 'teddies',
           'dish': 'dishes'}
SIZE_WORDS = {'small': ('small', 'little', 'smaller'), 'large': ('large', 'big', 'larger')}
ANYTHING = ('object', 'thing', 'one', 'item')

SINGLE = (
    'pick up {x}', 'pick up {x}', 'pick up {x}', 'pick {x} up', 'grab {x}', 'grab {x}', 'take {x}',
    'lift {x}', 'lift up {x}', 'get {x}', 'get me {x}', 'give me {x}', 'hand me {x}',
    'hand {x} to me', 'bring me {x}', 'pass me {x}', 'reach for {x}', 'point at {x}', 'touch {x}',
    'push {x}', 'push {x} forward', 'move {x}', 'move {x} away', 'hold {x}', 'find {x}',
    'look at {x}', 'where is {x}?', 'can you see {x}?', 'could you hand me {x}?',
    'please pick up {x}', 'can you pick up {x}?', 'I need {x}', 'I would like {x}', 'show me {x}',
    '{x}', '{x}', '{x}', 'fetch {x}', 'grasp {x}', 'slide {x} aside', 'turn {x} around',
    'locate {x}', 'put {x} away', 'would you bring me {x}, please?', 'remove {x}', 'go to {x}',
    'focus on {x}', 'pull {x} closer', 'pick up {x} and hold it', 'move the gripper to {x}',
    'try to grab {x}', 'please move {x}', 'could you please take {x}?', 'clear {x} off the table',
    'poke {x}', 'pick out {x}')
PAIR = (
    'put {a} {p} {b}', 'put {a} {p} {b}', 'put {a} {p} {b}', 'place {a} {p} {b}',
    'place {a} {p} {b}', 'move {a} {p} {b}', 'set {a} {p} {b}', 'drop {a} {p} {b}',
    'pick up {a} and put it {p} {b}', 'take {a} and place it {p} {b}',
    'grab {a} and put it {p} {b}',
    'could you put {a} {p} {b}?', 'please put {a} {p} {b}', 'please place {a} {p} {b}',
    'I want {a} {p} {b}', 'can you place {a} {p} {b}?', 'lay {a} {p} {b}', 'bring {a} to {b}',
    'carry {a} over to {b}', '{a} goes {p} {b}', 'pick {a} up and set it down {p} {b}',
    'would you set {a} {p} {b}, please?', 'take {a} to {b}')
PLACES = {
    'in': ('in', 'in', 'into', 'inside'), 'on': ('on', 'on', 'onto', 'on top of'),
    '': ('next to', 'beside', 'near', 'close to', 'by')}
ALL = (
    'pick up all {xs}', 'pick up all the {xs}', 'take all {xs}', 'collect all the {xs}',
    'gather all {xs}', 'gather every {x}', 'pick up every {x}', 'move all {xs}', 'all {xs}',
    'all the {xs}', 'every {x}', 'clear away the {xs}', 'grab all of the {xs}', 'get all {xs}',
    'please collect the {xs}', 'could you remove all {xs}?', 'find all the {xs}',
    'show me all {xs}',
    'tidy up the {xs}', 'put all {xs} away', 'I need all the {xs}', 'touch each {x}')
ALL_TO = (
    'put all {xs} {p} {b}', 'put all the {xs} {p} {b}', 'move all {xs} {p} {b}',
    'place every {x} {p} {b}', 'collect all {xs} {p} {b}', 'gather the {xs} {p} {b}',
    'please put the {xs} {p} {b}', 'could you move all the {xs} {p} {b}?')
EVERYTHING = (
    'everything {c}', 'pick up everything {c}', 'take everything that is {c}',
    'all {c} things', 'all {c} objects', 'gather everything {c}', 'collect all the {c} objects',
    'pick up all {c} things', 'every {c} object', 'remove everything {c}', 'find everything {c}')
RELATIONS = {
    'left': ('left of {a}', 'to the left of {a}', 'on the left of {a}', 'on the left side of {a}'),
    'right': ('right of {a}', 'to the right of {a}', 'on the right of {a}',
              'on the right side of {a}'),
    'behind': ('behind {a}',), 'before': ('in front of {a}',),
    'nearest': ('nearest to {a}', 'closest to {a}', 'nearest {a}', 'that is closest to {a}'),
    'farthest': ('farthest from {a}', 'furthest from {a}', 'farthest away from {a}'),
}
SUPERLATIVES = {
    'largest': ('the largest {x}', 'the biggest {x}'),
    'smallest': ('the smallest {x}', 'the tiniest {x}'),
    'leftmost': ('the leftmost {x}', 'the {x} on the far left', 'the {x} furthest to the left'),
    'rightmost': ('the rightmost {x}', 'the {x} on the far right',
                  'the {x} furthest to the right'),
    'frontmost': ('the {x} nearest to the camera', 'the frontmost {x}', 'the {x} at the front',
                  'the {x} closest to the camera'),
    'backmost': ('the {x} farthest from the camera', 'the {x} at the back', 'the rearmost {x}'),
}
HELD = (
    'the {x} in the gripper', 'the {x} in the hand', 'the {x} held by the robot',
    'the {x} the robot is holding', 'the {x} you are holding', 'the {x} in your hand',
    'the {x} between the fingers')
HELD_BARE = ('what the robot is holding', 'what you are holding', 'whatever is in the gripper')
HELD_SINGLE = (
    '{x}', '{x}', 'look at {x}', 'find {x}', 'keep holding {x}', 'show me {x}', 'release {x}',
    'drop {x}',
    'let go of {x}', 'put down {x}', 'where is {x}?', 'hand me {x}', 'give me {x}', 'focus on {x}',
    'put {x} down', 'do not drop {x}', 'lower {x}', 'could you hand over {x}?', 'set down {x}')


@dataclass(frozen=True)
class Description:
    """What a noun phrase says of a thing; None is left unsaid."""

    kind: str | None = None
    colour: str | None = None
    size: str | None = None

    def fits(self, thing: Thing) -> bool:
        """Tell whether kind and colour fit; size depends on the others, see `language`."""
        return (self.kind in (None, thing.kind)) and (self.colour in (None, thing.colour))

    def noun(self, rng: Rng, plural: bool = False) -> str:
        """Say it without an article: 'large red mug', 'blue things'."""
        noun = noun_of(self.kind, rng)
        words = [pick(SIZE_WORDS[self.size], rng) if self.size else '',
                 colour_of(self.colour, rng),
                 PLURALS.get(noun, f'{noun}s') if plural else noun]
        return ' '.join(word for word in words if word)


def noun_of(kind: str | None, rng: Rng) -> str:
    """Return a word for a kind; the usual one in four of five cases."""
    if kind is None:
        return pick(ANYTHING, rng)
    nouns = KINDS[kind].nouns
    return nouns[0] if rng.random() < .8 else pick(nouns, rng)


def colour_of(colour: str | None, rng: Rng) -> str:
    """Return a word for a colour, the usual one in most cases; '' for None."""
    if colour is None:
        return ''
    synonyms = COLOURS[colour][1]
    return pick(synonyms, rng) if synonyms and rng.random() < .18 else colour


def pick(words: Sequence[Drawn], rng: Rng) -> Drawn:
    """Draw one of some words, or of anything else."""
    return words[int(rng.integers(len(words)))]


def finish(text: str, rng: Rng) -> str:
    """Vary case and full stop, as people type."""
    style = rng.random()
    if style < .30:
        text = text[0].upper() + text[1:]
        return text if text[-1] in '.?' or rng.random() < .5 else f'{text}.'
    return text.upper() if style > .98 else text
