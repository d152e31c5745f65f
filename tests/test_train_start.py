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
"""`ivm train --init current`: from the weights in use, and on from them whatever is promoted."""

from dataclasses import asdict, replace
import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
import torch

from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.models.checkpoint import save_checkpoint
from ivm_ros.models.checkpoint_info import file_hash, read_checkpoint_info, SHIPPED
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.errors import CheckpointError
from ivm_ros.models.installed import choose, install, NONE
from ivm_ros.promote import promote, PromoteConfig, PromoteError
from ivm_ros.train.loop import train, TrainConfig
from ivm_ros.train.start import KEPT, start_of


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Give each test a data folder of its own."""
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'data'))


@pytest.fixture
def other(tmp_path):
    """Write weights that are not the shipped ones."""
    torch.manual_seed(1)
    path = tmp_path / 'other' / 'compact.safetensors'
    save_checkpoint(path, CompactNet(), read_checkpoint_info(SHIPPED)['text_encoder'],
                    {'command': 'other'}, {})
    return path


def settings(data: Path, out: Path, **changes) -> TrainConfig:
    """Give settings of a run of two steps."""
    return TrainConfig(**{
        'data': (str(data),), 'out': str(out), 'steps': 2, 'images': 2, 'sentences': 2,
        'warmup': 1, 'save_every': 1, 'threads': 1, 'init': 'current', **changes})


def same(one: Path, two: Path) -> bool:
    """Tell whether two checkpoints hold the same arrays."""
    before, after = load_file(one), load_file(two)
    return all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_current_is_what_a_node_would_load(other, toy_dataset, tmp_path):
    config = settings(toy_dataset, tmp_path / 'run')
    assert start_of(config).hash == file_hash(SHIPPED)
    install(other, 'mine', {})
    assert start_of(replace(config, out=str(tmp_path / 'next'))).hash == file_hash(other)
    assert start_of(replace(config, init='')) is None
    (tmp_path / 'data' / 'ivm_ros' / 'weights' / 'mine' / 'compact.safetensors').unlink()
    with pytest.raises(CheckpointError, match="'mine' are gone"):
        start_of(replace(config, out=str(tmp_path / 'third')))
    assert not (tmp_path / 'third').exists()


@pytest.mark.slow
def test_a_run_goes_on_from_what_it_started_from(other, toy_dataset, tmp_path):
    """Stopped, something else promoted, resumed: the numbers and the provenance of before."""
    whole = train(settings(toy_dataset, tmp_path / 'whole', init=str(SHIPPED)))
    stopped = settings(toy_dataset, tmp_path / 'run', minutes=1e-9)
    words = ['train', '--data', str(toy_dataset), '--out', str(tmp_path / 'run'), '--init',
             'current', '--steps', '2', '--images', '2', '--sentences', '2', '--warmup', '1',
             '--save-every', '1', '--threads', '1']
    assert main([*words, '--minutes', '1e-9']) == 0
    assert json.loads((tmp_path / 'run' / 'compact.json').read_text())['provenance']['steps'] == 0
    install(other, 'mine', {})
    assert main(words) == 0
    made = tmp_path / 'run' / 'compact.safetensors'
    assert same(whole, made)
    fresh = train(replace(stopped, out=str(tmp_path / 'fresh'), minutes=0.0))
    assert not same(fresh, made)

    provenance = read_checkpoint_info(made)['provenance']
    assert provenance['init']['sha256'] == file_hash(SHIPPED)
    assert read_checkpoint_info(fresh)['provenance']['init'] == {
        'command': 'other', 'sha256': file_hash(other)}
    assert provenance['settings'] == json.loads(json.dumps(asdict(
        replace(stopped, minutes=0.0))))
    assert str(SHIPPED.parent) not in made.with_suffix('.json').read_text()

    (tmp_path / 'run' / KEPT).unlink()
    choose(NONE)
    with pytest.raises(ConfigError, match=r'init.safetensors is gone, which this run started'):
        train(replace(stopped, minutes=0.0))


@pytest.mark.slow
def test_what_weights_started_from_has_seen_is_not_held_out(toy_dataset, tmp_path):
    """Nor is it under another path; a folder of that name elsewhere is."""
    text_encoder = read_checkpoint_info(SHIPPED)['text_encoder']
    seen = json.loads((toy_dataset / 'dataset.json').read_text())
    for info, said in ((seen, 'is not held out'), ({**seen, 'seed': 2}, 'is worse')):
        path = tmp_path / said / 'compact.safetensors'
        save_checkpoint(path, CompactNet(), text_encoder, {
            'data': {}, 'init': {'init': {'data': {str(toy_dataset): info}}}}, {})
        with pytest.raises(PromoteError, match=said):
            promote(PromoteConfig(str(path), (str(toy_dataset),), images=6))
