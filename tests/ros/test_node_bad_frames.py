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
"""Everything a camera can send that is wrong, through the real node: said, counted, survived."""

import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import to_msg, to_rgb

pytestmark = pytest.mark.slow

NODE = '/ivm_node'
START = {'instruction': 'pick up the red mug', 'found_threshold': 0.0, 'threshold': 0.01,
         'soft': True, 'on_fault': 'pass'}
HEIGHT, WIDTH = 48, 64


def header(name: str) -> Header:
    """Make the header of one frame."""
    return Header(frame_id=name)


def frame(name: str, encoding: str = 'rgb8', bytes_per_pixel: int = 3, **fields) -> Image:
    """Make a frame of 48 x 64 in any encoding, with any field wrong."""
    step = WIDTH * bytes_per_pixel
    data = np.random.default_rng(1).integers(0, 255, HEIGHT * step, np.uint8).tobytes()
    return Image(**{'header': header(name), 'height': HEIGHT, 'width': WIDTH, 'step': step,
                    'encoding': encoding, 'data': data, **fields})


def depth(name: str, big: bool = False) -> Image:
    """Make 32FC1 with a NaN, in either byte order."""
    metres = np.linspace(0.5, 3, HEIGHT * WIDTH, dtype=np.float32)
    metres[5] = np.nan
    return frame(name, '32FC1', 4, data=metres.astype('>f4' if big else '<f4').tobytes(),
                 is_bigendian=int(big))


class Line:
    """The camera's end and the policy's end of the node under test."""

    def __init__(self, graph) -> None:
        self.graph = graph
        self.speaker = graph.speak(Image, 'image')
        self.reports = graph.listen(DiagnosticArray, f'{NODE}/frame_info', depth=500)
        self.pictures = graph.listen(Image, 'masked/image', depth=5)
        self.health = graph.listen(DiagnosticArray, '/diagnostics')
        graph.until(lambda: graph.node.count_publishers('masked/image') > 0, 'outputs')
        self.number = 0

    def send(self, message: Image) -> dict[str, str]:
        """Publish a frame and return what frame_info says about it."""
        self.number += 1
        message.header.frame_id += f'#{self.number}'
        self.speaker.publish(message)
        status = self.reports.wait(lambda one: one.header == message.header).status[0]
        return {'message': status.message, 'level': status.level,
                **{pair.key: pair.value for pair in status.values}}

    def shown(self, message: Image) -> Image | None:
        """Return what the policy got for a frame, None when nothing came within a second."""
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for one in self.pictures.messages:
                if one.header == message.header:
                    return one
            time.sleep(0.02)
        return None

    def good(self) -> None:
        """Send a good frame: it must be masked."""
        assert self.send(frame('good'))['outcome'] == 'masked'


@pytest.fixture(scope='module')
def line(shared_graph, weights) -> Line:
    """Start the node; wait until a good frame is masked."""
    program = shared_graph.start('ivm_ros.nodes.ivm_node', weights=str(weights), **START)
    program.wait_for('active: /image')
    made = Line(shared_graph)
    made.program = program
    for _ in range(50):
        made.speaker.publish(frame('first'))
        time.sleep(0.1)
        if len(made.reports) and len(made.pictures):
            break
    made.good()
    return made


BAD = [
    (frame('unknown', 'nv24'), "encoding 'nv24' is not known: wanted one of rgb8"),
    (frame('unnamed', ''), "encoding '' is not known"),
    (frame('short', data=bytes(100)), 'wanted 9216 bytes (step 192 x height), got 100'),
    (frame('narrow', step=100), 'wanted a step of at least 192 bytes, got 100'),
    (frame('no height', height=0, data=b''), 'image 64 x 0 rgb8: wanted at least one pixel'),
    (frame('no width', width=0), 'image 0 x 48 rgb8: wanted at least one pixel'),
    (frame('all NaN', '32FC1', 4, data=np.full(HEIGHT * WIDTH, np.nan, '<f4').tobytes()),
     'wanted at least one valid pixel, got only NaN'),
    (frame('tiny', height=16, width=16, step=48),
     'wanted sides of 32 to 4096 pixels, got 16 x 16'),
    (frame('endless', 'mono8', 1, height=32, width=5000, step=5000, data=bytes(160000)),
     'wanted sides of 32 to 4096 pixels, got 5000 x 32'),
]


@pytest.mark.parametrize(('message', 'reason'), BAD, ids=[one.header.frame_id for one, _ in BAD])
def test_unusable_frame_is_said_counted_and_survived(line, message, reason):
    """The reason stands in frame_info and log, the frame passes, the next one is masked."""
    facts = line.send(message)
    assert facts['outcome'] == 'passed'
    assert reason in facts['message']
    assert facts['level'] == b'\x01'
    out = line.shown(message)
    assert (out.encoding, out.height, out.width, bytes(out.data)) == (
        message.encoding, message.height, message.width, bytes(message.data))
    line.program.wait_for(reason)
    line.good()


