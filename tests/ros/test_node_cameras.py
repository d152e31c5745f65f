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
"""One real node, three cameras, one model: who gets which mask, when, together with whom."""

from collections.abc import Mapping
import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool, Trigger

from ivm_ros.deploy import apply, DeployConfig
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.nodes.convert import stamp_ns, to_msg, to_rgb
from ivm_ros.nodes.image_player import ideal_camera

pytestmark = pytest.mark.slow

NODE = '/ivm_node'
CAMERAS = ('front', 'side', 'wrist')
INPUTS = {'front': '/front/color/image_raw', 'side': '/side/image', 'wrist': '/wrist/image'}
START = {'instruction': 'pick up the red mug', 'front.instruction': 'take the blue plate',
         'side.method': 'grayscale', 'side.instruction': '', 'front.method': '',
         'wrist.mask': False, 'enabled': True, 'track': False, 'sync_slop': 0.0,
         'side.max_rate': -1.0, 'batch_window': 800.0}
# Random weights find nothing with confidence: so everything counts as found, softly.
SHOW = {'found_threshold': 0.0, 'threshold': 0.01, 'soft': True}


def picture(seed: int) -> np.ndarray:
    """Make a picture with some structure, uint8 [120, 160, 3]."""
    blocks = np.random.default_rng(seed).integers(0, 256, (15, 20, 3), np.uint8)
    return np.kron(blocks, np.ones((8, 8, 1), np.uint8))


class Cameras:
    """Sends pictures as several cameras, and finds what became of each by its header."""

    def __init__(self, graph, names: tuple[str, ...] = CAMERAS) -> None:
        self.graph, self.sent = graph, 0
        self.publishers = {name: graph.speak(Image, INPUTS[name]) for name in names}
        self.words = {name: graph.speak(String, f'{name}/instruction', latched=True, listeners=2)
                      for name in names}
        self.out = {name: graph.listen(Image, f'{name}/masked/image') for name in names}
        self.facts = {name: graph.listen(DiagnosticArray, f'{NODE}/{name}/frame_info')
                      for name in names}
        self.health = graph.listen(DiagnosticArray, '/diagnostics')
        for name in names:
            for topic in (f'{name}/masked/image', f'{NODE}/{name}/frame_info'):
                graph.until(lambda topic=topic: graph.node.count_publishers(topic) > 0, topic)

    def header(self) -> Header:
        """Make a header that no other frame has."""
        self.sent += 1
        header = Header(frame_id=f'eye{self.sent}')
        header.stamp.sec, header.stamp.nanosec = 1000 + self.sent, 7
        return header

    def send(self, pictures: Mapping[str, np.ndarray], encoding: str = 'rgb8') -> dict:
        """Send a picture from each of some cameras at once; return the headers."""
        headers = {name: self.header() for name in pictures}
        messages = {name: to_msg(image, headers[name], encoding)
                    for name, image in pictures.items()}
        for name, message in messages.items():
            self.publishers[name].publish(message)
        return headers

    def got(self, name: str, header: Header) -> np.ndarray:
        """Return the picture that came out for a header, in RGB."""
        return to_rgb(self.out[name].wait(lambda message: message.header == header))

    def said(self, name: str, header: Header) -> dict[str, str]:
        """Return what frame_info says about a frame."""
        message = self.facts[name].wait(lambda message: message.header == header)
        return {pair.key: pair.value for pair in message.status[0].values}

    def statuses(self) -> dict[str, dict]:
        """Return the next diagnostics by their names, and what each says in words."""
        message = self.health.wait(after=len(self.health))
        return {status.name: {'message': status.message, 'level': status.level, **{
            pair.key: pair.value for pair in status.values}} for status in message.status}

    def until(self, name: str, good) -> dict[str, str]:
        """Send frames until frame_info is good: a change takes a moment to arrive."""
        for _ in range(40):
            facts = self.said(name, self.send({name: picture(1)})[name])
            if good(facts):
                return facts
        return pytest.fail(f'frames never became as wanted: {facts}')


@pytest.fixture(scope='module')
def program(shared_graph, weights):
    """Start the node."""
    program = shared_graph.start(
        'ivm_ros.nodes.ivm_node', '-r', f'front/image:={INPUTS["front"]}',
        cameras=CAMERAS, weights=str(weights), device='cpu', **SHOW,
        **{name: value for name, value in START.items() if value != ''})
    program.wait_for('active: /wrist/image -> /wrist/masked/image, method overlay, not masked')
    return program


