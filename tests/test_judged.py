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
"""What a run of DWSL tells of its labels: by hand, in TensorBoard, in the checkpoint's JSON."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
import torch

from ivm_ros.models.checkpoint_info import SHIPPED
from ivm_ros.train import judged
from ivm_ros.train.dwsl import DwslConfig
from ivm_ros.train.judged import Window
from ivm_ros.train.loop import train, TrainConfig

HUMAN, MACHINE = torch.tensor([1, 0, 0, 0]) > 0, torch.tensor([0, 1, 1, 0]) > 0


def test_figures_by_hand():
    window = Window()
    window.add(torch.tensor([.6, .3, .8, .5]), torch.tensor([1., .5, 1.5, 1.]), HUMAN, MACHINE,
               ('a', 'a', 'b', 'a'))
    report = window.report()
    assert report['labels'] == 4 and report['auroc'] == .5  # above one of two machine labels
    assert report['effective'] == pytest.approx(4 ** 2 / (1 + .25 + 2.25 + 1) / 4)
    assert {*report['sources']} == {'human', 'human/a', 'machine', 'machine/a', 'machine/b',
                                    'true', 'true/a'}
    machine = report['sources']['machine']
    assert machine['labels'] == 2 and machine['weight'] == pytest.approx(2 / 4)
    assert machine['mean_p'] == pytest.approx(.55)
    assert [place for place, count in enumerate(machine['histogram']) if count] == [3, 8]
    other = Window()
    other.go_on(window.state())
    assert other.report() == report


def test_without_both_kinds_there_is_no_auroc():
    window = Window()
    assert window.report()['auroc'] is None and window.report()['labels'] == 0
    window.add(torch.tensor([.5] * 4), torch.ones(4), MACHINE, torch.zeros(4) > 0)
    assert window.report()['auroc'] is None and {*window.report()['sources']} == {'human', 'true'}


def test_small_sources_are_told_together(monkeypatch):
    monkeypatch.setattr(judged, 'SOURCES', 1)
    window = Window()
    window.add(torch.full((4,), .5), torch.ones(4), torch.zeros(4) > 0, torch.ones(4) > 0,
               ('a', 'b', 'b', 'c'))
    sources = window.report()['sources']
    assert {name: made['labels'] for name, made in sources.items()} == {
        'machine': 4, 'machine/b': 2, 'machine/others': 2}


@pytest.mark.slow
def test_a_run_shows_them_in_tensorboard_and_keeps_them(mixed_toys, tmp_path):
    train(TrainConfig(data=(str(mixed_toys(0, 16)),), out=str(tmp_path), steps=2, images=4,
                      sentences=3, log_every=1, threads=1, init=str(SHIPPED), method='dwsl',
                      dwsl=DwslConfig('joint'), balanced=True))
    events = EventAccumulator(str(tmp_path), {'scalars': 0, 'histograms': 0}).Reload()
    assert {'judged/auroc', 'judged/effective', 'judged/weight/human', 'judged/weight/machine',
            'judged/weight/human/toy'} <= {*events.Tags()['scalars']}
    assert {'judged/p/human', 'judged/p/machine', 'judged/p/machine/toy'} <= {
        *events.Tags()['histograms']}
    kept = json.loads((tmp_path / 'compact.json').read_text())['provenance']['judged']
    shares = {name: kept['sources'][name]['weight'] for name in ('human', 'machine')}
    assert sum(shares.values()) == pytest.approx(1)
    for name, share in shares.items():
        assert events.Scalars(f'judged/weight/{name}')[-1].value == pytest.approx(share)
        last = events.Histograms(f'judged/p/{name}')[-1]
        assert last.step == 2
        assert last.histogram_value.num == kept['sources'][name]['labels']
    assert events.Scalars('judged/auroc')[-1].value == pytest.approx(kept['auroc'])
    assert 0 < kept['effective'] <= 1
