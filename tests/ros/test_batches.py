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
"""What several cameras share, piece by piece: batches, sets, rates, depth beside its picture."""

from threading import Event
import time

import numpy as np
import pytest
from std_msgs.msg import Header

from ivm_ros.config import ConfigError
from ivm_ros.nodes.batches import Batches
from ivm_ros.nodes.convert import ConvertError, to_msg
from ivm_ros.nodes.depth import DepthMasker, KEPT, mask_depth
from ivm_ros.nodes.masking import Frame
from ivm_ros.nodes.model import mask_each
from ivm_ros.nodes.node_config import CameraConfig, NodeConfig
from ivm_ros.nodes.stats import Pace
from ivm_ros.nodes.sync import Synchroniser
from ivm_ros.pixel_formats import to_depth
from ivm_ros.sample import Mask


class Worked:
    """A worker that notes its batches and can be held up."""

    def __init__(self, window: float, expected: tuple[str, ...]) -> None:
        self.done, self.gave_way = [], []
        self.go, self.began = Event(), Event()
        self.go.set()
        self.batches = Batches(self._work, self.gave_way.append, lambda: window,
                               lambda: expected)

    def _work(self, items: dict) -> None:
        self.began.set()
        assert self.go.wait(20)
        self.done.append((items, time.monotonic()))

    def wait(self, number: int) -> list[dict]:
        """Return the batches when there are so many."""
        end = time.monotonic() + 20
        while len(self.done) < number:
            assert time.monotonic() < end, self.done
            time.sleep(.002)
        return [items for items, _ in self.done]


def test_a_frame_of_each_camera_goes_at_once():
    """The window of ten seconds is not waited for when nobody is missing."""
    worked = Worked(10.0, ('a', 'b'))
    worked.batches.put({'a': 1})
    time.sleep(.05)
    assert not worked.done
    worked.batches.put({'b': 2})
    assert worked.wait(1) == [{'a': 1, 'b': 2}]
    assert worked.batches.stop()


def test_a_missing_camera_costs_the_window_and_no_more():
    """The window opens with the first frame, not anew with each."""
    worked = Worked(.3, ('a', 'b', 'c'))
    begin = time.monotonic()
    worked.batches.put({'a': 1})
    time.sleep(.15)
    worked.batches.put({'b': 2})
    assert worked.wait(1) == [{'a': 1, 'b': 2}]
    assert .3 <= worked.done[0][1] - begin < .44
    worked.batches.stop()


def test_the_newest_of_each_camera_wins_and_the_older_are_told_by_camera():
    """While one batch is at work, those that come replace each other, camera by camera."""
    worked = Worked(0.0, ('a', 'b'))
    worked.go.clear()
    worked.batches.put({'a': 1})
    assert worked.began.wait(20)
    for name, item in (('a', 2), ('b', 3), ('a', 4), ('a', 5)):
        worked.batches.put({name: item})
    worked.go.set()
    assert worked.wait(2) == [{'a': 1}, {'a': 5, 'b': 3}]
    assert worked.gave_way == ['a', 'a']
    worked.batches.stop()


def test_work_that_hangs_is_told_when_the_worker_is_stopped():
    worked = Worked(0.0, ('a',))
    worked.go.clear()
    worked.batches.put({'a': 1})
    assert worked.began.wait(20)
    assert not worked.batches.stop(.1)
    worked.go.set()


def test_a_bad_picture_spoils_no_other():
    """One call for all; where that fails, one for each."""
    calls = []

    def model(images, texts):
        calls.append(len(images) if isinstance(images, list) else 0)
        if 'bad' in (texts if isinstance(texts, list) else [texts]):
            raise ValueError('wanted something better')
        made = [Mask(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32), .5)] * len(texts)
        return made if isinstance(images, list) else made[0]

    image = np.zeros((2, 2, 3), np.uint8)
    assert len(mask_each(model, [image] * 3, ['x', 'y', 'z'])) == 3
    assert calls == [3]
    first, second, third = mask_each(model, [image] * 3, ['x', 'bad', 'z'])
    assert calls == [3, 3, 0, 0, 0]
    assert isinstance(first, Mask) and isinstance(third, Mask)
    assert str(second) == 'wanted something better'
    assert mask_each(model, [], []) == []


# --- sets of frames --------------------------------------------------------------------------

def sets_of(frames: list[tuple[str, int]], slop: int, names=('a', 'b')) -> tuple[list, list]:
    """Send frames by (camera, stamp); return the stamps of each set, and who was left out."""
    left: list[str] = []
    sync = Synchroniser(left.append)
    made = [sync.add(name, stamp, stamp, names, slop) for name, stamp in frames]
    return [one for one in made if one is not None], left