@pytest.fixture(scope='module')
def cameras(shared_graph, program) -> Cameras:
    """Start the cameras; every one is heard."""
    made = Cameras(shared_graph)
    for name in CAMERAS:
        made.until(name, lambda facts: facts['outcome'] in ('masked', 'passed'))
    return made


@pytest.fixture(autouse=True)
def restore(cameras):
    """Bring the node to where every test starts."""
    assert cameras.graph.change(NODE, **START).successful


@pytest.fixture(scope='module')
def masker(weights) -> Masker:
    """Load the same weights in the test's process."""
    return Masker(MaskerConfig(weights=str(weights), device='cpu'))


def test_each_camera_has_its_own_topics_words_and_method(cameras, masker):
    """Masked as the library does, by the camera's own settings where it has some."""
    pictures = {name: picture(number) for number, name in enumerate(CAMERAS)}
    headers = cameras.send(pictures, 'bgra8')
    for name, sentence, method in (('front', START['front.instruction'], 'overlay'),
                                   ('side', START['instruction'], 'grayscale')):
        mask = masker(pictures[name], sentence)
        wanted = apply(pictures[name], mask, DeployConfig(method=method, **SHOW))
        out = cameras.got(name, headers[name])
        # In a batch, sums are rounded in another order.
        assert np.abs(out.astype(int) - wanted.image).max() <= 1
        assert np.abs(out.astype(int) - pictures[name]).mean() > 5
        facts = cameras.said(name, headers[name])
        assert (facts['instruction'], facts['method']) == (sentence, method)
        assert cameras.out[name].messages[-1].encoding == 'rgb8'


def test_an_unmasked_camera_is_a_wire(cameras):
    """The very message of the wrist camera; masked once that is asked for."""
    header = cameras.send({'wrist': picture(5)}, 'bgra8')['wrist']
    np.testing.assert_array_equal(cameras.got('wrist', header), picture(5))
    assert cameras.out['wrist'].messages[-1].encoding == 'bgra8'
    assert cameras.graph.change(NODE, **{'wrist.mask': True}).successful
    cameras.until('wrist', lambda facts: facts['outcome'] == 'masked')


def test_frames_of_a_tick_are_one_batch(cameras):
    """Twenty ticks of two masked cameras: twenty batches of two, whatever the wrist does."""
    def counts() -> tuple[int, int]:
        batch = cameras.statuses()['ivm_node: batch']
        return int(batch['batches']), int(batch['frames'])

    cameras.statuses()
    before = counts()
    for _ in range(20):
        headers = cameras.send({name: picture(1) for name in CAMERAS})
        for name in CAMERAS:
            cameras.got(name, headers[name])
    cameras.statuses()
    after = counts()
    assert (after[0] - before[0], after[1] - before[1]) == (20, 40)


def test_a_silent_camera_costs_the_others_the_window(cameras):
    """Alone, a frame waits for 800 ms; with a window of 0 it does not."""
    waited = float(cameras.said('side', cameras.send({'side': picture(1)})['side'])['latency_ms'])
    assert waited > 800
    assert cameras.graph.change(NODE, batch_window=0.0).successful
    cameras.until('side', lambda facts: float(facts['latency_ms']) < 800)


def test_a_bad_frame_spoils_no_other_of_its_batch(cameras):
    """A picture that is too small for the model passes as a fault; the other is masked."""
    headers = cameras.send({'front': picture(1)[:20, :20], 'side': picture(2)})
    assert 'wanted sides' in (facts := cameras.said('front', headers['front']))['reason'], facts
    assert facts['outcome'] == 'passed'
    assert cameras.said('side', headers['side'])['outcome'] == 'masked'


