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
"""The simulated camera, as a process of its own over ROS 2."""

from collections.abc import Callable, Iterator
import os
import subprocess
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from ivm_ros.nodes.convert import to_rgb

pytestmark = pytest.mark.slow
COUNT = 9
TOPICS = {'image': Image, 'camera_info': CameraInfo, 'truth/target': Image, 'truth/robot': Image,
          'instruction': String, 'camera_node/sent': DiagnosticArray}
LASTING = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SPACE = f'/camera_test_{os.getpid()}'


def start(*parameters: str) -> subprocess.Popen:
    """Start the camera in a namespace of this test."""
    values = [part for parameter in parameters for part in ('-p', parameter)]
    return subprocess.Popen(
        [sys.executable, '-m', 'ivm_sim.nodes.camera_node', '--ros-args', '-r', f'__ns:={SPACE}',
         *values], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope='module')
def got() -> Iterator[dict[str, list[Any]]]:
    """Record all that the camera says while it sends a few frames."""
    rclpy.init()
    node = Node('listener', namespace=SPACE)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    messages: dict[str, list[Any]] = {topic: [] for topic in TOPICS}

    def keep(topic: str) -> Callable[[Any], None]:
        return lambda message: messages[topic].append(message)

    for topic, kind in TOPICS.items():
        lasting = topic in ('instruction', 'camera_node/sent')
        node.create_subscription(kind, topic, keep(topic), LASTING if lasting else 20)
    camera = start('seed:=900011', 'width:=160', 'height:=120', 'truth_height:=60',
                   f'count:={COUNT}', 'wait_for:=1', 'change_every:=3', 'truth_every:=2',
                   'numbered:=true')
    until = time.monotonic() + 120
    while camera.poll() is None and time.monotonic() < until:
        executor.spin_once(timeout_sec=.1)
    if camera.poll() is None:
        camera.kill()
    said = camera.communicate()[0]
    assert camera.returncode == 0, said
    for _ in range(20):
        executor.spin_once(timeout_sec=.05)
    yield messages
    node.destroy_node()
    rclpy.try_shutdown()


def stamp(message: Any) -> float:
    """Seconds of a header."""
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def test_every_frame_comes_with_its_number_and_time(got):
    images = got['image']
    assert [image.header.frame_id for image in images] == [f'camera/{i}' for i in range(COUNT)]
    gaps = np.diff([stamp(image) for image in images])
    assert (gaps > .09).all(), 'faster than 10 Hz'
    pictures = [to_rgb(image) for image in images]
    assert all(picture.shape == (120, 160, 3) and picture.std() > 10 for picture in pictures)
    assert all((one != other).any() for one, other in zip(pictures, pictures[1:]))


def test_camera_info_fits_the_picture(got):
    assert [stamp(info) for info in got['camera_info']] == [stamp(i) for i in got['image']]
    info = got['camera_info'][0]
    assert (info.width, info.height) == (160, 120)
    focal = info.k[0]
    assert info.k.tolist() == [focal, 0, 79.5, 0, focal, 59.5, 0, 0, 1]
    assert info.p.reshape(3, 4)[:, :3].ravel().tolist() == info.k.tolist()
    # Cameras of the simulation see 32 to 58 degrees from top to bottom.
    assert 32 < np.rad2deg(2 * np.arctan(60 / focal)) < 58


def test_truth_goes_with_every_second_frame(got):
    for topic in ('truth/target', 'truth/robot'):
        truths = got[topic]
        assert [truth.header.frame_id for truth in truths] == [
            f'camera/{i}' for i in range(0, COUNT, 2)]
        stamps = {image.header.frame_id: stamp(image) for image in got['image']}
        for truth in truths:
            assert stamp(truth) == stamps[truth.header.frame_id]
            plane = to_rgb(truth)[..., 0]
            assert plane.shape == (60, 80)
            assert set(np.unique(plane)) == {0, 255}
            assert .001 < (plane > 0).mean() < .5


def test_the_instruction_changes_as_asked(got):
    texts = [message.data for message in got['instruction']]
    assert len(texts) == len(set(texts)) == 3
    assert all(len(text.split()) > 2 for text in texts)


def test_the_camera_says_how_many_it_sent(got):
    last = {pair.key: pair.value for pair in got['camera_node/sent'][-1].status[0].values}
    assert (last['sent'], last['done']) == (str(COUNT), 'True')
    assert float(last['render_ms']) > 0


@pytest.mark.parametrize(('parameter', 'words'), [
    ('seed:=3', 'Min: 900000'), ('rate:=0.0', 'Min: 0.1'),
    ('width:=big', 'width'), ('reliability:=maybe', "'best_effort'")])
def test_a_wrong_setting_is_one_line(parameter, words):
    camera = start(parameter)
    said = camera.communicate(timeout=60)[0]
    assert camera.returncode == 1
    assert said.startswith('camera_node: ')
    assert words in said
    assert 'Traceback' not in said


def test_without_a_renderer_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'nonsense')
    monkeypatch.delenv('IVM_SIM_GL_CHECKED', raising=False)
    camera = start()
    said = camera.communicate(timeout=60)[0]
    assert camera.returncode == 1
    assert 'MUJOCO_GL' in said
    assert 'Traceback' not in said
