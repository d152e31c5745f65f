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
Episodes from LeRobot datasets (format v3), read without LeRobot.

Pictures that lie in its Parquet files, or in files beside them; not those in videos.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ivm_ros.data.frames import Frame, instruction_of
from ivm_ros.data.shards import DatasetError
from ivm_ros.files import FileError, inside, MALFORMED, read_json

BATCH = 16  # rows with pictures that are in memory at once
BIGGEST = 1 << 26  # bytes of a picture's file
COLUMNS = ('episode_index', 'timestamp', 'task_index')


class LeRobot:
    """
    A LeRobot dataset as a recording; each of its episodes is a series.

    Args:
        path: Folder with meta/info.json.
        image: Feature of the pictures, such as observation.images.front; '' for the only one.
        text: Instruction of episodes without a task.

    Raises:
        DatasetError: Another format, no such pictures, or videos.
    """

    def __init__(self, path: Path, image: str, text: str) -> None:
        self.path, self.name, self._text = path, path.name, text
        self._files = sorted((path / 'data').glob('*/*.parquet'))
        if not self._files:
            raise DatasetError(f'{path}: wanted data/*/*.parquet, found none')
        self.bytes = sum(file.stat().st_size for file in self._files)
        self._image = _feature(path, image)

    def frames(self, after: tuple[int, int] | None, text: str) -> Iterator[Frame]:
        """Give frames in order of episode and time; the instruction is the episode's task."""
        tasks = _tasks(self.path)
        for file in self._files:
            for row in self._rows(file):
                try:
                    # Float32 seconds: 0.7 is not to come before 0.7.
                    stamp = round(row['timestamp'] * 1e4) * 100_000
                    place, task = (int(row['episode_index']), stamp), tasks.get(row['task_index'])
                    picture = row[self._image]
                except (LookupError, TypeError, ValueError, OverflowError) as error:
                    raise DatasetError(f'{file}: wanted {", ".join(COLUMNS)} and {self._image} in '
                                       f'each row ({error!r}); copy it again') from error
                if after is not None and place <= after:
                    continue
                said = instruction_of(task or self._text, str(self.path))
                yield Frame(*place, said, self._bytes(picture))

    def _rows(self, file: Path) -> Iterator[dict[str, Any]]:
        try:
            # Memory-mapped and by the page: a file holds half a gigabyte of pictures.
            with pq.ParquetFile(file, memory_map=True, pre_buffer=False) as table:
                for batch in table.iter_batches(BATCH, columns=[*COLUMNS, self._image]):
                    yield from batch.to_pylist()
        except (pa.ArrowException, OSError, LookupError, TypeError, ValueError, OverflowError,
                MemoryError) as error:
            raise DatasetError(f'{file} is torn or no file of a LeRobot dataset '
                               f'({" ".join(str(error).split())}); copy it again') from error

    def _bytes(self, picture: Any) -> bytes:
        """Give a picture's file: what is in the row, or what the row names, inside the folder."""
        if isinstance(picture, bytes):
            return picture
        if not isinstance(picture, dict):
            raise DatasetError(f'{self.path}: {self._image} holds {type(picture).__name__}, '
                               'wanted pictures (bytes, path)')
        if picture.get('bytes') is not None:
            return bytes(picture['bytes'])
        try:
            file = inside(self.path, str(picture.get('path') or ''))
        except FileError as error:
            raise DatasetError(f'{self.path}: a row names a picture that is outside of the '
                               f'dataset ({error}); nothing outside is read') from error
        if not file.is_file() or file.stat().st_size > BIGGEST:
            raise DatasetError(f'{file}: wanted a picture of at most {BIGGEST} bytes, '
                               f'{"got a larger one" if file.is_file() else "it is missing"}')
        return file.read_bytes()


def is_lerobot(path: Path) -> bool:
    """Tell whether a folder is a LeRobot dataset of any version."""
    return (path / 'meta' / 'info.json').is_file()


def _feature(path: Path, wanted: str) -> str:
    """Choose the feature that holds the pictures."""
    try:
        info = read_json(path / 'meta' / 'info.json')
        version, features = str(info['codebase_version']), dict(info['features'])
        kinds = {name: feature['dtype'] for name, feature in features.items()}
    except MALFORMED as error:
        raise DatasetError(f'{path}/meta/info.json is not that of LeRobot ({error!r})') from error
    if not version.startswith('v3'):
        raise DatasetError(f'{path}: wanted a LeRobot dataset of format v3, got {version}; '
                           'LeRobot converts older ones')
    known = [name for name, kind in kinds.items() if kind in ('image', 'video')]
    if not wanted and len(known) == 1:
        wanted = known[0]
    if wanted not in known:
        raise DatasetError(f'{path}: wanted pictures {wanted or "(the only ones)"}, it has '
                           f'{", ".join(known) or "none"}: set --image')
    if kinds[wanted] == 'video':
        raise DatasetError(f'{path}: {wanted} is stored as videos, which are not read here; '
                           'write the dataset with use_videos=False, or import the bags that it '
                           'was made of')
    return wanted


def _tasks(path: Path) -> dict[int, str]:
    """Read the sentences: pandas wrote them as the index of meta/tasks.parquet."""
    file = path / 'meta' / 'tasks.parquet'
    try:
        rows = pq.read_table(file).to_pylist()
        return {row.pop('task_index'): str(next(iter(row.values()))) for row in rows}
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError, StopIteration,
            OverflowError, MemoryError) as error:
        raise DatasetError(f'{file}: wanted task_index and the sentence of each task '
                           f'({" ".join(str(error).split())})') from error
