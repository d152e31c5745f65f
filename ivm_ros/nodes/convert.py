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
ROS images to NumPy and back.

Inside, a picture is uint8 [H, W, 3] in RGB whatever the camera sends. The usual encodings are read
by NumPy and OpenCV, the rest goes to cv_bridge where it is installed and works. Depth (16UC1,
32FC1) has no grey levels of its own: it is stretched from its least to its greatest valid value,
and what is not valid (0 in 16UC1, NaN and infinities in 32FC1, by REP 118) becomes black.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
import sys
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header


class ConvertError(ValueError):
    """A message holds no picture that can be read; says what was wanted and what came."""


@dataclass(frozen=True)
class Layout:
    """
    How the pixels of an encoding lie in memory.

    Attributes:
        kind (str): NumPy type of one channel in native byte order: 'u1', 'u2' or 'f4'.
        channels (int): Numbers per pixel.
        to_rgb (int | None): OpenCV colour conversion to RGB, None where it is RGB already.
        depth (bool): Stretch to grey levels instead of reading them.
    """

    kind: str
    channels: int
    to_rgb: int | None
    depth: bool = False


# OpenCV names a Bayer pattern by its second row, ROS by its first: hence RGGB = Bayer BG.
LAYOUTS = {
    'rgb8': Layout('u1', 3, None),
    'bgr8': Layout('u1', 3, cv2.COLOR_BGR2RGB),
    'rgba8': Layout('u1', 4, cv2.COLOR_RGBA2RGB),
    'bgra8': Layout('u1', 4, cv2.COLOR_BGRA2RGB),
    'mono8': Layout('u1', 1, cv2.COLOR_GRAY2RGB),
    'mono16': Layout('u2', 1, cv2.COLOR_GRAY2RGB),
    '8UC1': Layout('u1', 1, cv2.COLOR_GRAY2RGB),
    '8UC3': Layout('u1', 3, cv2.COLOR_BGR2RGB),  # says no order: OpenCV's own is the usual one
    '16UC1': Layout('u2', 1, cv2.COLOR_GRAY2RGB, depth=True),
    '32FC1': Layout('f4', 1, cv2.COLOR_GRAY2RGB, depth=True),
    'bayer_rggb8': Layout('u1', 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': Layout('u1', 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': Layout('u1', 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': Layout('u1', 1, cv2.COLOR_BayerGB2RGB),
    'yuv422': Layout('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': Layout('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuyv': Layout('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
    'yuv422_yuy2': Layout('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
}

FROM_RGB = {'rgb8': None, 'bgr8': cv2.COLOR_RGB2BGR, 'rgba8': cv2.COLOR_RGB2RGBA,
            'bgra8': cv2.COLOR_RGB2BGRA, 'mono8': cv2.COLOR_RGB2GRAY}


def _nothing(remark: str) -> None:
    pass


def to_rgb(message: Image | CompressedImage, remark: Callable[[str], None] = _nothing
           ) -> np.ndarray:
    """
    Read a picture.

    Args:
        message: sensor_msgs Image or CompressedImage (or an object with the same fields).
        remark: Called with a sentence for everything that was replaced, such as NaN by black.

    Returns:
        uint8 [H, W, 3], RGB, contiguous. It may share memory with the message.

    Raises:
        ConvertError: Nothing readable; says what was wanted, what came and what to do.
    """
    if hasattr(message, 'format'):
        return _decode(message)
    layout = LAYOUTS.get(message.encoding)
    if layout is None:
        return _by_cv_bridge(message)
    pixels = _pixels(message, layout)
    if layout.depth:
        pixels = _stretch(pixels, message.encoding, remark)
    elif layout.kind == 'u2':
        pixels = (pixels >> 8).astype(np.uint8)
    if layout.to_rgb is not None:
        try:
            pixels = cv2.cvtColor(pixels, layout.to_rgb)
        except cv2.error as error:  # an odd width of YUV 4:2:2, a Bayer picture of one row
            raise ConvertError(f'image {message.width} x {message.height} {message.encoding}: '
                               f'not a size of this encoding ({error.err})') from error
    return np.ascontiguousarray(pixels)


def _pixels(message: Image, layout: Layout) -> np.ndarray:
    """View the data as [H, W] or [H, W, C] in native byte order, row padding cut off."""
    height, width, step = message.height, message.width, message.step
    what = f'image {width} x {height} {message.encoding}'
    if height < 1 or width < 1:
        raise ConvertError(f'{what}: wanted at least one pixel; check the camera driver')
    row = width * layout.channels * int(layout.kind[1])
    if step < row:
        raise ConvertError(f'{what}: wanted a step of at least {row} bytes, got {step}')
    data = np.frombuffer(message.data, np.uint8)
    if data.size < height * step:
        raise ConvertError(f'{what}: wanted {height * step} bytes (step {step} x height), got '
                           f'{data.size}; the picture is cut off')
    rows = data[:height * step].reshape(height, step)[:, :row]
    if layout.kind != 'u1':
        order = '>' if message.is_bigendian else '<'
        rows = np.ascontiguousarray(rows).view(order + layout.kind).astype(layout.kind, copy=False)
    return rows.reshape(height, width, layout.channels) if layout.channels > 1 else rows


def _stretch(values: np.ndarray, encoding: str, remark: Callable[[str], None]) -> np.ndarray:
    """Bring the valid values of a depth image [H, W] to 0..255; the rest becomes 0."""
    valid = np.isfinite(values) if values.dtype.kind == 'f' else values > 0
    missing = values.size - int(np.count_nonzero(valid))
    if missing == values.size:
        raise ConvertError(f'image {encoding}: wanted at least one valid pixel, got only '
                           f'{"NaN or infinity" if values.dtype.kind == "f" else "zeros"}')
    if missing:
        remark(f'{missing} of {values.size} pixels of {encoding} are not valid: shown black')
    low, high = (float(bound) for bound in (values[valid].min(), values[valid].max()))
    scale = 255 / (high - low) if high > low else 0.0
    grey = (np.where(valid, values, low).astype(np.float64) - low) * scale
    return np.where(valid, np.rint(grey), 0).astype(np.uint8)


def _decode(message: CompressedImage) -> np.ndarray:
    """Decompress JPEG, PNG and what else OpenCV reads."""
    what = f'compressed image {message.format!r}'
    if 'compressedDepth' in message.format:
        raise ConvertError(f'{what}: wanted a picture, got depth; use the plain image topic')
    data = np.frombuffer(message.data, np.uint8)
    # Some OpenCV versions fill up a torn JPEG with grey and call it read.
    torn = data[:2].tobytes() == b'\xff\xd8' and b'\xff\xd9' not in data[-64:].tobytes()
    pixels = None
    if data.size and not torn:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        state = 'its end is missing' if torn else f'{data.size} bytes that are none'
        raise ConvertError(f'{what}: wanted a JPEG or PNG file, got {state}')
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _by_cv_bridge(message: Image) -> np.ndarray:
    problem = f'encoding {message.encoding!r} is not known: wanted one of {", ".join(LAYOUTS)}'
    try:
        from cv_bridge import CvBridge
    except ImportError as error:
        raise ConvertError(f'{problem}, or one that cv_bridge knows, which is not installed '
                           f'(apt install ros-$ROS_DISTRO-cv-bridge)') from error
    try:
        pixels = CvBridge().imgmsg_to_cv2(message, 'rgb8')
        return np.ascontiguousarray(pixels, np.uint8).reshape(message.height, message.width, 3)
    except Exception as error:  # each version of cv_bridge fails in ways of its own
        raise ConvertError(f'{problem}; cv_bridge could not read it either: {error}') from error


def to_msg(image: np.ndarray, header: Header, encoding: str = 'rgb8') -> Image:
    """
    Write a picture or a mask.

    Args:
        image: uint8 [H, W, 3] in RGB for rgb8, bgr8, rgba8, bgra8 and mono8; uint8 [H, W] for
            mono8; float32 [H, W] for 32FC1.
        header: Goes into the message as it is.
        encoding: Encoding of the message.

    Raises:
        ConvertError: The array does not fit the encoding.
    """
    if encoding == '32FC1':
        fits = image.dtype == np.float32 and image.ndim == 2
    else:
        fits = encoding in FROM_RGB and image.dtype == np.uint8 and (
            image.shape[2:] == (3,) or (image.ndim == 2 and encoding == 'mono8'))
    if not fits:
        raise ConvertError(f'cannot write {image.dtype} {list(image.shape)} as {encoding!r}: '
                           f'wanted uint8 [H, W, 3] for {", ".join(FROM_RGB)}, uint8 [H, W] for '
                           f'mono8 or float32 [H, W] for 32FC1')
    if image.ndim == 3 and (code := FROM_RGB[encoding]) is not None:
        image = cv2.cvtColor(image, code)
    image = np.ascontiguousarray(image)
    message = Image(header=header, height=image.shape[0], width=image.shape[1], encoding=encoding,
                    is_bigendian=sys.byteorder == 'big', step=image.strides[0])
    message.data = _bytes(image)
    return message


def _bytes(data: Any) -> array:
    """Copy a buffer; rclpy takes over this type in 0.06 ms a picture, others cost up to 90 ms."""
    out = array('B')
    out.frombytes(memoryview(data).cast('B'))
    return out


def to_compressed(image: np.ndarray, header: Header, quality: int = 90) -> CompressedImage:
    """
    Write a picture as JPEG.

    Args:
        image: uint8 [H, W, 3] in RGB.
        header: Goes into the message as it is.
        quality: 1 to 100.
    """
    done, data = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                              [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ConvertError(f'OpenCV could not write {list(image.shape)} as JPEG')
    message = CompressedImage(header=header, format='rgb8; jpeg compressed bgr8')
    message.data = _bytes(data)
    return message
