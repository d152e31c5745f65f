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
"""The comparison of rules that fuse experts' masks: by hand, and in small."""

import json

import numpy as np
import pytest

from ivm_ros.annotate.experts import Candidate, Picture
from ivm_ros.annotate.fuse import RULES
from ivm_ros.annotate.noise import LEVELS, STRONG
from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.data.shards import read_rows
from ivm_ros.language.parse import Parsed, Phrase, sentence_of
from ivm_ros.study.fusing import figures_of, FuseConfig, markdown
from ivm_ros.study.mixtures import (
    ALONE, Cell, COLUMNS, compare, DEFAULT, expert_of, Measured, MIXTURES, SCORES, telling)

PARSED = Parsed('take the cup', (Phrase('the cup', 'target', 'cup'),), 'grammar')
TRUTH = np.uint8([[255, 255, 0, 0, 0]])
RIGHT, WRONG = (1, 1, 0, 0, 0), (0, 0, 1, 1, 0)


def said(*masks, scores=(1, 1, 1)):
    """Give a candidate of each of some experts who read the sentence."""
    return [Candidate(np.float32([mask]), score, sentence_of(PARSED), f'expert {number}')
            for number, (mask, score) in enumerate(zip(masks, scores))]


@pytest.mark.parametrize(('column', 'iou'), [
    ('majority', 1), ('mean', 1), ('route', 1), ('union', .5), (ALONE, 0)])
def test_two_right_ones_outvote_a_wrong_one(column, iou):
    assert compare(said(RIGHT, RIGHT, WRONG), PARSED, column, TRUTH) == (iou, False)


@pytest.mark.parametrize(('column', 'found'), [
    ('majority', (0, True)), ('mean', (.5, False)), ('union', (.5, False)),
    ('route', (0, False)), (ALONE, (1, False))])
def test_two_that_contradict_each_other(column, found):
    """A mean of .5 is written as 128, which is inside; a majority of two needs both."""
    assert compare(said(WRONG, RIGHT), PARSED, column, TRUTH) == found


def test_the_surer_of_two_wins_where_scores_count():
    sure = said(WRONG, RIGHT, scores=(.4, .6))
    assert [compare(sure, PARSED, rule, TRUTH)[0] for rule in ('mean', 'route')] == [1, 1]
    assert compare(sure, PARSED, 'majority', TRUTH) == (0, True)


def test_scores_tell_what_they_promise():
    assert telling(.5, True, 0) == pytest.approx(1 / (1 + np.exp(-.5)))
    assert telling(.5, False, 0) == pytest.approx(1 / (1 + np.exp(.5)))
    doubts = np.random.default_rng(0).standard_normal((2, 2000))
    right = np.array([telling(.3, True, doubt) for doubt in doubts[0]])
    wrong = np.array([telling(.3, False, doubt) for doubt in doubts[1]])
    assert (right > wrong).mean() == pytest.approx(.76, abs=.03)
    # Of those that say .3 or so, three of ten are right: three are for seven.
    near = [.3 * np.mean(abs(right - .3) < .1), .7 * np.mean(abs(wrong - .3) < .1)]
    assert near[0] / sum(near) == pytest.approx(.3, abs=.04)


def test_finders_are_lost_where_a_relation_tells_and_better_elsewhere(toy_dataset):
    assert expert_of('usual', True, STRONG, 0).noise == STRONG
    assert expert_of('better', True, STRONG, 0).noise == LEVELS['weak']
    assert expert_of('finder', False, STRONG, 0).noise == LEVELS['weak']
    assert expert_of('finder', True, STRONG, 0).noise.decoy == .6
    row = next(row for row in read_rows(toy_dataset) if row.found)
    picture = Picture(np.zeros((96, 128, 3), np.uint8), row)
    assert (picture.labels[picture.truth > 127] == int(row.id[-1])).all()


