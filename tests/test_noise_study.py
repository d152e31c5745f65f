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
"""The study of noisy labels, in small: it runs, goes on, repeats, and reports what it found."""

from dataclasses import replace
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ivm_ros.annotate.noise import LEVELS
from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.data.shards import decode_mask
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.text import TextEncoder
from ivm_ros.study.examples import draw_examples, examples_of, MISTAKES
from ivm_ros.study.methods import _draw, BALANCED, learn, METHODS, Task
from ivm_ros.study.noise import evaluate_noise, judged, NoiseConfig
from ivm_ros.study.pupil import Pupil, true_iou
from ivm_ros.study.report import figures_of, write_report
from ivm_ros.study.seen import annotate_badly, see, Seen
from ivm_ros.train.dwsl import DwslConfig


@pytest.fixture(scope='module')
def seen(toy_dataset) -> Seen:
    return see([toy_dataset], load_checkpoint(), TextEncoder(), 20, 3, seed=0)


@pytest.fixture(scope='module')
def task(seen) -> Task:
    """Make a third of the labels human, and two of three others wrong."""
    noisy, kinds = annotate_badly(seen, LEVELS['strong'], load_checkpoint().net, 0)
    human = torch.arange(len(seen.picture)) % 3 == 0
    labels = torch.where(human[:, None, None], seen.truth, noisy)
    wrong = torch.tensor([kind != 'true' for kind in kinds]) & ~human
    return Task(seen, labels, human.float(), wrong, 3, 8, 1e-3, DwslConfig(steps=3))


def test_what_is_seen_belongs_together(seen):
    assert len(seen.picture) == len(seen.truth) == len(seen.states) == len(seen.rows) == 60
    assert seen.truth.shape[1:] == seen.pixels.shape[2:] == (48, 64)
    assert (seen.truth.float().sum((1, 2)) > 20).all()  # all have their target in view
    tokens, mask = seen.tokens(torch.tensor([0, 5]))
    assert tokens.shape[2] == 768 and mask.any(1).all()


def test_a_new_pupil_knows_nothing_and_the_truth_is_the_truth(seen):
    torch.manual_seed(0)
    assert true_iou(Pupil(seen), seen).mean() < .3


@pytest.mark.slow
@pytest.mark.parametrize('method', METHODS)
def test_every_method_repeats_with_its_seed(task, method):
    one, other = (learn(task, method, 3) for _ in range(2))
    pairs = zip(one.pupil.parameters(), other.pupil.parameters())
    assert all(torch.equal(a, b) for a, b in pairs)
    assert (one.scores is not None) == method.startswith('dwsl')
    assert 0 < one.effective <= 1 + 1e-6


@pytest.mark.parametrize('method', METHODS)
def test_who_knows_who_made_a_label_takes_half_of_a_batch_from_people(task, method):
    rng = torch.Generator().manual_seed(0)
    shares = [float(task.is_human[_draw(task, method, rng)].mean()) for _ in range(200)]
    wanted = 1. if method == 'human_only' else .5 if method in BALANCED else 1 / 3
    assert np.mean(shares) == pytest.approx(wanted, abs=.03)
    assert (np.std(shares) == 0) == (wanted != 1 / 3)
    assert (method in BALANCED) == (method in (
        'balanced', 'dwsl_two_stage', 'dwsl_joint', 'co_teaching', 'self_paced', 'small_loss'))


@pytest.mark.slow
def test_true_weights_never_see_a_wrong_label(task):
    one = learn(task, 'true_weights', 3)
    spoilt = torch.where(task.wrong[:, None, None], 1 - task.labels, task.labels)
    other = learn(replace(task, labels=spoilt), 'true_weights', 3)
    assert all(torch.equal(a, b)
               for a, b in zip(one.pupil.parameters(), other.pupil.parameters()))
    assert one.effective < 1 and task.bad == pytest.approx(float(task.wrong.sum()) / 40)


