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
"""The real node with each large generator, made of its tiny configuration."""

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ivm_ros.deploy import DeployConfig
from ivm_ros.masker import Masker, MaskerConfig, MemoryFullError
from ivm_ros.models.registry import module_of, parts_of
from ivm_ros.models.settings import GENERATORS
from ivm_ros.nodes.convert import to_msg
from ivm_ros.nodes.masking import FrameMasker
from ivm_ros.nodes.node_config import NodeConfig

MODULE, NODE = 'ivm_ros.nodes.ivm_node', '/ivm_node'
LARGE = [name for name in GENERATORS if name != 'compact' and parts_of(name)]  # with weights
PICTURE = np.kron(np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8),
                  np.ones((8, 8, 1), np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize('name', LARGE)
def test_the_node_masks_with_each(graph, name, tmp_path):
    """As the library does, by the sentence; it says which generator it is, and reloads it."""
    module_of(name).write_random(tmp_path / name)
    config = {'generator': name, 'weights': str(tmp_path / name), 'device': 'cpu'}
    program = graph.start(MODULE, instruction='pick up the red mug', found_threshold=0.0, **config)
    program.wait_for(f'model loaded: {name} on cpu')
    program.wait_for('active: /image')
    assert ('none missing, none left over' in program.text()) == (name == 'ivm_v1')
    masks = {plane: graph.listen(Image, plane) for plane in ('mask', 'robot_mask')}
    health = graph.listen(DiagnosticArray, '/diagnostics')
    camera = graph.speak(Image, 'image')
    for plane in masks:
        graph.until(lambda plane=plane: graph.node.count_publishers(plane) > 0, plane)
    masker, sent = Masker(MaskerConfig(**config)), 0

    def mask(plane):
        message = masks[plane].wait(lambda one: one.header.stamp.sec == sent)
        return np.asarray(message.data, np.uint8).reshape(message.height, message.width)

    for sentence in ('pick up the red mug', 'take the duck'):
        assert graph.change(NODE, instruction=sentence).successful
        sent += 1
        header = Header(frame_id='eye')
        header.stamp.sec = sent
        camera.publish(to_msg(PICTURE, header))
        wanted = masker(PICTURE, sentence)
        assert np.ptp(wanted.target) > .02
        assert np.abs(mask('mask') - 255 * wanted.target).max() <= .51
        assert np.abs(mask('robot_mask') - 255 * wanted.robot).max() <= .51
    health.wait(lambda one: {pair.key: pair.value for pair in one.status[0].values}.get(
        'generator') == name)
    answer = graph.call(Trigger, f'{NODE}/reload', Trigger.Request())
    assert answer.success and str(tmp_path) in answer.message
    assert 'Traceback' not in program.text()


@pytest.mark.slow
def test_the_node_without_the_weights_says_how_to_get_them(graph, tmp_path):
    program = graph.start(MODULE, generator='ivm_v1', weights=str(tmp_path))
    program.wait_for('cannot configure: generator ivm_v1: no IVM-V1.0.bin in')
    program.wait_for('"ivm download ivm_v1" fetches it')
    assert not graph.change(NODE, generator='ivm-v1').successful
    module_of('clipseg').write_random(tmp_path)
    assert graph.change(NODE, generator='clipseg', instruction='cup').successful
    assert graph.move(NODE, 'configure')
    program.wait_for('model loaded: clipseg')
    assert 'Traceback' not in program.text()


def test_a_frame_for_which_memory_is_full_passes_and_says_why():
    def full(image, instruction):
        raise MemoryFullError('memory of cuda is full with 1 picture(s)')

    message = to_msg(PICTURE, Header())
    frame = FrameMasker(full)(message, NodeConfig(instruction='cup'), DeployConfig())
    assert frame.original is message
    assert (frame.outcome, frame.fault) == ('passed', True)
    assert frame.reason == 'memory of cuda is full with 1 picture(s)'
