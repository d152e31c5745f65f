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
"""The vocabulary: no word means two things, and what is built from it is English."""

from collections import Counter
from string import Formatter
import unicodedata

import numpy as np
import pytest

from ivm_ros.data.holdout import said, unseen_words
from ivm_ros.language import words
from ivm_ros.language.colours import COLOURS, UNSEEN
from ivm_ros.language.goals import PURPOSES
from ivm_ros.language.naming import names_for
from ivm_ros.language.nouns import (
    ASKED_SORTS, confusable, DOUBTFUL, held_out_pair, may_be_called, NOUNS, SHOWN_PAIRS)
from ivm_ros.language.words import Description

FIELDS = {'SINGLE': {'x'}, 'PAIR': {'a', 'b'}, 'EVERYTHING': {'c'}, 'HELD': {'x'},
          'HELD_SINGLE': {'x'}, 'ALL': {'x'}, 'ALL_TO': {'x', 'b'}, 'COUNTED': {'n', 'xs'},
          'COUNTED_TO': {'n', 'xs', 'b'}, 'LISTED_TO': {'l', 'b'}, 'ALL_BUT': {'x'},
          'SOME_BUT': {'x', 'e'}, 'NOT_BUT': {'x', 'y'}, 'NOT_COLOUR': {'c'}}
FREE = {'p', 'e', 'y'}  # these may be there or not


def spoken(plural: bool = False, unseen: bool = False, **said: str) -> set[str]:
    """Everything a description may be called."""
    return {Description(**said).noun(np.random.default_rng(seed), plural, unseen)
            for seed in range(120)}


def test_names_of_things_never_hold_a_word_that_is_held_out():
    held = {word for noun in NOUNS.values() for word in noun.unseen}
    held |= {word for noun in NOUNS.values() if noun.held_out for word in noun.words}
    held |= {word for tones in UNSEEN.values() for word in tones}
    named = {key: {*names_for(key)} for key in (*NOUNS, *COLOURS)}
    assert not any(words & held for words in named.values())
    assert named['mug'] >= {'mug', 'coffee mug', 'cup'}
    assert named['red'] == {'red', *COLOURS['red']}
    assert all(noun.words[0] in named[key] for key, noun in NOUNS.items() if not noun.held_out)
    assert names_for('gizmo') == ('gizmo',)


def test_there_are_hundreds_of_nouns_most_with_synonyms_and_sorts():
    assert len(NOUNS) >= 400
    assert sum(len(noun.words) + len(noun.unseen) > 1 for noun in NOUNS.values()) > 380
    assert sum(bool(noun.sorts) for noun in NOUNS.values()) > 350
    assert {sort for noun in NOUNS.values() for sort in noun.sorts} >= {*ASKED_SORTS}
    assert 20 <= sum(noun.held_out for noun in NOUNS.values()) <= 60


def test_no_word_means_two_kinds_or_two_colours():
    nouns = Counter(word for noun in NOUNS.values() for word in (*noun.words, *noun.unseen))
    tones = Counter(word for name, more in COLOURS.items()
                    for word in (name, *more, *UNSEEN.get(name, ())))
    assert [word for word, count in (nouns + tones).items() if count > 1] == []
    assert not (set(nouns) | set(tones)) & set(words.ANYTHING)


def test_every_emoji_is_named_once_and_by_a_name_like_its_own():
    letters = [letter for noun in NOUNS.values() for letter in noun.emoji]
    assert len(letters) == len({*letters}) > 400
    assert all(unicodedata.category(letter) in ('So', 'Cn') for letter in letters)
    alike = 0
    for noun in NOUNS.values():
        names = ' '.join(unicodedata.name(letter, '').lower() for letter in noun.emoji)
        own = {part for word in (*noun.words, *noun.unseen) for part in word.lower().split()}
        alike += bool(noun.emoji) and any(part in names for part in own if len(part) > 2)
    assert alike > .8 * len(letters)


@pytest.mark.slow
def test_every_word_that_training_may_say_is_said_and_no_other():
    for name, noun in NOUNS.items():
        if noun.words:
            assert spoken(kind=name) == set(noun.words)
        if noun.unseen:
            assert spoken(kind=name, unseen=True) == set(noun.unseen)
    for colour, more in COLOURS.items():
        assert spoken(kind='bowl', colour=colour) == {f'{word} bowl' for word in (colour, *more)}
    assert spoken(kind='apple', colour='brown', size='small') == {
        'small brown apple', 'little brown apple', 'smaller brown apple'}
    assert spoken() == {'object', 'thing', 'one', 'item'}
    assert spoken(sort='fruit', plural=True) == {'fruit'}
    assert spoken(sort='tool', colour='red') == {'red tool', 'scarlet tool', 'crimson tool'}


