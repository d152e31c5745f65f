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
The pixels of ROS image messages, read without ROS: a bag on a laptop and a node read alike.

Inside, a picture is uint8 [H, W, 3] in RGB whatever the camera sends. Depth (16UC1, 32FC1) has no
grey levels of its own: it is stretched from its least to its greatest valid value, and what is not
valid (0 in 16UC1, NaN and infinities in 32FC1, by REP 118) becomes black.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ivm_ros.picture_files import decode, PictureFileError


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


def nothing(remark: str) -> None:
    """Pay no attention to a remark."""


def unknown(encoding: str) -> str:
    """Say that an encoding is not one of ours."""
    return f'encoding {encoding!r} is not known: wanted one of {", ".join(LAYOUTS)}'


def to_rgb(message: Any, remark: Callable[[str], None] = nothing) -> np.ndarray:
    """
    Read a picture.

    Args:
        message: An object with the fields of sensor_msgs Image or CompressedImage, such as what
            rclpy or rosbags gives.
        remark: Called with a sentence for everything that was replaced, such as NaN by black.

    Returns:
        uint8 [H, W, 3], RGB, contiguous. It may share memory with the message.

    Raises:
        ConvertError: Nothing readable; says what was wanted, what came and what to do.
    """
    try:
        return _decode(message) if hasattr(message, 'format') else _read(message, remark)
    except ConvertError:
        raise
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        # A bag brings definitions of its messages along, and they may be anything.
        raise ConvertError(f'a message that is not as sensor_msgs has it ({error})') from error


def _read(message: Any, remark: Callable[[str], None]) -> np.ndarray:
    """Read an Image."""
    layout = LAYOUTS.get(message.encoding)
    if layout is None:
        raise ConvertError(unknown(message.encoding))
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


def to_depth(message: Any) -> np.ndarray:
    """
    Read a depth image.

    Args:
        message: An object with the fields of sensor_msgs Image.

    Returns:
        uint16 [H, W] in millimetres for 16UC1, float32 [H, W] in metres for 32FC1, by REP 118. It
        may share memory with the message: do not write.

    Raises:
        ConvertError: It is none, or torn; says what was wanted and what came.
    """
    layout = LAYOUTS.get(message.encoding)
    if layout is None or not layout.depth:
        raise ConvertError(f'depth image of encoding {message.encoding!r}: wanted 16UC1 or 32FC1')
    return _pixels(message, layout)


def _pixels(message: Any, layout: Layout) -> np.ndarray:
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


def _decode(message: Any) -> np.ndarray:
    """Decompress JPEG, PNG and the like."""
    what = f'compressed image {message.format!r}'
    if 'compressedDepth' in message.format:
        raise ConvertError(f'{what}: wanted a picture, got depth; use the plain image topic')
    data = bytes(message.data)
    # Some OpenCV versions fill up a torn JPEG with grey and call it read.
    if data[:2] == b'\xff\xd8' and b'\xff\xd9' not in data[-64:]:
        raise ConvertError(f'{what}: wanted a JPEG or PNG file, got a JPEG: its end is missing')
    try:
        pixels = decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except PictureFileError as error:
        raise ConvertError(f'{what}: wanted a JPEG or PNG file, got {error}') from error
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
