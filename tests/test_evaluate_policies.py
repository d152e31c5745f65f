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
"""The experiment: its cells, intervals, and a small run of the whole."""

from dataclasses import replace
import json

import numpy as np
import pytest
from safetensors.torch import save_file

from ivm_ros.config import ConfigError
from ivm_ros.deploy import DeployConfig
from ivm_ros.sample import Mask
from ivm_sim.clones.config import CloneConfig
from ivm_sim.clones.net import CloneNet
from ivm_sim.env import TabletopEnv
from ivm_sim.evaluation.config import Cell, cells_of, EvaluateConfig
from ivm_sim.evaluation.episodes import fault_of, Outcome, wrong_sentence
from ivm_sim.evaluation.errors import MaskError, SpoiledMasks, widened
from ivm_sim.evaluation.evaluate import evaluate
from ivm_sim.evaluation.results import table, wilson
from ivm_sim.masked import TruthMasker
from ivm_sim.truth import Truth


def test_wilson_by_hand():
    assert wilson(0, 10) == pytest.approx((0, .2775), abs=1e-3)
    assert wilson(98, 100) == pytest.approx((.930, .9945), abs=1e-3)
    low, high = wilson(50, 100)
    assert low + high == pytest.approx(1)


def test_every_column_has_the_same_tasks_and_levels():
    config = EvaluateConfig('w', columns=('raw', 'masked', 'wrong'), methods=('overlay', 'blur'))
    cells = cells_of(config)
    assert len(cells) == 2 * 4 * (1 + 2 + 2)  # raw has no method
    assert cells[0] == Cell('cup_on_plate', 'raw', 'raw', 'none', 'none')
    assert {cell.method for cell in cells if cell.camera != 'raw'} == {'overlay', 'blur'}


@pytest.mark.parametrize(('settings', 'words'), [
    ({'suite': 'papers'}, "did you mean 'paper'"), ({'columns': ('row',)}, "did you mean 'raw'"),
    ({'seed': 5}, '800000'),
    ({'clutter': ('much',)}, 'many'), ({'errors': ('missing=2',)}, 'missing'),
    ({'errors': ('wide=2',)}, "did you mean 'wider'"), ({'errors': ('extra=x',)}, 'number'),
    ({'tasks': ('cup_on_plates',)}, "did you mean 'cup_on_plate'")])
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        EvaluateConfig('w', **settings)


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(ConfigError, match=r'no \w+\.safetensors.*ivm-sim clone'):
        evaluate(EvaluateConfig(str(tmp_path)))


def test_masks_of_weights_that_are_not_there_are_refused(tmp_path, monkeypatch):
    report = str(tmp_path / 'report.json')
    with pytest.raises(ConfigError, match=r'mask_weights: wanted .*/no\.safetensors is none'):
        evaluate(EvaluateConfig(mask_weights='no.safetensors', json=report))
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path))
    folder = tmp_path / 'ivm_ros' / 'weights'
    folder.mkdir(parents=True)
    (folder / 'current').write_text('gone')
    with pytest.raises(ConfigError, match="promoted weights 'gone' are gone"):
        evaluate(EvaluateConfig(json=report))


def test_the_wrong_sentence_names_what_is_there_and_not_needed():
    env = TabletopEnv('pick', 'few', pictures=False)
    env.reset(seed=0)
    text = wrong_sentence(env)
    named = [prop for prop in env.arena.props
             if text.endswith(f'{prop.item.colour} {prop.item.kind}')]
    assert named and not {prop.id for prop in named} & set(env.assignment.targets)


def test_faults_of_masks_by_hand():
    labels = np.zeros((128, 128), np.uint8)
    labels[:10, :10], labels[20:30, :10], labels[40:50, :10] = 1, 2, 3
    truth, config = Truth(labels, (1, 2)), DeployConfig()

    def fault(kept, found=1.0):
        return fault_of(Mask(kept.astype(np.float32), np.zeros_like(kept, np.float32), found),
                        truth, config)

    right = fault(truth.target)
    assert (right.iou, right.missed, right.decoy) == (1, False, False)
    one = fault(labels == 1)
    assert (one.iou, one.missed, one.decoy) == (.5, True, False)
    more = fault(labels > 0)
    assert (more.iou, more.missed, more.decoy) == (pytest.approx(2 / 3), False, True)
    assert fault(truth.target, found=.1).decoy  # the whole picture is shown
    assert fault_of(Mask(*[np.zeros((128, 128), np.float32)] * 2, 1.0),
                    Truth(labels, (9,)), config) is None