def test_scores_are_judged_by_hand():
    scores = torch.tensor([.9, .8, .3, .2, .7])
    bad = torch.tensor([False, False, True, True, True])
    human = torch.tensor([True, False, False, False, False])
    found = judged(scores, bad, human)
    assert found['auroc'] == found['auroc_human'] == 1
    assert found['precision_bad'] == 1  # the three lowest are the three bad ones
    assert found['p']['bad'] == pytest.approx(.4)
    assert judged(scores, bad.flip(0) & ~human, human)['precision_bad'] == pytest.approx(.5)


def run(method: str, seed: int, iou: float, **more) -> dict:
    return {'method': method, 'seed': seed, 'iou': iou, 'iou50': iou, 'effective': 1.0,
            'samples': 10, 'human': .1, 'noise': 'strong', 'weight': 'clip', **more}


def test_the_gap_regained_by_hand():
    values = {'all_labels': (.4, .4), 'clean_ceiling': (.6, .8), 'human_only': (.4, .4),
              'balanced': (.5, .6), 'dwsl_two_stage': (.5, .5), 'dwsl_joint': (.6, .6),
              'co_teaching': (.5, .6), 'self_paced': (.4, .4), 'small_loss': (.4, .4)}
    judge = {'auroc': .8, 'auroc_human': .7, 'precision_bad': .9}
    runs = [run(name, seed, iou, **(judge if name.startswith('dwsl') else {}))
            for name, ious in values.items() for seed, iou in enumerate(ious)]
    tuned = [run('dwsl_joint', 9, .5, **judge)]
    figures = figures_of({'human': .1, 'noise': 'strong', 'seeds': 2}, tuned, runs, [],
                         'dwsl_joint')
    assert figures['gap']['mean'] == pytest.approx(.3)
    assert figures['gap_regained']['mean'] == pytest.approx((1 + .5) / 2)
    assert figures['dwsl_ahead_of']['co_teaching']['mean'] == pytest.approx(.05)
    # Two values .5 apart: half a width of t(.975, 1) * std / sqrt(2) = 12.706 * .25.
    low, high = figures['gap_regained']['ci95']
    assert high - low == pytest.approx(2 * 12.7062 * .25, rel=1e-4)
    assert figures['methods']['dwsl_joint']['iou'] == [.6, .6]


@pytest.mark.slow
def test_what_was_found_stands_in_every_form(toy_dataset, tmp_path):
    judge = {'auroc': .8, 'auroc_human': .7, 'precision_bad': .9}
    made = {name: run(name, 0, .5 if name == 'clean_ceiling' else .4, curve=[(0, 2.), (20, 1.)],
                      **(judge if name.startswith('dwsl') else {})) for name in METHODS}
    cells = [run(name, 0, .3, human=share, noise=level)
             for name in ('all_labels', 'dwsl_joint') for share in (.02, .1)
             for level in ('weak', 'strong')] + [run('human_only', 0, .21, human=.02)]
    write_report(tmp_path / 'noise.json', {'human': .1, 'noise': 'strong', 'seeds': 1},
                 [made['dwsl_joint']], [*made.values()], cells, 'dwsl_joint',
                 tmp_path / 'noise.html', draw_examples(examples_of([str(toy_dataset)], 'strong')))
    text = (tmp_path / 'noise.md').read_text()
    assert '| true labels (ceiling) | 0.500 |  | 1.00 |' in text
    assert '| strong | 2 % | human labels only | 0.210 |' in text
    for name in ('labels', 'curves', 'grid'):
        assert f'(noise_{name}.png)' in text
        picture = cv2.imread(str(tmp_path / f'noise_{name}.png'))
        assert picture is not None and picture.std() > 5  # something is drawn
    assert (tmp_path / 'noise.html').read_text().count('data:image/png') == 3


