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
"""The node's life: bad models, lifecycle, name clashes, parameters at start, a clean end."""

from pathlib import Path
import shutil
import signal
import time

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
import numpy as np
import pytest
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
import torch

from ivm_ros.nodes.convert import to_msg, to_rgb
from ivm_ros.nodes.image_player import ideal_camera
from ivm_ros.nodes.lifecycle import RCLError, refuse_impossible

pytestmark = pytest.mark.slow

NODE = '/ivm_node'
MODULE = 'ivm_ros.nodes.ivm_node'


def copy(weights: Path, folder: Path) -> Path:
    """Copy a checkpoint, both files."""
    for suffix in ('.safetensors', '.json'):
        shutil.copy(weights.with_suffix(suffix), folder / f'copy{suffix}')
    return folder / 'copy.safetensors'


def missing(weights: Path, folder: Path) -> dict:
    """Name weights that do not exist."""
    return {'weights': str(folder / 'nowhere.safetensors')}


def truncated(weights: Path, folder: Path) -> dict:
    """Cut the weights in the middle."""
    path = copy(weights, folder)
    path.write_bytes(path.read_bytes()[:100000])
    return {'weights': str(path)}


def other_shape(weights: Path, folder: Path) -> dict:
    """Claim another width in the JSON than the arrays have."""
    path = copy(weights, folder)
    beside = path.with_suffix('.json')
    beside.write_text(beside.read_text().replace('"dim": 128', '"dim": 64'))
    assert '"dim": 64' in beside.read_text()
    return {'weights': str(path)}


def pickled(weights: Path, folder: Path) -> dict:
    """Save a pickle under the name of a checkpoint."""
    path = copy(weights, folder)
    torch.save({'x': torch.zeros(3)}, path)
    return {'weights': str(path)}


def pickle_file(weights: Path, folder: Path) -> dict:
    """Give a .pt file."""
    torch.save({'x': torch.zeros(3)}, folder / 'model.pt')
    return {'weights': str(folder / 'model.pt')}


@pytest.fixture(scope='module')
def idle(shared_graph):
    """Start a node that waits to be configured."""
    program = shared_graph.start(MODULE, autostart=False)
    program.wait_for('autostart is off: waiting to be configured')
    return program


CASES = [
    (missing, 'no weights at'), (truncated, 'is truncated or not safetensors'),
    (other_shape, 'does not fit its JSON'), (pickled, 'is a pickle, which is never loaded'),
    (pickle_file, 'wanted a .safetensors file, got .pt'),
    pytest.param(lambda weights, folder: {'weights': str(weights), 'device': 'cuda'},
                 'device: wanted cuda, but torch', marks=pytest.mark.skipif(
                     torch.cuda.is_available(), reason='there is a CUDA device'), id='no cuda'),
    (lambda weights, folder: {'weights': str(weights), 'text_encoder': str(folder), 'device':
                              'cpu'}, 'no all-MiniLM-L6-v2 sentence encoder'),
]


@pytest.mark.parametrize(('spoil', 'words'), CASES)
def test_bad_model_is_refused_with_the_reason(shared_graph, idle, weights, tmp_path, spoil, words):
    """Configure fails, log and diagnostics say why and what to do, the node lives on."""
    health = shared_graph.listen(DiagnosticArray, '/diagnostics')
    assert shared_graph.change(NODE, **spoil(weights, tmp_path)).successful
    assert not shared_graph.move(NODE, 'configure')
    assert shared_graph.state(NODE) == 'unconfigured'
    line = next(one for one in reversed(idle.text().splitlines()) if 'cannot configure' in one)
    assert words in line
    assert 'ros2 lifecycle set /ivm_node configure' in line
    assert 'Traceback' not in idle.text()
    status = health.wait(lambda one: words in one.status[0].message).status[0]
    assert status.level == b'\x02'
    assert status.message.startswith('not configured: ')


def lay_down(graph) -> None:
    """Bring the node to where the test begins: a first try may have failed on the way."""
    for state, transition in (('active', 'deactivate'), ('inactive', 'cleanup')):
        if graph.state(NODE) == state:
            assert graph.move(NODE, transition)


