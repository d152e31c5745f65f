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
"""A slow model behind a fast stream: masks at camera rate, and none of old words."""

from pathlib import Path
from threading import Event
import time

import cv2
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from ivm_ros.deploy import DeployConfig
from ivm_ros.nodes.convert import to_msg
from ivm_ros.nodes.keyframes import KeyframeMasker, NoMaskYetError
from ivm_ros.nodes.masking import FrameMasker
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.sample import Mask
from ivm_ros.tracker import TrackConfig

NODE = '/ivm_node'
IMAGE = np.kron(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8),
                np.ones((8, 8, 1), np.uint8))
TRACK = TrackConfig(track=True, track_interval=2, track_oldest=600.0)
SHOW = DeployConfig(feather=0.0, dilation=0.0)


class Slow:
    """Masks the side of a picture that the sentence names, when it is let go."""

    def __init__(self) -> None:
        self.go, self.calls = Event(), []

    def __call__(self, image: np.ndarray, instruction: str) -> Mask:
        """Wait, then mask."""
        self.calls.append(instruction)
        assert self.go.wait(20)
        if 'broken' in instruction:
            raise RuntimeError('CUDA out of memory')
        target = np.zeros(image.shape[:2], np.float32)
        half = image.shape[1] // 2
        target[:, :half] = 'left' in instruction
        target[:, half:] = 'right' in instruction
        return Mask(target, np.zeros_like(target), .9)


@pytest.fixture
def slow():
    """Give a slow model that is let go at the end."""
    made = Slow()
    yield made
    made.go.set()


def until(good, patience: float = 20.0):
    """Wait for something that another thread does; return it."""
    end = time.monotonic() + patience
    while not (value := good()):
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(.01)
    return value


def frames(masker: FrameMasker, node: NodeConfig):
    """Give a function that sends a frame."""
    return lambda: masker(to_msg(IMAGE, Header()), node, SHOW, track=TRACK)


def test_frames_go_on_while_the_model_works(slow):
    """Frames pass unmasked till the first keyframe is done, then each has a mask at once."""
    masker = FrameMasker(slow)
    send = frames(masker, NodeConfig(instruction='the left'))
    for _ in range(5):
        frame = send()
        assert (frame.outcome, frame.fault) == ('passed', False)
        assert 'no mask yet' in frame.reason
    until(lambda: slow.calls)
    assert slow.calls == ['the left']  # one at a time
    slow.go.set()
    frame = until(lambda: (one := send()).outcome == 'masked' and one)
    assert frame.mask.target[0, 0] == 1
    assert frame.keyframe_age > 0
    assert (frame.picture[0][:, 64:] == 255).all()
    slow.go.clear()
    seen = [send() for _ in range(20)]
    assert all(frame.outcome == 'masked' for frame in seen)
    assert masker.facts['keyframes'].isdigit()
    assert float(masker.facts['keyframe_age_ms']) >= 0
    slow.go.set()
    assert masker.close()


@pytest.mark.parametrize('on_fault', ['pass', 'hold', 'blank', 'drop'])
def test_no_mask_of_the_old_instruction_under_the_new_one(slow, on_fault):
    """The keyframe at work is void, and not even `hold` shows what the old words masked."""
    masker = FrameMasker(slow)
    slow.go.set()
    old = frames(masker, NodeConfig(instruction='the left', on_fault=on_fault))
    until(lambda: old().outcome == 'masked')
    slow.go.clear()
    # Until one is at work.
    until(lambda: old() and int(masker.facts['keyframes']) < len(slow.calls))
    new = frames(masker, NodeConfig(instruction='the right', on_fault=on_fault))
    waiting = [new() for _ in range(10)]
    slow.go.set()
    after = []
    until(lambda: after.append(new()) or after[-1].outcome == 'masked')
    outcome = {'pass': 'passed', 'hold': 'dropped', 'blank': 'blank', 'drop': 'dropped'}[on_fault]
    assert {frame.outcome for frame in [*waiting, *after[:-1]]} == {outcome}
    assert all(frame.mask is None for frame in waiting)
    assert after[-1].mask.target[0, -1] == 1
    assert after[-1].mask.target[0, 0] == 0
    if on_fault == 'hold':
        assert all(frame.picture is None for frame in waiting)
    masker.close()


def test_a_model_that_fails_is_a_fault_once_and_asked_again(slow):
    """The error comes out with a frame; the stream goes on and the model gets another try."""
    slow.go.set()
    keyframes = KeyframeMasker(slow, TRACK)
    raised = []

    def send() -> int:
        try:
            keyframes(IMAGE, 'broken', TRACK)
        except NoMaskYetError:
            pass
        except RuntimeError as error:
            raised.append(str(error))
        return len(raised)

    until(lambda: send() >= 3)
    assert set(raised) == {'CUDA out of memory'}
    assert len(slow.calls) >= 3
    assert keyframes.stop()


def test_switched_off_frames_go_to_the_model_itself(slow):
    """Off is as before, and on again begins anew."""
    slow.go.set()
    masker = FrameMasker(slow)
    node = NodeConfig(instruction='the left')
    until(lambda: frames(masker, node)().outcome == 'masked')
    frame = masker(to_msg(IMAGE, Header()), node, SHOW, track=TrackConfig())
    assert (frame.outcome, frame.keyframe_age) == ('masked', None)
    assert 'no mask yet' in frames(masker, node)().reason
    masker.close()


