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
"""Noisy labels, the discriminator, its weights, other rules, and DWSL in the main trainer."""

from collections.abc import Callable
from dataclasses import fields, replace
import json
import os
from pathlib import Path
from statistics import median
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.torch import load_file
import torch

from ivm_ros.annotate.noise import LEVELS, Noise, spoil
from ivm_ros.config import ConfigError
from ivm_ros.data.loader import Batches
from ivm_ros.data.scenes import Scenes
from ivm_ros.data.shards import DatasetError
from ivm_ros.models.checkpoint_info import SHIPPED
from ivm_ros.models.text import TextEncoder
from ivm_ros.sample import Batch
from ivm_ros.train import judging
from ivm_ros.train.baselines import RAMP, self_paced, small_loss
from ivm_ros.train.batch import to_batch
from ivm_ros.train.dwsl import DwslConfig, effective_size, judge_loss, weights_of
from ivm_ros.train.loop import train, train_step, TrainConfig
from ivm_ros.train.state import new_run, Run

KINDS = [item.name for item in fields(Noise)]


# --- noise -----------------------------------------------------------------------------------

@pytest.fixture
def picture() -> np.ndarray:
    """Label three things and the robot: squares of 10, and 3 alike 1."""
    labels = np.zeros((60, 80), np.uint8)
    for label, column in ((1, 5), (2, 25), (3, 45), (255, 65)):
        labels[20:30, column:column + 10] = label
    return labels


def made(picture: np.ndarray, kind: str, targets=(1,)) -> tuple[np.ndarray, str]:
    """Make one kind of mistake for sure."""
    mask = np.where(np.isin(picture, targets), 255, 0).astype(np.uint8)
    return spoil(mask, picture, targets, (1, 3), Noise(**{kind: 1.0}), np.random.default_rng(0))


def test_each_mistake_is_what_it_says(picture):
    one = picture == 1
    assert np.array_equal(made(picture, 'decoy')[0] > 0, picture == 3)
    wrong = made(picture, 'wrong')[0]
    assert any(np.array_equal(wrong > 0, picture == other) for other in (2, 3))
    assert np.array_equal(made(picture, 'everything')[0] > 0, np.isin(picture, (1, 2, 3)))
    eroded, spilled = made(picture, 'erosion')[0] > 0, made(picture, 'spill')[0] > 0
    assert 0 < eroded.sum() <= .45 * 100 and not (eroded & ~one).any()
    assert spilled.sum() >= 220 and spilled[one].all()
    kept, kind = made(picture, 'missing', (1, 2))
    assert kind == 'missing' and kept.any()
    assert np.array_equal(kept > 0, one) or np.array_equal(kept > 0, picture == 2)


def test_a_box_fills_what_a_thing_leaves_open():
    labels = np.zeros((60, 80), np.uint8)
    labels[10:20, 10] = labels[20, 10:30] = 1
    assert np.count_nonzero(made(labels, 'box')[0]) == 11 * 20


def test_a_mistake_that_cannot_be_made_gives_way(picture):
    assert made(picture, 'missing')[1] == 'decoy'  # a single target
    lonely = np.where(picture == 1, picture, 0).astype(np.uint8)
    assert made(lonely, 'wrong')[1] == made(lonely, 'everything')[1] == 'true'
    alike_only = np.where(np.isin(picture, (1, 2)), picture, 0).astype(np.uint8)
    assert made(alike_only, 'decoy')[1] == 'wrong'  # 3 is not there


