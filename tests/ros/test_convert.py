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
"""ROS images to NumPy and back: values worked out by hand, and what a camera can get wrong."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import ConvertError, to_compressed, to_msg, to_rgb

RED, ODD = (255, 0, 0), (10, 200, 99)


def message(encoding: str, rows: list[bytes], width: int, **fields) -> Image:
    """Write an image message byte by byte."""
    data = b''.join(rows)
    return Image(height=len(rows), width=width, encoding=encoding,
                 **{'step': len(rows[0]) if rows else 0, 'data': data, **fields})


@pytest.mark.parametrize(('encoding', 'pixel', 'rgb'), [
    ('rgb8', bytes([10, 200, 99]), ODD), ('bgr8', bytes([99, 200, 10]), ODD),
    ('rgba8', bytes([10, 200, 99, 7]), ODD), ('bgra8', bytes([99, 200, 10, 7]), ODD),
    ('8UC3', bytes([99, 200, 10]), ODD), ('mono8', bytes([77]), (77, 77, 77)),
    ('8UC1', bytes([77]), (77, 77, 77)),
    ('mono16', (0x1234).to_bytes(2, 'little'), (0x12, 0x12, 0x12)),
])
def test_reads_encoding(encoding, pixel, rgb):
    """Each encoding gives the colour that its bytes stand for, at the right place."""
    black = bytes(len(pixel) - (encoding in ('rgba8', 'bgra8'))).ljust(len(pixel), b'\xff')
    rows = [black * 2 + pixel, black * 3]
    image = to_rgb(message(encoding, rows, 3))
    assert image.dtype == np.uint8
    assert image.shape == (2, 3, 3)
    assert image.flags.c_contiguous
    assert tuple(image[0, 2]) == rgb
    assert not image[1].any()


@pytest.mark.parametrize('encoding', ['mono16', '16UC1', '32FC1'])
def test_big_endian_reads_as_little_endian(encoding):
    """The flag is_bigendian turns the bytes around and nothing else."""
    values = np.array([[1, 500, 40000]], '<f4' if encoding == '32FC1' else '<u2')
    little = message(encoding, [values.tobytes()], 3)
    big = message(encoding, [values.astype(values.dtype.newbyteorder('>')).tobytes()], 3,
                  is_bigendian=1)
    np.testing.assert_array_equal(to_rgb(big), to_rgb(little))
    assert to_rgb(big)[0, 2, 0] > 0


def test_row_padding_is_cut_off():
    """Bytes between the end of a row and the step never show."""
    image = to_rgb(message('rgb8', [bytes([1, 2, 3, 4, 5, 6, 255, 255])] * 2, 2))
    assert image.tolist() == [[[1, 2, 3], [4, 5, 6]]] * 2
    assert to_rgb(message('mono16', [b'\x00\x05\x00\x06\xff\xff'] * 2, 2))[..., 0].tolist() == (
        [[5, 6]] * 2)


def test_depth_is_stretched_and_invalid_is_black_and_said():
    """NaN, infinities and zeros of depth are black, with a remark; the rest fills 0..255."""
    remarks = []
    metres = np.array([[1.0, 2.0, np.nan], [3.0, np.inf, 1.5]], '<f4')
    image = to_rgb(message('32FC1', [row.tobytes() for row in metres], 3), remarks.append)
    assert image[..., 0].tolist() == [[0, 128, 0], [255, 0, 64]]
    assert len(remarks) == 1
    assert '2 of 6 pixels of 32FC1 are not valid' in remarks[0]

    remarks.clear()
    millimetres = np.array([[0, 1000, 3000]], '<u2')
    image = to_rgb(message('16UC1', [millimetres.tobytes()], 3), remarks.append)
    assert image[0, :, 0].tolist() == [0, 0, 255]
    assert '1 of 3' in remarks[0]


def test_flat_depth_is_black_without_a_warning():
    """One value everywhere has no contrast to stretch; there is no division by zero."""
    with np.errstate(all='raise'):
        assert not to_rgb(message('32FC1', [np.full(4, 2, '<f4').tobytes()], 4)).any()


@pytest.mark.parametrize(('encoding', 'mosaic'), [
    ('bayer_rggb8', [[200, 100], [100, 50]]), ('bayer_bggr8', [[50, 100], [100, 200]]),
    ('bayer_grbg8', [[100, 200], [50, 100]]), ('bayer_gbrg8', [[100, 50], [200, 100]]),
])
def test_bayer_of_one_colour(encoding, mosaic):
    """A mosaic of one colour comes out in that colour, so red and blue are not swapped."""
    pixels = np.tile(np.array(mosaic, np.uint8), (4, 4))
    image = to_rgb(message(encoding, [row.tobytes() for row in pixels], 8))
    assert image[4, 4].tolist() == [200, 100, 50]


@pytest.mark.parametrize(('encoding', 'pair'), [
    ('yuv422', [90, 81, 240, 81]), ('uyvy', [90, 81, 240, 81]),  # U Y V Y of BT.601 red
    ('yuv422_yuy2', [81, 90, 81, 240]), ('yuyv', [81, 90, 81, 240]),
])
def test_yuv_red(encoding, pair):
    """The YUV that BT.601 gives for red comes back as red."""
    image = to_rgb(message(encoding, [bytes(pair)] * 2, 2))
    assert np.abs(image.astype(int) - RED).max() <= 2


GOOD = [bytes(9)] * 3


@pytest.mark.parametrize(('broken', 'words'), [
    (message('rgb8', GOOD, 3, data=bytes(26)), ['wanted 27 bytes', 'got 26']),
    (message('rgb8', GOOD, 3, data=b''), ['wanted 27 bytes', 'got 0']),
    (message('rgb8', GOOD, 3, step=8), ['step of at least 9', 'got 8']),
    (message('rgb8', GOOD, 3, step=0), ['step of at least 9', 'got 0']),
    (message('rgb8', GOOD, 0), ['image 0 x 3', 'at least one pixel']),
    (message('rgb8', [], 3), ['image 3 x 0', 'at least one pixel']),
    (message('', GOOD, 3), ["encoding ''", 'wanted one of rgb8', 'cv_bridge']),
    (message('nv21', GOOD, 3), ["encoding 'nv21'", 'wanted one of rgb8', 'cv_bridge']),
    (message('yuv422', [bytes(6)] * 2, 3), ['yuv422', '3 x 2']),
    (message('32FC1', [np.full(3, np.nan, '<f4').tobytes()], 3), ['32FC1', 'NaN']),
    (message('16UC1', [bytes(6)], 3), ['16UC1', 'only zeros']),
])
def test_says_what_is_wrong(broken, words):
    """What cannot be read names what was wanted and what came."""
    with pytest.raises(ConvertError) as caught:
        to_rgb(broken)
    for word in words:
        assert word in str(caught.value)
    assert '\n' not in str(caught.value)


def test_broken_cv_bridge_is_an_error_of_ours(tmp_path, monkeypatch):
    """A cv_bridge that fails in its own way becomes a ConvertError that names the encoding."""
    (tmp_path / 'cv_bridge.py').write_text(
        'class CvBridge:\n    def imgmsg_to_cv2(self, message, encoding):\n'
        '        raise AttributeError("tostring")\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConvertError, match=r"'nv21'.*cv_bridge could not read it.*tostring"):
        to_rgb(message('nv21', GOOD, 3))


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8'])
def test_round_trip(encoding):
    """What is written is read back bit for bit, from views as well."""
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)[::2, 5:]
    header = Header(frame_id='eye')
    sent = to_msg(image, header, encoding)
    assert (sent.height, sent.width, sent.header.frame_id) == (20, 55, 'eye')
    assert len(sent.data) == sent.step * sent.height
    np.testing.assert_array_equal(to_rgb(sent), image)


def test_writes_masks():
    """A mask goes out as mono8 or 32FC1 with its values in little endian."""
    plane = np.array([[0, 0.25, 1]], np.float32)
    sent = to_msg(plane, Header(), '32FC1')
    assert (sent.encoding, sent.step, sent.is_bigendian) == ('32FC1', 12, 0)
    assert np.frombuffer(sent.data, '<f4').tolist() == [0, 0.25, 1]
    assert bytes(to_msg(np.array([[0, 64, 255]], np.uint8), Header(), 'mono8').data) == (
        b'\x00\x40\xff')


@pytest.mark.parametrize(('image', 'encoding'), [
    (np.zeros((4, 4, 3), np.float32), 'rgb8'), (np.zeros((4, 4), np.uint8), 'rgb8'),
    (np.zeros((4, 4, 4), np.uint8), 'rgb8'), (np.zeros((4, 4), np.uint8), '32FC1'),
    (np.zeros((4, 4, 3), np.uint8), 'yuyv'),
])
def test_refuses_to_write_what_does_not_fit(image, encoding):
    """An array that is not of the encoding is refused by name."""
    with pytest.raises(ConvertError, match=f"as '{encoding}': wanted uint8"):
        to_msg(image, Header(), encoding)


def test_compressed_round_trip_keeps_colours():
    """Red survives JPEG as red: the colour order is right both ways."""
    image = np.full((64, 64, 3), RED, np.uint8)
    sent = to_compressed(image, Header(frame_id='eye'), 95)
    assert sent.format == 'rgb8; jpeg compressed bgr8'
    assert np.abs(to_rgb(sent).astype(int) - image).max() <= 3
    done, png = cv2.imencode('.png', image[..., ::-1])
    assert done
    np.testing.assert_array_equal(
        to_rgb(CompressedImage(format='png', data=png.tobytes())), image)


@pytest.mark.parametrize(('form', 'data', 'word'), [
    ('jpeg', b'', 'got 0 bytes'), ('jpeg', b'no picture', 'got 10 bytes'),
    ('jpeg', None, 'its end is missing'), ('16UC1; compressedDepth', b'x', 'got depth'),
])
def test_says_what_is_wrong_with_compressed(form, data, word):
    """Empty, foreign, torn and depth data are refused by name."""
    if data is None:
        whole = bytes(to_compressed(np.zeros((64, 64, 3), np.uint8), Header()).data)
        data = whole[:len(whole) // 2]
    with pytest.raises(ConvertError, match=word):
        to_rgb(CompressedImage(format=form, data=data))


def test_no_torch():
    """Conversion serves simulation and players too, which must not pay for torch."""
    code = 'import sys, ivm_ros.nodes.convert; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