def test_lifecycle_frees_and_comes_back(shared_graph, idle, weights):
    """After the bad ones a good model runs; output_size takes effect on configure."""
    graph = shared_graph
    lay_down(graph)
    assert graph.change(NODE, weights=str(weights), text_encoder='', device='cpu',
                        output_size=[100, 80], found_threshold=0.0, threshold=0.01).successful
    assert graph.move(NODE, 'configure')
    assert graph.state(NODE) == 'inactive'
    assert 'inactive: nothing is masked or published until activated' in idle.text()
    assert graph.node.count_subscribers('image') == 0  # an inactive node costs nothing
    assert graph.move(NODE, 'activate')
    idle.wait_for('no instruction yet: on_fault = pass for every frame. Send one: ros2 topic pub')
    refused = graph.change(NODE, output_size=[10, 10])
    assert 'cannot change now' in refused.reason

    pictures, infos = graph.listen(Image, 'masked/image'), graph.listen(
        CameraInfo, 'masked/camera_info')
    speaker = graph.speak(Image, 'image')
    info_speaker = graph.speak(CameraInfo, 'camera_info')
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    message = to_msg(image, Header(frame_id='eye'))

    def resized() -> bool:
        # Each time, as a camera does: the first message may come before the ends know each other.
        info_speaker.publish(ideal_camera((96, 128), 90.0, Header()))
        speaker.publish(message)
        return len(pictures) > 0 and len(infos) > 0

    graph.until(resized, 'a picture and its camera_info')
    assert to_rgb(pictures.wait()).shape == (80, 100, 3)  # without an instruction as well
    info = infos.wait()
    # 128 x 96 into 100 x 80: scale 100/128, f = 64 px of 90 degrees, so 50 px.
    assert (info.width, info.height) == (100, 80)
    assert info.k[0] == pytest.approx(50, abs=0.1)

    assert graph.move(NODE, 'deactivate')
    assert graph.node.count_subscribers('image') == 0
    assert graph.move(NODE, 'cleanup')
    graph.until(lambda: graph.node.count_publishers('masked/image') == 0, 'no more outputs')
    assert graph.change(NODE, output_size=[0, 0]).successful
    assert graph.move(NODE, 'configure')
    assert graph.move(NODE, 'activate')
    seen = len(pictures)

    def whole() -> bool:
        speaker.publish(message)
        return any(one.width == 128 for one in pictures.messages[seen:])

    graph.until(whole, 'pictures of the size of the input')


def test_two_nodes_of_one_name_are_reported(shared_graph, idle, weights):
    """Both would answer to one name and publish on one topic: each says so, and what to do."""
    health = shared_graph.listen(DiagnosticArray, '/diagnostics')
    twin = shared_graph.start(MODULE, weights=str(weights))
    words = '1 more node(s) are called /ivm_node: give each its own name with -r __node:=NAME'
    health.wait(lambda one: words in one.status[0].message)
    for program in (idle, twin):
        program.wait_for(words)
    assert twin.stop(signal.SIGTERM) == 0
    seen = len(health)
    health.wait(lambda one: 'more node(s)' not in one.status[0].message, after=seen)


def test_ctrl_c_ends_cleanly(idle):
    """SIGINT on an active node, twice as under `ros2 launch`: exit code 0, no traceback."""
    idle.process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    assert idle.stop(signal.SIGINT) == 0
    assert 'Traceback' not in idle.text()


def test_start_with_a_wrong_parameter(graph):
    """A wrong value ends the program with one line; a misspelt name is warned of."""
    program = graph.start(MODULE, method='blurr', treshold=0.5)
    assert program.process.wait(60) == 1
    text = program.text()
    assert "ivm_node: DeployConfig.method: wanted one of 'overlay'" in text
    assert "got 'blurr' (did you mean 'blur'?)" in text
    assert 'Traceback' not in text


def test_start_as_users_do(graph, weights):
    """Started: says that it is no safety function, what it loaded, and what it ignores."""
    program = graph.start(MODULE, '-r', '__ns:=/left', '-r', 'image:=/camera/color/image_raw',
                          weights=str(weights), treshold=0.5)
    program.wait_for('active: /camera/color/image_raw -> /left/masked/image, method overlay')
    program.wait_for('ros2 topic pub --once /left/instruction')
    text = program.text()
    assert 'masking is not a safety function' in text
    assert f'model loaded: compact on cpu, 1 thread(s), weights {weights}' in text
    assert "parameter treshold is not one of this node and is ignored (did you mean 'threshold'?" \
        in text
    assert program.stop(signal.SIGTERM) == 0


def test_an_error_of_the_state_machine_is_a_no_and_no_end(graph):
    """As rclpy of Jazzy raises it where a transition does not fit; the executor would end."""
    def change(request, response):
        raise RCLError('Transition is not registered')

    node = LifecycleNode('refusing', context=graph.context)
    try:
        node._service_change_state.callback = change
        refuse_impossible(node)
        answer = node._service_change_state.callback(
            ChangeState.Request(), ChangeState.Response(success=True))
        assert not answer.success
    finally:
        node.destroy_node()
