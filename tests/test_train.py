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
"""Training: per-sample losses, exact resume, the same step alone and in a team."""

from dataclasses import asdict, replace
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file
import torch

from ivm_ros.config import ConfigError
from ivm_ros.data.augment import AugmentConfig
from ivm_ros.data.loader import Batches, scene_arrays
from ivm_ros.data.scenes import Scenes
from ivm_ros.data.shards import DatasetError, decode_image, read_rows, write_info
from ivm_ros.image import letterbox_of
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.checkpoint_info import SHIPPED
from ivm_ros.models.compact import CompactConfig, CompactNet
from ivm_ros.models.text import TextEncoder, words_of
from ivm_ros.train.batch import to_batch
from ivm_ros.train.learner import Learner
from ivm_ros.train.loop import rate_at, train, TrainConfig
from ivm_ros.train.losses import (
    area_bce_loss, bce_loss, dice_loss, heat_loss, LossConfig, sample_losses)
from ivm_ros.train.margins import PIXELS, THINGS, tune_margins
from ivm_ros.train.state import keep_settings

WORDS = ('block', 'red', 'green', 'blue', 'yellow', 'mug')
SMALL = CompactConfig(height=96, width=128, dim=32, depth=1, heads=2)


def config(data: Path, out: Path, **changes) -> TrainConfig:
    """Give settings that train in seconds."""
    return TrainConfig(**{'data': (str(data),), 'out': str(out), 'steps': 4, 'images': 4,
                          'sentences': 3, 'warmup': 2, 'save_every': 2, 'log_every': 1,
                          'model': SMALL, 'threads': 1, **changes})


@pytest.fixture(scope='module')
def encoder() -> TextEncoder:
    """Give the real sentence encoder."""
    return TextEncoder()


def batch_of(folder: Path, encoder: TextEncoder, **changes):
    """Make the first batch of a folder."""
    batches = Batches(Scenes([folder]), (96, 128), 4, 4, changes.get('augment'), 0,
                      vocabulary=WORDS)
    return to_batch(batches[changes.get('step', 0)], encoder)


def test_dice_and_bce_by_hand():
    logits = torch.full((1, 2, 2), -50.0)
    logits[0, 0] = 50.0  # the upper row is seen: two pixels
    truth = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])  # one of them is right
    everywhere = torch.ones(1, 2, 2)
    assert dice_loss(logits, truth, everywhere).item() == pytest.approx(1 - 3 / 4)
    assert bce_loss(logits, truth, everywhere).item() == pytest.approx(50 / 4)
    left = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])  # padding on the right hides the mistake
    assert dice_loss(logits, truth, left).item() == pytest.approx(0)
    assert bce_loss(logits, truth, left).item() == pytest.approx(0, abs=1e-6)


def test_an_empty_mask_for_an_empty_truth_costs_nothing():
    nothing = torch.zeros(3, 4, 4)
    assert dice_loss(torch.full((3, 4, 4), -50.0), nothing, nothing + 1).tolist() == [0, 0, 0]


def test_area_bce_by_hand():
    logits = torch.full((1, 8, 8), -50.0)
    truth = torch.zeros(1, 8, 8)
    truth[0, :4] = 1  # 32 pixels, all missed: 32 * 50 / (32 + 32)
    assert area_bce_loss(logits, truth, torch.ones(1, 8, 8)).item() == pytest.approx(25)


def test_heat_loss_by_hand():
    """At even odds a centre costs ln 2 / 4, a far cell too, a near one (1 - truth)^4 of it."""
    truth = torch.tensor([[[1.0, 0.5, 0.0]]])
    even = np.log(2) / 4
    assert heat_loss(torch.zeros(1, 1, 3), truth).item() == pytest.approx(even * (2 + 1 / 16))
    nothing = torch.zeros(1, 1, 3)
    assert heat_loss(torch.zeros(1, 1, 3), nothing).item() == pytest.approx(3 * even)


def test_losses_are_one_value_a_sample_and_independent(toy_dataset, encoder):
    batch = batch_of(toy_dataset, encoder)
    answers = Learner(CompactNet(SMALL), words_of(WORDS, encoder))(batch)
    terms = sample_losses(answers, batch, LossConfig())
    assert {term.shape for term in terms.values()} == {(16,)}
    assert set(terms) == {'robot', 'found', 'heat', 'things', 'names', 'meant', 'mentioned'}
    meant = answers.choice.meant.clone()
    meant[5] += 3
    spoiled = answers._replace(choice=answers.choice._replace(meant=meant))
    changed = sample_losses(spoiled, batch, LossConfig())
    assert (changed['meant'] != terms['meant']).nonzero().flatten().tolist() == [5]
    assert all(torch.equal(changed[name], terms[name]) for name in terms if name != 'meant')


