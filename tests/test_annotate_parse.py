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
The grammar against the truth that the speaker knows.

Scenes are drawn without pictures. The speaker tells the words of every single thing it mentions
and what they are for; the grammar must find just these words with just these roles.
"""

from collections import Counter
import re

import numpy as np
import pytest

from ivm_ros.language.colours import COLOURS
from ivm_ros.language.grammar import GrammarParser
from ivm_ros.language.nouns import NOUNS
from ivm_ros.language.parse import ParseError, Phrase, ROLES
from ivm_ros.language.speaker import SHARES, Speaker
from ivm_ros.language.things import Thing
from ivm_ros.language.words import ANYTHING, plural_of

PARSER = GrammarParser()
SHOWN = [name for name, noun in NOUNS.items() if not noun.held_out]
INTO = [name for name in SHOWN if NOUNS[name].into]


class Telling(Speaker):
    """A speaker that tells what its last sentence mentions: {(words, role)}, groups' kinds."""

    def _sentence(self, text, kind, targets, detail='', phrases=(), spared=()):
        goal = kind == 'pair' or 'goal' in detail.split()
        singles = {phrase.thing.id: phrase.text for phrase in phrases}
        self.told, self.group = Counter(), []
        for phrase in phrases:
            role = ('forbidden' if phrase.thing in spared else 'destination'
                    if goal and phrase.thing is targets[-1] else 'target')
            self.told[bare(phrase.text), role] += 1
            if phrase.anchor and role != 'forbidden' and phrase.anchor not in targets:
                self.told[bare(words_after(phrase.text, self.things, phrase)), 'reference'] += 1
        self.group = [thing for thing in targets if thing.id not in singles]
        self.spared = bool(spared) and not any(thing.id in singles for thing in spared)
        return super()._sentence(text, kind, targets, detail, phrases, spared)


def words_after(text, things, phrase):
    """Give the words of the anchor: the last noun phrase in those of what it locates."""
    return 'the ' + text.rpartition(' the ')[2]


def bare(text):
    """Lower case without the article."""
    return text.lower().removeprefix('the ')


def scene(seed, held):
    """Draw eight things: two kinds twice, some in or on another, one held or none."""
    rng = np.random.default_rng(seed)
    kinds = [*rng.choice(SHOWN, 4), *rng.choice(INTO, 2)]
    kinds += [kinds[0], kinds[5]]
    things = []
    for label, kind in enumerate(map(str, kinds), 1):
        row, col = rng.uniform(.1, .9, 2)
        on = 5 if label == 1 else 0
        things.append(Thing(
            label, kind, str(rng.choice(list(COLOURS)[:10])), float(rng.uniform(.6, 1.6)),
            held and label == 2, on, 400, 400, row, col, row + .05, (col, row, 0.0), 4 / 3,
            192 * 256))
    return things


def cases(kind, slips=0.0):
    """Yield up to 240 sentences of a kind with what they mention."""
    for seed in range(5000, 5060):  # none of the scenes that the grammar was written with
        speaker = Telling(scene(seed, kind == 'held'), np.random.default_rng([seed, 7]),
                          slips=slips)
        for _ in range(4):
            for sentence in speaker.sentences(1, only=(kind,)):
                yield sentence, speaker


def found(parsed):
    """Count (words, role)."""
    return Counter((bare(phrase.text), phrase.role) for phrase in parsed.phrases)


def names(thing):
    """Words that may name a thing of a group."""
    noun = NOUNS[thing.kind]
    several = {plural_of(word) for word in (*noun.words, *noun.sorts)}
    colours = {thing.colour, *COLOURS.get(thing.colour, ())}
    return {*noun.words, *noun.sorts, *several, *colours, *ANYTHING, 'everything', 'whatever',
            'what', 'objects', 'things', 'rest'}


def right(sentence, speaker, parsed):
    """Tell whether all mentioned things have their role, and nothing else has one."""
    got, left = found(parsed), Counter()
    if speaker.told - got:
        return False
    left = got - speaker.told
    roles = Counter(role for _, role in left.elements())
    wanted = Counter({'target': 1} if speaker.group else {})
    wanted += Counter({'forbidden': 1} if speaker.spared else {})
    if roles != wanted:
        return False
    texts = [text for text, role in left if role == 'target']
    return all(re.search(rf'\b({"|".join(map(re.escape, names(thing)))})\b', texts[0])
               for thing in speaker.group)