def test_instructions_by_topic_for_one_camera_and_for_all(cameras):
    """Its own sentence comes first; an empty one gives the camera back to the node's."""
    everyone = cameras.graph.speak(String, 'instruction', latched=True, listeners=2)
    everyone.publish(String(data='push the green box'))
    cameras.until('side', lambda facts: facts['instruction'] == 'push the green box')
    assert cameras.until('front', lambda facts: True)['instruction'] == 'take the blue plate'
    cameras.words['side'].publish(String(data='open the drawer'))
    cameras.until('side', lambda facts: facts['instruction'] == 'open the drawer')
    assert cameras.graph.read(NODE, 'side.instruction') == 'open the drawer'
    assert cameras.graph.read(NODE, 'instruction') == 'push the green box'
    cameras.words['front'].publish(String(data=''))
    cameras.until('front', lambda facts: facts['instruction'] == 'push the green box')
    cameras.graph.node.destroy_publisher(everyone)


def test_parameters_of_a_camera_are_judged_as_the_nodes_are(cameras):
    """Described, with their ranges; what is wrong is refused with the reason."""
    result = cameras.graph.change(NODE, **{'front.method': 'blurr'})
    assert not result.successful
    assert "'blurr'" in result.reason and 'blur' in result.reason
    assert not cameras.graph.change(NODE, **{'front.max_rate': 5000.0}).successful
    result = cameras.graph.change(NODE, cameras=['front'])
    assert 'cameras cannot change now: the node is active' in result.reason
    assert 'cannot change now' in cameras.graph.change(
        NODE, **{'side.depth_input': True}).reason
    assert cameras.graph.change(NODE, method='blur').successful  # of the cameras without their own
    cameras.until('front', lambda facts: facts['method'] == 'blur')
    assert cameras.until('side', lambda facts: True)['method'] == 'grayscale'
    assert cameras.graph.change(NODE, method='overlay').successful


def test_max_rate_skips_frames_of_one_camera(cameras):
    """Forty frames in two seconds at 5 Hz: at most a dozen pass, the others count as skipped."""
    assert cameras.graph.change(NODE, **{'side.max_rate': 5.0, 'batch_window': 0.0}).successful
    cameras.statuses()
    before = cameras.statuses()['ivm_node: side']
    begin = time.monotonic()
    for _ in range(40):
        cameras.send({'side': picture(1)})
        time.sleep(.05)
    took = time.monotonic() - begin
    cameras.statuses()
    after = cameras.statuses()['ivm_node: side']
    count = {name: int(after[f'frames_{name}']) - int(before[f'frames_{name}'])
             for name in ('in', 'out', 'stale', 'skipped', 'lost')}
    assert count['in'] + count['lost'] == 40
    assert count['out'] + count['stale'] + count['skipped'] == count['in']
    assert 1 <= count['out'] + count['stale'] <= 5 * took + 2
    assert count['skipped'] >= 20


def test_every_camera_has_a_status_of_its_own(cameras):
    """Counts, words and troubles of each; and what the batch does."""
    cameras.send({'front': picture(1), 'side': picture(1), 'wrist': picture(1)})
    statuses = cameras.statuses()
    assert list(statuses) == [f'ivm_node: {name}' for name in (*CAMERAS, 'batch')]
    assert statuses['ivm_node: front']['instruction'] == 'take the blue plate'
    assert statuses['ivm_node: side']['method'] == 'grayscale'
    assert statuses['ivm_node: wrist']['enabled'] == 'False'
    assert statuses['ivm_node: batch']['cameras'] == '3'
    assert float(statuses['ivm_node: batch']['model_ms_median']) > 0

    def front_is_silent() -> bool:
        """Say so of front alone while wrist sends on."""
        for _ in range(5):
            cameras.got('wrist', cameras.send({'wrist': picture(1)})['wrist'])
            time.sleep(.1)
        said = {status.name: (status.message, status.level)
                for status in cameras.health.messages[-1].status}
        message, level = said['ivm_node: front']
        return ('publisher(s) offer /front/color/image_raw' in message and level == b'\x01'
                and said['ivm_node: wrist'] == ('passing on', b'\x00'))

    cameras.graph.until(front_is_silent, 'a warning')


def test_enable_makes_wires_of_all(cameras):
    assert cameras.graph.call(SetBool, f'{NODE}/enable', SetBool.Request(data=False)).success
    headers = cameras.send({name: picture(7) for name in CAMERAS}, 'bgr8')
    for name in CAMERAS:
        np.testing.assert_array_equal(cameras.got(name, headers[name]), picture(7))
    assert cameras.graph.call(SetBool, f'{NODE}/enable', SetBool.Request(data=True)).success
    cameras.until('front', lambda facts: facts['outcome'] == 'masked')


