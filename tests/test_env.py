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
"""The environment as gymnasium sees it: spaces, seeds, actions, bad input."""

import subprocess
import sys

import gymnasium
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv
import numpy as np
import pytest

from ivm_ros.config import ConfigError
from ivm_sim.env import TabletopEnv
from ivm_sim.expert import Expert

STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)


@pytest.fixture
def make():
    """Make environments that are closed in the end."""
    made = []

    def make(**settings):
        made.append(TabletopEnv(**settings))
        return made[-1]
    yield make
    for env in made:
        env.close()


@pytest.mark.slow
def test_gymnasium_knows_it_without_torch_or_mujoco():
    code = """
import sys
import gymnasium
import ivm_sim
assert 'IvmTabletop-v0' in gymnasium.registry
assert not {'torch', 'mujoco'} & set(sys.modules), 'a registry must be light'
env = gymnasium.make('ivm_sim:IvmTabletop-v0', task='pick', clutter='few', pictures=False)
env.reset(seed=0)
assert 'torch' not in sys.modules
"""
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.slow
@pytest.mark.filterwarnings('error:.*:UserWarning')
def test_gymnasiums_own_checker_passes():
    env = gymnasium.make('ivm_sim:IvmTabletop-v0', task='put', clutter='few', size=64)
    check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.slow
def test_equal_seeds_give_equal_rollouts(make):
    def rollout(seed):
        env = make(task='put', clutter='moving', size=32)
        seen = [env.reset(seed=seed)[0]]
        expert = Expert(env)
        expert.reset()
        seen += [env.step(expert.act(seen[-1]))[0] for _ in range(8)]
        return seen
    one, same, other = rollout(3), rollout(3), rollout(4)
    for a, b in zip(one, same):
        assert a['instruction'] == b['instruction']
        assert all(np.array_equal(a[name], b[name]) for name in ('front', 'wrist', 'proprio'))
    assert not np.array_equal(one[0]['front'], other[0]['front'])


@pytest.mark.slow
def test_gymnasium_runs_several_at_once():
    def one():
        return gymnasium.make('ivm_sim:IvmTabletop-v0', task='pick', size=32)
    # Not by fork, which copies an OpenGL driver in use, and then waits for it for ever.
    envs = AsyncVectorEnv([one, one], context='spawn')
    try:
        first, _ = envs.reset(seed=[5, 6])
        assert first['front'].shape == (2, 32, 32, 3)
        after, reward, *_ = envs.step(np.stack([STILL, STILL]))
        assert after['proprio'].shape == (2, 15) and reward.shape == (2,)
        assert len(after['instruction']) == 2
    finally:
        envs.close()


def test_an_action_is_metres_and_radians_in_the_world(make):
    env = make(task='pick', pictures=False)
    before = env.reset(seed=0)[0]['proprio']
    for _ in range(3):
        after, *_ = env.step(np.array([.02, -.03, .01, 0, 0, .1, 1], np.float32))
    for _ in range(3):  # it comes to rest
        after, *_ = env.step(STILL)
    np.testing.assert_allclose(after['proprio'][:3] - before[:3], [.06, -.09, .03], atol=.004)
    turned = angle_between(before[3:7], after['proprio'][3:7])
    assert turned == pytest.approx(.3, abs=.02)


def angle_between(one, other):
    """Angle in radians between two orientations."""
    return 2 * np.arccos(np.clip(abs(np.dot(one, other)), 0, 1))


def test_at_twenty_hertz_a_step_is_half_as_long(make):
    env = make(task='pick', pictures=False, rate=20)
    env.reset(seed=0)
    env.step(STILL)
    assert env.arena.data.time == pytest.approx(.05, abs=.003)
    assert env.action_space.high[0] == pytest.approx(.025)


def test_the_gripper_opens_and_closes(make):
    env = make(task='pick', pictures=False)
    assert env.reset(seed=0)[0]['proprio'][7] > .95
    for _ in range(6):
        seen, *_ = env.step(np.array([0] * 6 + [-1], np.float32))
    assert seen['proprio'][7] < .05


@pytest.mark.slow
def test_truth_covers_what_is_acted_on_and_where_it_goes(make):
    env = make(task='cup_on_plate', clutter='many', masks=True)
    seen, info = env.reset(seed=1)
    truth = info['truth']
    red = (seen['front'][..., 0].astype(int) - seen['front'][..., 1:].max(-1)) > 70
    assert truth.target.shape == (128, 128) and truth.target.dtype == bool
    assert red[truth.target].mean() > .7  # cup and plate are red
    assert truth.robot.any() and not (truth.robot & truth.target).any()


@pytest.mark.parametrize(('settings', 'words'), [
    ({'task': 'picks'}, "did you mean 'pick'"), ({'clutter': 'lots'}, 'Known: none, few, many'),
    ({'clutter': 'manny'}, "did you mean 'many'"), ({'rate': 7}, 'wanted a rate of 10 or 20')])
def test_unknown_settings_name_the_nearest(settings, words):
    with pytest.raises(ConfigError, match=words):
        TabletopEnv(**settings)


@pytest.mark.parametrize('action', [np.zeros(6), np.full(7, np.nan), np.zeros((1, 7))])
def test_a_wrong_action_is_refused(make, action):
    env = make(task='pick', pictures=False)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r'wanted a finite action \[7\]'):
        env.step(action)


def test_an_action_out_of_range_is_cut_and_counted(make):
    env = make(task='pick', pictures=False)
    before = env.reset(seed=0)[0]['proprio'][:3]
    after, _, _, _, info = env.step(np.array([5, 0, 0, 0, 0, 0, 1], np.float32))
    assert info['clipped'] == 1
    assert np.linalg.norm(after['proprio'][:3] - before) < .06


def test_an_episode_ends_in_time(make):
    env = make(task='pick', pictures=False)
    env.reset(seed=0)
    ended = [env.step(STILL)[2:4] for _ in range(90)]
    assert ended[-1] == (False, True) and not any(cut for _, cut in ended[:-1])


def test_a_step_before_reset_says_so():
    with pytest.raises(RuntimeError, match=r'call reset\(\) first'):
        TabletopEnv(pictures=False).step(STILL)
