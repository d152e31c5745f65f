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
"""
What the programs say to a newcomer: in the log, and when asked how they are used.

A file of its own: nobody else may publish on the camera's topic.
"""

import subprocess
import sys

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import to_msg

pytestmark = pytest.mark.slow

MODULE = 'ivm_ros.nodes.ivm_node'


def test_the_log_tells_of_a_wrong_topic_and_of_what_is_not_there(graph, weights):
    node = graph.start(MODULE, weights=str(weights), device='cpu', instruction='take the cup',
                       found_threshold=1.0)
    node.wait_for('nobody publishes on /image: remap image to the topic of the camera')
    pictures, speaker = graph.listen(Image, 'masked/image'), graph.speak(Image, 'image')
    message = to_msg(np.zeros((48, 64, 3), np.uint8), Header(frame_id='eye'))

    def told() -> bool:
        speaker.publish(message)
        return 'nothing found in the last' in node.text()

    graph.until(told, 'the warning')
    assert 'on_not_found = keep' in node.text()
    assert len(pictures)


@pytest.mark.parametrize('name', ['ivm_node', 'recorder_node', 'rerun_node', 'image_player'])
def test_programs_tell_how_they_are_used(name):
    """They start nothing; the second line says what they are for."""
    done = subprocess.run([sys.executable, '-m', f'ivm_ros.nodes.{name}', '--help'], timeout=60,
                          capture_output=True, text=True, check=True)
    assert done.stdout.startswith('usage: ') and 'PARAMETER:=VALUE' in done.stdout
    assert len(done.stdout.splitlines()[2]) > 40 and 'ros2 node info /' in done.stdout