def test_sentences_have_room_for_what_they_name():
    for name, wanted in FIELDS.items():
        for template in getattr(words, name):
            fields = [field for _, field, _, _ in Formatter().parse(template) if field]
            assert len(set(fields)) == len(fields), template
            bare = set(fields) - FREE
            assert bare in (wanted - FREE, wanted - FREE - {'x'} | {'xs'},
                            wanted - FREE | {'xs'}), template
            quantified = any(word in template.split() for word in ('every', 'each'))
            assert name not in ('ALL', 'ALL_TO') or quantified == ('x' in fields), template


@pytest.mark.parametrize(('one', 'many'), [
    ('mug', 'mugs'), ('box', 'boxes'), ('dish', 'dishes'), ('domino', 'dominoes'),
    ('teddy', 'teddies'), ('cherry', 'cherries'), ('toy', 'toys'), ('kitchen knife',
                                                                    'kitchen knives'),
    ('cup of coffee', 'cups of coffee'), ('box of paper', 'boxes of paper'),
    ('plate with knife and fork', 'plates with knife and fork'), ('computer mouse',
                                                                  'computer mice'),
    ('scissors', 'scissors'), ('pair of jeans', 'pairs of jeans'), ('bus', 'buses'),
    ('maple leaf', 'maple leaves'), ('goldfish', 'goldfish'), ('glass', 'glasses'),
    ('torch', 'torches'), ('sweet potato', 'sweet potatoes')])
def test_plurals_are_english(one, many):
    assert words.plural_of(one) == many


def test_what_may_be_called_by_another_word():
    assert may_be_called('mug', 'cup') and may_be_called('cup', 'mug')  # they look alike
    assert may_be_called('coffee', 'cup')  # 'cup of coffee'
    assert may_be_called('taxi', 'car') and not may_be_called('car', 'taxi')
    assert may_be_called('toolbox', 'box') and not may_be_called('box', 'toolbox')
    assert confusable('tray', 'plate') and not confusable('duck', 'banana')
    assert all(may_be_called(name, name) for name in NOUNS)


def test_what_people_disagree_about_is_of_no_sort():
    assert NOUNS['apple'].is_a('fruit') is True
    assert NOUNS['tomato'].is_a('fruit') is None
    assert NOUNS['hammer'].is_a('fruit') is False
    assert {*DOUBTFUL} <= {*ASKED_SORTS}
    assert {name for names in DOUBTFUL.values() for name in names} <= {*NOUNS}


def test_goals_name_nouns_and_sorts_that_exist():
    sorts = {sort for noun in NOUNS.values() for sort in noun.sorts}
    for purpose in PURPOSES:
        assert {*purpose.needs, *purpose.doubtful} <= {*NOUNS} | sorts, purpose.texts
        assert not {*purpose.needs} & {*purpose.doubtful}
    texts = [text for purpose in PURPOSES for text in purpose.texts]
    assert len(texts) == len({*texts}) >= 80


@pytest.mark.slow
def test_what_is_held_out_is_never_said_and_pairs_are_a_small_share():
    seen = {word for noun in NOUNS.values() if not noun.held_out for word in noun.words}
    assert [word for word in seen if unseen_words(word) or unseen_words(words.plural_of(word))
            ] == []
    pairs = [(colour, noun) for colour in COLOURS for noun in NOUNS]
    share = sum(held_out_pair(*pair) for pair in pairs) / len(pairs)
    assert .05 < share < .11
    assert not any(held_out_pair(*pair) for pair in SHOWN_PAIRS)


def test_words_are_found_in_texts_whole():
    assert said('Take the chips, please.', 'chips') and not said('take the chipset', 'chips')
    assert said("WHERE IS THE CHEF'S KNIFE?", "chef's knife")
    assert unseen_words('put the platter on the tray') == ['platter']
    assert unseen_words('put the plate on the tray') == []


def test_what_a_person_types_differs_in_case_and_full_stop_only():
    typed = {words.finish('where is the cup?', np.random.default_rng(i)) for i in range(200)}
    assert typed == {'where is the cup?', 'Where is the cup?', 'WHERE IS THE CUP?'}
    typed = {words.finish('take it', np.random.default_rng(i)) for i in range(200)}
    assert typed == {'take it', 'Take it', 'Take it.', 'TAKE IT'}


def test_a_slip_changes_one_letter_inside_one_word():
    typed = {words.misspell('take the hammer', 'hammer', np.random.default_rng(i))
             for i in range(300)}
    slips = {text.removeprefix('take the ') for text in typed}
    assert len(slips) > 40
    assert all(word[0] == 'h' and 5 <= len(word) <= 7 for word in slips)
