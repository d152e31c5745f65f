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
"""`~/reload` on the real node: new weights between two frames, old ones where the new are bad."""

import shutil

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
import torch

from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.checkpoint import save_checkpoint
from ivm_ros.models.checkpoint_info import read_checkpoint_info
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.installed import install, installed
from ivm_ros.nodes.convert import to_msg

pytestmark = pytest.mark.slow

MODULE = 'ivm_ros.nodes.ivm_node'
SENTENCE = 'pick up the red mug'
PICTURE = np.kron(np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8),
                  np.ones((8, 8, 1), np.uint8))


class Line:
    """Sends frames one by one, each answered before the next, and keeps count."""

    def __init__(self, graph) -> None:
        self.masks = graph.listen(Image, 'mask', 500)
        self.camera = graph.speak(Image, 'image')
        graph.until(lambda: graph.node.count_publishers('mask') > 0, 'the topic mask')
        self.sent = 0

    def mask(self) -> np.ndarray:
        """Send a frame and return its mask, uint8 [H, W]; fail if it is lost."""
        self.sent += 1
        header = Header(frame_id='eye')
        header.stamp.sec = self.sent
        self.camera.publish(to_msg(PICTURE, header))
        message = self.masks.wait(lambda one: one.header.stamp.sec == header.stamp.sec)
        return np.asarray(message.data, np.uint8).reshape(message.height, message.width)


def expected(path) -> np.ndarray:
    """Mask in this process, as the node publishes it."""
    target = Masker(MaskerConfig(str(path), device='cpu'))(PICTURE, SENTENCE).target
    return np.rint(target * 255)


@pytest.fixture
def other_weights(weights, tmp_path):
    """Write weights that mask otherwise."""
    torch.manual_seed(1)
    path = tmp_path / 'other.safetensors'
    save_checkpoint(path, CompactNet(), read_checkpoint_info(weights)['text_encoder'],
                    {'command': 'other'}, {})
    return path


def test_reload_takes_what_is_promoted_and_refuses_garbage(
        graph, weights, other_weights, tmp_path, monkeypatch):
    """No frame is lost; masks are those of the old weights, then those of the new."""
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'data'))
    install(weights, 'first', {})
    program = graph.start(MODULE, instruction=SENTENCE, device='cpu', autostart=False,
                          found_threshold=0.0, threshold=0.01)
    program.wait_for('autostart is off')
    early = graph.call(Trigger, '/ivm_node/reload', Trigger.Request())
    assert not early.success and 'configure loads them' in early.message
    assert graph.move('/ivm_node', 'configure') and graph.move('/ivm_node', 'activate')
    line, before, after = Line(graph), expected(weights), expected(other_weights)
    assert np.abs(before - after).max() > 20
    assert np.abs(line.mask() - before).max() <= 2

    install(other_weights, 'second', {})
    assert np.abs(line.mask() - before).max() <= 2  # only when it is asked for
    client = graph.node.create_client(Trigger, '/ivm_node/reload')
    answer = client.call_async(Trigger.Request())
    seen = []
    while not answer.done():
        seen.append(line.mask())
    assert answer.result().success, answer.result().message
    assert str(installed('second')) in answer.result().message
    assert len(seen) > 1  # frames go on while it loads
    old = [np.abs(mask - before).max() <= 2 for mask in seen]
    new = [np.abs(mask - after).max() <= 2 for mask in seen]
    assert old[0] and all(one != other for one, other in zip(old, new))  # never a mixture
    assert old == sorted(old, reverse=True)  # nor back again
    assert np.abs(line.mask() - after).max() <= 2

    installed('second').write_bytes(b'garbage')
    refused = graph.call(Trigger, '/ivm_node/reload', Trigger.Request())
    assert not refused.success
    assert 'the weights in use stay' in refused.message and 'truncated' in refused.message
    assert np.abs(line.mask() - after).max() <= 2
    shutil.rmtree(installed('second').parent)
    refused = graph.call(Trigger, '/ivm_node/reload', Trigger.Request())
    assert not refused.success and 'ivm promote --rollback' in refused.message
    assert np.abs(line.mask() - after).max() <= 2
    assert len(line.masks) == line.sent  # each frame once
    assert 'Traceback' not in program.text()
