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
"""A mask between an environment's camera and the policy, ours or another's."""

import gymnasium
from gymnasium import spaces
import numpy as np
from PIL import Image
import pytest

from ivm_ros.config import ConfigError
from ivm_ros.deploy import DeployConfig
from ivm_ros.sample import Mask
from ivm_sim.env import TabletopEnv
from ivm_sim.masked import MaskedCamera, TruthMasker
from ivm_sim.watch import watch, WatchConfig

HARD = DeployConfig(dilation=0, feather=0, color=(255, 0, 255))


class Screen(gymnasium.Env):
    """An environment that is not ours: its observation is the picture itself."""

    observation_space = spaces.Box(0, 255, (40, 60, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        """Show grey."""
        super().reset(seed=seed)
        return np.full((40, 60, 3), 90, np.uint8), {}

    def step(self, action):
        """Show it again."""
        return np.full((40, 60, 3), 90, np.uint8), 0.0, False, False, {}


def left_half(image, instruction):
    """Mask the left half, found when the sentence says so."""
    target = np.zeros(image.shape[:2], np.float32)
    target[:, :image.shape[1] // 2] = 1
    return Mask(target, np.zeros_like(target), float('yes' in instruction))


@pytest.mark.slow
def test_a_policy_sees_only_the_target_and_the_robot():
    env = TabletopEnv('cup_on_plate', 'many', size=64)
    masked = MaskedCamera(env, TruthMasker(env), HARD)
    seen, _ = masked.reset(seed=1)
    truth = env.truth()
    shown = truth.target | truth.robot
    whole = env.render()
    np.testing.assert_array_equal(seen['front'][shown], whole[shown])
    assert (seen['front'][~shown] == (255, 0, 255)).all()
    assert seen['wrist'].shape == (64, 64, 3) and 'instruction' in seen
    assert masked.observation_space.contains(seen)
    env.close()


def test_an_environment_that_is_not_ours():
    masked = MaskedCamera(Screen(), left_half, HARD, key='', instruction='yes')
    seen, _ = masked.reset(seed=0)
    assert (seen[:, :30] == 90).all() and (seen[:, 30:] == (255, 0, 255)).all()


@pytest.mark.slow
def test_gymnasiums_own_mujoco_environment_with_the_shipped_weights():
    from ivm_ros.masker import Masker

    env = gymnasium.make('Reacher-v5', render_mode='rgb_array', width=128, height=128)
    pictures = gymnasium.wrappers.AddRenderObservation(env, render_only=True)
    masked = MaskedCamera(pictures, Masker(), key='', instruction='the red ball')
    seen, _ = masked.reset(seed=0)
    assert seen.shape == (128, 128, 3) and seen.dtype == np.uint8
    assert masked.mask is not None and masked.mask.target.shape == (128, 128)
    masked.close()


def test_an_output_size_is_the_size_of_the_space():
    masked = MaskedCamera(Screen(), left_half, DeployConfig(output_size=(32, 48)), key='',
                          instruction='yes')
    assert masked.observation_space.shape == (48, 32, 3)
    assert masked.reset(seed=0)[0].shape == (48, 32, 3)


def test_hold_keeps_the_last_mask_until_the_next_episode():
    sentences = iter(['yes', 'no', 'no'])
    masked = MaskedCamera(Screen(), lambda image, text: left_half(image, next(sentences)),
                          DeployConfig(dilation=0, feather=0, on_not_found='hold'), key='',
                          instruction='x')
    masked.reset(seed=0)
    assert (masked.step(0)[0][:, 30:] == 255).all()  # held
    assert (masked.reset(seed=0)[0] == 90).all()  # nothing to hold: kept whole


@pytest.mark.parametrize(('settings', 'words'), [
    ({'key': 'front', 'instruction': 'x'}, "no 'front'"), ({'key': ''}, 'give one with')])
def test_what_cannot_be_masked_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        MaskedCamera(Screen(), left_half, **settings)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['watch.gif', 'watch.mp4'])
def test_an_episode_can_be_watched(tmp_path, name):
    said = watch(WatchConfig('pick', 'few', masks='truth', size=64, out=str(tmp_path / name)))
    assert said[0].startswith('seed 0, expert: success, "')
    assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.slow
def test_policies_can_be_watched_side_by_side(tmp_path):
    path = tmp_path / 'both.gif'
    said = watch(WatchConfig('pick', 'few', ('expert', 'random'), 'truth', size=64,
                             out=str(path)))
    assert 'expert: success' in said[0] and 'random: failure' in said[1]
    with Image.open(path) as film:
        assert film.n_frames >= 90  # as long as the longer episode
        film.seek(film.n_frames - 1)
        frame = np.asarray(film.convert('RGB')).astype(int)
    left, right = np.array_split(frame[-4], 2)  # in the edges that tell the outcome
    assert np.median(left[:, 1] - left[:, 0]) > 50 > -50 > np.median(right[:, 1] - right[:, 0])


def test_who_is_watched_is_known():
    with pytest.raises(ConfigError, match=r"no 'exprt'.*did you mean 'expert'"):
        WatchConfig(policy=('exprt',))
    with pytest.raises(ConfigError, match='at least one'):
        WatchConfig(policy=())


def test_a_film_has_a_known_format():
    with pytest.raises(ConfigError, match=r'wanted \.gif or \.mp4'):
        WatchConfig(out='film.avi')
