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
labelme's own files: a JSON beside each picture, with outlines and small masks.

Shapes with the same label and `group_id` are one thing, those without are each their own.
"""

from base64 import b64decode
import binascii
from collections import defaultdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ivm_ros.data.labelled import asked, check_outline, Label, Labelled, picture_inside
from ivm_ros.data.shards import DatasetError, MaskError
from ivm_ros.files import MALFORMED, MOST_LABELS, read_json
from ivm_ros.picture_files import header_of

POINTS = {'polygon': 3, 'rectangle': 2, 'circle': 2, 'oriented_rectangle': 4, 'mask': 2}
"""Shapes that have an inside, and how many points they take at least."""


class Labelme:
    """
    A folder of labelme's JSON files.

    Args:
        path: The folder.
        images: Folder of the pictures; '' for what the files hold or name.
        is_human: People made the masks; the files do not say.
        sentence: What asks for a label, as of `labelled.asked`.

    Raises:
        DatasetError: There is none, or one is not of that format.
    """

    def __init__(self, path: Path, images: str, is_human: bool, sentence: str = '') -> None:
        self.path, self._images = path, images
        self._is_human, self._sentence = is_human, sentence
        self._files = [file for file in sorted(path.rglob('*.json')) if _read(file)['shapes']]
        if not self._files:
            raise DatasetError(f'{path} holds no *.json of labelme with a shape in it')

    def __len__(self) -> int:
        """Count the pictures with a shape."""
        return len(self._files)

    def __getitem__(self, index: int) -> Labelled:
        """Read one picture with a mask for every label in it."""
        file = self._files[index]
        told = _read(file)
        image = self._picture(file, told)
        shape = _size_of(file, image)
        declared = told.get('imageHeight') or shape[0], told.get('imageWidth') or shape[1]
        if declared != shape:
            raise MaskError(f'{file} is about a picture of {declared[1]} x {declared[0]}, and '
                            f'{told["imagePath"]} is {shape[1]} x {shape[0]}')
        masks: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(shape, np.uint8))
        things: dict[str, set[object]] = defaultdict(set)
        for number, item in enumerate(told['shapes']):
            name, group = str(item['label']), item.get('group_id')
            masks[name] |= mask_of_shape(file, item, shape)
            things[name].add(('alone', number) if group is None else group)
        labels = []
        for name, mask in masks.items():
            text, kind = asked(name, len(things[name]) > 1, self._sentence)
            labels.append(Label((text,), mask, kind))
        return Labelled(file.stem, image, tuple(labels), self._is_human,
                        f'labelme/{self.path.name}')

    def _picture(self, file: Path, told: dict[str, Any]) -> bytes:
        """Read the picture that a file holds, or names."""
        if told.get('imageData') and not self._images:
            try:
                return b64decode(told['imageData'], validate=True)
            except (binascii.Error, TypeError, ValueError) as error:
                raise DatasetError(f'{file}: its imageData is broken ({error})') from error
        folder = Path(self._images) if self._images else file.parent
        return picture_inside(folder, str(told['imagePath'])).read_bytes()


def mask_of_shape(file: Path, item: dict[str, Any], shape: tuple[int, int]) -> np.ndarray:
    """
    Fill a shape as labelme does; uint8 [height, width], 255 inside.

    Raises:
        MaskError: It has no inside, or its points or pixels are not those of such a shape.
    """
    kind = item.get('shape_type') or 'polygon'
    try:
        points = [(float(x), float(y)) for x, y in item['points']]
        if kind not in POINTS:
            raise MaskError(f'{file}: {item["label"]!r} is a {kind}, which has no inside; draw it '
                            f'as one of {", ".join(POINTS)}')
        if len(points) < POINTS[kind]:
            raise MaskError(f'{file}: {item["label"]!r} is a {kind} of {len(points)} points, '
                            f'wanted {POINTS[kind]} or more')
        if kind == 'mask':
            return _pasted(item['mask'], points, shape)
        check_outline(np.array(points))
    except (KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, MaskError):
            raise
        raise MaskError(f'{file}: a shape is broken ({error!r})') from error
    canvas = Image.new('L', shape[::-1])
    draw = ImageDraw.Draw(canvas)
    if kind == 'rectangle':
        (left, right), (top, bottom) = (sorted(ends) for ends in zip(*points[:2]))
        draw.rectangle((left, top, right, bottom), 255, 255)
    elif kind == 'circle':  # its centre and a point on it
        (x, y), (to_x, to_y) = points[:2]
        radius = float(np.hypot(to_x - x, to_y - y))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), 255, 255)
    else:
        draw.polygon(points, 255, 255)
    return np.array(canvas)


def _pasted(data: str, points: list[tuple[float, float]], shape: tuple[int, int]) -> np.ndarray:
    """Lay a small mask where its corners say."""
    (left, top), (right, bottom) = (map(int, point) for point in points[:2])
    canvas = np.zeros(shape, np.uint8)
    place = canvas[top:bottom + 1, left:right + 1]
    file = b64decode(data)
    size = header_of(file).size
    if size != place.shape or min(left, top) < 0:
        raise ValueError(f'a mask of {size} at ({left}, {top}) to ({right}, {bottom})')
    small = np.asarray(Image.open(BytesIO(file)))
    if small.ndim != 2:
        raise ValueError(f'a mask of colours, {small.shape}')
    place[small > 0] = 255
    return canvas


def _size_of(file: Path, image: bytes) -> tuple[int, int]:
    """Read (height, width) of a picture as it is shown, which a camera may have turned."""
    try:
        size = header_of(image).size
        with Image.open(BytesIO(image)) as opened:
            turned = opened.getexif().get(0x0112, 1) > 4
    except Exception as error:  # Pillow fails in many ways on hostile bytes
        raise DatasetError(f'{file}: its picture is none ({error})') from error
    return size[::-1] if turned else size


def _read(path: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = read_json(path, MOST_LABELS)
        told['imagePath']
        for item in told['shapes']:
            item['label'], item['points']
    except MALFORMED as error:
        raise DatasetError(f'{path} is no file of labelme ({error!r})') from error
    return told
