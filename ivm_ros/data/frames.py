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
Pictures of an episode before they become rows: which to read, which to keep.

A picture's size is looked up before it is decoded: a few bytes can claim a picture of any size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image

from ivm_ros.data.labelled import LONGEST
from ivm_ros.data.shards import DatasetError, decode_image, encode_image
from ivm_ros.picture_files import decode, header_of, MOST, PictureFileError
from ivm_ros.pixel_formats import ConvertError, to_rgb

CELLS = 16  # of a thumbnail's side
WORDS = 2000
"""Characters of an instruction, as `ivm_ros.masker` has it."""


@dataclass(frozen=True)
class Frame:
    """
    A recorded picture that nobody has decoded yet.

    Attributes:
        series (int): Episode within its recording.
        stamp (int): Nanoseconds; a clock of the recording's own.
        text (str): The instruction in force; '' for none yet.
        message (Any): sensor_msgs Image or CompressedImage, or the bytes of a picture file.
    """

    series: int
    stamp: int
    text: str
    message: Any


class Recording(Protocol):
    """A bag or a folder of episodes."""

    name: str
    bytes: int

    def frames(self, after: tuple[int, int] | None, text: str) -> Iterator[Frame]:
        """
        Give frames in order.

        Args:
            after: (series, stamp) of the frame to go on behind; None for the beginning.
            text: The instruction in force there.

        Raises:
            DatasetError: Not readable, or it holds no such topics.
        """


class PictureError(ValueError):
    """One picture cannot be used; the recording goes on."""


def picture_of(message: Any) -> bytes:
    """
    Give a recorded picture as JPEG or PNG, no longer than `LONGEST`.

    A file that is small enough stays byte by byte what the camera wrote.

    Raises:
        PictureError: Not a picture, or one of more than `MOST` pixels.
    """
    if isinstance(message, bytes):
        return _from_file(message)
    try:
        if hasattr(message, 'format'):
            if 'compressedDepth' in message.format:
                raise PictureError('wanted a picture, got depth; use the plain image topic')
            return _from_file(bytes(message.data))
        if message.height * message.width > MOST:
            raise PictureError(f'{message.width} x {message.height} pixels are more than {MOST}')
        return _fitted(to_rgb(message))
    except ConvertError as error:
        raise PictureError(str(error)) from error
    except (AttributeError, TypeError) as error:  # a bag brings its own definitions along
        raise PictureError(f'a message that is not as sensor_msgs has it ({error})') from error


def _from_file(data: bytes) -> bytes:
    """Look at the header of a picture file, then read it."""
    try:
        header = header_of(data)
        if header.kind == 'JPEG' and b'\xff\xd9' not in data[-64:]:
            raise PictureError('a JPEG without its end')  # OpenCV fills it up with grey
        # As the node reads it: however the camera says it was held.
        pixels = decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except PictureFileError as error:
        raise PictureError(str(error)) from error
    if header.kind in ('JPEG', 'PNG') and not _turned(data) and max(header.size) <= LONGEST:
        return data
    return _fitted(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _turned(data: bytes) -> bool:
    """Tell whether a picture's file says how the camera was held, or might."""
    try:
        with Image.open(BytesIO(data)) as image:
            return bool(image.getexif())
    except Exception:  # noqa: BLE001 - OpenCV read it, but Pillow fails in many ways
        return True


def _fitted(image: np.ndarray) -> bytes:
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return encode_image(image)


def thumbnail(picture: bytes) -> np.ndarray:
    """Average a picture's colours over `CELLS` x `CELLS` cells; float32 [16, 16, 3] in 0..255."""
    image = decode_image(picture).astype(np.float32)
    return cv2.resize(image, (CELLS, CELLS), interpolation=cv2.INTER_AREA)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """
    Say how much two thumbnails differ: the greatest mean difference of one cell.

    A mean over all would not notice a small thing that moved; noise averages out in a cell.
    """
    return float(np.abs(one - other).mean(2).max())


def instruction_of(text: str, where: str) -> str:
    """
    Bring an instruction to one line.

    Raises:
        DatasetError: No sentence is that long.
    """
    line = ' '.join(text.split())
    if len(line) > WORDS:
        raise DatasetError(f'{where}: an instruction of {len(line)} characters, wanted at most '
                           f'{WORDS}; is this the right topic?')
    return line
