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
Pictures as masks: what a PNG of any tool says is inside.

Tools write classes as numbers (grey, or a palette whose colours are for the eye), as colours, or
one mask a file, of which everything but black is inside.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ivm_ros.data.shards import MaskError
from ivm_ros.picture_files import header_of


def plain_mask(path: Path) -> np.ndarray:
    """
    Read one mask: uint8 [h, w], 255 inside, 0 outside, between where the file is soft.

    Black is outside. One other value or colour is inside, whichever it is; several greys are a
    soft mask if they reach white and some lie midway.

    Raises:
        MaskError: No picture, transparent pixels, or several colours or classes.
    """
    image = _open(path)
    if image.mode not in ('1', 'L', 'I', 'I;16', 'I;16B'):
        pixels = _rgb(path, image)
        if (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
    else:
        pixels = _numbers(image)
    if pixels.ndim == 3:
        return _inside(path, pixels[..., 0] * 65536 + pixels[..., 1] * 256 + pixels[..., 2],
                       'colours, and no labelmap.txt says what they mean')
    white = 255 if pixels.max() <= 255 else 65535
    values = np.unique(pixels)
    if len(values) > 2 and values[-1] == white and (
            (values > white / 4) & (values < white * 3 / 4)).any():
        soft: np.ndarray = np.rint(pixels * (255 / white)).astype(np.uint8)
        return soft
    return _inside(path, pixels, 'values: numbers of classes, and no class_names.txt names them')


def _inside(path: Path, pixels: np.ndarray, said: str) -> np.ndarray:
    """Tell what is not black, where there is one value besides."""
    values = np.unique(pixels)
    if len(values) > 2 or (len(values) == 2 and values[0]):
        raise MaskError(f'{path} holds {len(values)} {said}; wanted black and one other')
    return (pixels > 0).astype(np.uint8) * 255


def class_numbers(path: Path) -> np.ndarray:
    """
    Read the number of the class of each pixel, int32 [h, w]: of a palette its places.

    Raises:
        MaskError: No picture, or one of colours.
    """
    image = _open(path)
    if image.mode not in ('1', 'L', 'P', 'I', 'I;16', 'I;16B'):
        raise MaskError(f'{path} holds colours ({image.mode}), wanted the number of a class in '
                        'each pixel')
    return _numbers(image)


def class_colours(path: Path) -> np.ndarray:
    """
    Read the colour of each pixel as one number, int32 [h, w]: 65536 red + 256 green + blue.

    Raises:
        MaskError: No picture, or one with transparent pixels.
    """
    pixels = _rgb(path, _open(path))
    return pixels[..., 0] * 65536 + pixels[..., 1] * 256 + pixels[..., 2]


def is_coloured(path: Path) -> bool:
    """Tell whether a picture says classes by colours, not by numbers."""
    return _open(path, whole=False).mode not in ('1', 'L', 'I', 'I;16', 'I;16B')


def _rgb(path: Path, image: Image.Image) -> np.ndarray:
    """Give the colours, int32 [h, w, 3]."""
    pixels = np.asarray(image.convert('RGBA'))
    if pixels[..., 3].min() < 255:
        raise MaskError(f'{path} has transparent pixels, which are neither inside nor outside: '
                        'save it without alpha channel')
    return pixels[..., :3].astype(np.int32)


def _numbers(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int32)


def _open(path: Path, whole: bool = True) -> Image.Image:
    """Open a picture, and decode all of it unless only its header is wanted."""
    try:
        data = path.read_bytes()
        header_of(data)
        image = Image.open(BytesIO(data))
        if whole:
            image.load()
    except Exception as error:  # Pillow fails in many ways on hostile bytes
        raise MaskError(f'{path} is no picture, or a broken one ({error})') from error
    return image
