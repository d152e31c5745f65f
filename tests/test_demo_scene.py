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
"""The scene of the demo: what moves in it, and that what is said about it stays true."""

import cv2
import numpy as np
import pytest

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import ROBOT
from ivm_ros.language.sentence import Sentence
from ivm_sim import layout
from ivm_sim.demo_motion import LOOP
from ivm_sim.demo_scene import choose, DemoScene, readable
from ivm_sim.mj import mujoco

pytestmark = pytest.mark.slow
SEED = 900_002  # the hand holds something
MOMENTS = np.arange(0, LOOP, LOOP / 40)


@pytest.fixture(scope='module')
def scene():
    """Draw a scene as the demo does."""
    scene = DemoScene(SEED)
    yield scene
    scene.close()


def footprint(scene: DemoScene, thing: int) -> np.ndarray:
    """Return where an object stands now, in cells of 2 mm: bool [600, 600]."""
    slot = scene._scene.slots[thing - 1]
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, scene._scene.data.mocap_quat[slot.mocap])
    pose = layout.Pose(scene._scene.data.mocap_pos[slot.mocap], matrix.reshape(3, 3))
    points = layout.points_of(slot, pose)
    plane = np.zeros((600, 600), np.uint8)
    cv2.fillConvexPoly(plane, cv2.convexHull(np.int32(np.round(points[:, :2] / .002) + 300)), 1)
    return plane.astype(bool)


def test_motion_repeats_and_is_the_same_for_the_same_seed(scene):
    scene.move(0.0)
    start = scene.render(120, 160)
    scene.move(LOOP / 3)
    middle = scene.render(120, 160)
    scene.move(LOOP)
    assert np.array_equal(scene.render(120, 160), start)
    assert (np.abs(middle.astype(int) - start).max(2) > 30).mean() > .02
    other = DemoScene(SEED)
    assert other.sentences == scene.sentences
    other.move(LOOP / 3)
    assert np.array_equal(other.render(120, 160), middle)
    other.close()


def test_nothing_runs_into_anything(scene):
    standing = [state.id for state in scene._scene.objects if not state.held and not state.on]
    ways = {}
    for moment in MOMENTS:
        scene.move(moment)
        taken = np.zeros((600, 600), int)
        for thing in standing:
            mine = footprint(scene, thing)
            taken += mine
            ways.setdefault(thing, []).append(np.argwhere(mine).mean(0) * .002)
        assert taken.max() == 1, f'two things in one place at {moment:.1f} s'
    moved = [np.ptp(way, axis=0).max() for way in ways.values()]
    assert sum(way > .02 for way in moved) >= 3


def test_targets_stay_in_view_and_truth_is_what_the_segmentation_shows(scene):
    for moment in MOMENTS[::4]:
        scene.move(moment)
        labels = scene._scene.segment(120, 160)
        for index, sentence in enumerate(scene.sentences):
            target, robot = scene.truth(index, 120, 160)
            assert target.dtype == robot.dtype == bool
            assert np.array_equal(target, np.isin(labels, sentence.targets))
            assert np.array_equal(robot, labels == ROBOT)
            assert set(np.unique(labels[target])) == set(sentence.targets)


def test_the_hand_keeps_what_it_holds(scene):
    held, = [state.id for state in scene._scene.objects if state.held]
    mocap = scene._scene.slots[held - 1].mocap
    seen = []
    for moment in MOMENTS:
        scene.move(moment)
        hand = scene._scene.data.body('robot_hand')
        seen.append(hand.xmat.reshape(3, 3).T @ (scene._scene.data.mocap_pos[mocap] - hand.xpos))
    assert np.ptp(seen, axis=0).max() < 1e-9
    scene.move(0.0)
    start = scene._scene.data.mocap_pos[mocap].copy()
    scene.move(LOOP / 3)
    assert np.linalg.norm(scene._scene.data.mocap_pos[mocap] - start) > .05


def test_a_seed_of_training_is_refused():
    with pytest.raises(ConfigError, match=r'wanted 900000 or more.* got 899999'):
        DemoScene(899_999)


def say(text: str, kind: str = 'pair', targets: tuple[int, ...] = (1, 2), needs: bool = True,
        detail: str = '') -> Sentence:
    """Make a sentence."""
    return Sentence(text, kind, targets, needs, detail)


@pytest.mark.parametrize(('sentence', 'good'), [
    (say('Put the red mug on the plate.'), True),
    (say('pick up the largest cup', 'superlative', (1,), detail='largest'), True),
    (say('pick up the leftmost cup', 'superlative', (1,), detail='leftmost'), False),
    (say('PUT THE RED MUG ON THE PLATE'), False),
    (say('pick up the red thing'), False),
    (say('the red mug'), False),
    (say('grab red mug'), False),
    (say('put the red mug on the plate that is on the wooden table'), False),
])
def test_readable_means_a_short_command_that_motion_cannot_make_false(sentence, good):
    assert readable(sentence) is good


def test_three_sentences_are_about_different_things():
    pair = say('put the mug on the plate')
    same = say('pick up the mug', 'attribute', (1,))
    easy = say('pick up the duck', 'attribute', (3,), needs=False)
    hard = say('pick up the small duck', 'attribute', (4,))
    every = say('pick up all cups', 'all', (5, 6))
    assert choose([same, easy, every, pair, hard]) == (pair, hard, every)
    assert choose([pair, same, every]) == ()
