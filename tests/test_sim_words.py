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

import numpy as np
import pytest

from ivm_sim import words
from ivm_sim.objects import COLOURS, KINDS
from ivm_sim.words import Description

FIELDS = {'SINGLE': {'x'}, 'PAIR': {'a', 'b'}, 'EVERYTHING': {'c'}, 'HELD': {'x'},
          'HELD_SINGLE': {'x'}, 'ALL': {'x'}, 'ALL_TO': {'x', 'b'}}


def spoken(plural: bool = False, **said: str) -> set[str]:
    """Everything a description may be called."""
    return {Description(**said).noun(np.random.default_rng(seed), plural) for seed in range(120)}


def test_no_word_means_two_kinds_or_two_colours():
    nouns = Counter(noun for kind in KINDS.values() for noun in kind.nouns)
    tones = Counter(word for name, (_, more) in COLOURS.items() for word in (name, *more))
    assert max(nouns.values()) == max(tones.values()) == 1
    assert not set(nouns) & set(tones)
    assert not (set(nouns) | set(tones)) & set(words.ANYTHING)


def test_every_word_of_the_vocabulary_is_used():
    for kind, entry in KINDS.items():
        assert spoken(kind=kind) == set(entry.nouns)
    for colour, (_, more) in COLOURS.items():
        assert spoken(kind='bowl', colour=colour) == {f'{word} bowl' for word in (colour, *more)}
    assert spoken(kind='apple', colour='brown', size='small') == {
        'small brown apple', 'little brown apple', 'smaller brown apple'}
    assert spoken() == {'object', 'thing', 'one', 'item'}


def test_sentences_have_room_for_what_they_name():
    for name, wanted in FIELDS.items():
        for template in getattr(words, name):
            fields = [field for _, field, _, _ in Formatter().parse(template) if field]
            assert len(set(fields)) == len(fields), template
            assert set(fields) - {'p'} == wanted or set(fields) - {'p'} == wanted - {'x'} | {'xs'}
            quantified = any(word in template.split() for word in ('every', 'each'))
            assert name[:3] != 'ALL' or quantified == ('x' in fields), template


@pytest.mark.parametrize('kind', KINDS)
def test_plurals_are_english(kind):
    def plural(noun: str) -> str:
        return 'teddies' if noun == 'teddy' else noun + ('es' if noun[-1] in 'xoh' else 's')

    assert spoken(plural=True, kind=kind) == {plural(noun) for noun in KINDS[kind].nouns}


def test_what_a_person_types_differs_in_case_and_full_stop_only():
    typed = {words.finish('where is the cup?', np.random.default_rng(i)) for i in range(200)}
    assert typed == {'where is the cup?', 'Where is the cup?', 'WHERE IS THE CUP?'}
    typed = {words.finish('take it', np.random.default_rng(i)) for i in range(200)}
    assert typed == {'take it', 'Take it', 'Take it.', 'TAKE IT'}