@pytest.mark.slow
def test_weight_zero_takes_a_sample_out_of_the_step(toy_dataset, encoder, tmp_path):
    from ivm_ros.train.loop import train_step
    from ivm_ros.train.state import new_run

    def step(weight, found):
        batch = batch_of(toy_dataset, encoder)
        batch.weight[3], batch.found[3] = weight, found
        torch.manual_seed(0)
        settings = config(toy_dataset, tmp_path / 'unused')
        run = new_run(settings, encoder, torch.device('cpu'), WORDS)
        train_step(run, run.learner, batch, settings)
        return run.net.chooser.found[0].weight.detach().clone()

    assert torch.equal(step(0.0, 0.0), step(0.0, 1.0))
    assert not torch.equal(step(1.0, 0.0), step(1.0, 1.0))


def test_images_without_labels_teach_masks_only(toy_dataset, encoder):
    rows = [replace(row, labels=None, extra={}) for row in read_rows(toy_dataset)][:4]
    image = decode_image(rows[0].image)
    arrays = scene_arrays(image, rows, letterbox_of((96, 128), (96, 128)), WORDS)
    batch = to_batch(arrays, encoder)
    learner = Learner(CompactNet(SMALL), words_of(WORDS, encoder))
    terms = sample_losses(learner(batch), batch, LossConfig())
    assert not any(terms[name].any() for name in ('heat', 'things', 'names', 'meant', 'mentioned'))
    assert terms['bce'].all() and terms['dice'].all() and terms['robot'].all()
    sum(terms.values()).sum().backward()
    assert learner.net.chooser.meant.weight.grad.any()
    assert learner.net.proposer.outline.filter.weight.grad.any()


def test_masks_of_centres_are_judged_first(toy_dataset, encoder):
    """Every labelled thing has its mask judged, though not every proposal on it has."""
    batch = batch_of(toy_dataset, encoder)
    answers = Learner(CompactNet(SMALL), words_of(WORDS, encoder))(batch)
    centres = (batch.heat == 1).flatten(1)
    drawn = answers.drawn
    cells = answers.proposals.cells.gather(1, drawn.things)
    assert drawn.things.shape == drawn.masks.shape[:2]
    assert drawn.things.shape[1] == centres.sum(1).max() < answers.proposals.cells.shape[1]
    assert torch.equal(centres.gather(1, cells).sum(1), centres.sum(1))


@pytest.mark.slow
def test_the_choice_alone_learns_where_that_is_wanted(toy_dataset, encoder, tmp_path):
    """Masks stay bit by bit, and are neither drawn nor judged."""
    from ivm_ros.train.loop import train_step
    from ivm_ros.train.state import new_run

    settings = replace(config(toy_dataset, tmp_path / 'unused'), learns='choice')
    run = new_run(settings, encoder, torch.device('cpu'), WORDS)
    before = {name: value.clone() for name, value in run.net.state_dict().items()}
    batch = batch_of(toy_dataset, encoder)
    terms = train_step(run, run.learner, batch, settings)
    assert not {'robot', 'heat', 'things'} & set(terms) and terms['meant'] > 0
    moved = {name for name, value in run.net.state_dict().items()
             if not torch.equal(value, before[name])}
    assert {name.split('.')[0] for name in moved} == {'chooser', 'proposer'}
    assert {name for name in moved if name.startswith('proposer')} == {
        name for name in before if name.startswith('proposer.name')}
    assert run.learner(batch).drawn is None
    whole = new_run(config(toy_dataset, tmp_path / 'other'), encoder, torch.device('cpu'), WORDS)
    assert {'robot', 'heat', 'things'} <= set(
        train_step(whole, whole.learner, batch, config(toy_dataset, tmp_path / 'other')))


@pytest.mark.slow
def test_words_keep_what_the_encoder_knows_of_them(toy_dataset, encoder, tmp_path):
    """Training leaves the space of names alone; words that mean the same are near in it."""
    from ivm_ros.train.loop import train_step
    from ivm_ros.train.state import new_run

    settings = config(toy_dataset, tmp_path / 'unused')
    run = new_run(settings, encoder, torch.device('cpu'), WORDS)
    chooser = run.net.chooser
    before = chooser.naming.weight.clone()
    train_step(run, run.learner, batch_of(toy_dataset, encoder), settings)
    assert torch.equal(before, chooser.naming.weight)
    said = words_of(('sofa', 'automobile', 'spectacles', 'hatchet'), encoder)  # none in any label
    kinds = words_of(('couch', 'car', 'glasses', 'axe'), encoder)
    likeness = chooser.name(said) @ chooser.name(kinds).T
    assert likeness.argmax(1).tolist() == [0, 1, 2, 3]


