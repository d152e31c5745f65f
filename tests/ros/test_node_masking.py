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
"""One frame from message to picture: what is shown, passed, held, blanked or dropped, and why."""

from dataclasses import replace

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.deploy import apply, DeployConfig
from ivm_ros.nodes.convert import to_compressed, to_msg
from ivm_ros.nodes.masking import FrameMasker
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.sample import Mask

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (48, 64, 3), np.uint8)
GOOD = to_msg(IMAGE, Header(), 'bgr8')
TORN = Image(height=48, width=64, step=192, encoding='rgb8', data=bytes(100))
SIZELESS = Image(height=0, width=0, encoding='rgb8')
ASKED = NodeConfig(instruction='take the cup')
SHOW = DeployConfig(feather=0.0, dilation=0.0)


def left_half(image: np.ndarray, instruction: str) -> Mask:
    """Find the left half of every picture, unless asked for a ghost or told to fail."""
    target = np.zeros(image.shape[:2], np.float32)
    target[:, :image.shape[1] // 2] = 1
    if 'broken' in instruction:
        raise RuntimeError('CUDA out of memory')
    return Mask(target, np.zeros_like(target), 0.1 if 'ghost' in instruction else 0.9)


@pytest.fixture
def masker() -> FrameMasker:
    """Mask the left half."""
    return FrameMasker(left_half)


def test_masked_frame_is_what_deploy_makes(masker):
    """The picture is exactly that of `apply`, the mask travels along, there is no reason."""
    frame = masker(GOOD, ASKED, SHOW)
    wanted = apply(IMAGE, left_half(IMAGE, ''), SHOW)
    np.testing.assert_array_equal(frame.picture[0], wanted.image)
    assert (frame.outcome, frame.reason, frame.fault) == ('masked', '', False)
    assert (frame.picture[0][:, 32:] == 255).all()
    np.testing.assert_array_equal(frame.image, IMAGE)


def test_without_a_listener_for_pictures_none_is_made(masker):
    """Only masks wanted: no deployment."""
    frame = masker(GOOD, ASKED, SHOW, show=False)
    assert frame.picture is None
    assert frame.mask is not None


def test_disabled_passes_the_message_itself(masker):
    """Off means a wire: the very message, also one that could not be masked."""
    off = NodeConfig(enabled=False, on_fault='drop')
    for message in (GOOD, TORN):
        frame = masker(message, off, SHOW)
        assert frame.original is message
        assert frame.outcome == 'passed'
    assert masker(GOOD, off, SHOW).reason == 'disabled'


@pytest.mark.parametrize('message', [GOOD, TORN, SIZELESS])
@pytest.mark.parametrize('on_fault', ['pass', 'hold', 'blank', 'drop'])
def test_fault_follows_on_fault(masker, message, on_fault):
    """What cannot be masked is passed, held, blanked or dropped, and the reason is given."""
    shown = masker(GOOD, ASKED, SHOW).picture
    config = replace(ASKED, on_fault=on_fault)
    broken = message is not GOOD
    frame = masker(message, config if broken else replace(config, instruction=' '), SHOW)
    assert frame.fault
    assert ('wanted' in frame.reason) if broken else (frame.reason == 'no instruction')
    if on_fault == 'pass':
        assert frame.outcome == 'passed'
        assert frame.original is message
    elif on_fault == 'hold':
        assert frame.outcome == 'held'
        assert frame.picture is shown
    elif on_fault == 'blank' and message is not SIZELESS:
        assert frame.outcome == 'blank'
        assert frame.picture[0].shape == (48, 64, 3)
        assert (frame.picture[0] == 255).all()
    else:
        assert frame.outcome == 'dropped'
        assert frame.picture is None
        assert frame.original is None


def test_hold_without_a_past_drops(masker):
    """There is nothing to hold before the first picture."""
    assert masker(TORN, replace(ASKED, on_fault='hold'), SHOW).outcome == 'dropped'


def test_any_error_of_the_model_is_a_fault(masker):
    """Whatever a model raises, the stream goes on and the kind of error is named."""
    frame = masker(GOOD, replace(ASKED, instruction='broken'), SHOW)
    assert (frame.fault, frame.outcome) == (True, 'passed')
    assert frame.reason == 'RuntimeError: CUDA out of memory'


def test_not_found_is_no_fault(masker):
    """Nothing in view is an answer: the picture passes by on_not_found, and the reason is told."""
    frame = masker(GOOD, replace(ASKED, instruction='ghost'), SHOW)
    assert (frame.outcome, frame.reason, frame.fault) == ('passed', 'not found', False)
    np.testing.assert_array_equal(frame.picture[0], IMAGE)


def test_hold_not_found_only_for_the_same_sentence(masker):
    """A mask found for another sentence is not held for this one."""
    hold = replace(SHOW, on_not_found='hold')
    masker(GOOD, ASKED, hold)
    assert masker(GOOD, replace(ASKED, instruction='ghost'), hold).outcome == 'passed'
    found = [0.9]
    fading = FrameMasker(lambda image, text: replace(left_half(image, text), found=found[0]))
    assert fading(GOOD, ASKED, hold).outcome == 'masked'
    found[0] = 0.1
    assert fading(GOOD, ASKED, hold).outcome == 'held'


@pytest.mark.parametrize('config', [
    replace(ASKED, enabled=False), replace(ASKED, instruction=''),
    replace(ASKED, instruction='', on_fault='blank'), ASKED])
def test_output_size_holds_for_every_outcome(masker, config):
    """A policy that needs one size gets it, masked or not."""
    frame = masker(GOOD, config, replace(SHOW, output_size=(100, 40)))
    assert frame.picture[0].shape == (40, 100, 3)
    assert frame.original is None
    assert masker(TORN, replace(ASKED, enabled=False),
                  replace(SHOW, output_size=(100, 40))).outcome == 'dropped'


def test_remarks_reach_the_frame(masker):
    """What was replaced in reading (NaN) is told, the frame is masked all the same."""
    depth = np.full((48, 64), 2, np.float32)
    depth[0, :3] = np.nan
    depth[1, 0] = 1
    frame = masker(to_msg(depth, Header(), '32FC1'), ASKED, SHOW)
    assert frame.outcome == 'masked'
    assert frame.remarks == ('3 of 3072 pixels of 32FC1 are not valid: shown black',)


def test_unreadable_compressed_frame(masker):
    """A torn JPEG cannot tell its size: blank takes that of the last picture."""
    jpeg = to_compressed(IMAGE, Header())
    assert masker(jpeg, ASKED, SHOW).outcome == 'masked'
    jpeg.data = jpeg.data[:50]
    frame = masker(jpeg, replace(ASKED, on_fault='blank'), SHOW)
    assert (frame.outcome, frame.picture[0].shape) == ('blank', (48, 64, 3))