def test_figures_by_hand():
    ious = {Cell(mixture, noise, scores, rule): np.array([.2, .4, .9])
            for mixture in ('a', 'b') for noise in ('weak',) for scores in SCORES
            for rule in COLUMNS}
    ious = {cell: values + .1 * (cell.rule == 'majority' and cell.mixture == 'a')
            for cell, values in ious.items()}
    measured = Measured(np.array([0, 0, 1]), ious, dict.fromkeys(ious, .25))
    figures = figures_of(measured, 0)
    assert figures['pictures'] == 2 and figures['sentences'] == 3
    row = figures['rules']['majority']
    assert row['mean_iou'] == pytest.approx(.55) and row['empty'] == .25
    assert row['bad'] == pytest.approx((1 / 3 + 2 / 3) / 2)  # .3 and .5, .2 and .4
    assert row['ahead']['mean'] == pytest.approx(.05)
    assert row['ahead']['ci95'] == pytest.approx([.05, .05])  # alike in each picture
    # Drawn is picture 0 twice, once, or never: .35, .55, .95.
    assert row['ci95'] == pytest.approx([.35, .95])
    assert figures['rules'][DEFAULT]['ahead'] == {'mean': 0, 'ci95': [0, 0]}
    first = figures['cells'][0]
    assert (first['mixture'], first['noise'], first['scores']) == ('a', 'weak', 'flat')
    assert first['rules']['majority']['mean_iou'] == pytest.approx(.6)
    assert len(figures['cells']) == 4
    text = '\n'.join(markdown({'chosen': 'majority', 'default': DEFAULT, 'command': 'ivm',
                               'validation': figures}))
    assert '| both | majority | 0.550 [0.350, 0.950] | +0.050 [+0.050, +0.050] | 0.500 ' in text
    assert '| a | weak | flat | 0.500 [' in text


@pytest.mark.slow
def test_the_verb_compares_all_rules_and_repeats(toy_dataset, tmp_path, monkeypatch, capsys):
    def run(out):
        monkeypatch.setattr('sys.argv', ['ivm', 'eval', 'fuse'])
        assert main(['eval', 'fuse', '--validation', str(toy_dataset), '--test',
                     str(toy_dataset), '--sentences', '1', '--out', str(tmp_path / out)]) == 0
        return json.loads((tmp_path / out / 'fuse.json').read_text())

    figures = run('one')
    assert run('two')['validation'] == figures['validation'] == figures['test']
    found = figures['validation']
    assert found['pictures'] == found['sentences'] == 24
    assert len(found['cells']) == len(MIXTURES) * len(LEVELS) * len(SCORES)
    best = max(RULES, key=lambda rule: found['rules'][rule]['mean_iou'])
    assert figures['chosen'] == best and figures['default'] == DEFAULT
    for cell in found['cells']:
        rules = cell['rules']
        assert set(rules) == set(COLUMNS)
        if cell['mixture'] == 'two alike' and cell['scores'] == 'flat':
            assert rules['mean'] == rules['union'] and rules['route']['empty'] == 0
    weak, strong = (next(cell['rules'] for cell in found['cells'] if cell['noise'] == noise
                         and cell['mixture'] == 'five alike') for noise in ('weak', 'strong'))
    assert weak['majority']['mean_iou'] > weak[ALONE]['mean_iou'] > strong[ALONE]['mean_iou']
    text = (tmp_path / 'one' / 'fuse.md').read_text()
    assert f'Chosen on validation data: `{best}`' in text and '## Test: 24 sentences' in text
    assert '| five alike | strong | telling |' in capsys.readouterr().out


def test_no_data_is_told(tmp_path, capsys):
    with pytest.raises(ConfigError, match=r'FuseConfig\.validation: wanted dataset folders'):
        FuseConfig(())
    assert main(['eval', 'fuse', '--validation', str(tmp_path)]) == 2
    assert 'error' in capsys.readouterr().err