def test_camera_info_goes_by_camera(cameras):
    """Each camera's own numbers come out beside its pictures."""
    infos = {name: cameras.graph.speak(CameraInfo, f'{name}/camera_info', reliable=False)
             for name in ('front', 'wrist')}
    boxes = {name: cameras.graph.listen(CameraInfo, f'{name}/masked/camera_info')
             for name in infos}
    for fov, (name, speaker) in zip((60.0, 90.0), infos.items()):
        speaker.publish(ideal_camera((120, 160), fov, Header()))
        cameras.graph.until(lambda name=name: cameras.send({name: picture(1)})
                            and not time.sleep(.1) and len(boxes[name]), name)
    assert boxes['front'].messages[-1].k[0] == pytest.approx(80 / np.tan(np.pi / 6))
    assert boxes['wrist'].messages[-1].k[0] == pytest.approx(80)


def test_sets_are_masked_when_that_is_asked_for(cameras):
    """With a slop of 50 ms: stamps of 40 ms apart make a set, 200 ms do not; stamps stay."""
    assert cameras.graph.change(NODE, sync_slop=.05).successful
    cameras.statuses()
    seen = {name: len(cameras.out[name]) for name in CAMERAS}

    def send(name: str, ms: int) -> None:
        header = Header(frame_id=name)
        header.stamp.sec, header.stamp.nanosec = ms // 1000, ms % 1000 * 10**6
        cameras.publishers[name].publish(to_msg(picture(1), header))

    def came(name: str) -> list[int]:
        times = [stamp_ns(message.header) // 10**6
                 for message in cameras.out[name].messages[seen[name]:]]
        return [ms for ms in times if ms < 10_000]  # not what is late of another test

    for front, side in ((5000, 5040), (5200, 5300), (5400, 5410)):
        for name, ms in (('front', front), ('side', side), ('wrist', front)):
            send(name, ms)
        cameras.graph.until(lambda ms=front: ms == 5200 or ms in came('front'), 'a set')
    for name in ('side', 'wrist'):
        cameras.graph.until(lambda name=name: came(name)[-1:] > [5399], name)
    assert came('front') == [5000, 5400]
    assert came('side') == [5040, 5410]
    assert came('wrist') == [5000, 5200, 5400]  # waits for nobody
    assert cameras.graph.change(NODE, sync_slop=0.0).successful


def test_tracking_goes_by_camera(cameras):
    """Keyframes of both masked cameras, by one model in turns; each has its own masks."""
    assert cameras.graph.change(NODE, track=True, track_interval=2).successful
    for name in ('front', 'side'):
        cameras.until(name, lambda facts: facts['outcome'] == 'masked'
                      and facts['keyframe_age_ms'])
    statuses = cameras.statuses()
    for name in ('front', 'side'):
        assert int(statuses[f'ivm_node: {name}']['keyframes']) >= 1
    assert 'keyframes' not in statuses['ivm_node: wrist']
    assert cameras.graph.change(NODE, track=False).successful
    cameras.until('front', lambda facts: facts['outcome'] == 'masked'
                  and not facts['keyframe_age_ms'])


def test_reload_and_lifecycle_serve_all_cameras(cameras, program):
    """New weights for all of them; off the graph on deactivate, back on activate."""
    answer = cameras.graph.call(Trigger, f'{NODE}/reload', Trigger.Request())
    assert answer.success, answer.message
    cameras.until('front', lambda facts: facts['outcome'] == 'masked')
    assert cameras.graph.move(NODE, 'deactivate')
    for name in CAMERAS:
        assert cameras.graph.node.count_subscribers(INPUTS[name]) == 0
    assert cameras.graph.move(NODE, 'cleanup')
    assert cameras.graph.node.count_publishers('front/masked/image') == 0
    assert cameras.graph.move(NODE, 'configure') and cameras.graph.move(NODE, 'activate')
    for name in CAMERAS:
        topic = INPUTS[name]
        cameras.graph.until(lambda topic=topic: cameras.graph.node.count_subscribers(topic), topic)
        cameras.graph.until(
            lambda name=name: cameras.publishers[name].get_subscription_count(), name)
    cameras.until('side', lambda facts: facts['outcome'] == 'masked')
    assert 'Traceback' not in program.text()
