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
"""The real node in its own process: what comes in, what goes out, what can be changed live."""

import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool

from ivm_ros.deploy import apply, DeployConfig
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.nodes.convert import to_compressed, to_msg, to_rgb
from ivm_ros.nodes.image_player import ideal_camera

pytestmark = pytest.mark.slow

NODE = '/ivm_node'
SENTENCE = 'pick up the red mug'
SIZE = (240, 320)
# Random weights find nothing with confidence: so everything counts as found, softly.
SHOW = {'found_threshold': 0.0, 'threshold': 0.01, 'method': 'overlay', 'soft': True}


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Make a picture with some structure, uint8 [H, W, 3]."""
    blocks = np.random.default_rng(seed).integers(0, 256, (15, 20, 3), np.uint8)
    return np.kron(blocks, np.ones((size[0] // 15, size[1] // 20, 1), np.uint8))


class Camera:
    """Sends pictures to the node under test and finds what became of each by its stamp."""

    def __init__(self, graph) -> None:
        self.graph = graph
        self.sent = 0
        self.image = graph.speak(Image, 'image')
        self.info = graph.speak(CameraInfo, 'camera_info', reliable=False)
        self.text = graph.speak(String, 'instruction', latched=True, listeners=2)
        self.boxes = {name: graph.listen(kind, name) for kind, name in (
            (Image, 'masked/image'), (CameraInfo, 'masked/camera_info'), (Image, 'mask'),
            (Image, 'robot_mask'), (DiagnosticArray, f'{NODE}/frame_info'),
            (Image, f'{NODE}/debug_image'))}
        for name in self.boxes:
            graph.until(lambda name=name: graph.node.count_publishers(name) > 0, name)

    def header(self) -> Header:
        """Make a header that no other frame has."""
        self.sent += 1
        header = Header(frame_id=f'eye{self.sent}')
        header.stamp.sec, header.stamp.nanosec = 1000 + self.sent, 7
        return header

    def send(self, message: Image) -> Header:
        """Publish a frame."""
        self.image.publish(message)
        return message.header

    def got(self, name: str, header: Header):
        """Return what came out for the frame of a header: same stamp, same frame_id."""
        return self.boxes[name].wait(lambda message: message.header == header)

    def facts(self, header: Header) -> dict[str, str]:
        """Return what frame_info says about a frame."""
        status = self.got(f'{NODE}/frame_info', header).status[0]
        return {'message': status.message, 'level': status.level,
                **{pair.key: pair.value for pair in status.values}}

    def mask_until(self, good, image: np.ndarray | None = None) -> dict[str, str]:
        """Send frames until frame_info is good: a change takes a moment to arrive."""
        for _ in range(40):
            facts = self.facts(self.send(to_msg(
                picture() if image is None else image, self.header())))
            if good(facts):
                return facts
        return pytest.fail(f'frames never became as wanted: {facts}')


@pytest.fixture(scope='module')
def camera(shared_graph, weights) -> Camera:
    """Start the node and a camera; masking by SENTENCE."""
    program = shared_graph.start('ivm_ros.nodes.ivm_node', weights=str(weights),
                                 instruction=SENTENCE, **SHOW)
    program.wait_for('active: /image -> /masked/image')
    made = Camera(shared_graph)
    made.mask_until(lambda facts: facts['outcome'] == 'masked')
    return made


@pytest.fixture(autouse=True)
def restore(camera):
    """Bring the node back to where every test starts."""
    yield
    config = dict(SHOW, instruction=SENTENCE, enabled=True, mask_encoding='mono8',
                  on_fault='pass', keep_robot=True)
    assert camera.graph.change(NODE, **config).successful


@pytest.fixture(scope='module')
def masker(weights) -> Masker:
    """Load the same weights in the test's process."""
    return Masker(MaskerConfig(weights=str(weights)))


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'bgra8'])
def test_masks_as_the_library_does(camera, masker, encoding):
    """Picture and masks equal, bit for bit, what Masker and apply give for the same picture."""
    image = picture(3)
    header = camera.send(to_msg(image, camera.header(), encoding))
    mask = masker(image, SENTENCE)
    wanted = apply(image, mask, DeployConfig(**SHOW))
    assert wanted.outcome == 'masked'
    assert 0.1 < wanted.alpha.mean() < 0.9
    out = camera.got('masked/image', header)
    assert out.encoding == 'rgb8'
    np.testing.assert_array_equal(to_rgb(out), wanted.image)
    for name, plane in (('mask', mask.target), ('robot_mask', mask.robot)):
        came = camera.got(name, header)
        assert came.encoding == 'mono8'
        assert np.abs(to_rgb(came)[..., 0] - plane * 255).max() <= 0.501


