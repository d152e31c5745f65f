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
"""A labelled picture of somebody else's dataset, before it becomes rows of ours."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ivm_ros.data.shards import (
    DatasetError, decode_image, encode_image, encode_mask, MaskError, Row)
from ivm_ros.files import FileError, inside, MALFORMED
from ivm_ros.language.words import plural_of
from ivm_ros.picture_files import MOST

LONGEST = 640  # pixels of a picture's longer side as it is kept (our choice)
WAY = 1 << 22  # pixels around an outline; what fills it needs memory for each
SKEW = .01  # a mask may be so much wider than its picture: sizes are rounded


@dataclass(frozen=True)
class Label:
    """
    What some sentences mean.

    Attributes:
        instructions (tuple[str, ...]): Sentences that mean the same.
        mask (np.ndarray): uint8 [h, w], 255 inside, 0 outside, between: unsure.
        kind (str): Kind of sentence.
    """

    instructions: tuple[str, ...]
    mask: np.ndarray
    kind: str


@dataclass(frozen=True)
class Labelled:
    """
    A picture with its labels.

    Attributes:
        name (str): What it is called there.
        image (bytes): JPEG or PNG.
        labels (tuple[Label, ...]): At least one.
        is_human (bool): A person made the masks.
        source (str): Dataset and part.
        extra (dict[str, Any]): Whatever else is worth keeping.
    """

    name: str
    image: bytes
    labels: tuple[Label, ...]
    is_human: bool
    source: str
    extra: dict[str, Any] = field(default_factory=dict)


class LostPictureError(DatasetError):
    """A picture that a file of labels names is not there."""


class Collection(Protocol):
    """Somebody else's dataset: pictures by number."""

    def __len__(self) -> int:
        """Count the pictures."""

    def __getitem__(self, index: int) -> Labelled:
        """
        Read one picture.

        Raises:
            DatasetError: Its files are missing or broken.
        """


def asked(name: str, several: bool, sentence: str) -> tuple[str, str]:
    """
    Make the sentence that asks for what a label names, and tell its kind.

    Args:
        name: The label.
        several: It names more than one thing in the picture.
        sentence: Text with {} where the name goes, as it stands; '' for "the NAME" or "the NAMES".
    """
    kind = 'all' if several else 'plain'
    if sentence:
        return sentence.replace('{}', name), kind
    return f'the {plural_of(name) if several else name}', kind


def picture_inside(folder: Path, name: str) -> Path:
    """
    Find a picture by the name that a file of labels gives; it may not lie outside the folder.

    Raises:
        LostPictureError: It is not there.
    """
    name = name.replace('\\', '/')  # as Windows writes it
    said = f'{name} is not in {folder}'
    # Tools write where a picture lay with them; what was brought along may lie flat.
    for place in (name, name.rpartition('/')[2]):
        try:
            path = inside(folder, place)
            if path.is_file():
                return path
        except FileError as error:
            said = str(error)
    raise LostPictureError(f'{said}: say with --images where the pictures are')


def check_sides(height: object, width: object) -> tuple[int, int]:
    """
    Check the (height, width) that a file gives for a picture, before a mask of it is made.

    Raises:
        MaskError: No whole numbers from 1 on, or too many pixels.
    """
    sides = []
    for side in (height, width):
        if not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= MOST:
            raise MaskError(f'wanted height and width in pixels, got {height!r} and {width!r}')
        sides.append(side)
    if sides[0] * sides[1] > MOST:
        raise MaskError(f'{width} x {height} pixels are more than {MOST}')
    return sides[0], sides[1]


def check_outline(points: np.ndarray) -> None:
    """
    Check an outline [N, 2] before it is filled: fillers crash on points without end or number.

    Raises:
        MaskError: A coordinate is no number, or the way around is endless.
    """
    if not np.isfinite(points).all() or (
            np.abs(np.diff(points, axis=0, append=points[:1])).max(1, initial=0).sum() > WAY):
        raise MaskError('an outline with coordinates that are no numbers, or far too large')


def item_of(collection: Collection, index: int) -> Labelled:
    """
    Read one picture of somebody's labels, whatever their file holds.

    Raises:
        DatasetError: Its files are missing or broken.
    """
    try:
        return collection[index]
    except DatasetError:
        raise
    except MALFORMED as error:
        raise DatasetError(f'picture {index}: a label is not as its format has it ({error!r})'
                           ) from error


def rows_of(items: Iterable[int], collection: Collection, split: str
            ) -> Iterator[tuple[int, list[Row]]]:
    """Turn pictures into rows, one a sentence; pictures become small enough to train on."""
    for index in items:
        item = item_of(collection, index)
        image, shape = _small(item)
        rows, number = [], 0
        for label in item.labels:
            _check_shape(item.name, label.mask, shape)
            mask = encode_mask(cv2.resize(label.mask, shape[::-1],
                                          interpolation=cv2.INTER_LINEAR))
            for text in label.instructions:
                rows.append(Row(
                    f'0-{index:07d}-{number}', image, text, label.kind, mask, None,
                    bool((label.mask > 127).any()), item.source,
                    'person' if item.is_human else 'machine', item.is_human, split=split,
                    extra={**item.extra, 'name': item.name, 'needs': True}))
                number += 1
        yield index, rows


def _check_shape(name: str, mask: np.ndarray, shape: tuple[int, int]) -> None:
    """Refuse a mask that cannot be of a picture of (height, width)."""
    height, width = mask.shape
    # Of a small mask or picture, half a pixel more or less is more than that.
    room = SKEW + .5 / min(height, width) + .5 / min(shape)
    if abs(height * shape[1] / (width * shape[0]) - 1) > room:
        raise MaskError(f'{name}: the mask is {width} x {height} and the picture, as it is kept, '
                        f'{shape[1]} x {shape[0]}: they do not belong together')


def _small(item: Labelled) -> tuple[bytes, tuple[int, int]]:
    """Give a picture's bytes and (height, width), no longer than `LONGEST`."""
    image = decode_image(item.image)
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return item.image, (height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return encode_image(small), (size[1], size[0])
