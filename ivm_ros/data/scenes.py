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
The pictures of dataset folders with their sentences, in memory and in order.

One picture brings all rows about it. Shards stay open, with what is large in them packed.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
import json
from pathlib import Path
import zlib

import numpy as np
import pyarrow.parquet as pq

from ivm_ros.data.shards import DatasetError, read_shard, Row, shard_paths

OPEN_SHARDS = 128
"""Shards kept in memory; a larger dataset is read in blocks of this many."""


class Scenes:
    """
    The images of some dataset folders with their sentences, read shard by shard.

    Args:
        folders: Dataset folders; their labelled rows are used.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._shards = [path for folder in folders for path in shard_paths(folder)]
        self._groups = [_image_groups(path) for path in self._shards]
        self._human = [_human_groups(path, groups)
                       for path, groups in zip(self._shards, self._groups)]
        self._open: OrderedDict[int, tuple[list[Row], list[bytes]]] = OrderedDict()

    def __len__(self) -> int:
        """Count the images."""
        return sum(map(len, self._groups))

    def rows(self, shard: int, group: int) -> list[Row]:
        """Read all rows about one image."""
        if shard not in self._open:
            self._open[shard] = _opened(self._shards[shard], self._groups[shard])
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        first, last = self._groups[shard][group]
        rows, extras = self._open[shard]
        return [replace(row, extra=extra) for row, extra in zip(
            rows[first:last], json.loads(zlib.decompress(extras[group])))]

    def need_both_kinds(self, what: str) -> None:
        """
        Check that there are images that people labelled, and others.

        Raises:
            DatasetError: There are only ones of a kind; `what` wanted both.
        """
        human = sum(map(sum, self._human))
        if human in (0, len(self)):
            raise DatasetError(f'{what} wanted images that people labelled (is_human) and others, '
                               f'got {human} and {len(self) - human}')

    def balanced(self, order: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """
        Let images that people labelled and others alternate, as many as there were before.

        The fewer ones come round more often. Pairs are turned in turns, so that each of two
        processes that share a batch gets both.

        Raises:
            DatasetError: There are only ones of a kind.
        """
        self.need_both_kinds('balanced')
        human = [image for image in order if self._human[image[0]][image[1]]]
        machine = [image for image in order if not self._human[image[0]][image[1]]]
        pairs = [(human[place % len(human)], machine[place % len(machine)])
                 for place in range((len(order) + 1) // 2)]
        turned = [image for place, pair in enumerate(pairs)
                  for image in (pair if place % 2 else pair[::-1])]
        return turned[:len(order)]

    def order(self, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Shuffle (shard, group) pairs within blocks of as many shards as stay open."""
        shards = rng.permutation(len(self._shards))
        order: list[tuple[int, int]] = []
        for start in range(0, len(shards), OPEN_SHARDS):
            block = [(int(shard), group) for shard in shards[start:start + OPEN_SHARDS]
                     for group in range(len(self._groups[shard]))]
            order.extend(_alternate([block[index] for index in rng.permutation(len(block))]))
        return order


def _alternate(images: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """
    Let even and odd images of the shards alternate.

    So two processes that share a batch meet the same images in every epoch, and each needs to
    encode its own sentences only.
    """
    even = [image for image in images if image[1] % 2 == 0]
    odd = [image for image in images if image[1] % 2]
    both = min(len(even), len(odd))
    pairs = [image for pair in zip(even, odd) for image in pair]
    return pairs + even[both:] + odd[both:]


def _opened(path: Path, groups: Sequence[tuple[int, int]]) -> tuple[list[Row], list[bytes]]:
    """Read a shard's rows without `extra`, which is most of them in memory, and that, packed."""
    rows = read_shard(path)
    extras = [zlib.compress(json.dumps([row.extra for row in rows[first:last]]).encode(), 1)
              for first, last in groups]
    return [replace(row, extra={}) for row in rows], extras


def _image_groups(path: Path) -> list[tuple[int, int]]:
    """First and last row of every image in a shard."""
    ids = [name.rpartition('-')[0] or name
           for name in pq.read_table(path, columns=['id'])['id'].to_pylist()]
    starts = [0, *(row for row in range(1, len(ids)) if ids[row] != ids[row - 1])]
    return list(zip(starts, [*starts[1:], len(ids)]))


def _human_groups(path: Path, groups: list[tuple[int, int]]) -> list[bool]:
    """Tell of each image of a shard whether people labelled any of its sentences."""
    human = pq.read_table(path, columns=['is_human'])['is_human'].to_pylist()
    return [any(human[first:last]) for first, last in groups]