def test_examples_show_each_mistake_that_can_be_made(toy_dataset):
    found = examples_of([str(toy_dataset)], 'strong')
    assert list(found) == [name for name in MISTAKES if name in found]
    assert {'wrong', 'spill', 'erosion', 'everything', 'true'} <= {*found}
    assert 'missing' not in found  # no sentence asks for two
    for mistake, (row, label) in found.items():
        if mistake != 'box':  # things are squares
            assert np.array_equal(label, decode_mask(row.mask)) == (mistake == 'true'), mistake
    assert draw_examples({}) == b''


@pytest.mark.slow
def test_figures_and_page_go_where_they_are_asked_for(toy_dataset, monkeypatch, tmp_path):
    judge = {'auroc': .8, 'auroc_human': .7, 'precision_bad': .9}

    def ran(config, trials, title):
        return [run(trial.method, trial.seed, .4, curve=[(0, 2.), (20, 1.)],
                    **(judge if trial.method.startswith('dwsl') else {})) for trial in trials]

    monkeypatch.setattr('ivm_ros.study.noise._run', ran)
    where = {'json': tmp_path / 'a' / 'figures.json', 'html': tmp_path / 'b' / 'page.html'}
    out = tmp_path / 'out'
    assert main(['eval', 'noise', '--data', 'x', '--validation', 'x', '--test', str(toy_dataset),
                 '--no-grid', '--out', str(out),
                 *(word for name, path in where.items() for word in (f'--{name}', str(path)))
                 ]) == 0
    assert json.loads(where['json'].read_text())['form'] == 'dwsl_two_stage'
    assert 'true labels (ceiling)' in where['html'].read_text()
    assert 'true labels (ceiling)' in (tmp_path / 'a' / 'figures.md').read_text()
    assert [path.name for path in out.iterdir()] == ['runs']  # nothing twice


@pytest.mark.slow
def test_the_whole_turn_in_small(toy_dataset, tmp_path):
    data = str(toy_dataset)
    settings = NoiseConfig((data,), (data,), (data,), str(tmp_path), seeds=2, human=.3,
                           pictures=12, judged=12, steps=2, grid=False)
    figures = json.loads(evaluate_noise(settings).read_text())
    assert set(figures['methods']) == set(METHODS)
    assert all(len(method['iou']) == 2 for method in figures['methods'].values())
    assert len(figures['weights']) == 12 and figures['form'] in ('dwsl_two_stage', 'dwsl_joint')
    assert 0 <= figures['discriminator']['auroc'] <= 1
    page = (tmp_path / 'noise.html').read_text()
    assert 'true labels (ceiling)' in page and 'data:image/png' in page
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / 'runs').iterdir()}
    lost = sorted(times)[0]
    before = lost.read_bytes()
    lost.unlink()
    evaluate_noise(settings)  # makes what is missing, to the same numbers
    assert lost.read_bytes() == before
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path != lost)


@pytest.mark.slow
def test_no_data_is_told_in_a_line(tmp_path, capsys):
    with pytest.raises(ConfigError, match=r'NoiseConfig\.test: wanted dataset folders'):
        NoiseConfig(('a',), ('b',), ())
    assert main(['eval', 'noise', '--data', str(tmp_path), '--validation', 'x', '--test', 'x',
                 '--out', str(tmp_path / 'out')]) == 2
    assert 'error' in capsys.readouterr().err


def test_too_few_pictures_are_told(toy_dataset):
    with pytest.raises(ValueError, match='wanted 30 pictures with 1 to 10 labelled'):
        see([Path(toy_dataset)], load_checkpoint(), TextEncoder(), 30, 3, seed=0)


def test_noise_is_the_same_for_a_seed(seen):
    net = load_checkpoint().net
    one, kinds = annotate_badly(seen, LEVELS['strong'], net, 4)
    other, again = annotate_badly(seen, LEVELS['strong'], net, 4)
    assert torch.equal(one, other) and kinds == again
    assert np.mean([kind != 'true' for kind in kinds]) > .5
