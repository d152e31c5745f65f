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
"""The real node, whose masks are carried by the memory of SAM 2 or EdgeTAM in miniature."""

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.registry import module_of
from ivm_ros.models.settings import CARRIERS
from ivm_ros.nodes.convert import to_msg

MODULE, NODE = 'ivm_ros.nodes.ivm_node', '/ivm_node'
PICTURE = np.kron(np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8),
                  np.ones((8, 8, 1), np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize('name', CARRIERS)
def test_the_node_carries_by_a_memory(graph, name, tmp_path):
    """Masks come for each frame, are not the keyframe's own, and end with the instruction."""
    module_of(name).write_random(tmp_path / 'carrier')
    module_of('grounded_edgetam').write_random(tmp_path / 'model')  # finds things in any picture
    config = {'generator': 'grounded_edgetam', 'weights': str(tmp_path / 'model'), 'device': 'cpu',
              'robot_plane': 'none'}
    program = graph.start(
        MODULE, instruction='pick up the red mug', soft=True, found_threshold=0.0, track=True,
        track_by=name, track_weights=str(tmp_path / 'carrier'), track_interval=10000,
        track_confidence=0.0, track_oldest=600.0, track_scene_change=1.0, watchdog=0.0, **config)
    program.wait_for('active: /image')
    masks = graph.listen(Image, 'mask', depth=100)
    reports = graph.listen(DiagnosticArray, f'{NODE}/frame_info', depth=100)
    health = graph.listen(DiagnosticArray, '/diagnostics')
    camera = graph.speak(Image, 'image')
    graph.until(lambda: graph.node.count_publishers('mask') > 0, 'mask')
    sent = 0

    def send():
        """Send a frame until it is heard of, and return what became of it first."""
        nonlocal sent
        sent += 1
        header = Header(frame_id='eye')
        header.stamp.sec = sent
        message = to_msg(np.roll(PICTURE, sent, 1), header)
        graph.until(lambda: sent in [one.header.stamp.sec for one in reports.messages]
                    or camera.publish(message), 'a report')
        said = reports.wait(lambda one: one.header.stamp.sec == sent)
        return {pair.key: pair.value for pair in said.status[0].values}

    def carried():
        """Send a frame whose mask was carried; give that, float32 [H, W]."""
        graph.until(lambda: float(send()['keyframe_age_ms'] or 0) > 0, 'a carried mask')
        message = masks.wait(lambda one: one.header.stamp.sec == sent)
        return np.asarray(message.data, np.uint8).reshape(120, 160) / 255

    first = carried()
    own = Masker(MaskerConfig(**config))(np.roll(PICTURE, sent, 1), 'pick up the red mug').target
    assert first.max() > .5
    assert np.abs(first - own).max() > .02  # drawn by what carries, not by what masks
    assert graph.change(NODE, instruction='take the duck').successful
    assert 'no mask yet' in send()['reason']
    assert carried().max() > .5
    health.wait(lambda one: {pair.key: pair.value for pair in one.status[0].values}.get(
        'track_by') == name)
    assert not graph.change(NODE, track_by='flow').successful
    assert 'Traceback' not in program.text()


@pytest.mark.slow
def test_the_node_without_the_weights_says_how_to_get_them(graph, tmp_path):
    program = graph.start(MODULE, track_by='edgetam', track_weights=str(tmp_path))
    program.wait_for('cannot configure: track_by edgetam: no config.json in')
    program.wait_for('"ivm download edgetam" fetches it')
    assert graph.change(NODE, track_by='flow').successful
    assert graph.move(NODE, 'configure')
    program.wait_for('model loaded: compact')
    assert 'Traceback' not in program.text()
