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
from typing import Any, Protocol

import cv2
import numpy as np

from ivm_ros.data.shards import DatasetError, decode_image, encode_image, encode_mask, Row

LONGEST = 640  # pixels of a picture's longer side as it is kept (our choice)
MOST = 1 << 26  # pixels of a picture that is read


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


def rows_of(items: Iterable[int], collection: Collection, split: str
            ) -> Iterator[tuple[int, list[Row]]]:
    """Turn pictures into rows, one a sentence; pictures become small enough to train on."""
    for index in items:
        item = collection[index]
        image, shape = _small(item)
        rows, number = [], 0
        for label in item.labels:
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


def _small(item: Labelled) -> tuple[bytes, tuple[int, int]]:
    """Give a picture's bytes and (height, width), no longer than `LONGEST`."""
    image = decode_image(item.image)
    height, width = image.shape[:2]
    if height * width > MOST:
        raise DatasetError(f'{item.name}: {width} x {height} pixels are more than {MOST}')
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return item.image, (height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return encode_image(small), (size[1], size[0])
