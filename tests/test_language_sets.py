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
Counted, listed, negated and goal-only sentences, read again by another reader.

It knows things by name and colour alone and shares no code with what makes the sentences. Things
are drawn without pictures: these sentences depend on what is there, and not on where.
"""

import re

import numpy as np
import pytest

from ivm_ros.language.colours import COLOURS
from ivm_ros.language.goals import PURPOSES
from ivm_ros.language.nouns import NOUNS
from ivm_ros.language.sentence import Sentence
from ivm_ros.language.speaker import Speaker
from ivm_ros.language.things import Thing
from ivm_ros.language.words import plural_of

COUNTS = {'two': 2, '2': 2, 'three': 3, '3': 3, 'four': 4, 'five': 5}
TONES = {word: name for name, more in COLOURS.items() for word in (name, *more)}
WORDS = {word.lower(): name for name, noun in NOUNS.items() for word in noun.words}
BUT = r'(?:but|except for|except|other than|apart from|besides)'
SMALL = ('red', 'green', 'blue', 'yellow', 'white')
KINDS = ('cup', 'duck', 'spoon', 'apple', 'banana', 'hammer', 'key', 'soap', 'umbrella', 'book')


def scene(seed: int, count: int = 8, colours: tuple[str | None, ...] = SMALL) -> list[Thing]:
    """Draw things at places that no sentence here needs."""
    rng = np.random.default_rng(seed)
    things = []
    for label in range(1, count + 1):
        row, col = rng.uniform(.1, .9, 2)
        things.append(Thing(
            label, str(rng.choice(KINDS)), colours[rng.integers(len(colours))], 1.0, False, 0, 400,
            400, row, col, row + .05, (col, row, 0.0), 4 / 3, 192 * 256))
    return things


def said(seed: int, kinds: tuple[str, ...], things: list[Thing]) -> list[Sentence]:
    """Make sentences of some kinds about things."""
    speaker = Speaker(things, np.random.default_rng([seed, 1]), slips=0)
    return [sentence for sentence in speaker.sentences(40) if sentence.kind in kinds]


def ids(things: list[Thing], phrase: str) -> set[int]:
    """Find what a noun phrase without place or size fits."""
    words = phrase.removeprefix('the ').removeprefix('all ').strip()
    tone = next((word for word in sorted(TONES, key=len, reverse=True)
                 if words.startswith(f'{word} ')), None)
    noun = words.removeprefix(f'{tone} ') if tone else words
    names = {name for word, name in WORDS.items() if noun in (word, plural_of(word))}
    anything = noun in ('object', 'thing', 'item', 'one', 'objects', 'things', 'items', 'ones')
    sorts = [sort for noun_ in NOUNS.values() for sort in noun_.sorts if noun in (
        sort, plural_of(sort))]
    assert names or anything or sorts, phrase
    return {thing.id for thing in things
            if (anything or thing.kind in names or any(s in NOUNS[thing.kind].sorts
                                                       for s in sorts))
            and (tone is None or thing.colour == TONES[tone])}


def plain(sentence: Sentence) -> str:
    """Lower case without stops."""
    return re.sub(r'[.?]$', '', sentence.text.lower())


@pytest.mark.slow
def test_a_counted_phrase_means_as_many_as_it_says():
    seen = 0
    for seed in range(60):
        things = scene(seed)
        for sentence in said(seed, ('all',), things):
            if 'count' not in sentence.detail or 'goal' in sentence.detail:
                continue
            number, phrase = re.search(
                rf'\b({"|".join(COUNTS)}) (.+?)(?: away)?$', plain(sentence)).groups()
            found = ids(things, phrase)
            assert found == {*sentence.targets}, sentence
            assert len(found) == COUNTS[number]
            seen += 1
    assert seen > 40


@pytest.mark.slow
def test_a_list_means_each_of_its_things():
    seen = 0
    for seed in range(80):
        things = scene(seed)
        for sentence in said(seed, ('list',), things):
            phrases = re.findall(r'the [^,]+?(?= and | after that |,|$| goes )', plain(sentence))
            try:
                found = [ids(things, phrase) for phrase in phrases]
            except AssertionError:  # a place or a size: the reader of pictures knows those
                continue
            if 'goal' in sentence.detail or any(len(group) != 1 for group in found):
                continue
            assert set().union(*found) == {*sentence.targets}, sentence
            assert len(sentence.targets) == int(sentence.detail.split()[1])
            seen += 1
    assert seen > 60


@pytest.mark.slow
def test_everything_but_means_all_the_rest():
    seen = 0
    for seed in range(80):
        things = scene(seed)
        everything = {thing.id for thing in things}
        for sentence in said(seed, ('not',), things):
            text = plain(sentence)
            if sentence.detail == 'everything but':
                phrase = re.search(rf'(?:leave|keep|{BUT}|but not) (the .+?)'
                                   r'(?: and (?:take|remove).*)?$', text)[1]
                try:
                    spared = ids(things, phrase)
                except AssertionError:
                    continue
                assert everything - spared == {*sentence.targets}, sentence
            elif sentence.detail == 'not colour':
                tone = TONES[re.search(r'not (.+)$', text)[1]]
                assert {t.id for t in things if t.colour != tone} == {*sentence.targets}
            elif sentence.detail == 'all but':
                some, tone = re.search(
                    rf'(?:all the|all|every) (.+?)(?: away)? {BUT} the (.+) one$', text).groups()
                group = ids(things, some)
                spared = {t.id for t in things if t.id in group and t.colour == TONES[tone]}
                assert len(spared) == 1 and group - spared == {*sentence.targets}, sentence
            else:
                continue
            assert not {*sentence.targets} & {*sentence.anchors}
            seen += 1
    assert seen > 100


@pytest.mark.slow
def test_what_is_not_to_be_touched_is_named_and_not_meant():
    seen = 0
    for seed in range(60):
        things = scene(seed)
        for sentence in said(seed, ('not',), things):
            if sentence.detail == 'not':
                assert len(sentence.targets) == 1
                assert sentence.anchors and not {*sentence.targets} & {*sentence.anchors}
                seen += 1
    assert seen > 35


@pytest.mark.slow
def test_a_goal_means_what_it_needs_and_is_not_said_where_that_is_open():
    needs = {text.lower().strip('?!.'): purpose for purpose in PURPOSES for text in purpose.texts}
    seen = set()
    for seed in range(60):
        things = scene(seed)
        for sentence in said(seed, ('purpose',), things):
            purpose = needs[re.sub(r'[.?!]$', '', sentence.text.lower())]
            wanted = {t.id for t in things if t.kind in purpose.needs or {
                *NOUNS[t.kind].sorts} & {*purpose.needs}}
            assert wanted == {*sentence.targets}
            assert not any(t.kind in purpose.doubtful for t in things)
            seen.add(purpose.texts[0])
    assert len(seen) >= 5


@pytest.mark.parametrize('seed', range(20))
def test_nothing_is_said_by_colour_where_things_have_several(seed):
    """A thing of many colours might be called by any of them."""
    things = scene(seed, colours=(None, 'red', 'green'))
    for sentence in said(seed, ('attribute', 'plain', 'all', 'not', 'relation'), things):
        tones = {TONES[word] for word in re.findall(r'\w+', plain(sentence)) if word in TONES}
        motley = {t.id for t in things if t.colour is None}
        if tones and sentence.kind in ('attribute', 'plain') and not sentence.detail:
            (target,) = sentence.targets
            kind = next(t.kind for t in things if t.id == target)
            assert target not in motley
            assert not any(t.kind == kind for t in things if t.id in motley), sentence


@pytest.mark.slow
def test_words_that_training_never_says_are_said_only_when_asked_for():
    from ivm_ros.data.holdout import unseen_words

    for seed in range(20):
        things = scene(seed)
        for unseen in (False, True):
            speaker = Speaker(things, np.random.default_rng(seed), unseen=unseen, slips=0)
            found = [unseen_words(sentence.text) for sentence in speaker.sentences(20)]
            assert any(found) == unseen
            assert not unseen or sum(map(bool, found)) > len(found) / 3
