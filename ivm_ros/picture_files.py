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
Picture files of strangers: their size is looked up before anything is decoded.

A few bytes can claim a picture of any size, and decoders believe them: 20 kB of PNG become 3 GB.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'PPM')
"""What is read, by Pillow's names; each further decoder is one more door."""

MOST = 1 << 26
"""Pixels of a picture that is read: 8192 x 8192."""

BIGGEST = 1 << 28
"""Bytes of a picture's file that is read: `MOST` pixels of four bytes, not compressed."""


class PictureFileError(ValueError):
    """Bytes are no picture that can be read, or one that is too large; the message says which."""


@dataclass(frozen=True)
class Header:
    """
    What a picture's file says of itself.

    Attributes:
        kind (str): One of `FORMATS`.
        size (tuple[int, int]): Height and width in pixels, as stored.
        mode (str): Pillow's name of the pixels' layout.
    """

    kind: str
    size: tuple[int, int]
    mode: str


def header_of(data: bytes) -> Header:
    """
    Read a picture's header, without decoding it.

    Raises:
        PictureFileError: None of `FORMATS`, or one of more than `MOST` pixels.
    """
    if len(data) > BIGGEST:
        raise PictureFileError(f'a picture of {len(data)} bytes, wanted at most {BIGGEST}')
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            header = Header(str(image.format), (height, width), image.mode)
    except Exception as error:  # Pillow fails in many ways on hostile bytes
        raise PictureFileError(f'{len(data)} bytes are no {", ".join(FORMATS)} picture, or one '
                               f'that is too large ({" ".join(str(error).split())[:200]})'
                               ) from error
    if width * height > MOST:
        raise PictureFileError(f'a picture of {width} x {height} pixels, wanted at most {MOST}: '
                               'scale it down')
    return header


def decode(data: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """
    Decode a picture as OpenCV does, after a look at its header.

    Args:
        data: A whole file.
        flags: OpenCV's, such as `cv2.IMREAD_UNCHANGED`.

    Returns:
        What OpenCV gives: BGR, BGRA or grey.

    Raises:
        PictureFileError: Not readable, or too large.
    """
    kind = header_of(data).kind
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise PictureFileError(f'a {kind} file of {len(data)} bytes that OpenCV refuses '
                               f'({error.err})') from error
    if pixels is None:
        raise PictureFileError(f'a {kind} file of {len(data)} bytes that OpenCV cannot read')
    return pixels


def read_picture(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """
    Decode a picture's file; see `decode`.

    Raises:
        PictureFileError: Not there, not readable, or too large; names the file.
    """
    try:
        if path.stat().st_size > BIGGEST:
            raise PictureFileError(f'more than {BIGGEST} bytes')
        return decode(path.read_bytes(), flags)
    except (OSError, PictureFileError) as error:
        raise PictureFileError(f'{path}: {error}') from error