@pytest.mark.slow
def test_a_frame_takes_a_fraction_of_its_period_while_the_model_takes_half_a_second():
    """640x480, counted in CPU time of the stream's thread, so that other work does not count."""
    ground = cv2.resize(IMAGE, (720, 540), interpolation=cv2.INTER_CUBIC)
    calls = []

    def model(image: np.ndarray, instruction: str) -> Mask:
        calls.append(image)
        time.sleep(.5)
        target = np.zeros(image.shape[:2], np.float32)
        target[120:360, 160:480] = 1
        return Mask(target, np.zeros_like(target), .9)

    masker, node = FrameMasker(model), NodeConfig(instruction='the left')
    messages = [to_msg(np.ascontiguousarray(ground[20:500, 20 + step:660 + step]), Header())
                for step in (0, 3, 6, 9, 6, 3)]
    until(lambda: masker(messages[0], node, SHOW, track=TRACK).outcome == 'masked')
    times = []
    for frame in range(45):
        begin = time.thread_time()
        assert masker(messages[frame % 6], node, SHOW, track=TRACK).outcome == 'masked'
        times.append(time.thread_time() - begin)
        time.sleep(1 / 30)
    print(f'{1e3 * np.median(times):.1f} ms a frame, {len(calls)} keyframes')
    assert len(calls) >= 3
    assert np.median(times) < 1 / 30
    masker.close()


# --- the node itself -------------------------------------------------------------------------

def values(message: DiagnosticArray) -> dict[str, str]:
    """Return the values of a status."""
    return {pair.key: pair.value for pair in message.status[0].values}


def stamp(message) -> float:
    """Return the time of a header, s."""
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


@pytest.fixture(scope='module')
def pictures(tmp_path_factory) -> Path:
    """Write four pictures of 640x480 that show the same ground, moved a little."""
    folder = tmp_path_factory.mktemp('moving')
    ground = np.random.default_rng(0).integers(0, 256, (20, 26, 3), np.uint8)
    large = cv2.resize(ground, (680, 520), interpolation=cv2.INTER_CUBIC)
    for number, shift in enumerate((0, 4, 8, 4)):
        cv2.imwrite(str(folder / f'{number}.png'), large[20:500, shift:shift + 640])
    return folder


@pytest.mark.slow
def test_a_node_with_a_model_of_half_a_second_delivers_30_hz(graph, pictures, slower_weights):
    """
    640x480 at 30 Hz, with a network that takes far longer than a frame.

    Each mask has the stamp of its own frame, and after a change of the instruction none comes
    from a keyframe of before.
    """
    node = graph.start('ivm_ros.nodes.ivm_node', weights=str(slower_weights), track=True,
                       track_oldest=60.0, instruction='pick up the red mug', soft=True,
                       found_threshold=0.0, threshold=0.01)
    node.wait_for('active: /image')
    reports = graph.listen(DiagnosticArray, f'{NODE}/frame_info', depth=500)
    masks = graph.listen(Image, 'mask', depth=500)
    health = graph.listen(DiagnosticArray, '/diagnostics')
    words = graph.speak(String, 'instruction', latched=True, listeners=2)
    graph.until(lambda: graph.node.count_publishers(f'{NODE}/frame_info') > 0 and len(health),
                'the node')
    player = graph.start('ivm_ros.nodes.image_player', path=str(pictures), rate=30.0, wait_for=1,
                         numbered=True)
    reports.wait(lambda message: values(message)['outcome'] == 'masked')
    first, begin = len(reports), time.monotonic()
    time.sleep(6)
    rate = (len(reports) - first) / (time.monotonic() - begin)
    status = values(health.wait(lambda message: values(message).get('keyframe_age_ms'),
                                after=len(health)))
    words.publish(String(data='take the blue plate'))
    reports.wait(lambda message: values(message)['instruction'] == 'take the blue plate'
                 and values(message)['outcome'] == 'masked')
    player.stop()

    print(f'{rate:.1f} Hz, model {status["keyframe_ms"]} ms, keyframe {status["keyframe_age_ms"]}'
          f' ms old')
    assert float(status['keyframe_ms']) > 500
    assert rate > 27
    assert float(status['keyframe_age_ms']) > 0
    facts = [(stamp(message), values(message)) for message in reports.messages]
    sent = {message.header.frame_id: stamp(message) for message in reports.messages}
    assert len(sent) == len(facts)
    for message in masks.messages:
        if message.header.frame_id in sent:
            assert stamp(message) == sent[message.header.frame_id]
    after = [(moment, fact) for moment, fact in facts
             if fact['instruction'] == 'take the blue plate']
    assert after[0][1]['outcome'] == 'passed'
    assert 'no mask yet' in after[0][1]['reason']
    masked = [(moment, fact) for moment, fact in after if fact['outcome'] == 'masked']
    for moment, fact in masked:  # .02 s: ages count from when a frame came, not from its stamp
        assert moment - float(fact['keyframe_age_ms']) / 1e3 > after[0][0] - .02