def test_frame_info_tells_what_happened(camera, masker):
    """Instruction, score, method, latency and outcome stand beside the image's stamp."""
    facts = camera.facts(camera.send(to_msg(picture(3), camera.header())))
    assert facts['instruction'] == SENTENCE
    assert facts['outcome'] == 'masked'
    assert facts['found'] == 'true'
    assert float(facts['found_score']) == pytest.approx(masker(picture(3), SENTENCE).found,
                                                        abs=1e-3)
    assert facts['method'] == 'overlay'
    assert 0 < float(facts['latency_ms']) < 30000
    assert facts['level'] == b'\x00'


def test_debug_image_shows_the_mask(camera):
    """The debug image has the size of the input and is neither it nor the masked one."""
    header = camera.send(to_msg(picture(3), camera.header()))
    debug = to_rgb(camera.got(f'{NODE}/debug_image', header))
    assert debug.shape == (*SIZE, 3)
    assert np.abs(debug.astype(int) - picture(3)).mean() > 20


def test_camera_info_comes_beside_the_picture(camera):
    """masked/camera_info has the picture's header and the camera's numbers."""
    info = ideal_camera(SIZE, 90.0, Header(frame_id='other'))
    camera.info.publish(info)
    for _ in range(50):
        header = camera.send(to_msg(picture(), camera.header()))
        camera.got('masked/image', header)
        if len(camera.boxes['masked/camera_info']):
            break
    header = camera.send(to_msg(picture(), camera.header()))
    out = camera.got('masked/camera_info', header)
    assert out.k.tolist() == info.k.tolist()
    assert (out.width, out.height) == (320, 240)


def test_crop_sets_the_roi(camera, masker):
    """After a crop the picture is smaller, and camera_info says where it was cut."""
    camera.info.publish(ideal_camera(SIZE, 90.0, Header()))
    mask = masker(picture(3), SENTENCE)
    level = 0.99999 * float(mask.target.max())  # the box of one pixel, and its margins
    assert camera.graph.change(NODE, method='crop', threshold=level, soft=False).successful
    wanted = apply(picture(3), mask, DeployConfig(
        **{**SHOW, 'method': 'crop', 'threshold': level, 'soft': False}))
    assert wanted.roi[2] < 240 or wanted.roi[3] < 320
    camera.mask_until(lambda facts: facts['method'] == 'crop', picture(3))
    header = camera.send(to_msg(picture(3), camera.header()))
    out = camera.got('masked/image', header)
    assert (0, 0) != (out.height, out.width) == wanted.roi[2:]
    roi = camera.got('masked/camera_info', header).roi
    assert (roi.y_offset, roi.x_offset, roi.height, roi.width) == wanted.roi


def test_float_masks(camera, masker):
    """mask_encoding 32FC1, set live, gives the masks as they are."""
    assert camera.graph.change(NODE, mask_encoding='32FC1').successful
    header = camera.send(to_msg(picture(3), camera.header()))
    out = camera.got('mask', header)
    assert out.encoding == '32FC1'
    plane = np.frombuffer(out.data, np.float32).reshape(SIZE)
    np.testing.assert_allclose(plane, masker(picture(3), SENTENCE).target, atol=1e-6)


