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
"""New weights come into use where they are not worse, whole, and the old ones can come back."""

import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.data.shards import encode_image, Row, write_info, write_shard
from ivm_ros.evaluate.grounding import Score
from ivm_ros.masker import Masker
from ivm_ros.models.checkpoint import load_checkpoint, save_checkpoint
from ivm_ros.models.checkpoint_info import file_hash, read_checkpoint_info, SHIPPED
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.errors import CheckpointError
from ivm_ros.models.installed import (
    choose, current_name, install, installed, shelf, weights_home, weights_path)
from ivm_ros.promote import figures_of, PromoteConfig


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Give each test a data folder of its own."""
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'data'))
    return tmp_path / 'data' / 'ivm_ros' / 'weights'


@pytest.fixture(scope='module')
def untrained(tmp_path_factory, toy_dataset):
    """Write a run folder with weights that know nothing, said to have learned from a set."""
    folder = tmp_path_factory.mktemp('run')
    torch.manual_seed(0)
    save_checkpoint(folder / 'compact.safetensors', CompactNet(),
                    read_checkpoint_info(SHIPPED)['text_encoder'],
                    {'data': {str(toy_dataset.parent / 'training'): {}}}, {})
    return folder


def scores(ious, images, found=True, score=.9):
    return [Score(image, '', found, score, iou, float('nan'), {})
            for iou, image in zip(ious, images)]


def test_differences_are_taken_a_sample_and_drawn_by_image():
    """Better by 0.1 on each: no doubt, however far the samples lie apart."""
    images = [0, 0, 1, 1]
    pairs = list(zip(scores([.9, .5, .2, .1], images), scores([1, .6, .3, .2], images)))
    row = figures_of(pairs, 0)['iou']
    assert row['difference'] == pytest.approx(.1)
    assert row['difference_ci95'] == pytest.approx([.1, .1])
    assert (row['current'], row['candidate']) == (pytest.approx(.425), pytest.approx(.525))
    # One image better by 0.4, one worse by 0.2: a draw of two images has mean -0.2, 0.1 or 0.4.
    pairs = list(zip(scores([.5] * 4, images), scores([.9, .9, .3, .3], images)))
    row = figures_of(pairs, 0)['iou']
    assert row['difference'] == pytest.approx(.1)
    assert row['difference_ci95'] == pytest.approx([-.2, .4])


def test_samples_without_their_target_count_in_found_alone():
    absent = list(zip(scores([0], [1], False, .8), scores([0], [1], False, .2)))
    in_view = list(zip(scores([.5], [0]), scores([.5], [0])))
    figures = figures_of(in_view + absent, 0)
    assert (figures['found']['current'], figures['found']['candidate']) == (.5, 1)
    assert figures['iou']['difference'] == 0 and figures['n'] == figures['images'] == 2
    assert figures_of(absent, 0)['iou'] is None


def test_the_robot_counts_where_it_is_labelled():
    before, after = (Score(0, '', True, .9, .5, robot, {}) for robot in (.8, .2))
    nobody = scores([.5], [1])[0]
    figures = figures_of([(before, after), (nobody, nobody)], 0)['robot']
    assert figures['difference'] == pytest.approx(-.6) and figures['current'] == .8
    assert figures['difference_ci95'][1] < 0  # so that it is refused
    assert figures_of([(nobody, nobody)], 0)['robot'] is None


@pytest.mark.slow
def test_worse_weights_are_refused_unless_forced_and_can_be_taken_back(
        untrained, toy_dataset, capsys, monkeypatch, home):
    monkeypatch.setenv('COLUMNS', '200')
    shipped = file_hash(SHIPPED)
    words = ['promote', str(untrained), '--data', str(toy_dataset), '--images', '6']
    assert main(words) == 2
    said = capsys.readouterr()
    assert 'mean IoU' in said.out and 'right about found' in said.out
    assert 'beyond chance; --force does it all the same' in ' '.join(said.err.split())
    assert not home.exists() and weights_path('') == SHIPPED

    assert main([*words, '--force', '--name', 'bad']) == 0
    assert weights_path('') == installed('bad') == home / 'bad' / 'compact.safetensors'
    random = file_hash(untrained / 'compact.safetensors')
    assert Masker().info['sha256'] == random
    assert main(['info', '--json']) == 0
    facts = json.loads(capsys.readouterr().out.partition('{')[2].join(['{', '']))['weights']
    assert (facts['origin'], facts['sha256']) == ('promoted: bad', random)

    assert main(['promote', str(SHIPPED), *words[2:], '--name', 'good']) == 0
    assert 'verdict: not worse' in capsys.readouterr().out
    assert current_name() == 'good' and Masker().info['sha256'] == shipped
    report = json.loads((home / 'good' / 'promotion.json').read_text())
    row = report['sets'][str(toy_dataset)]['iou']
    assert row['difference_ci95'][0] > 0 and report['current'] == random
    assert main(['promote', '--list']) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if 'UTC' in line]
    assert 'bad' in lines[0] and '(forced)' in lines[0] and '*' not in lines[0]
    assert 'good' in lines[1] and '*' in lines[1]

    assert main(['promote', '--rollback', 'bad']) == 0
    assert Masker().info['sha256'] == random
    assert main(['promote', '--rollback', 'shipped']) == 0
    assert weights_path('') == SHIPPED and file_hash(SHIPPED) == shipped
    assert [item.name for item in shelf()] == ['bad', 'good']  # none is thrown away
    assert main(['promote', '--rollback', 'ugly']) == 2
    assert "no weights 'ugly' are installed; there are: bad, good, shipped" in ' '.join(
        capsys.readouterr().err.split())


def refusal(capsys, *words):
    """Run `ivm promote` and give the sentence that it ends with."""
    assert main(['promote', *map(str, words)]) == 2
    return ' '.join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_nothing_is_promoted_that_nobody_measured(untrained, tmp_path, toy_dataset, capsys, home):
    assert 'nothing tells whether it is better' in refusal(capsys, untrained)
    training = toy_dataset.parent / 'training'
    if not training.exists():
        shutil.copytree(toy_dataset, training)
    assert 'training is not held out, it was trained on it' in refusal(
        capsys, untrained, '--data', training, '--images', 1)
    rows = [Row('a-0', encode_image(np.zeros((64, 64, 3), np.uint8)), 'take it', '', None, None,
                None, 'bag', '')]
    write_shard(tmp_path / 'raw' / 'shard-00000.parquet', rows)
    write_info(tmp_path / 'raw', {})
    assert 'a-0 has no mask' in refusal(capsys, untrained, '--data', tmp_path / 'raw')
    assert not home.exists()


def test_what_cannot_be_loaded_is_not_installed(untrained, tmp_path, capsys, home):
    bad = tmp_path / 'compact.safetensors'
    shutil.copy(untrained / 'compact.json', tmp_path)
    bad.write_bytes(b'garbage')
    assert 'truncated or not safetensors' in refusal(capsys, tmp_path, '--force')
    assert 'no weights at' in refusal(capsys, tmp_path / 'nowhere.safetensors', '--force')
    with pytest.raises(CheckpointError, match='truncated'):
        install(bad, 'bad', {})
    assert not home.exists()


@pytest.mark.parametrize('name', [
    '../up', '/etc', 'a/b', '.hidden', 'current', 'shipped', 'x' * 65])
def test_names_are_no_paths(untrained, name, home):
    for call in (lambda: install(untrained / 'compact.safetensors', name, {}),
                 lambda: installed(name)):
        with pytest.raises(CheckpointError, match='weights cannot be called'):
            call()
    assert not home.exists()


@pytest.mark.slow
def test_installed_weights_are_never_changed(untrained):
    path = install(untrained / 'compact.safetensors', 'mine', {'verdict': 'first'})
    before = path.stat().st_mtime_ns
    install(SHIPPED, '', {})
    assert current_name() != 'mine'
    assert install(untrained / 'compact.safetensors', 'mine', {}) == path  # only used again
    assert current_name() == 'mine' and path.stat().st_mtime_ns == before
    with pytest.raises(CheckpointError, match='holds other weights: wanted a new name'):
        install(SHIPPED, 'mine', {})
    assert weights_path('') == path
    assert weights_path('other.safetensors') == Path('other.safetensors')


def test_other_weights_are_not_taken_in_silence(untrained):
    """Who promoted weights does not want the shipped ones when those are gone."""
    shutil.rmtree(install(untrained / 'compact.safetensors', 'mine', {}).parent)
    with pytest.raises(CheckpointError, match=r"'mine' are gone .*ivm promote --rollback NAME"):
        Masker()
    (weights_home() / 'current').write_text('../../../etc')
    with pytest.raises(CheckpointError, match='weights cannot be called'):
        weights_path('')
    choose('shipped')
    assert weights_path('') == SHIPPED


@pytest.mark.parametrize('settings', [
    {}, {'run': 'a', 'list': True}, {'list': True, 'rollback': 'a'}])
def test_one_thing_at_a_time(settings):
    with pytest.raises(ConfigError, match='wanted either RUN, or --list, or --rollback NAME'):
        PromoteConfig(**settings)


@pytest.mark.slow
def test_killed_at_any_moment_the_weights_in_use_are_whole(untrained, home):
    """A process that installs one after the other dies in the middle, twice."""
    code = ('import sys; from itertools import count; from pathlib import Path\n'
            'from ivm_ros.models.installed import install\n'
            'for number in count(): install(Path(sys.argv[1]), f"{sys.argv[2]}-{number}", {})')
    for turn in range(2):
        child = subprocess.Popen([sys.executable, '-c', code,
                                  str(untrained / 'compact.safetensors'), f'turn{turn}'])
        while not list(home.glob(f'turn{turn}-1')) and child.poll() is None:
            time.sleep(.002)
        time.sleep(.03 * turn)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert load_checkpoint(weights_path('')).hash == file_hash(
            untrained / 'compact.safetensors')
        for item in shelf():
            assert sorted(path.name for path in installed(item.name).parent.iterdir()) == [
                'compact.json', 'compact.safetensors', 'promotion.json']
