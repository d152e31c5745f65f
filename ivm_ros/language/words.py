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

from ivm_ros.language.colours import COLOURS, UNSEEN
from ivm_ros.language.nouns import may_be_called, NOUNS
from ivm_ros.language.things import Thing

Drawn = TypeVar('Drawn')
Rng = np.random.Generator
PLURALS = {'domino': 'dominoes', 'teddy': 'teddies', 'potato': 'potatoes', 'tomato': 'tomatoes',
           'mango': 'mangoes', 'knife': 'knives', 'leaf': 'leaves', 'mouse': 'mice',
           'goose': 'geese', 'tooth': 'teeth', 'die': 'dice', 'loaf': 'loaves',
           'scarf': 'scarves', 'sheep': 'sheep', 'foot': 'feet',
           'cutlery': 'cutlery', 'fruit': 'fruit'}
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
NUMBERS = {2: ('two', '2'), 3: ('three', '3'), 4: ('four',), 5: ('five',)}
COUNTED = (
    'pick up the {n} {xs}', 'the {n} {xs}', 'take the {n} {xs}', 'grab {n} {xs}',
    'I need {n} {xs}', 'bring me the {n} {xs}', 'collect the {n} {xs}', 'where are the {n} {xs}?',
    'move the {n} {xs} away', 'can you see the {n} {xs}?', 'hand me {n} {xs}')
COUNTED_TO = (
    'put the {n} {xs} {p} {b}', 'place {n} {xs} {p} {b}', 'move the {n} {xs} {p} {b}')
LISTED = (
    'pick up {l}', 'take {l}', 'get {l}', 'bring me {l}', 'I need {l}', '{l}', 'grab {l}',
    'where are {l}?', 'show me {l}', 'remove {l}', 'first take {f}, then {s}',
    'pick up {f}, and then {s}', 'grab {f} and after that {s}')
LISTED_TO = (
    'put {l} {p} {b}', 'put both {l} {p} {b}', 'place {l} {p} {b}', 'move {l} {p} {b}',
    'could you put {l} {p} {b}?', 'bring {l} to {b}')
BUT = ('but', 'except', 'except for', 'other than', 'apart from', 'besides')
ALL_BUT = (
    'everything {e} {x}', 'take everything {e} {x}', 'remove everything {e} {x}',
    'pick up everything {e} {x}', 'clear the table, {e} {x}', 'put everything away {e} {x}',
    'all things {e} {x}', 'all objects {e} {x}', 'leave {x} and take the rest',
    'keep {x} and remove everything else', 'take everything, but not {x}')
SOME_BUT = (
    'all {xs} {e} {x}', 'every {y} {e} {x}', 'all the {xs} {e} {x}', 'take all {xs} {e} {x}',
    'pick up every {y} {e} {x}', 'move all the {xs} away {e} {x}')
NOT_BUT = (
    'not {x} but {y}', 'take {y}, not {x}', 'pick up {y} and not {x}', 'grab {y} instead of {x}',
    'do not touch {x}, take {y}', 'leave {x} where it is and pick up {y}', "I don't want {x}, I "
    'want {y}', "don't take {x}, take {y}", 'not {x}, {y}', 'give me {y} rather than {x}')
NOT_COLOUR = (
    'everything that is not {c}', 'take everything that is not {c}', 'all things that are not {c}',
    'every object that is not {c}', 'remove whatever is not {c}')
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
    sort: str | None = None

    def fits(self, thing: Thing) -> bool | None:
        """
        Tell whether kind, sort and colour fit; None where people might disagree.

        Size depends on the others, see `phrases`.
        """
        answers = (self._named(thing), self._coloured(thing))
        return False if False in answers else None if None in answers else True

    def _named(self, thing: Thing) -> bool | None:
        if self.sort is not None:
            return NOUNS[thing.kind].is_a(self.sort)
        if self.kind in (None, thing.kind):
            return True
        return None if self.kind and may_be_called(thing.kind, self.kind) else False

    def _coloured(self, thing: Thing) -> bool | None:
        if self.colour in (None, thing.colour):
            return True
        return None if thing.colour is None else False

    def noun(self, rng: Rng, plural: bool = False, unseen: bool = False) -> str:
        """Say it without an article: 'large red mug', 'blue things'."""
        noun = self.sort or noun_of(self.kind, rng, unseen)
        words = [pick(SIZE_WORDS[self.size], rng) if self.size else '',
                 colour_of(self.colour, rng, unseen), plural_of(noun) if plural else noun]
        return ' '.join(word for word in words if word)


def plural_of(noun: str) -> str:
    """Give the plural of a noun or of a phrase that ends in one."""
    first, space, last = noun.rpartition(' ')
    if ' of ' in noun:
        head, _, rest = noun.partition(' of ')
        return f'{plural_of(head)} of {rest}'
    if ' with ' in noun:
        head, _, rest = noun.partition(' with ')
        return f'{plural_of(head)} with {rest}'
    if last.endswith('fish'):
        return noun
    if last in PLURALS:
        return f'{first}{space}{PLURALS[last]}'
    if last.endswith('s') and not last.endswith('ss') and last not in ('bus', 'compass'):
        return noun  # scissors, grapes, a pair of jeans
    if last.endswith(('s', 'x', 'sh', 'ch')):
        return f'{noun}es'
    if last.endswith('y') and last[-2] not in 'aeiou':
        return f'{noun[:-1]}ies'
    return f'{noun}s'


def is_plural(noun: str) -> bool:
    """Tell whether a noun names several by itself ('grapes', 'scissors')."""
    return plural_of(noun) == noun and noun.split()[-1] not in ('sheep', 'fish')


def noun_of(kind: str | None, rng: Rng, unseen: bool = False) -> str:
    """Return a word for a kind; the usual one in four of five cases, unless unseen are wanted."""
    if kind is None:
        return pick(ANYTHING, rng)
    noun = NOUNS[kind]
    if unseen and noun.unseen:
        return pick(noun.unseen, rng)
    return noun.words[0] if rng.random() < .8 else pick(noun.words, rng)


def colour_of(colour: str | None, rng: Rng, unseen: bool = False) -> str:
    """Return a word for a colour, the usual one in most cases; '' for None."""
    if colour is None:
        return ''
    if unseen and colour in UNSEEN:
        return pick(UNSEEN[colour], rng)
    synonyms = COLOURS[colour]
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


def misspell(text: str, word: str, rng: Rng) -> str:
    """Mistype one letter inside a word of a text: swap, drop, double or replace it."""
    place = int(rng.integers(1, len(word) - 1))
    head, letter, tail = word[:place], word[place], word[place + 1:]
    mistyped = pick((f'{head}{tail[0]}{letter}{tail[1:]}', f'{head}{tail}',
                     f'{head}{letter}{letter}{tail}',
                     f'{head}{chr(97 + int(rng.integers(26)))}{tail}'), rng)
    return text.replace(word, mistyped, 1)
