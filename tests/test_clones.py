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
"""Clones: poses and actions, what they see, training that resumes, a policy that acts."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file
import torch

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import DatasetError
from ivm_ros.data.shards import ROBOT
from ivm_ros.deploy import DeployConfig
from ivm_ros.sample import Mask
from ivm_sim.clones.config import CloneConfig, CloneTraining
from ivm_sim.clones.heads import DiffusionHead
from ivm_sim.clones.net import CloneNet, soft_points
from ivm_sim.clones.policy import ClonePolicy
from ivm_sim.clones.sight import masked, MaskNoise, noisy, Shade, shaded
from ivm_sim.clones.train import clone
from ivm_sim.demos import DemosConfig, write_demos
from ivm_sim.env import TabletopEnv
from ivm_sim.policy import run
from ivm_sim.poses import action_of, chunks_of, finger_angle, wanted_of
from ivm_sim.truth import Truth

LIMIT = np.array([.05] * 3 + [.5] * 3 + [1], np.float32)
QUIET = MaskNoise(wider=0, extra=0, missing=0, piece=0)


@pytest.fixture(scope='module')
def demos(tmp_path_factory):
    """Record four episodes at 32 pixels."""
    folder = tmp_path_factory.mktemp('demos')
    write_demos(DemosConfig(str(folder), ('pick',), episodes=4, size=48, clutter='few'))
    return folder


def config(demos, out, **changes):
    """Give settings that train in seconds."""
    return CloneTraining((str(demos),), str(out), steps=6, batch=4, save_every=3,
                         model=CloneConfig(size=32, points=8, hidden=32), **changes)


# --- poses -----------------------------------------------------------------------------------

def test_an_action_comes_back_from_the_pose_it_asks_for():
    env = TabletopEnv('pick', pictures=False)
    seen, _ = env.reset(seed=0)
    for action in ([.02, -.01, -.03, 0, 0, .3, 1], [0, .03, 0, 0, 0, -.4, -1]):
        action = np.array(action, np.float32)
        wanted = wanted_of(seen['proprio'][None], action[None])[0]
        np.testing.assert_allclose(action_of(wanted, seen['proprio'], LIMIT), action, atol=1e-5)
        seen, *_ = env.step(action)


def test_a_far_pose_is_approached_straight_and_within_limits():
    proprio = np.zeros(15, np.float32)
    proprio[11:] = (1, 0, 0, 0)
    wanted = np.array([.3, .4, 0, np.cos(np.pi), np.sin(np.pi), 2], np.float32)
    action = action_of(wanted, proprio, LIMIT)
    np.testing.assert_allclose(action[:3], [.03, .04, 0], atol=1e-6)
    assert action[6] == 1


def test_the_fingers_of_an_upright_hand_close_along_y():
    assert finger_angle(np.array([1.0, 0, 0, 0])) == pytest.approx(np.pi / 2)
    quarter = np.array([np.cos(np.pi / 4), 0, 0, np.sin(np.pi / 4)])
    assert abs(finger_angle(quarter)) == pytest.approx(np.pi)


def test_chunks_repeat_the_last_step():
    chunks = chunks_of(np.arange(3)[:, None] * np.ones(6), 4)
    assert chunks[..., 0].tolist() == [[0, 1, 2, 2], [1, 2, 2, 2], [2, 2, 2, 2]]


def test_a_peak_is_where_it_is():
    maps = torch.full((1, 2, 3, 5), -50.0)
    maps[0, 0, 0, 4] = 50  # top right
    maps[0, 1, 1, 2] = 50  # the middle
    assert soft_points(maps)[0, :4].tolist() == pytest.approx([1, 0, -1, 0], abs=1e-5)


def test_the_net_is_small_enough_for_one_core():
    net = CloneNet()
    assert sum(value.numel() for value in net.parameters()) < 700_000
    chunk = net(torch.zeros(2, 3, 96, 96), None, torch.zeros(2, 15), torch.zeros(2, 768))
    assert chunk.shape == (2, 10, 6)


@pytest.mark.slow
def test_a_diffusion_head_learns_either_of_two_answers_and_not_their_mean():
    """What the mean of demonstrations gets wrong: go left or go right."""
    torch.manual_seed(0)
    head = DiffusionHead(4, 64, 5)
    optimizer = torch.optim.Adam(head.parameters(), 2e-3)
    for _ in range(250):
        side = torch.where(torch.rand(32, 1, 1) < .5, -1.0, 1.0)
        loss = head.loss(torch.ones(32, 4), side.expand(32, 5, 6))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    features = torch.ones(64, 4)
    with torch.no_grad():
        found = head.foresee(features, torch.Generator().manual_seed(1))
    assert (found.abs() - 1).abs().mean() < .1
    assert .2 < (found[:, 0, 0] > 0).float().mean() < .8
    again = head.foresee(features, torch.Generator().manual_seed(1))
    torch.testing.assert_close(again, found)


# --- what it sees ----------------------------------------------------------------------------

def scene():
    """Make a picture with a target, another thing and the robot."""
    labels = np.zeros((96, 96), np.uint8)
    labels[10:30, 10:30], labels[50:70, 50:70], labels[80:, :] = 1, 2, ROBOT
    truth = Truth(labels, (1,))
    return truth, Mask(truth.target.astype(np.float32), truth.robot.astype(np.float32), 1.0)


def test_errors_of_masks_are_those_named():
    truth, mask = scene()
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(noisy(mask, truth, QUIET, rng).target, mask.target)
    extra = noisy(mask, truth, replace(QUIET, extra=1), rng).target
    np.testing.assert_array_equal(extra > 0, (truth.labels == 1) | (truth.labels == 2))
    assert not noisy(mask, truth, replace(QUIET, missing=1), rng).target.any()
    piece = noisy(mask, truth, replace(QUIET, piece=1), rng).target
    assert 200 < piece.sum() < 400
    areas = {noisy(mask, truth, replace(QUIET, wider=4), rng).target.sum() for _ in range(40)}
    assert min(areas) < 400 < max(areas) and len(areas) > 5


def test_what_is_masked_keeps_target_and_robot():
    truth, mask = scene()
    image = np.full((96, 96, 3), 80, np.uint8)
    shown = masked(image, mask, QUIET, DeployConfig(feather=0), np.random.default_rng(0))
    assert (shown[truth.target] == 80).all() and (shown[truth.robot] == 80).all()
    assert (shown[60, 60] == 255).all()


def test_pictures_vary_in_light_and_place_and_keep_their_size():
    image = np.zeros((48, 48, 3), np.uint8)
    image[20:28, 20:28] = 200
    seen = [shaded(image, Shade(shift=4), np.random.default_rng(seed)) for seed in range(20)]
    middles = {tuple(np.argwhere(one[..., 0] > 100).mean(0)) for one in seen}
    assert len(middles) > 10 and all(one.shape == image.shape for one in seen)
    assert all(np.abs(np.subtract(middle, 23.5)).max() <= 4 for middle in middles)


# --- training and acting ---------------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.parametrize('head', ['chunk', 'diffusion'])
def test_a_stopped_training_goes_on_to_the_same_numbers(demos, tmp_path, monkeypatch, head):
    half = config(demos, tmp_path / 'half', camera='truth')
    half = replace(half, model=replace(half.model, head=head))
    whole = load_file(clone(replace(half, out=str(tmp_path / 'whole'))))
    from ivm_sim.clones import train
    step = train._step

    def dies(net, optimizer, data, sentences, config, number):
        if number == 4:
            raise KeyboardInterrupt
        return step(net, optimizer, data, sentences, config, number)
    monkeypatch.setattr(train, '_step', dies)
    with pytest.raises(KeyboardInterrupt):
        clone(half)
    monkeypatch.setattr(train, '_step', step)
    resumed = load_file(clone(half))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(ConfigError, match='holds a run with other camera'):
        clone(replace(half, camera='raw'))


@pytest.mark.slow
@pytest.mark.parametrize(('camera', 'head'), [('raw', 'diffusion'), ('masked', 'chunk')])
def test_a_clone_acts_and_warns_of_other_pictures(demos, tmp_path, camera, head):
    settings = config(demos, tmp_path / 'run', camera=camera)
    path = clone(replace(settings, model=replace(settings.model, head=head)))
    env = TabletopEnv('pick', 'few', size=48)
    policy = ClonePolicy(path, LIMIT, camera)
    steps = list(run(env, policy, 11))
    assert steps[-1].clipped == 0 and np.isfinite([step.action for step in steps]).all()
    again = [step.action for _, step in zip(range(5), run(env, policy, 11))]
    np.testing.assert_array_equal(again, [step.action for step in steps[:5]])
    with pytest.warns(UserWarning, match='was trained on'):
        ClonePolicy(path, LIMIT, 'masked' if camera == 'raw' else 'raw')
    env.close()


def test_no_demonstrations_say_how_to_make_some(tmp_path):
    with pytest.raises(ConfigError, match='ivm-sim demos'):
        clone(CloneTraining())
    with pytest.raises(DatasetError):
        clone(CloneTraining((str(tmp_path),), str(tmp_path / 'run')))


def test_brief_convolutions_find_the_same_points():
    torch.manual_seed(0)
    net = CloneNet()
    given = (torch.rand(2, 3, 96, 96), None, torch.rand(2, 15), torch.randn(2, 768))
    exact = net(*given)
    net.front.brief = True
    brief = net(*given)
    assert brief.dtype == torch.float32 and not torch.equal(exact, brief)
    torch.testing.assert_close(brief, exact, atol=.02, rtol=0)


@pytest.mark.slow
def test_masks_are_made_once_and_torn_or_stale_ones_anew(demos, monkeypatch):
    from ivm_sim.clones import masks, memory

    first = memory.load([demos], 10, 'masked', wrist=False)
    assert first.wrist is None and first.masks.dtype == np.uint8
    assert first.masks.shape == (len(first.front), 2, 48, 48) and first.masks[:, 1].max() > 200
    calls = []
    masked_ = masks._masked
    monkeypatch.setattr(masks, '_masked', lambda *given: calls.append(1) or masked_(*given))
    np.testing.assert_array_equal(memory.load([demos], 10, 'masked').masks, first.masks)
    assert not calls
    kept, = demos.glob('*.npz')
    for spoil in (lambda: kept.write_bytes(kept.read_bytes()[:100]),
                  lambda: np.savez_compressed(kept, masks=first.masks[:3])):
        spoil()
        np.testing.assert_array_equal(memory.load([demos], 10, 'masked').masks, first.masks)
        assert calls
        calls.clear()
