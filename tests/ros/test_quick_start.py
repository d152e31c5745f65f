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
"""The quick start with a bag, as docs/quickstart.md writes it."""

from pathlib import Path
import re
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import to_compressed, to_rgb

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'quickstart.md'
pytestmark = pytest.mark.slow


def commands() -> dict[str, list[str]]:
    """Read the commands of programs on the page: what stands behind --ros-args, by program."""
    lines = PAGE.read_text().splitlines()
    words = [shlex.split(line) for line in lines if re.match(r'\w+ --ros-args ', line)]
    return {line[0]: line[2:] for line in words}


def modules() -> dict[str, str]:
    """Read from setup.py which module a program is."""
    return dict(re.findall(r"'(\w+) = ([\w.]+):main'", (ROOT / 'setup.py').read_text()))


@pytest.fixture
def bag(tmp_path, monkeypatch):
    """Record a picture in a bag where the page has one."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import get_typestore, Stores

    monkeypatch.chdir(tmp_path)
    picture = np.full((240, 320, 3), 90, np.uint8)
    picture[90:150, 120:200] = (200, 30, 30)
    store = get_typestore(Stores.ROS2_JAZZY)
    Path('bags').mkdir()
    with Writer('bags/monday', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        link = writer.add_connection('/front/compressed', 'sensor_msgs/msg/CompressedImage',
                                     typestore=store)
        for number in range(10):
            message = to_compressed(picture, Header(frame_id='front'), 90)
            writer.write(link, 10**9 + number * 10**8, serialize_message(message))
    return picture


def test_a_bag_comes_out_masked(graph, bag):
    given, known = commands(), modules()
    assert given.keys() == {'image_player', 'ivm_node'}
    node = graph.start(known['ivm_node'], *given['ivm_node'])
    node.wait_for('active: /camera/image_raw -> /masked/image, method blur')
    shown = graph.listen(Image, '/masked/image')
    graph.start(known['image_player'], *given['image_player'])
    picture = to_rgb(shown.wait(lambda message: (to_rgb(message) != bag).any(2).mean() > .01))
    assert picture.shape == bag.shape
    block, = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
    subprocess.run([sys.executable, '-c', block], check=True, timeout=90)
    node.wait_for("instruction = 'take the blue plate'")
    assert cv2.imread('masked.png').shape == bag.shape