USABLE = [
    (depth('NaN'), '1 of 3072 pixels of 32FC1 are not valid: shown black'),
    (depth('big-endian', big=True), '1 of 3072 pixels of 32FC1 are not valid: shown black'),
    (frame('16 bit', 'mono16', 2), ''),
    (frame('big-endian 16 bit', 'mono16', 2, is_bigendian=1), ''),
    (frame('millimetres', '16UC1', 2), ''),
    (frame('padded', step=200, data=bytes(200 * HEIGHT)), ''),
]


@pytest.mark.parametrize(('message', 'remark'), USABLE,
                         ids=[one.header.frame_id for one, _ in USABLE])
def test_odd_frame_is_masked_and_what_was_replaced_is_said(line, message, remark):
    """16 bit, big-endian and NaN are masked; NaN is remarked upon, in log and frame_info."""
    facts = line.send(message)
    assert facts['outcome'] == 'masked'
    assert facts['remarks'] == remark
    assert to_rgb(line.shown(message)).shape == (HEIGHT, WIDTH, 3)
    line.program.wait_for(remark)


@pytest.mark.parametrize(('on_fault', 'outcome'), [
    ('pass', 'passed'), ('hold', 'held'), ('blank', 'blank'), ('drop', 'dropped')])
def test_on_fault_decides(line, on_fault, outcome):
    """One parameter says what becomes of a frame that cannot be masked, and is obeyed live."""
    before = frame('before')
    line.send(before)
    held = line.shown(before)
    assert line.graph.change(NODE, on_fault=on_fault).successful
    try:
        message = frame('torn', data=bytes(10))
        facts = line.send(message)
        assert facts['outcome'] == outcome
        out = line.shown(message)
        if on_fault == 'drop':
            assert out is None
        elif on_fault == 'blank':
            assert (to_rgb(out) == 255).all()
            assert (out.height, out.width) == (HEIGHT, WIDTH)
        else:
            assert bytes(out.data) == bytes((held if on_fault == 'hold' else message).data)
    finally:
        line.graph.change(NODE, on_fault='pass')


def test_faults_are_counted_and_warned_of(line):
    """/diagnostics counts every fault and warns with the reason while it lasts."""
    def faults(message) -> int:
        return next(int(pair.value) for pair in message.status[0].values
                    if pair.key == 'frames_faulty')

    before = faults(line.health.wait(after=len(line.health)))
    seen = len(line.health)
    for _ in range(3):
        line.send(frame('torn', data=bytes(10)))
    message = line.health.wait(lambda one: faults(one) == before + 3, after=seen)
    assert message.status[0].level == b'\x01'
    assert 'got 10; the picture is cut off' in message.status[0].message
    line.good()
    line.health.wait(lambda one: one.status[0].level == b'\x00', after=len(line.health))


def test_4k_frame(line):
    """A 4K frame is masked at its size, and the stream goes on."""
    image = np.zeros((2160, 3840, 3), np.uint8)
    image[500:900, 700:1500] = 200
    message = to_msg(image, header('4K'))
    assert line.send(message)['outcome'] == 'masked'
    line.graph.until(lambda: line.shown(message) is not None, 'the masked 4K frame')
    assert to_rgb(line.shown(message)).shape == image.shape
    line.good()


def test_200_hz(line):
    """A camera far too fast: the newest frame wins, the rest is counted, none is unaccounted."""
    keys = ('frames_in', 'frames_out', 'frames_stale', 'frames_lost')

    def counts(message) -> np.ndarray:
        values = {pair.key: pair.value for pair in message.status[0].values}
        return np.array([int(values[key]) for key in keys])

    before = counts(line.health.wait(after=len(line.health)))
    period, due = 1 / 200, time.monotonic()
    for number in range(400):
        line.speaker.publish(frame(f'fast {number}'))
        due += period
        time.sleep(max(0.0, due - time.monotonic()))
    last = line.send(frame('last'))
    assert last['outcome'] == 'masked'
    seen = len(line.health)
    line.health.wait(after=seen + 1)
    came, out, stale, lost = counts(line.health.messages[-1]) - before
    assert came + lost == 401
    assert out + stale == came
    assert stale > 50  # the model makes far less than 200 frames a second
    said = [one.status[0].message for one in line.health.messages]
    assert any('dropped as stale: the model is slower than the camera' in text for text in said)
    line.good()
