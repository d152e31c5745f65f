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
Nouns: what things are called, what sorts they belong to, and which names are held out.

The table is `nouns.csv`, kept by hand. A star marks what no training data may show or say: nouns
(whose things never appear) and words (synonyms of things that do).
"""

import csv
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

HELD_OUT_PAIRS = .08  # share of colour and noun pairs that training never shows (our choice)
# Pairs that the simulated tasks need are always shown.
SHOWN_PAIRS = {('red', 'cup'), ('red', 'plate'), ('silver', 'pan'), ('yellow', 'duck'),
               ('blue', 'pot'), ('green', 'plate')}
# Sorts that a person may ask for; others are too vague, and only tell what is alike.
ASKED_SORTS = ('fruit', 'vegetable', 'animal', 'vehicle', 'tool', 'drink', 'dessert', 'flower',
               'musical instrument', 'furniture', 'cutlery', 'hat', 'shoe', 'bird', 'clock')
# People disagree whether these are of the sort.
DOUBTFUL = {
    'fruit': ('tomato', 'avocado', 'olive', 'cucumber', 'jack-o-lantern', 'eggplant', 'coconut',
              'bell pepper', 'chili pepper', 'chestnut', 'peanuts'),
    'vegetable': ('tomato', 'avocado', 'olive', 'corn', 'beans', 'salad', 'herb', 'jack-o-lantern',
                  'mushroom', 'peanuts', 'chestnut'),
    'animal': ('dinosaur', 't-rex', 'shell', 'shrimp', 'nesting dolls', 'pinata', 'snowman',
               'robot', 'alien', 'ghost', 'moai', 'bone'),
    'vehicle': ('skateboard', 'sled', 'roller skate', 'wheel', 'shopping cart', 'skis', 'kite'),
    'tool': ('spoon', 'fork', 'knife and fork', 'chopsticks', 'pen', 'pencil', 'paintbrush',
             'crayon', 'broom', 'plunger', 'key', 'old key', 'hair comb', 'toothbrush', 'compass',
             'syringe', 'stethoscope', 'microscope', 'telescope', 'fishing rod', 'bow and arrow',
             'dagger', 'pushpin', 'paper clip', 'safety pin', 'thermometer', 'shield', 'razor',
             'gear', 'nut and bolt', 'sponge', 'bucket', 'light bulb', 'battery', 'plug'),
    'drink': ('bottle', 'cup', 'mug', 'kettle', 'can', 'jar', 'baby bottle', 'ice cube'),
    'dessert': ('pancakes', 'waffle', 'croissant', 'fortune cookie', 'honey pot', 'banana',
                'strawberry', 'popcorn'),
    'flower': ('potted plant', 'four leaf clover', 'herb', 'cactus', 'christmas tree'),
    'musical instrument': ('bell', 'bellhop bell', 'microphone', 'studio microphone', 'radio',
                           'headphones', 'keyboard'),
    'furniture': ('lamp', 'mirror', 'bathtub', 'mantel clock', 'television', 'ladder',
                  'picture frame', 'candle holder', 'file cabinet', 'wastebasket'),
    'cutlery': ('kitchen knife', 'place setting', 'dagger'),
    'hat': ('helmet', 'crown', 'graduation cap'), 'shoe': ('ice skate', 'roller skate', 'socks'),
    'bird': ('kite',), 'clock': ('hourglass', 'compass', 'thermometer'),
}


@dataclass(frozen=True)
class Noun:
    """
    One noun.

    Attributes:
        name (str): Its key.
        words (tuple[str, ...]): What it may be called, the usual word first.
        unseen (tuple[str, ...]): Words for it that training never says.
        sorts (tuple[str, ...]): What it is a sort of, or may be taken for.
        into (str): 'in' or 'on' when things can be put there, else ''.
        like (tuple[str, ...]): Nouns of things that look alike.
        emoji (str): Characters that show it.
        held_out (bool): Training never shows it.
    """

    name: str
    words: tuple[str, ...]
    unseen: tuple[str, ...]
    sorts: tuple[str, ...]
    into: str
    like: tuple[str, ...]
    emoji: str
    held_out: bool

    def is_a(self, sort: str) -> bool | None:
        """Tell whether it is of a sort; None where people disagree."""
        return None if self.name in DOUBTFUL.get(sort, ()) else sort in self.sorts


def _read() -> dict[str, Noun]:
    text = (files('ivm_ros') / 'language' / 'nouns.csv').read_text(encoding='utf-8')
    nouns = {}
    for row in csv.DictReader(text.splitlines(), delimiter=';'):
        name, words = row['name'].lstrip('*'), _list(row['words'])
        nouns[name] = Noun(
            name, tuple(word for word in words if word[0] != '*'),
            tuple(word[1:] for word in words if word[0] == '*'), _list(row['sorts']),
            row['into'], _list(row['like']), row['emoji'], row['name'][0] == '*')
    return nouns


def _list(cell: str) -> tuple[str, ...]:
    return tuple(word for word in cell.split(',') if word)


NOUNS = _read()


def held_out_pair(colour: str, noun: str) -> bool:
    """Tell whether training never shows a thing of this noun in this colour."""
    if (colour, noun) in SHOWN_PAIRS:
        return False
    digest = sha256(f'{colour} {noun}'.encode()).digest()
    return digest[0] < 256 * HELD_OUT_PAIRS


@cache
def may_be_called(noun: str, other: str) -> bool:
    """
    Tell whether a thing of one noun may be meant by the words of another.

    That is where its sorts or the words of its own names hold one of the other's words ('mug' is a
    sort of cup, 'cup of coffee' holds 'cup'), or where the two look alike.
    """
    if noun == other:
        return True
    thing, asked = NOUNS[noun], NOUNS[other]
    if asked.name in thing.like:
        return True
    names = {*thing.words, *thing.unseen}
    own = {*names, *thing.sorts, *(word for name in names for word in name.split())}
    return bool(own & {*asked.words, *asked.unseen, asked.name})


@cache
def confusable(noun: str, other: str) -> bool:
    """Tell whether either may be called by the other's words."""
    return may_be_called(noun, other) or may_be_called(other, noun)