def test_enable_service_makes_a_wire(camera):
    """Off: the very bytes of the camera come out, in its encoding; on: masked again."""
    answer = camera.graph.call(SetBool, f'{NODE}/enable', SetBool.Request(data=False))
    assert answer.success
    header = camera.send(to_msg(picture(5), camera.header(), 'bgra8'))
    out = camera.got('masked/image', header)
    assert out.encoding == 'bgra8'
    np.testing.assert_array_equal(to_rgb(out), picture(5))
    assert camera.facts(header)['message'] == 'disabled'
    assert camera.graph.read(NODE, 'enabled') is False
    assert camera.graph.call(SetBool, f'{NODE}/enable', SetBool.Request(data=True)).success
    assert camera.facts(camera.send(to_msg(picture(5), camera.header())))['outcome'] == 'masked'


@pytest.mark.parametrize('latched', [True, False])
def test_instruction_topic(camera, latched):
    """A sentence on the topic takes over, from latched publishers and from `ros2 topic pub`."""
    text = f'put the duck into the pot, please{" now" * latched}'
    speaker = camera.graph.speak(String, 'instruction', latched=latched,
                                 listeners=2 if latched else 1)
    speaker.publish(String(data=text))
    camera.mask_until(lambda facts: facts['instruction'] == text)
    assert camera.graph.read(NODE, 'instruction') == text
    camera.graph.node.destroy_publisher(speaker)


@pytest.mark.parametrize('text', [
    '把红色的杯子放到盘子上', 'Nimm den roten Becher, bitte', 'pick up the 🍎 🙂', 'x' * 1999])
def test_any_language_and_emoji_are_masked(camera, text):
    """Sentences that the model may not understand are sentences all the same."""
    camera.text.publish(String(data=text))
    facts = camera.mask_until(lambda facts: facts['instruction'] == text)
    assert (facts['outcome'], facts['level']) == ('masked', b'\x00')


@pytest.mark.parametrize(('text', 'reason'), [
    ('', 'no instruction'), (' \n\t', 'no instruction'),
    ('pick ' * 2000, 'instruction: wanted at most 2000 characters, got 9999')])
def test_unusable_instruction_is_said_and_the_stream_goes_on(camera, text, reason):
    """Empty or endless: frames pass with the reason, and a good sentence mends it."""
    camera.text.publish(String(data=text))
    facts = camera.mask_until(lambda facts: facts['instruction'] == text)
    assert facts['outcome'] == 'passed'
    assert facts['message'].startswith(reason)
    assert facts['level'] == b'\x01'
    camera.text.publish(String(data=SENTENCE))
    camera.mask_until(lambda facts: facts['outcome'] == 'masked')


@pytest.mark.parametrize(('values', 'words'), [
    ({'method': 'blurr'}, ["'blurr'", "did you mean 'blur'?"]),
    ({'threshold': 1.5}, ['threshold', '1.5']),
    ({'on_fault': 'ignore'}, ["wanted one of 'pass', 'hold', 'blank', 'drop'"]),
    ({'color': [1, 2]}, ['color: wanted three whole numbers']),
    ({'device': 'cpu'}, ['device cannot change now', 'the node is active',
                         '"ros2 lifecycle set /ivm_node deactivate"']),
])
def test_refused_change_says_why(camera, values, words):
    """A refused change gives its reason and changes nothing."""
    result = camera.graph.change(NODE, **values)
    assert not result.successful
    for word in words:
        assert word in result.reason


