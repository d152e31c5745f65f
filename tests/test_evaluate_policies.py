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

import pytest
from safetensors.torch import save_file

from ivm_ros.config import ConfigError
from ivm_sim.clones.config import CloneConfig
from ivm_sim.clones.net import CloneNet
from ivm_sim.env import TabletopEnv
from ivm_sim.evaluate import (
    Cell, cells_of, evaluate, EvaluateConfig, table, wilson, wrong_sentence)


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
    ({'seed': 5}, '800000')])
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        EvaluateConfig('w', **settings)


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(ConfigError, match=r'no \w+\.safetensors.*ivm-sim clone'):
        evaluate(EvaluateConfig(str(tmp_path)))


def test_the_wrong_sentence_names_what_is_there_and_not_needed():
    env = TabletopEnv('pick', 'few', pictures=False)
    env.reset(seed=0)
    text = wrong_sentence(env)
    named = [prop for prop in env.arena.props
             if text.endswith(f'{prop.item.colour} {prop.item.kind}')]
    assert named and not {prop.id for prop in named} & set(env.assignment.targets)


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
    assert len(table(report)) == 2
    monkeypatch.setattr('ivm_sim.evaluate.run_cell', lambda *job: pytest.fail('run again'))
    again = evaluate(config)
    assert again['cells'] == json.loads(json.dumps(report['cells']))
    monkeypatch.setattr('ivm_sim.evaluate.run_cell',
                        lambda config, cell: (cell, {900_000: True, 900_001: False}))
    assert {row['n'] for row in evaluate(replace(config, episodes=2))['cells']} == {2}