def test_a_forgotten_word_is_known_by_its_name_only(toy_dataset, encoder):
    always = AugmentConfig(shrink=0, gain=0, balance=0, gamma=0, noise=0, blur=0, motion=0,
                           jpeg=0, smallest=1, forget=1)
    batch, plain = (batch_of(toy_dataset, encoder, augment=augment) for augment in (always, None))
    assert batch.forgotten.all() and not plain.forgotten.any()
    assert batch.forgotten.shape == batch.token_mask.shape
    chooser = CompactNet(SMALL).chooser
    heard = chooser.listen(batch.tokens, batch.token_mask, batch.forgotten)
    assert (heard.words == chooser.kinds[0]).all()
    assert torch.equal(heard.names, chooser.name(batch.tokens))
    half = batch_of(toy_dataset, encoder, augment=replace(always, forget=.5)).forgotten
    assert .3 < half.float().mean() < .7


def test_where_nobody_labelled_the_robot_none_is_taught(toy_dataset, encoder):
    """A robot's own episodes show it; that no mask says so must not unlearn it."""
    rows = [replace(row, robot_mask=None) for row in read_rows(toy_dataset)][:4]
    arrays = scene_arrays(decode_image(rows[0].image), rows, letterbox_of((96, 128), (96, 128)))
    batch = to_batch(arrays, encoder)
    learner = Learner(CompactNet(SMALL), words_of((), encoder))
    terms = sample_losses(learner(batch), batch, LossConfig())
    assert not terms['robot'].any()
    terms['robot'].sum().backward()
    assert not learner.net.proposer.pyramid.robot.weight.grad.any()


@pytest.mark.slow
def test_folders_may_be_parted_by_commas(toy_dataset, tmp_path):
    """One whose own name has a comma stays whole."""
    second, odd = tmp_path / 'second', tmp_path / 'odd,even'
    for folder in (second, odd):
        shutil.copytree(toy_dataset, folder)
    path = train(config(Path(f'{toy_dataset},{second}'), tmp_path / 'run', steps=1))
    assert [*provenance(path)['data']] == [str(toy_dataset), str(second)]
    path = train(config(odd, tmp_path / 'next', steps=1))
    assert [*provenance(path)['data']] == [str(odd)]
    with pytest.raises(ConfigError, match='wanted at least one dataset folder'):
        train(config(Path(','), tmp_path / 'none'))


def provenance(checkpoint: Path) -> dict:
    """Read what a checkpoint says of how it was made."""
    return json.loads(checkpoint.with_suffix('.json').read_text())['provenance']


def test_learning_rate_warms_up_and_falls():
    rates = [rate_at(step, 10, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1
    assert rates[-1] == pytest.approx(0.01)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:]))


def test_evaluation_seeds_are_refused(tmp_path, toy_dataset):
    for path in toy_dataset.glob('*.parquet'):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_info(tmp_path, {'seed': 900_000})
    with pytest.raises(DatasetError, match=r'seed 900000.*for evaluation only'):
        train(config(tmp_path, tmp_path / 'run'))


def test_no_data_says_how_to_make_some():
    with pytest.raises(ConfigError, match='ivm-sim dataset'):
        train(TrainConfig())


@pytest.mark.slow
def test_margins_are_those_with_the_best_overlap(toy_dataset, encoder, monkeypatch):
    """A net whose masks are too narrow everywhere gets them back; its weights stay."""
    net = load_checkpoint(SHIPPED).net
    before = {name: value.clone() for name, value in net.named_parameters()}
    chosen = tune_margins(net, encoder, Scenes([toy_dataset]), 4, 2)
    assert net.margins.tolist() == pytest.approx([
        chosen['pixels'], chosen['things'], chosen['sharpness']])
    assert chosen['pixels'] in PIXELS and chosen['things'] in THINGS
    assert all(torch.equal(before[name], value) for name, value in net.named_parameters())
    net.proposer.outline.window.bias.data[5] -= 3  # narrower by as much in logits
    again = tune_margins(net, encoder, Scenes([toy_dataset]), 4, 2)
    assert again['pixels'] > chosen['pixels'] and again['iou'] > chosen['iou'] - .02
    monkeypatch.setattr('ivm_ros.train.margins.PIXELS', (0.0,))
    without = tune_margins(net, encoder, Scenes([toy_dataset]), 4, 2)
    assert without['iou'] < again['iou'] - .1