def test_diagnostics_come_once_a_second(camera):
    """/diagnostics at 1 Hz with rates, latency, counts, device and memory; OK while masking."""
    box = camera.graph.listen(DiagnosticArray, '/diagnostics')
    camera.graph.until(lambda: len(box) >= 4, 'four diagnostics')
    stamps = [message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
              for message in box.messages[:4]]
    assert 2.0 < stamps[3] - stamps[0] < 4.5
    camera.mask_until(lambda facts: facts['outcome'] == 'masked')
    seen = len(box)
    status = box.wait(lambda message: message.status[0].level == b'\x00', after=seen).status[0]
    values = {pair.key: pair.value for pair in status.values}
    assert status.name == 'ivm_node: stream'
    assert values['device'] == 'cpu'
    assert float(values['memory_mb']) > 100
    assert values['frames_lost'] == '0'
    assert int(values['frames_in']) >= int(values['frames_out']) > 10
    assert float(values['latency_ms_p99']) >= float(values['latency_ms_median']) > 0
    assert 0 <= float(values['found_ratio']) <= 1


def test_nothing_is_computed_that_nobody_wants(camera):
    """Without a subscriber no frame is masked: they count as unwatched, not as out."""
    box = camera.graph.listen(DiagnosticArray, '/diagnostics')
    subscriptions = [one for one in camera.graph.node.subscriptions
                     if one.topic_name in {
                         camera.graph.node.resolve_topic_name(name) for name in camera.boxes}]
    for one in subscriptions:
        camera.graph.node.destroy_subscription(one)

    def values(message) -> dict[str, int]:
        return {pair.key: int(pair.value) for pair in message.status[0].values
                if pair.key in ('frames_out', 'frames_unwatched')}

    before = values(box.wait(after=len(box)))
    while values(box.messages[-1])['frames_unwatched'] < before['frames_unwatched'] + 5:
        camera.send(to_msg(picture(), camera.header()))
        camera.graph.until(lambda seen=len(box): len(box) > seen, 'diagnostics')
    after = values(box.messages[-1])
    # Those sent before the node saw the subscriptions go may still have been masked.
    assert after['frames_out'] - before['frames_out'] <= 3
    camera.boxes = {name: camera.graph.listen(
        {'masked/camera_info': CameraInfo, f'{NODE}/frame_info': DiagnosticArray}.get(name, Image),
        name) for name in camera.boxes}
    camera.graph.until(lambda: all(
        camera.graph.node.count_subscribers(name) for name in camera.boxes), 'subscriptions')
    for _ in range(50):
        camera.send(to_msg(picture(), camera.header()))
        camera.graph.until(lambda seen=len(box): len(box) > seen, 'diagnostics')
        if all(map(len, (camera.boxes['masked/image'], camera.boxes[f'{NODE}/frame_info']))):
            return
    pytest.fail('no frame is masked after somebody listens again')


def test_compressed_in_and_out(graph, weights):
    """image/compressed in, masked/image/compressed out: both by parameter."""
    program = graph.start('ivm_ros.nodes.ivm_node', '-r', '__ns:=/arm', weights=str(weights),
                          instruction=SENTENCE, compressed_input=True, compressed_output=True,
                          enabled=False)
    program.wait_for('active: /arm/image/compressed -> /arm/masked/image')
    box, plain = graph.listen(CompressedImage, '/arm/masked/image/compressed'), graph.listen(
        Image, '/arm/masked/image')
    speaker = graph.speak(CompressedImage, '/arm/image/compressed')
    graph.until(lambda: graph.node.count_publishers('/arm/masked/image') > 0, 'outputs')
    sent = to_compressed(picture(2), Header(frame_id='eye'))
    for _ in range(100):
        speaker.publish(sent)
        if len(box) and len(plain):
            break
        time.sleep(0.1)
    assert bytes(box.wait().data) == bytes(sent.data)  # disabled: the very bytes
    np.testing.assert_array_equal(to_rgb(plain.wait()), to_rgb(sent))
    assert graph.change('/arm/ivm_node', enabled=True, found_threshold=0.0).successful
    seen = len(box)
    speaker.publish(sent)
    masked = box.wait(after=seen)
    assert to_rgb(masked).shape == (*SIZE, 3)
    assert bytes(masked.data) != bytes(sent.data)
    assert masked.header == sent.header