@pytest.mark.slow
def test_rates_are_kept_and_a_seed_repeats(picture):
    mask = np.where(picture == 1, 255, 0).astype(np.uint8)

    def kinds(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [spoil(mask, picture, (1,), (1, 3), LEVELS['strong'], rng)[1] for _ in range(2000)]

    drawn = kinds(0)
    assert drawn == kinds(0) != kinds(1)
    assert abs(drawn.count('true') / 2000 - (1 - LEVELS['strong'].total)) < .03
    assert abs(drawn.count('erosion') / 2000 - LEVELS['strong'].erosion) < .02
    assert set(drawn) == {*KINDS, 'true'} - {'missing'}


def test_more_than_all_labels_cannot_be_wrong():
    with pytest.raises(ConfigError, match=r'at most 1, got 1\.1'):
        Noise(wrong=.5, decoy=.6)


# --- weights and rules -----------------------------------------------------------------------

def test_weights_by_hand():
    p, human = torch.tensor([.05, .5, .6, .95]), torch.tensor([0., 0., 0., 1.])
    by_hand = {'clip': [.1, .5, .6, .9], 'affine': [.24, .6, .68, .96],
               'power': [.0025, .25, .36, .9025], 'threshold': [0, 0, 1, 1],
               'normalised': [.05 / .525, .5 / .525, .6 / .525, .95 / .525],
               'ratio': [.05 / .95, 1, 1.5, 5], 'none': [1, 1, 1, 1]}
    for name, wanted in by_hand.items():
        got = weights_of(p, human, DwslConfig(weight=name, human='weighed'))
        assert torch.allclose(got, torch.tensor(wanted, dtype=torch.float32)), name
        assert weights_of(p, human, DwslConfig(weight=name))[3] == 1


def test_weights_carry_no_gradient():
    logits = torch.zeros(3, requires_grad=True)
    for name in ('clip', 'ratio', 'normalised'):
        weights = weights_of(logits.sigmoid(), torch.zeros(3), DwslConfig(weight=name))
        assert not weights.requires_grad


def test_few_human_labels_weigh_as_much_as_many_machine_ones():
    human = torch.tensor([1., 0, 0, 0])
    loss = judge_loss(torch.zeros(4), human, human.mean())
    assert torch.allclose(loss, np.log(2) * torch.tensor([2, 2 / 3, 2 / 3, 2 / 3]))


def test_effective_size_by_hand():
    assert effective_size(torch.ones(8)) == pytest.approx(8)
    assert effective_size(torch.tensor([1., 0, 0, 0])) == pytest.approx(1)
    assert effective_size(torch.tensor([2., 1, 1])) == pytest.approx(16 / 6)


def test_small_loss_drops_the_worst_machine_labels():
    losses, human = torch.tensor([9., 1, 2, 3, 4]), torch.tensor([1., 0, 0, 0, 0])
    assert small_loss(losses, human, .5, 1.0).tolist() == [1, 1, 1, 0, 0]
    assert small_loss(losses, human, .5, 0.0).tolist() == [1] * 5  # not before it knows anything
    assert small_loss(losses, human, .5, RAMP / 2).tolist() == [1, 1, 1, 1, 0]


def test_self_paced_begins_with_what_is_easy():
    losses, human = torch.arange(11.), torch.zeros(11)
    assert self_paced(losses, human, .5, 0.0).sum() == 3  # up to the quantile .2
    assert self_paced(losses, human, .5, 1.0).sum() == 6  # up to .5
    assert self_paced(losses, torch.ones(11), .5, 0.0).sum() == 11


@pytest.fixture(scope='module')
def mixed(mixed_toys) -> Path:
    """Of 24 pictures 8 are labelled by people; half of the other labels are wrong."""
    return mixed_toys(0, 16)


# --- the main trainer ------------------------------------------------------------------------

def test_balanced_batches_are_half_human(mixed, toy_dataset):
    scenes = Scenes([mixed])
    batches = Batches(scenes, (96, 128), 8, 3, None, 0, balanced=True)
    for step in range(3):
        human = batches[step].human
        places = batches[step].image_index
        per_image = [human[places == place].max() for place in range(8)]
        assert sum(per_image) == 4
        assert sum(per_image[::2]) == 2  # each of two processes has both kinds
    with pytest.raises(DatasetError, match=r'balanced wanted .* others, got 0 and 24'):
        Batches(Scenes([toy_dataset]), (96, 128), 8, 3, None, 0, balanced=True)[0]


def config(data: Path, out: Path, **changes) -> TrainConfig:
    """Give settings of a run from the shipped weights that takes seconds."""
    return TrainConfig(**{
        'data': (str(data),), 'out': str(out), 'steps': 4, 'images': 4, 'sentences': 3,
        'warmup': 2, 'save_every': 2, 'log_every': 1, 'threads': 1, 'init': str(SHIPPED),
        'method': 'dwsl', 'dwsl': DwslConfig('joint', steps=3), **changes})


def test_dwsl_wants_both_kinds_of_labels(toy_dataset, tmp_path):
    with pytest.raises(DatasetError, match=r'method dwsl wanted .* and others, got 0 and 24'):
        train(config(toy_dataset, tmp_path / 'run'))


def test_dwsl_wants_eyes():
    with pytest.raises(ConfigError, match='method dwsl wanted a checkpoint'):
        TrainConfig(method='dwsl')


@pytest.mark.slow
@pytest.mark.parametrize('form', ['two_stage', 'joint'])
def test_a_killed_run_goes_on_to_the_same_numbers(mixed, tmp_path, form):
    settings = config(mixed, tmp_path / 'whole', dwsl=DwslConfig(form, steps=3))
    whole = load_file(train(settings))
    half = replace(settings, out=str(tmp_path / 'half'))
    code = f"""
import os
from ivm_ros.train.config import AugmentConfig, CompactConfig, DwslConfig, LossConfig, TrainConfig
from ivm_ros.train.loop import train
from ivm_ros.train.state import Run
save = Run.save
def save_and_die(run):
    save(run)
    os.kill(os.getpid(), 9)
Run.save = save_and_die
train({half!r})
"""
    done = subprocess.run([sys.executable, '-c', code], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    resumed = load_file(train(half))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    info = json.loads((tmp_path / 'half' / 'compact.json').read_text())
    assert info['provenance']['settings']['dwsl']['form'] == form


@pytest.mark.slow
def test_a_team_of_two_weighs_as_one(mixed, tmp_path):
    # Steps so small that the second sees nearly the same net: on these pictures the robot's term
    # is steep, and what a large first step differs by in its last digits the second would blow up.
    alone = train(config(mixed, tmp_path / 'one', steps=2, balanced=True, warmup=1000))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone',
               '--nproc-per-node', '2', '-m', 'ivm_ros.cli', 'train', '--data', str(mixed),
               '--out', str(tmp_path / 'two'), '--steps', '2', '--images', '4', '--sentences',
               '3', '--warmup', '1000', '--threads', '1', '--init', str(SHIPPED), '--method',
               'dwsl', '--dwsl.form', 'joint', '--balanced']
    subprocess.run(command, check=True, timeout=240, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    one, two, first = (load_file(path) for path in (
        alone, tmp_path / 'two' / 'compact.safetensors', SHIPPED))
    # Adam's first steps are as large for a gradient of rounding as for a real one, so not each
    # array but all of them together must go where one process goes.
    apart = sum((one[name] - two[name]).abs().sum() for name in one)
    moved = sum((one[name] - first[name]).abs().sum() for name in one)
    assert apart < .05 * moved
    judges = [torch.load(tmp_path / name / 'state.pt', weights_only=True)['judge']
              for name in ('one', 'two')]
    assert max((judges[0][name] - judges[1][name]).abs().max() for name in judges[0]) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('frozen', [0, 4, 18])
def test_frozen_blocks_see_a_batch_once_and_nothing_else_changes(
        mixed, tmp_path, monkeypatch, frozen):
    """The eyes and the generator share what these blocks make of a batch."""
    # Where eyes that share nothing compute in bfloat16, they see something else.
    monkeypatch.setattr(judging, 'fast_bfloat16', lambda device: False)
    encoder = TextEncoder()
    settings = config(mixed, tmp_path, method='dwsl', frozen_blocks=frozen,
                      dwsl=DwslConfig('joint'))
    runs = [new_run(settings, encoder, torch.device('cpu')) for _ in range(2)]
    for backbone in (runs[1].net.backbone, runs[1].judging.eyes.backbone):
        backbone.common = None
    passed = []
    for run in runs:
        counts = [0] * 18
        for backbone in (run.net.backbone, run.judging.eyes.backbone):
            for place, block in enumerate(backbone.blocks):
                block.register_forward_hook(
                    lambda *_, counts=counts, place=place: counts.__setitem__(
                        place, counts[place] + 1))
        passed.append(counts)
    batches = Batches(Scenes([mixed]), (192, 256), 2, 2, settings.augment, 0)
    for step in range(3):
        batch = to_batch(batches[step], encoder)
        terms = [train_step(run, run.learner, run.judging.weigh(batch), settings)
                 for run in runs]
        assert terms[0] == terms[1] and runs[0].judging.seen == runs[1].judging.seen
    states = [run.learner.state_dict() for run in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert passed == [[3] * frozen + [6] * (18 - frozen), [6] * 18]


@pytest.mark.slow
@pytest.mark.alone
def test_dwsl_takes_at_most_1_3_times_the_time_of_plain_training(mixed, tmp_path):
    """
    Seconds of a core for a step, batch included, in turns; the first stage shared out among steps.

    Steps of both stages are as many as the settings have by default. Eight turns are too few:
    their median strays by .07.
    """
    encoder, defaults = TextEncoder(), TrainConfig()

    def run_of(name: str, method: str, form: str) -> tuple[Run, TrainConfig]:
        settings = config(mixed, tmp_path / name, method=method, dwsl=DwslConfig(form),
                          images=defaults.images, sentences=1)
        return new_run(settings, encoder, torch.device('cpu')), settings

    def step_of(run: Run, settings: TrainConfig) -> Callable[[Batch], object]:
        return lambda batch: train_step(
            run, run.learner, run.judging.weigh(batch) if run.judging else batch, settings)

    runs = {'plain': run_of('plain', 'plain', 'joint'),
            **{form: run_of(form, 'dwsl', form) for form in ('two_stage', 'joint')}}
    steps = {name: step_of(*run) for name, run in runs.items()}
    steps['first'] = lambda batch: runs['two_stage'][0].judging.prepare([batch])
    batches = Batches(Scenes([mixed]), (192, 256), defaults.images, 1,
                      runs['plain'][1].augment, 0)
    spent = {name: [] for name in steps}
    for turn in range(25):
        for name, step in steps.items():
            if name == 'first' and turn > 8:  # a twelfth of its cost counts
                continue
            started = time.process_time()
            step(to_batch(batches[turn % 3], encoder))
            spent[name].append(time.process_time() - started)
    cost = {name: median(seconds[1:]) for name, seconds in spent.items()}
    cost['two_stage'] += DwslConfig().steps / defaults.steps * cost['first']
    ratios = {form: cost[form] / cost['plain'] for form in ('two_stage', 'joint')}
    print(ratios, cost)
    assert max(ratios.values()) <= 1.3, spent
