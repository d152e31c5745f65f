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
"""A model that hangs, fails or never comes back, in the real node: what its frames become."""

import os
from pathlib import Path
import signal
import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ivm_ros.nodes.convert import to_msg, to_rgb

pytestmark = [pytest.mark.slow, pytest.mark.alone]

NODE = '/ivm_node'
GOOD = 'pick up the red mug'
WATCHDOG = 0.3
PICTURE = np.random.default_rng(0).integers(0, 200, (48, 64, 3), np.uint8)
ERROR = b'\x02'


class Line:
    """A camera of 30 Hz and a policy, with the node, here started or of others, between them."""

    def __init__(self, graph, camera: str = '', program=None, **parameters) -> None:
        self.graph, self.camera = graph, camera
        here = f'{camera}/' if camera else ''
        self.program = program or graph.start(
            'faulty_node', generator='faulty', instruction=GOOD, watchdog=WATCHDOG,
            environment={'PYTHONPATH': os.pathsep.join(
                [str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')])}, **parameters)
        self.program.wait_for('active: /')
        self.speaker = graph.speak(Image, f'{here}image')
        self.reports = graph.listen(DiagnosticArray, f'{NODE}/{here}frame_info', depth=500)
        self.pictures = graph.listen(Image, f'{here}masked/image', depth=500)
        self.health = graph.listen(DiagnosticArray, '/diagnostics')
        graph.until(lambda: graph.node.count_publishers(f'{here}masked/image') > 0, 'outputs')
        self.sent: list[tuple[Header, float]] = []

    def send(self) -> Header:
        """Publish the next frame."""
        header = Header(frame_id='eye')
        header.stamp.sec = len(self.sent)
        self.sent.append((header, time.monotonic()))
        self.speaker.publish(to_msg(PICTURE, header))
        return header

    def facts(self, header: Header, patience: float = 20.0) -> dict:
        """Return what frame_info says about a frame."""
        status = self.reports.wait(lambda one: one.header == header, patience=patience).status[0]
        return {'reason': status.message, **{pair.key: pair.value for pair in status.values}}

    def masked(self) -> None:
        """Send frames until one is masked: the first may come before the ends know each other."""
        seen = len(self.reports)

        def masked() -> bool:
            header = self.send()
            time.sleep(0.05)
            return any(one.header == header and self.facts(header)['outcome'] == 'masked'
                       for one in self.reports.messages[seen:])

        self.graph.until(masked, 'a masked frame')

    def stream(self, seconds: float) -> list[Header]:
        """Send frames at 30 Hz."""
        headers, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            headers.append(self.send())
            time.sleep(1 / 30)
        return headers

    def say(self, text: str) -> None:
        """Give the node an instruction."""
        assert self.graph.change(NODE, instruction=text).successful

    def diagnosed(self, level: bytes, words: str = '') -> None:
        """Wait for a status of the camera that comes from now on."""
        name = f'ivm_node: {self.camera or "stream"}'
        self.health.wait(lambda one: any(
            status.name == name and status.level == level and words in status.message
            for status in one.status), after=len(self.health))

    def shown(self, header: Header) -> np.ndarray | None:
        """Return the picture that came out for a frame."""
        found = [one for one in self.pictures.messages if one.header == header]
        return to_rgb(found[0]) if found else None


@pytest.fixture(scope='module')
def line(shared_graph) -> Line:
    """Start the node once."""
    made = Line(shared_graph)
    made.masked()
    return made


@pytest.mark.parametrize(('on_fault', 'outcome'), [
    ('pass', 'passed'), ('hold', 'held'), ('blank', 'blank'), ('drop', 'dropped')])
def test_a_model_that_hangs_costs_masks_and_no_pictures(line, tmp_path, on_fault, outcome):
    """Within half a second frames go as on_fault says, and as before when the model is back."""
    line.say(GOOD)
    assert line.graph.change(NODE, on_fault=on_fault).successful
    line.masked()
    masked = line.shown(line.sent[-1][0])
    line.say(f'hang {tmp_path / "now"}')
    sent = line.stream(2.0)
    came = {one.header.stamp.sec: line.facts(one.header) for one in line.reports.messages
            if one.header in sent}
    assert {facts['outcome'] for facts in came.values()} == {outcome}
    assert {facts['reason'] for facts in came.values()} == {
        f'the model hangs: it has been at one frame for more than {WATCHDOG:g} s'}
    # The frame at work waits for as long as the watchdog does, the newest is next; then no more.
    assert all(float(facts['latency_ms']) < 500 for facts in came.values())
    assert sent[0].stamp.sec in came
    late = [header for header in sent[30:-1] if header.stamp.sec not in came]
    assert len(late) <= 2, 'frames got lost while the model hung'
    shown = line.shown(sent[40])
    if on_fault == 'drop':
        assert shown is None
    else:
        wanted = {'pass': PICTURE, 'hold': masked, 'blank': np.full_like(PICTURE, 255)}[on_fault]
        np.testing.assert_array_equal(shown, wanted)
    line.diagnosed(ERROR, f'frames are {outcome}, not masked: the model hangs')

    (tmp_path / 'now').touch()
    line.say(GOOD)
    line.masked()
    line.diagnosed(b'\x00')
    stamps = [one.header.stamp.sec for one in line.pictures.messages]
    assert stamps == sorted(set(stamps))  # the late mask was thrown away
    line.program.wait_for('the model is back')
    assert 'Traceback' not in line.program.text()


@pytest.mark.parametrize(('text', 'reason'), [
    ('lose it', 'RuntimeError: CUDA error: unspecified launch failure'),
    ('fill it', 'memory of cpu is full with 1 picture(s) (')])
def test_a_lost_or_full_gpu_costs_masks_and_no_pictures(line, text, reason):
    """Every frame passes with the reason, diagnostics say ERROR, the next good one is masked."""
    # On a busy machine, looking for garbage when memory is full takes longer than WATCHDOG.
    assert line.graph.change(NODE, on_fault='pass', watchdog=10.0).successful
    line.say(text)
    for _ in range(3):
        header = line.send()
        facts = line.facts(header)
        assert facts['outcome'] == 'passed' and facts['reason'].startswith(reason)
        line.graph.until(lambda header=header: line.shown(header) is not None, 'the picture')
        np.testing.assert_array_equal(line.shown(header), PICTURE)
    line.diagnosed(ERROR, f'frames are passed, not masked: {reason}')
    assert line.graph.change(NODE, instruction=GOOD, watchdog=WATCHDOG).successful
    line.masked()
    line.diagnosed(b'\x00')


def test_a_new_model_takes_the_place_of_one_that_hangs(line, tmp_path):
    """~/reload does not wait for the old one, which is freed when it comes back."""
    line.say(f'hang {tmp_path / "now"}')
    line.stream(WATCHDOG + 0.3)
    line.diagnosed(ERROR, 'the model hangs')
    answer = line.graph.call(Trigger, f'{NODE}/reload', Trigger.Request())
    assert answer.success, answer.message
    line.say(GOOD)
    line.masked()
    line.diagnosed(b'\x00')
    assert 'the model is freed' not in line.program.text()
    (tmp_path / 'now').touch()
    line.program.wait_for('the model is freed')


def test_stop_deactivates_and_says_so(line, tmp_path):
    """on_fault stop: not one frame passes unmasked; ERROR until it is activated again."""
    assert line.graph.change(NODE, on_fault='stop').successful
    line.masked()
    line.say('')  # no fault of the model: dropped, and that is all
    assert line.facts(line.send())['outcome'] == 'dropped'
    assert line.graph.state(NODE) == 'active'
    seen = len(line.pictures)
    line.say(f'hang {tmp_path / "now"}')
    line.stream(WATCHDOG + 0.5)
    line.graph.until(lambda: line.graph.state(NODE) == 'inactive', 'the end')
    line.diagnosed(ERROR, 'stopped, as on_fault says: the model hangs')
    line.program.wait_for('When the model is well again: ros2 lifecycle set /ivm_node activate')
    assert len(line.pictures) == seen
    (tmp_path / 'now').touch()
    line.say(GOOD)
    assert line.graph.move(NODE, 'activate')
    line.masked()
    line.diagnosed(b'\x00')
    assert line.graph.change(NODE, on_fault='pass').successful


def test_a_model_that_never_comes_back_keeps_nothing_from_ending(line, tmp_path):
    """Deactivate, cleanup, configure, activate: another model; then Ctrl-C while that hangs."""
    line.say(f'hang {tmp_path / "never"}')
    line.stream(WATCHDOG + 0.3)
    for transition in ('deactivate', 'cleanup', 'configure'):
        begin = time.monotonic()
        assert line.graph.move(NODE, transition)
        assert time.monotonic() - begin < 2
    line.say(GOOD)
    assert line.graph.move(NODE, 'activate')
    line.masked()
    line.diagnosed(b'\x00')
    line.say(f'hang {tmp_path / "never"}')
    line.stream(WATCHDOG + 0.3)
    line.diagnosed(ERROR, 'the model hangs')
    begin = time.monotonic()
    assert line.program.stop(signal.SIGINT) == 0
    assert time.monotonic() - begin < 2
    assert 'Traceback' not in line.program.text()


def test_while_tracking_frames_go_as_on_fault_says_too(graph, tmp_path):
    """The watchdog barks for keyframes; the node ends at once; SIGTERM this time."""
    line = Line(graph, track=True)
    line.masked()
    line.say(f'hang {tmp_path / "now"}')
    line.stream(1.5)
    last = line.facts(line.send())
    assert last['outcome'] == 'passed' and 'the model hangs' in last['reason']
    line.diagnosed(ERROR, 'the model hangs')
    (tmp_path / 'now').touch()
    line.say(GOOD)
    line.masked()
    line.diagnosed(b'\x00')
    line.say(f'hang {tmp_path / "never"}')
    line.stream(WATCHDOG + 0.3)
    begin = time.monotonic()
    assert line.program.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begin < 2


def test_a_model_that_hangs_costs_all_cameras_their_masks(graph, tmp_path):
    """One model, two cameras: the pictures of both pass, with the reason; then both are masked."""
    front = Line(graph, 'front', cameras=['front', 'wrist'])
    lines = (front, Line(graph, 'wrist', front.program))
    for line in lines:
        line.masked()
    front.say(f'hang {tmp_path / "now"}')
    sent = {line: [] for line in lines}
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        for line in lines:
            sent[line].append(line.send())
        time.sleep(1 / 30)
    for line in lines:
        line.diagnosed(ERROR, 'frames are passed, not masked: the model hangs')
        came = {one.header.stamp.sec: line.facts(one.header) for one in line.reports.messages
                if one.header in sent[line]}
        assert {facts['outcome'] for facts in came.values()} == {'passed'}
        assert all('the model hangs' in facts['reason'] for facts in came.values())
        assert all(float(facts['latency_ms']) < 500 for facts in came.values())
        late = [one for one in sent[line][len(sent[line]) // 2:-1] if one.stamp.sec not in came]
        assert len(late) <= 2, 'frames got lost while the model hung'
        np.testing.assert_array_equal(line.shown(sent[line][-3]), PICTURE)
    (tmp_path / 'now').touch()
    front.say(GOOD)
    for line in lines:
        line.masked()
        line.diagnosed(b'\x00')
