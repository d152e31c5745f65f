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

The usual encodings are read by `ivm_ros.pixel_formats`, the rest goes to cv_bridge where it is
installed and works.
"""

from array import array
from collections.abc import Callable
import sys
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ivm_ros import pixel_formats
from ivm_ros.pixel_formats import ConvertError, LAYOUTS, nothing, unknown

FROM_RGB = {'rgb8': None, 'bgr8': cv2.COLOR_RGB2BGR, 'rgba8': cv2.COLOR_RGB2RGBA,
            'bgra8': cv2.COLOR_RGB2BGRA, 'mono8': cv2.COLOR_RGB2GRAY}
DEPTH = {'32FC1': np.float32, '16UC1': np.uint16}


def to_rgb(message: Image | CompressedImage, remark: Callable[[str], None] = nothing
           ) -> np.ndarray:
    """
    Read a picture; see `ivm_ros.pixel_formats.to_rgb`.

    Raises:
        ConvertError: Nothing readable; says what was wanted, what came and what to do.
    """
    if not hasattr(message, 'format') and message.encoding not in LAYOUTS:
        return _by_cv_bridge(message)
    return pixel_formats.to_rgb(message, remark)


def _by_cv_bridge(message: Image) -> np.ndarray:
    problem = unknown(message.encoding)
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
            mono8; float32 [H, W] for 32FC1; uint16 [H, W] for 16UC1.
        header: Goes into the message as it is.
        encoding: Encoding of the message.

    Raises:
        ConvertError: The array does not fit the encoding.
    """
    if encoding in DEPTH:
        fits = image.dtype == DEPTH[encoding] and image.ndim == 2
    else:
        fits = encoding in FROM_RGB and image.dtype == np.uint8 and (
            image.shape[2:] == (3,) or (image.ndim == 2 and encoding == 'mono8'))
    if not fits:
        raise ConvertError(f'cannot write {image.dtype} {list(image.shape)} as {encoding!r}: '
                           f'wanted uint8 [H, W, 3] for {", ".join(FROM_RGB)}, uint8 [H, W] for '
                           f'mono8, float32 [H, W] for 32FC1 or uint16 [H, W] for 16UC1')
    if image.ndim == 3 and (code := FROM_RGB[encoding]) is not None:
        image = cv2.cvtColor(image, code)
    image = np.ascontiguousarray(image)
    message = Image(header=header, height=image.shape[0], width=image.shape[1], encoding=encoding,
                    is_bigendian=sys.byteorder == 'big', step=image.nbytes // image.shape[0])
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


def stamp_ns(header: Header) -> int:
    """Return the stamp of a header, ns."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)
