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
"""What holds for any picture, mask and depth image on its way into a message and back."""

from hypothesis import example, given, settings, strategies as st
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import ConvertError, to_compressed, to_msg, to_rgb
from ivm_ros.nodes.depth import mask_depth
from ivm_ros.pixel_formats import to_depth

patient = settings(deadline=None)
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)
DEPTHS = {'16UC1': np.uint16, '32FC1': np.float32}
PICTURES = ('rgb8', 'bgr8', 'rgba8', 'bgra8')
OUTCOMES = ('masked', 'passed', 'held', 'blank', 'dropped')


def some_depth(encoding: str, height: int, width: int, seed: int) -> np.ndarray:
    """Make a depth image of any bits: zeros, NaN and infinity among them."""
    bits = np.random.default_rng(seed).integers(
        0, 256, (height, width * np.dtype(DEPTHS[encoding]).itemsize), np.uint8)
    return bits.view(DEPTHS[encoding])


@patient
@given(st.sampled_from(PICTURES), sides, sides, st.booleans(), seeds)
@example('rgb8', 2, 1, True, 0)  # one row: numpy calls it contiguous, whatever its stride
def test_a_picture_comes_back_from_its_message(encoding, height, width, turned, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    image = image.transpose(1, 0, 2) if turned else image  # not contiguous
    header = Header(frame_id='eye')
    message = to_msg(image, header, encoding)
    assert (message.height, message.width) == image.shape[:2]
    assert len(message.data) == message.height * message.step and message.header == header
    assert np.array_equal(to_rgb(message), image)


@patient
@given(sides, sides, seeds)
def test_a_grey_picture_comes_back_in_three_equal_planes(height, width, seed):
    plane = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    assert (to_rgb(to_msg(plane, Header(), 'mono8')) == plane[..., None]).all()


@patient
@given(st.sampled_from([*PICTURES, 'mono8', *DEPTHS, 'yuyv', '']) | st.text(max_size=8),
       st.lists(st.integers(1, 5), max_size=4),
       st.sampled_from(['u1', 'i1', 'u2', 'f2', 'f4', 'f8', '?', 'c8', 'O']))
def test_any_array_is_written_or_refused_by_name(encoding, shape, kind):
    try:
        message = to_msg(np.zeros(shape, kind), Header(), encoding)
    except ConvertError:
        return
    assert (message.height, message.width, message.encoding) == (*shape[:2], encoding)


@patient
@given(sides, sides, st.tuples(*[st.integers(0, 255)] * 3), st.integers(1, 100))
def test_one_colour_survives_jpeg_of_any_quality(height, width, colour, quality):
    message = to_compressed(np.full((height, width, 3), colour, np.uint8), Header(), quality)
    back = to_rgb(message)
    assert back.shape == (height, width, 3) and back.dtype == np.uint8
    if quality >= 80:
        assert np.abs(back.astype(int) - colour).max() <= 4


@patient
@given(st.sampled_from(sorted(DEPTHS)), sides, sides, st.integers(0, 5), st.booleans(), seeds)
def test_depth_of_any_bits_comes_back(encoding, height, width, more, big, seed):
    depth = some_depth(encoding, height, width, seed)
    rows = depth.astype(depth.dtype.newbyteorder('>' if big else '<')).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, more)))
    message = Image(height=height, width=width, encoding=encoding, is_bigendian=big,
                    step=padded.shape[1], data=padded.tobytes())
    np.testing.assert_array_equal(to_depth(message), depth)
    np.testing.assert_array_equal(to_depth(to_msg(depth, Header(), encoding)), depth)
    message.data = message.data[:-1]
    with pytest.raises(ConvertError):
        to_depth(message)


@patient
@given(st.sampled_from([*DEPTHS, 'mono16', 'rgb8', '']), st.integers(0, 2**32 - 1),
       st.integers(0, 2**32 - 1) | sides, st.integers(0, 2**32 - 1) | sides,
       st.binary(max_size=200))
def test_any_message_is_depth_or_refused_by_name(encoding, height, width, step, data):
    message = Image(height=height, width=width, step=step, encoding=encoding, data=data)
    try:
        depth = to_depth(message)
    except ConvertError:
        return
    assert depth.shape == (height, width) and depth.dtype == DEPTHS[encoding]


@patient
@given(st.sampled_from(sorted(DEPTHS)), sides, sides, st.sampled_from(OUTCOMES), seeds)
def test_masked_depth_is_kept_where_the_picture_is_shown_and_gone_elsewhere(
        encoding, height, width, outcome, seed):
    depth = some_depth(encoding, height, width, seed)
    weight = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    message = to_msg(depth, Header(frame_id='eye'), encoding)
    before = bytes(message.data)
    out = mask_depth(message, outcome, weight)
    values, shown = to_depth(out), weight >= 128
    np.testing.assert_array_equal(values[shown], depth[shown])
    gone = values[~shown]
    assert (np.isnan(gone) if encoding == '32FC1' else gone == 0).all()
    assert (out.header, out.encoding) == (message.header, encoding)
    assert bytes(message.data) == before, 'the message that came was written into'
    bare = mask_depth(message, outcome, None)
    assert (bare is None) is (outcome not in ('passed', 'blank'))
    assert bare is message if outcome == 'passed' else True
    with pytest.raises(ConvertError):
        mask_depth(message, outcome, weight[:, 1:])
