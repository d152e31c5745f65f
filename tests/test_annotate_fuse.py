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
"""Experts, and what becomes of their candidates, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from ivm_ros.annotate.experts import (
    ask, Candidate, ExpertError, make_expert, Picture, SimTruth, split_names)
from ivm_ros.annotate.fuse import fuse, RULES
from ivm_ros.config import ConfigError
from ivm_ros.data.compose import compose, CompositeConfig
from ivm_ros.data.shards import read_rows
from ivm_ros.language.grammar import GrammarParser
from ivm_ros.language.parse import Parsed, Phrase, sentence_of
from ivm_ros.masker import MaskerConfig

CUP, TRAY = Phrase('the cup', 'target', 'cup'), Phrase('the tray', 'destination', 'tray')
PAN, DUCK = Phrase('the pan', 'reference', 'pan'), Phrase('the duck', 'forbidden', 'duck')
PARSED = Parsed('put the cup on the tray', (CUP, TRAY), 'grammar')
WHOLE = sentence_of(PARSED)


@pytest.fixture(scope='module')
def scenes(cutout_folder, tmp_path_factory):
    """Make 12 composites in 6 shards, with labels."""
    folder = tmp_path_factory.mktemp('scenes') / 'data'
    compose(CompositeConfig(out=str(folder), cutouts=(str(cutout_folder),), scenes=12, shard=2,
                            seed=3))
    return folder


def row_of(*values):
    """Make a mask of one row."""
    return np.float32([values])


# --- fusion, worked out by hand ---------------------------------------------------------------

def candidates(*given):
    """Make candidates of (expert, phrase, score, mask)."""
    return [Candidate(mask, score, phrase, expert) for expert, phrase, score, mask in given]


TWO = candidates(('a', WHOLE, .9, row_of(1, .8, 0, 0)), ('b', WHOLE, .3, row_of(1, 0, .4, 0)))


@pytest.mark.parametrize(('rule', 'mask'), [
    ('union', (1, .8, .4, 0)), ('mean', (1, .6, .1, 0)),  # weights .75 and .25
    ('majority', (1, 0, 0, 0)), ('route', (1, .8, 0, 0))])  # the surest reader
def test_rules_give_what_is_worked_out_by_hand(rule, mask):
    fused = fuse(TWO, PARSED, rule)
    assert np.allclose(fused.mask, [mask]) and fused.mask.dtype == np.float32
    assert fused.agreement == pytest.approx(.5)  # IoU of {0, 1} and {0}
    assert fused.score == pytest.approx({'route': .9}.get(rule, .6) * .5)


def test_agreement_is_the_mean_over_pairs_and_of_empty_masks_one():
    three = [*TWO, *candidates(('c', WHOLE, .6, row_of(0, 0, 0, 1)))]
    assert fuse(three, PARSED, 'mean').agreement == pytest.approx((.5 + 0 + 0) / 3)
    empty = candidates(*((name, WHOLE, 0, row_of(0, 0)) for name in 'ab'))
    fused = fuse(empty, PARSED, 'mean')
    assert fused.agreement == 1 and not fused.mask.any()
    assert fuse(TWO[:1], PARSED, 'mean').agreement == 1


@pytest.mark.parametrize('rule', RULES)
def test_target_and_destination_enter_reference_and_forbidden_do_not(rule):
    said = candidates(
        ('a', CUP, .8, row_of(1, 0, 0, 0, 0)), ('a', TRAY, .6, row_of(0, .9, 1, 0, 0)),
        ('a', PAN, .9, row_of(0, 0, 0, 1, 0)), ('a', DUCK, .9, row_of(0, 0, 0, 0, 1)))
    fused = fuse(said, replace(PARSED, phrases=(CUP, TRAY, PAN, DUCK)), rule)
    assert ((fused.mask >= .5) == [[1, 1, 1, 0, 0]]).all()


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('phrase', [PAN, DUCK])
def test_what_spills_over_the_unwanted_loses_it_and_what_lies_on_it_stays(rule, phrase):
    unwanted = row_of(0, 1, 1, 1, 0)
    parsed = replace(PARSED, phrases=(CUP, phrase))
    spilt = candidates(('a', CUP, .8, row_of(1, 1, 1, 1, 0)), ('a', phrase, .8, unwanted))
    assert fuse(spilt, parsed, rule).mask.tolist() == [[1, 0, 0, 0, 0]]
    on_it = candidates(('a', CUP, .8, row_of(0, 1, 0, 0, 0)), ('a', phrase, .8, unwanted))
    assert fuse(on_it, parsed, rule).mask.tolist() == [[0, 1, 0, 0, 0]]


def test_of_equal_masks_the_forbidden_wins_and_the_reference_does_not():
    mask = row_of(1, 0)
    for phrase, left in ((PAN, True), (DUCK, False)):
        said = candidates(('a', CUP, .8, mask), ('a', phrase, .8, mask))
        assert fuse(said, PARSED, 'mean').mask.any() == left


def test_routes_lead_plain_sentences_to_finders_and_relations_to_readers():
    said = candidates(('reader', WHOLE, .5, row_of(1, 0, 0)), ('poor', CUP, .4, row_of(0, 0, 1)),
                      ('good', CUP, .9, row_of(0, 1, 0)))
    assert fuse(said, replace(PARSED, phrases=(CUP,)), 'route').mask.tolist() == [[0, 1, 0]]
    related = (Phrase('the cup left of the pan', 'target', 'cup'), PAN)
    assert fuse(said, replace(PARSED, phrases=related), 'route').mask.tolist() == [[1, 0, 0]]
    assert fuse(said[1:], replace(PARSED, phrases=related), 'route').mask.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize('rule', RULES)
def test_nothing_wanted_is_no_label(rule):
    assert fuse([], PARSED, rule) is None
    assert fuse(candidates(('a', DUCK, .9, row_of(1, 1))), PARSED, rule) is None


# --- experts ----------------------------------------------------------------------------------

def test_settings_belong_to_the_expert_before_them():
    assert split_names(' sim-truth, noisy:wrong=.2,box=.1,seed=3,compact,my.own:make') == (
        'sim-truth', 'noisy:wrong=.2,box=.1,seed=3', 'compact', 'my.own:make')


@pytest.mark.parametrize(('names', 'said'), [
    ('compcat', "no expert 'compcat' .did you mean 'compact'..; there are sim-truth, compact"),
    ('sim-truth:x=1', 'no expert'), ('noisy', 'no expert'), ('', 'wanted some'),
    ('compact,compact', 'each once')])
def test_unknown_experts_are_told_the_known_ones(names, said):
    with pytest.raises(ConfigError, match=said):
        split_names(names)


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"expert 'no.such:make': No module named"):
        make_expert('no.such:make', MaskerConfig())


@pytest.mark.parametrize(('mask', 'score', 'said'), [
    (np.zeros((5, 5), np.float32), .5, r'wanted a mask float32 \(192, 256\), got float32 \(5, 5'),
    (np.zeros((192, 256)), .5, 'got float64'), (np.zeros((192, 256, 3), np.float32), .5, '256, 3'),
    (np.full((192, 256), 255, np.float32), .5, 'in .0, 1., got 255'),
    (np.full((192, 256), np.nan, np.float32), .5, 'got nan'),
    (np.zeros((192, 256), np.float32), 3, 'score 3')])
def test_what_an_expert_gets_wrong_is_named(scenes, mask, score, said):
    row = next(read_rows(scenes))
    expert = SimTruth()
    expert.propose = lambda images, phrases: [candidates(('x', WHOLE, score, mask))]
    with pytest.raises(ExpertError, match=said):
        ask(expert, [Picture(np.zeros((192, 256, 3), np.uint8), row)], [PARSED])
    expert.propose = lambda images, phrases: []
    with pytest.raises(ExpertError, match='candidates of 1 pictures, got 0'):
        ask(expert, [Picture(np.zeros((192, 256, 3), np.uint8), row)], [PARSED])


def test_noisy_experts_spoil_the_truth_by_seed_and_row_alone(scenes):
    rows = [row for row in read_rows(scenes) if row.found][:8]
    pictures = [Picture(np.zeros((192, 256, 3), np.uint8), row) for row in rows]
    parsed = [GrammarParser().parse(row.instruction) for row in rows]
    one, other = (make_expert(f'noisy:wrong=.9,seed={seed}', MaskerConfig()) for seed in (1, 2))
    first = ask(one, pictures, parsed)
    again = ask(one, pictures[::-1], parsed[::-1])[::-1]
    assert all((a[0].mask == b[0].mask).all() for a, b in zip(first, again))
    assert any((a[0].mask != b[0].mask).any() for a, b in zip(first, ask(other, pictures, parsed)))
    notes = [candidates[0].note for candidates in first]
    assert notes.count('wrong') >= 4 and set(notes) <= {'wrong', 'true'}
    for picture, note, candidates in zip(pictures, notes, first):
        same = (candidates[0].mask > .5) == (picture.truth > 127)
        assert same.all() == (note == 'true')
    assert first[0][0].expert == 'noisy:wrong=.9,seed=1'
    for settings in ('wrong=x', 'wrongg=.5'):
        with pytest.raises(ConfigError, match=r'wanted rates|did you mean .wrong'):
            make_expert(f'noisy:{settings}', MaskerConfig())