def test_a_failure_is_put_down_to_the_worst_fault_of_its_masks():
    assert Outcome(False, 9, .5, .3, .9).cause == 'target_missed'
    assert Outcome(False, 9, .5, .2, .9).cause == 'decoy_kept'
    assert Outcome(False, 9, .9, .2, .1).cause == Outcome(False, 9).cause == 'policy'


@pytest.mark.slow
def test_errors_put_into_masks_are_those_asked_for():
    env = TabletopEnv('duck_in_pot', 'many', size=96, wrist=False)
    env.reset(seed=3)
    truth = env.truth()
    things = set(np.unique(truth.labels)) - {0, 255}

    def kept(**error):
        masks = SpoiledMasks(TruthMasker(env), env, MaskError(**error))
        return [masks(None, '').target > .5 for _ in range(40)]

    looks = kept(extra=2)
    assert all((look == looks[0]).all() for look in looks)
    shown = {label for label in things if (looks[0] & (truth.labels == label)).any()}
    assert shown >= set(truth.targets) and len(shown - set(truth.targets)) <= 2
    every = kept(extra=16)[0]
    assert (every == np.isin(truth.labels, list(things))).all()
    gone = np.mean([not (look & (truth.labels == 1)).any() for look in kept(missing=.3)])
    assert .1 < gone < .55
    assert (kept(wider=2)[0] == (widened(truth.target.astype(np.float32), 2) > .5)).all()
    line = np.zeros((96, 96), np.float32)
    line[40:50, 40:50] = 1
    assert [widened(line, pixels).any(0).sum() for pixels in (-2, 0, 3)] == [6, 10, 16]
    env.close()


def test_an_error_gives_cells_of_its_own_where_there_are_masks():
    cells = cells_of(EvaluateConfig(columns=('raw', 'truth'), clutter=('many',),
                                    errors=('none', 'extra=1'), tasks=('duck_in_pot',)))
    assert [(cell.camera, cell.error) for cell in cells] == [
        ('raw', 'none'), ('truth', 'none'), ('truth', 'extra=1')]


@pytest.mark.slow
def test_the_expert_is_a_column_without_weights(tmp_path):
    report = evaluate(EvaluateConfig(columns=('expert',), tasks=('duck_in_pot', 'duck_on_plate'),
                                     clutter=('few',), episodes=3, workers=2,
                                     json=str(tmp_path / 'expert.json')))
    (row,) = report['pooled']
    assert (row['trained_on'], row['camera'], row['n']) == ('expert', 'none', 6)
    assert row['success'] > .8


@pytest.mark.slow
def test_a_small_run_writes_a_report_and_does_not_run_again(tmp_path, monkeypatch):
    net = CloneNet(CloneConfig(size=32, points=8, hidden=16))
    for name, camera in (('raw', 'raw'), ('truth', 'truth')):
        save_file(net.state_dict(), tmp_path / f'{name}.safetensors')
        (tmp_path / f'{name}.json').write_text(json.dumps(
            {'model': {'size': 32, 'points': 8, 'hidden': 16}, 'camera': camera}))
    config = EvaluateConfig(str(tmp_path), episodes=1, columns=('raw', 'truth'), size=48,
                            clutter=('none',), json=str(tmp_path / 'report.json'))
    report = evaluate(config)
    assert len(report['cells']) == 8 and report['seed'] == 900_000
    cell = report['cells'][0]
    assert set(cell) >= {'task', 'trained_on', 'camera', 'clutter', 'method', 'success', 'n',
                         'ci95'}
    assert {row['n'] for row in report['pooled']} == {4}
    masked = next(cell for cell in report['cells'] if cell['camera'] == 'truth')
    assert masked['mask_iou'] == 1 and masked['seeds']['900000']['missed'] == 0
    assert len(table(report)) == 2
    monkeypatch.setattr('ivm_sim.evaluation.evaluate.run_cell',
                        lambda *job: pytest.fail('run again'))
    again = evaluate(config)
    assert again['cells'] == json.loads(json.dumps(report['cells']))
    monkeypatch.setattr('ivm_sim.evaluation.evaluate.run_cell',
                        lambda config, cell: (cell, {900_000: Outcome(True, 3),
                                                     900_001: Outcome(False, 90)}))
    assert {row['n'] for row in evaluate(replace(config, episodes=2))['cells']} == {2}