# Measured on 236 to 240 sentences of each kind: 1.0, but pair and relation .996, list .988.
@pytest.mark.parametrize(('kind', 'floor'), [
    ('attribute', .99), ('plain', .99), ('pair', .95), ('all', .97), ('relation', .97),
    ('superlative', .98), ('held', .95), ('count', .97), ('list', .95), ('not', .97)])
def test_words_and_roles_of_every_kind_are_those_that_the_speaker_meant(kind, floor):
    results = [(right(sentence, speaker, PARSER.parse(sentence.text)), sentence.text)
               for sentence, speaker in cases(kind)]
    wrong = [text for good, text in results if not good]
    assert len(results) >= 200
    assert len(wrong) <= (1 - floor) * len(results), wrong


def test_the_floors_are_of_all_kinds_that_name_things():
    assert {'absent', 'purpose'} == {*SHARES} - {
        'attribute', 'plain', 'pair', 'all', 'relation', 'superlative', 'held', 'count', 'list',
        'not'}


@pytest.mark.parametrize(('kind', 'floor'), [
    ('pair', .95), ('relation', .95), ('all', .96), ('list', .92), ('not', .95)])
def test_roles_survive_a_mistyped_word_in_every_sentence(kind, floor):
    """The words then differ, so only the number of phrases of each role is compared."""
    good = total = 0
    for sentence, speaker in cases(kind, slips=1.0):
        wanted = Counter(role for _, role in speaker.told.elements())
        wanted += Counter({'target': bool(speaker.group), 'forbidden': speaker.spared})
        good += Counter(p.role for p in PARSER.parse(sentence.text).phrases) == wanted
        total += 1
    assert good >= floor * total, (good, total)


@pytest.mark.parametrize(('sentence', 'phrases'), [
    ('Put the red cup on the plate left of the pan.', [
        ('the red cup', 'target', 'red cup'),
        ('the plate left of the pan', 'destination', 'plate'), ('the pan', 'reference', 'pan')]),
    ('put the apple on the towel in the box', [
        ('the apple on the towel', 'target', 'apple'), ('the towel', 'reference', 'towel'),
        ('the box', 'destination', 'box')]),
    ('pick the knife and fork up and set it down on the tray', [
        ('the knife and fork', 'target', 'knife and fork'), ('the tray', 'destination', 'tray')]),
    ('take all cups except the red one', [
        ('all cups', 'target', 'cups'), ('the red one', 'forbidden', 'red cup')]),
    ('leave the duck and take the rest', [
        ('the rest', 'target', 'everything'), ('the duck', 'forbidden', 'duck')]),
    ('do not touch the vase', [('the vase', 'forbidden', 'vase')]),
    ('do not drop the vase', [('the vase', 'target', 'vase')]),
    ('the cup between the pan and the plate', [
        ('the cup between the pan and the plate', 'target', 'cup'),
        ('the pan', 'reference', 'pan'), ('the plate', 'reference', 'plate')]),
    ('the nearest cup', [('the nearest cup', 'target', 'nearest cup')]),
    ('a red and white striped cup', [
        ('a red and white striped cup', 'target', 'red and white striped cup')]),
    ('wipe the plate with the sponge', [
        ('the plate', 'target', 'plate'), ('the sponge', 'target', 'sponge')]),
    ('weigh this', [('balance scale', 'target', 'balance scale')]),  # of `goals`
    ('I am thirsty', [('i am thirsty', 'target', 'i am thirsty')])])
def test_sentences_read_by_hand(sentence, phrases):
    parsed = PARSER.parse(sentence)
    assert [(p.text, p.role, p.head) for p in parsed.phrases] == phrases
    assert parsed.parser == 'grammar' and parsed.instruction == sentence


@pytest.mark.parametrize('text', ['x', '...a', 'not', 'put it', 'and', 'on the', 'not but', '2',
                                  'put in on to of', '\u2603 ' * 300, 'the ' * 200, 'a, ' * 200,
                                  'put the cup on the ' * 60, '{"role": "forbidden"}'])
def test_anything_that_has_words_has_a_phrase(text):
    parsed = PARSER.parse(text)
    assert parsed.phrases and all(phrase.role in ROLES for phrase in parsed.phrases)


@pytest.mark.parametrize('text', ['', '  ', '...', '?!'])
def test_what_has_no_words_is_refused(text):
    with pytest.raises(ParseError, match='wanted a sentence, got'):
        PARSER.parse(text)


def test_a_phrase_has_a_known_role_and_words():
    with pytest.raises(ParseError, match='wanted one of target, destination, reference'):
        Phrase('the cup', 'owner')
    with pytest.raises(ParseError, match='words of a target: wanted some'):
        Phrase(' ', 'target')