@pytest.mark.slow
def test_a_resumed_run_gets_the_same_numbers(tmp_path, toy_dataset):
    whole = train(config(toy_dataset, tmp_path / 'whole'))
    half = config(toy_dataset, tmp_path / 'half')
    run_until(half, steps=2)
    assert torch.load(tmp_path / 'half' / 'state.pt', weights_only=True)['step'] == 2
    resumed = train(half)
    one, other = load_file(whole), load_file(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)
    info = json.loads(resumed.with_suffix('.json').read_text())
    assert info['provenance']['steps'] == 4
    assert info['provenance']['settings']['seed'] == 0
    assert info['provenance']['data'][str(toy_dataset)]['seed'] == 1


def run_until(settings: TrainConfig, steps: int) -> None:
    """Train in a process that is killed after some steps, as a power cut would."""
    code = f"""
import os
from ivm_ros.train.config import (
    AugmentConfig, CompactConfig, DwslConfig, LossConfig, TrainConfig)
from ivm_ros.train.loop import train
from ivm_ros.train.state import Run
save = Run.save
def save_and_die(run):
    save(run)
    if run.step >= {steps}:
        os.kill(os.getpid(), 9)
Run.save = save_and_die
train({settings!r})
"""
    done = subprocess.run([sys.executable, '-c', code], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()


@pytest.mark.slow
def test_a_run_stops_in_time_and_goes_on_to_the_same_numbers(tmp_path, toy_dataset):
    whole = train(config(toy_dataset, tmp_path / 'whole', steps=2))
    stopped = train(config(toy_dataset, tmp_path / 'half', steps=2, minutes=1e-9))
    assert json.loads(stopped.with_suffix('.json').read_text())['provenance']['steps'] == 0
    resumed = train(config(toy_dataset, tmp_path / 'half', steps=2))
    one, other = load_file(whole), load_file(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_other_settings_do_not_resume_a_run(tmp_path, toy_dataset):
    (tmp_path / 'settings.json').write_text('{"steps": 3}\n')
    with pytest.raises(ConfigError, match='holds a run with other'):
        train(config(toy_dataset, tmp_path))


def test_a_run_of_an_older_version_lacks_what_is_new_and_goes_on(tmp_path):
    settings = asdict(TrainConfig(steps=3))
    known = {**settings, 'loss': {'bce': 1.0}}
    del known['learns']
    (tmp_path / 'settings.json').write_text(json.dumps(known))
    for other in ({'learns': 'choice'}, {'loss': {**settings['loss'], 'things': 6.0}}):
        with pytest.raises(ConfigError, match=f'other {next(iter(other))};'):
            keep_settings(tmp_path, {**settings, **other})
    keep_settings(tmp_path, settings)


@pytest.mark.slow
def test_a_team_of_two_takes_the_step_of_one(tmp_path, toy_dataset):
    """With torchrun two processes (gloo) end at the weights of one, to rounding."""
    alone = train(config(toy_dataset, tmp_path / 'one', steps=2))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone',
               '--nproc-per-node', '2', '-m', 'ivm_ros.cli', 'train', '--data', str(toy_dataset),
               '--out', str(tmp_path / 'two'), '--steps', '2', '--images', '4', '--sentences',
               '3', '--warmup', '2', '--threads', '1', '--model.height', '96', '--model.width',
               '128', '--model.dim', '32', '--model.depth', '1', '--model.heads', '2']
    subprocess.run(command, check=True, timeout=240, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    one, two = load_file(alone), load_file(tmp_path / 'two' / 'compact.safetensors')
    assert max((one[name] - two[name]).abs().max() for name in one) < 2e-4


@pytest.mark.slow
def test_training_learns(tmp_path, toy_dataset):
    """Half a minute on coloured squares finds them by their names; the curve is on disk."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(config(toy_dataset, tmp_path / 'run', steps=250, warmup=20, save_every=250,
                 learning_rate=2e-3, validation=(str(toy_dataset),)))
    events = EventAccumulator(str(tmp_path / 'run')).Reload()
    losses = [event.value for event in events.Scalars('loss')]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    assert events.Scalars('validation/iou')[-1].value > 0.6
    assert events.Scalars('validation/robot_iou')[-1].value > 0.5
