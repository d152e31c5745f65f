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
Episodes on disk: Parquet shards with one row a step, pictures as JPEG, labels as PNG.

Numbers come back exactly, pictures as their JPEG decodes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ivm_ros.data.shards import (
    DatasetError, decode_image, decode_labels, open_table, PICTURE, shard_paths)
from ivm_ros.files import replace_file
from ivm_sim.truth import Truth

SCHEMA = pa.schema([
    ('episode', pa.int64()), ('step', pa.int32()), ('task', pa.string()),
    ('clutter', pa.string()), ('instruction', pa.string()), ('success', pa.bool_()),
    ('front', PICTURE), ('wrist', PICTURE), ('labels', PICTURE),
    ('targets', pa.list_(pa.int32())),
    ('proprio', pa.list_(pa.float32())), ('action', pa.list_(pa.float32()))])
VIEWS = ('front', 'wrist', 'labels')


@dataclass(frozen=True)
class Episode:
    """
    One recorded episode of T steps; pictures are those before each action.

    Attributes:
        seed (int): It was reset with.
        task (str): Key of `tasks.TASKS`.
        clutter (str): Entry of `clutter.LEVELS`.
        instruction (str): The sentence.
        success (bool): It was won.
        proprio (np.ndarray): float32 [T, 15], see `TabletopEnv`.
        actions (np.ndarray): float32 [T, 7].
        front (tuple[bytes, ...]): T JPEGs, or none.
        wrist (tuple[bytes, ...]): T JPEGs, or none.
        labels (tuple[bytes, ...]): T PNGs of the front camera, see `Truth.labels`.
        targets (tuple[int, ...]): Ids of what is acted on and where it goes.
    """

    seed: int
    task: str
    clutter: str
    instruction: str
    success: bool
    proprio: np.ndarray
    actions: np.ndarray
    front: tuple[bytes, ...] = ()
    wrist: tuple[bytes, ...] = ()
    labels: tuple[bytes, ...] = ()
    targets: tuple[int, ...] = ()

    def pictures(self, camera: str) -> np.ndarray:
        """Decode the pictures of 'front' or 'wrist', uint8 [T, S, S, 3]."""
        return np.stack([decode_image(data) for data in getattr(self, camera)])

    def truths(self) -> list[Truth]:
        """Decode the labels: the truth of each front picture."""
        return [Truth(decode_labels(data), self.targets) for data in self.labels]


def write_episodes(path: Path, episodes: Sequence[Episode]) -> None:
    """Write a shard, whole or not at all."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for episode in episodes:
        count = len(episode.actions)
        columns['episode'] += [episode.seed] * count
        columns['step'] += range(count)
        columns['proprio'] += list(episode.proprio)
        columns['action'] += list(episode.actions)
        for name in ('task', 'clutter', 'instruction', 'success'):
            columns[name] += [getattr(episode, name)] * count
        columns['targets'] += [list(episode.targets)] * count
        for name in VIEWS:
            columns[name] += [{'bytes': data, 'path': None}
                              for data in getattr(episode, name)] or [None] * count
    with replace_file(path) as part:
        pq.write_table(pa.table(columns, schema=SCHEMA), part, compression='zstd')


def read_episodes(folder: Path) -> Iterator[Episode]:
    """
    Read the episodes of a folder, shard by shard.

    Raises:
        DatasetError: No shard, a torn one, or one of another kind.
    """
    for path in shard_paths(folder):
        yield from read_shard(path)


def read_shard(path: Path) -> Iterator[Episode]:
    """Read the episodes of one shard; a torn or foreign one is refused by name."""
    rows = open_table(path, SCHEMA.names).to_pylist()
    for key, group in groupby(rows, key=lambda row: (row['episode'], row['task'],
                                                     row['clutter'])):
        steps = list(group)
        if [row['step'] for row in steps] != list(range(len(steps))):
            raise DatasetError(f'{path}: episode {key[0]} is not whole; delete the file and make '
                               'it again')
        yield _episode(steps)


def _episode(rows: list[dict[str, Any]]) -> Episode:
    first = rows[0]
    pictures = {name: tuple(row[name]['bytes'] for row in rows) if first[name] else ()
                for name in VIEWS}
    return Episode(first['episode'], first['task'], first['clutter'], first['instruction'],
                   first['success'], np.array([row['proprio'] for row in rows], np.float32),
                   np.array([row['action'] for row in rows], np.float32), **pictures,
                   targets=tuple(first['targets']))
