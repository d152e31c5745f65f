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
"""Masks between keyframes: carried, dropped, blended, and gone with their words."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ivm_ros.config import ConfigError
from ivm_ros.flow import FlowCarrier
from ivm_ros.sample import Mask
from ivm_ros.tracker import TrackConfig, Tracker

SIZE = (240, 320)
SHARP = TrackConfig(track_smoothing=0.0, track_enter=0.5, track_leave=0.5)


def texture(seed: int, size: tuple[int, int] = (400, 500)) -> np.ndarray:
    """Draw a picture with structure at many sizes, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((*size, 3), np.float32)
    for cell in (6, 14, 40):
        coarse = rng.uniform(0, 255, (size[0] // cell + 2, size[1] // cell + 2, 3))
        picture += cv2.resize(coarse.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(picture / 3, 0, 255).astype(np.uint8)


def window(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """Cut a frame out of a larger picture, so that what it shows moves."""
    return np.ascontiguousarray(picture[down:down + SIZE[0], right:right + SIZE[1]])


def box(top: int, left: int, high: int = 60, wide: int = 80, value: float = 1.0) -> np.ndarray:
    """Draw a plane float32 [H, W] with a box in it."""
    plane = np.zeros(SIZE, np.float32)
    plane[max(0, top):top + high, max(0, left):left + wide] = value
    return plane


def mask(target: np.ndarray, found: float = 1.0) -> Mask:
    """Make a mask with a small robot in the corner."""
    return Mask(target, box(0, 0, 30, 30), found)


def iou(plane: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union at 0.5."""
    here, there = plane >= .5, other >= .5
    return np.count_nonzero(here & there) / np.count_nonzero(here | there)


def started(config: TrackConfig, image: np.ndarray, first: Mask) -> Tracker:
    """Start a tracker with the mask of its first frame."""
    tracker = Tracker(config)
    tracker.see(image, 'take it', 0.0)
    assert tracker.tracked is None
    assert tracker.take(tracker.ask(), first)
    return tracker


def test_a_constant_scene_keeps_every_bit_of_a_soft_mask():
    image = texture(0)[:SIZE[0], :SIZE[1]].copy()
    soft = mask(np.random.default_rng(1).uniform(0, 1, SIZE).astype(np.float32), .83)
    tracker = started(replace(TrackConfig(), track_interval=4), image, soft)
    asked = 0
    for frame in range(1, 13):
        tracker.see(image.copy(), 'take it', frame / 30)
        keyframe = tracker.ask()
        if keyframe is not None:
            asked += 1
            assert tracker.take(keyframe, soft)
        seen = tracker.tracked.mask
        assert np.array_equal(seen.target, soft.target)
        assert np.array_equal(seen.robot, soft.robot)
        assert seen.found == np.float32(soft.found)
    assert asked == 3


@pytest.mark.parametrize('step', [(0, 3), (2, 0), (-2, 4), (1, -6)])
def test_a_translation_moves_the_mask_with_the_picture(step):
    picture = texture(2)
    tracker = started(replace(SHARP, track_interval=100), window(picture, 80, 90),
                      mask(box(90, 120)))
    for frame in range(1, 11):
        down, right = frame * step[0], frame * step[1]
        tracker.see(window(picture, 80 - down, 90 - right), 'take it', frame / 30)
    moved = tracker.tracked.mask.target
    assert iou(moved, box(90 + 10 * step[0], 120 + 10 * step[1])) > .9
    assert iou(moved, box(90, 120)) < .85
    assert tracker.tracked.frames == 10


def test_what_comes_into_view_is_in_no_mask_and_what_is_covered_leaves_it():
    """A patch slides over the target, and halfway off it again."""
    ground, patch = texture(3)[:SIZE[0], :SIZE[1]].copy(), texture(4)
    whole = box(80, 140, 60, 80)
    tracker = started(replace(SHARP, track_interval=100, track_confidence=0.0), ground,
                      mask(whole))

    def covered(left: int) -> np.ndarray:
        image = ground.copy()
        image[60:160, left:left + 60] = patch[:100, :60]
        return image

    for frame, left in enumerate(range(20, 180, 4), 1):
        tracker.see(covered(left), 'take it', frame / 30)
    seen = tracker.tracked
    behind = np.zeros(SIZE, bool)
    behind[84:136, 184:232] = True  # well inside the patch, which ends up at 176 to 236
    assert (seen.mask.target[behind] >= .5).mean() < .4
    assert seen.confidence < .75
    left_behind = seen.mask.target[84:136, 144:170] >= .5  # was covered for a while
    assert left_behind.mean() < .1  # and is not guessed


def test_the_check_there_and_back_drops_what_was_hidden():
    carrier = FlowCarrier()
    ground, patch = texture(5)[:SIZE[0], :SIZE[1]].copy(), texture(6)
    before, now = ground.copy(), ground.copy()
    before[60:180, 100:180] = patch[:120, :80]
    now[60:180, 112:192] = patch[:120, :80]
    carrier.advance(before)
    key = carrier.mark()
    assert 0 < carrier.advance(now) < .2
    everything = np.ones(SIZE, np.float32)
    carried = carrier.carry(key, [everything])
    strip = carried.planes[0][70:170, 102:110]  # was behind the patch
    assert (strip == 0).mean() > .4
    assert (carried.planes[0][70:170, 120:184] == 1).mean() > .95
    assert (carried.planes[0][:, 220:] == 1).mean() > .98


def flickering(tracker: Tracker, image: np.ndarray, values: list[float]) -> list[np.ndarray]:
    """Give masks of one value after the other in a box; return the masks at 0.5."""
    shown = []
    for frame, value in enumerate(values, 1):
        tracker.see(image, 'take it', frame / 30)
        assert tracker.take(tracker.ask(), mask(box(50, 50, value=value)))
        shown.append(tracker.tracked.mask.target >= .5)
    return shown


@pytest.mark.parametrize('first', [0.0, 1.0])
def test_hysteresis_keeps_the_side_until_a_value_is_clear(first):
    image = texture(7)[:SIZE[0], :SIZE[1]].copy()
    config = replace(TrackConfig(), track_interval=1, track_smoothing=0.0)
    tracker = started(config, image, mask(box(50, 50, value=first)))
    unclear = flickering(tracker, image, [.45, .55, .41, .59])
    assert all(shown[60, 60] == bool(first) for shown in unclear)
    clear = flickering(tracker, image, [.7, .45, .3, .55])
    assert [bool(shown[60, 60]) for shown in clear] == [True, True, False, False]
    plain = started(replace(config, track_enter=.5, track_leave=.5), image, mask(box(50, 50)))
    assert [bool(shown[60, 60]) for shown in flickering(plain, image, [.45, .55, .41])] == [
        False, True, False]


def test_smoothing_lets_a_single_stray_mask_pass_by():
    image = texture(8)[:SIZE[0], :SIZE[1]].copy()
    config = replace(TrackConfig(), track_interval=1, track_smoothing=.5)
    tracker = started(config, image, mask(box(50, 50)))
    assert [bool(shown[60, 60]) for shown in flickering(tracker, image, [0, 1, 1, 0, 0])] == [
        True, True, True, True, False]  # .5, .75, .875, .4375, .21875


def test_another_instruction_drops_the_mask_and_voids_the_keyframe_at_work():
    image = texture(9)[:SIZE[0], :SIZE[1]].copy()
    old, new = mask(box(20, 20)), mask(box(150, 200))
    tracker = started(replace(TrackConfig(), track_interval=1), image, old)
    tracker.see(image, 'take it', .1)
    late = tracker.ask()
    assert late.instruction == 'take it'
    tracker.see(image, 'take the other', .2)
    assert tracker.tracked is None
    keyframe = tracker.ask()
    assert keyframe.instruction == 'take the other'
    assert not tracker.take(late, old)
    assert not tracker.fail(late)
    assert tracker.tracked is None
    assert tracker.take(keyframe, new)
    assert np.array_equal(tracker.tracked.mask.target, new.target)  # unblended


@pytest.mark.parametrize('delay', [1, 6, 15])
def test_a_late_keyframe_is_brought_forward_to_now(delay):
    picture = texture(10)
    tracker = Tracker(SHARP)
    tracker.see(window(picture, 80, 120), 'take it', 0.0)
    keyframe = tracker.ask()
    for frame in range(1, delay + 1):
        tracker.see(window(picture, 80, 120 - 4 * frame), 'take it', frame / 30)
        assert tracker.ask() is None  # one at a time
        assert tracker.tracked is None
    assert tracker.take(keyframe, mask(box(90, 120)))
    assert iou(tracker.tracked.mask.target, box(90, 120 + 4 * delay)) > .88
    assert tracker.tracked.age == pytest.approx(delay / 30)
    assert tracker.tracked.frames == delay


def test_keyframes_come_every_n_frames_at_a_cut_and_where_too_little_is_left():
    picture = texture(11)
    config = replace(SHARP, track_interval=5)
    tracker = started(config, window(picture, 80, 90), mask(box(90, 120)))
    asked = []
    for frame in range(1, 12):
        tracker.see(window(picture, 80, 90 + frame), 'take it', frame / 30)
        keyframe = tracker.ask()
        if keyframe is not None:
            asked.append(frame)
            tracker.take(keyframe, mask(box(90, 120 - frame)))
    assert asked == [5, 10]
    tracker.see(255 - texture(12)[:SIZE[0], :SIZE[1]], 'take it', .4)  # a cut
    assert tracker.tracked is None
    assert tracker.ask() is not None

    unsure = started(config, window(picture, 80, 90), mask(box(90, 120), found=.55))
    unsure.see(window(picture, 80, 91), 'take it', .03)
    assert unsure.tracked.confidence < .6
    assert unsure.ask() is not None


def test_a_mask_that_gets_too_old_is_not_carried_and_a_failed_keyframe_is_asked_for_anew():
    image = texture(13)[:SIZE[0], :SIZE[1]].copy()
    tracker = started(replace(TrackConfig(), track_interval=2, track_oldest=1.0), image,
                      mask(box(50, 50)))
    tracker.see(image, 'take it', .5)
    assert tracker.ask() is None
    tracker.see(image, 'take it', .9)
    first = tracker.ask()
    tracker.see(image, 'take it', 1.1)
    assert tracker.tracked is None
    assert tracker.ask() is None  # still at work
    assert tracker.fail(first)
    assert tracker.ask() is not None


def test_another_size_starts_anew():
    image = texture(14)[:SIZE[0], :SIZE[1]].copy()
    tracker = started(TrackConfig(), image, mask(box(50, 50)))
    small = np.ascontiguousarray(image[::2, ::2])
    tracker.see(small, 'take it', .1)
    assert tracker.tracked is None
    assert tracker.ask().image is small


def test_marks_are_forgotten_so_that_memory_stays_bounded():
    picture = texture(15)
    tracker = started(replace(TrackConfig(), track_interval=1), window(picture, 80, 90),
                      mask(box(90, 120)))
    for frame in range(1, 40):
        tracker.see(window(picture, 80, 90 + frame % 7), 'take it', frame / 30)
        keyframe = tracker.ask()
        if keyframe is not None and frame % 3:
            tracker.take(keyframe, mask(box(90, 120)))
        assert len(tracker._carrier._maps) <= 2
    tracker.reset()
    assert not tracker._carrier._maps
    assert not tracker._carrier._smalls


def test_wrong_settings_and_marks_are_refused():
    with pytest.raises(ConfigError, match='track_leave'):
        TrackConfig(track_leave=.7)
    carrier = FlowCarrier()
    with pytest.raises(ValueError, match='wanted a frame first'):
        carrier.mark()
    carrier.advance(np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(ValueError, match='no frame is marked 7'):
        carrier.carry(7, [box(0, 0)])
    with pytest.raises(ValueError, match=r'wanted planes of the size .* got \[10, 10\]'):
        carrier.carry(carrier.mark(), [np.zeros((10, 10), np.float32)])