def test_sets_have_stamps_within_the_slop():
    """By hand: 100 and 102 fit into 3, 110 and 114 do not."""
    assert sets_of([('a', 100), ('b', 102), ('a', 110), ('b', 114), ('a', 120), ('b', 120)],
                   3) == ([{'a': 100, 'b': 102}, {'a': 120, 'b': 120}], ['a', 'b'])


def test_a_camera_whose_frames_come_late_is_waited_for():
    """Frames of b come three periods late; newest against newest would never fit."""
    frames = [('a', 100 * step) for step in range(4)]
    for step in range(10):
        frames += [('b', 100 * step + 3), ('a', 100 * (step + 4))]
    made, left = sets_of(frames, 10)
    assert [one['a'] for one in made] == [100 * step for step in range(10)]
    assert left == []


def test_a_set_takes_the_newest_that_fits_and_lets_the_older_go():
    made, left = sets_of([('a', 100), ('a', 110), ('a', 120), ('b', 119)], 5)
    assert made == [{'a': 120, 'b': 119}]
    assert left == ['a', 'a']


def test_three_cameras_make_a_set_of_three_or_none():
    names = ('a', 'b', 'c')
    assert sets_of([('a', 100), ('b', 100)], 10, names) == ([], [])
    assert sets_of([('a', 100), ('b', 104), ('c', 108)], 5, names)[0] == []
    assert sets_of([('a', 100), ('b', 104), ('c', 105)], 5, names)[0] == [
        {'a': 100, 'b': 104, 'c': 105}]


def test_a_clock_that_goes_back_begins_anew():
    """A bag that starts again: frames of before are let go, sets come at once."""
    made, left = sets_of([('a', 900), ('b', 800), ('a', 100), ('b', 100)], 10)
    assert made == [{'a': 100, 'b': 100}]
    assert sorted(left) == ['a', 'b']


def test_frames_without_partners_are_let_go_in_the_end():
    made, left = sets_of([('a', 100 * step) for step in range(25)], 10)
    assert made == []
    assert left == ['a'] * 15


# --- rates -----------------------------------------------------------------------------------

@pytest.mark.parametrize(('camera', 'rate', 'wanted'), [
    (30.0, 10.0, 100), (30.0, 20.0, 200), (30.0, 0.0, 300), (30.0, 45.0, 300), (9.0, 10.0, 90)])
def test_so_many_frames_pass_whatever_the_jitter(camera, rate, wanted):
    """Ten seconds of a camera whose frames come a little early or late."""
    rng, pace = np.random.default_rng(0), Pace()
    times = np.arange(10 * camera) / camera + rng.uniform(-.002, .002, round(10 * camera))
    assert abs(sum(pace.allows(1000 + moment, rate) for moment in times) - wanted) <= 2


def test_a_pause_is_not_made_up_for():
    """After a second without frames the rate is still the most that passes."""
    pace = Pace()
    assert pace.allows(10.0, 10.0)
    passed = [moment for moment in np.arange(11.0, 11.2, .03) if pace.allows(moment, 10.0)]
    assert passed == pytest.approx([11.0, 11.12])


# --- settings --------------------------------------------------------------------------------

@pytest.mark.parametrize('names', [('front', 'front'), ('',), ('a/b',), ('2nd',), ('a.b',), (1,)])
def test_names_of_cameras_are_names_of_topics(names):
    with pytest.raises(ConfigError, match=r'NodeConfig\.cameras'):
        NodeConfig(cameras=names)


def test_a_camera_has_nothing_of_its_own_by_default():
    assert CameraConfig() == CameraConfig('', True, '', -1.0, False)
    with pytest.raises(ConfigError, match='method'):
        CameraConfig(method='blurr')


# --- depth -----------------------------------------------------------------------------------

WEIGHT = np.array([[255, 128, 127], [0, 255, 0]], np.uint8)


@pytest.mark.parametrize('big', [False, True])
def test_what_the_picture_does_not_show_has_no_depth(big):
    """By REP 118: 0 in 16UC1, NaN in 32FC1; header, size and other values stay."""
    header = Header(frame_id='eye')
    header.stamp.sec = 7
    for depth, encoding, nothing in (
            (np.arange(100, 106, dtype=np.uint16), '16UC1', 0),
            (np.arange(1, 7, dtype=np.float32) / 4, '32FC1', np.nan)):
        message = to_msg(depth.reshape(2, 3), header, encoding)
        if big:
            message.is_bigendian = True
            message.data = depth.astype(depth.dtype.newbyteorder('>')).tobytes()
        out = mask_depth(message, 'masked', WEIGHT)
        wanted = depth.reshape(2, 3).copy()
        wanted[[0, 1, 1], [2, 0, 2]] = nothing
        np.testing.assert_array_equal(to_depth(out), wanted)
        assert (out.header, out.encoding) == (header, encoding)


def test_depth_does_what_its_picture_does():
    """Passed on with it, blank with it; none where the picture is dropped or an old one."""
    message = to_msg(np.full((2, 3), 9, np.uint16), Header(), '16UC1')
    assert mask_depth(message, 'passed', None) is message
    assert (to_depth(mask_depth(message, 'blank', None)) == 0).all()
    assert mask_depth(message, 'dropped', None) is None
    assert mask_depth(message, 'held', None) is None
    assert (to_depth(mask_depth(message, 'held', WEIGHT)) == 9).sum() == 3


@pytest.mark.parametrize(('depth', 'encoding', 'words'), [
    (np.zeros((4, 6), np.uint16), '16UC1', '6 x 4: wanted the size of its picture, 3 x 2'),
    (np.zeros((2, 3), np.uint8), 'mono8', "encoding 'mono8': wanted 16UC1 or 32FC1")])
def test_depth_that_does_not_fit_is_refused(depth, encoding, words):
    with pytest.raises(ConvertError, match=words):
        mask_depth(to_msg(depth, Header(), encoding), 'masked', WEIGHT)


class Pair:
    """A depth masker and what came out of it, by stamp in ms."""

    def __init__(self, slop: float = 0.0) -> None:
        self.out, self.said = [], []
        self.masker = DepthMasker(lambda message: self.out.append(self.ms(message.header)),
                                  lambda: slop, self.said.append)

    @staticmethod
    def ms(header: Header) -> int:
        """Return a stamp."""
        return header.stamp.sec * 1000 + header.stamp.nanosec // 10**6

    @staticmethod
    def header(ms: int) -> Header:
        """Make a header of a stamp."""
        header = Header()
        header.stamp.sec, header.stamp.nanosec = ms // 1000, ms % 1000 * 10**6
        return header

    def depth(self, *times: int, encoding: str = '16UC1') -> None:
        """Send depth images."""
        kind = {'16UC1': np.uint16, 'mono8': np.uint8}[encoding]
        for ms in times:
            self.masker.arrived(to_msg(np.ones((2, 3), kind), self.header(ms), encoding), 0)

    def picture(self, *times: int) -> None:
        """Let pictures be masked."""
        for ms in times:
            self.masker.shown(Frame('masked', weight=WEIGHT), self.header(ms))

    def count(self, name: str) -> int:
        """Return a count."""
        return int(self.masker.facts[f'depth_{name}'])


def test_depth_finds_its_picture_whichever_comes_first():
    pair = Pair()
    pair.depth(100)
    pair.picture(100, 200)
    pair.depth(200)
    assert pair.out == [100, 200]
    assert (pair.count('in'), pair.count('out'), pair.count('unmatched')) == (2, 2, 0)


def test_depth_of_a_picture_that_was_left_out_is_counted():
    """Pictures of 100 and 300 were dropped as stale: their depth is, before or after."""
    pair = Pair()
    pair.depth(100, 200)
    pair.picture(200, 400)
    pair.depth(300, 400)
    assert pair.out == [200, 400]
    assert (pair.count('in'), pair.count('out'), pair.count('unmatched')) == (4, 2, 2)


def test_depth_without_pictures_does_not_pile_up():
    pair = Pair()
    pair.depth(*range(0, 10 * (KEPT + 3), 10))
    assert pair.count('unmatched') == 3


def test_stamps_may_differ_by_the_slop():
    pair = Pair(.01)
    pair.depth(105)
    pair.picture(100)
    pair.picture(200)
    pair.depth(192, 215)
    assert pair.out == [105, 192]


def test_a_clock_that_goes_back_does_not_stop_depth():
    pair = Pair()
    pair.depth(5000)
    pair.depth(100)
    pair.picture(100)
    pair.picture(200)
    pair.depth(200)
    assert pair.out == [100, 200]
    assert pair.count('unmatched') == 1


def test_bad_depth_is_said_and_counted():
    pair = Pair()
    pair.depth(100, encoding='mono8')
    pair.picture(100)
    assert pair.out == []
    assert pair.count('faulty') == 1
    assert 'wanted 16UC1 or 32FC1' in pair.said[0]
