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
The bag of one episode (rosbag2, MCAP): whole under its name, or unfinished in a hidden folder.

`.NAME.part/NAME` becomes `NAME` by one rename, so what a killed recorder leaves behind is never
taken for an episode. Needs rosbags and no ROS.
"""

from __future__ import annotations

from datetime import datetime
import os
from pathlib import Path
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rosbags loads when the first episode begins: it is an extra
    from rosbags.interfaces import Connection

PART = '.{}.part'


class BagError(RuntimeError):
    """An episode cannot be begun or written; the message says why and what to do."""


class EpisodeBag:
    """
    A bag that is being written.

    Args:
        folder: Of all episodes; made where it is missing.
        name: Of this one; gets a number where it is taken.

    Raises:
        BagError: rosbags is missing.
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path, name: str) -> None:
        load_rosbags()
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import get_typestore, Stores

        self.path = _free_path(folder, name)
        self.part = folder / PART.format(self.path.name)
        self._store = get_typestore(Stores.ROS2_JAZZY)  # the same messages in later releases
        self._links: dict[str, Connection] = {}
        self._writer = Writer(self.part / self.path.name, version=9,
                              storage_plugin=StoragePlugin.MCAP)
        self.part.mkdir(parents=True)
        try:
            self._writer.open()
        except OSError:
            self.discard()
            raise

    def declare(self, topic: str, kind: str) -> None:
        """Let the bag have a topic (`kind` such as std_msgs/msg/String), be it silent."""
        if topic not in self._links:
            self._links[topic] = self._writer.add_connection(topic, kind, typestore=self._store)

    def write(self, topic: str, kind: str, stamp: int, data: bytes) -> None:
        """Write one message (CDR); `stamp` in nanoseconds."""
        self.declare(topic, kind)
        self._writer.write(self._links[topic], stamp, data)

    def finish(self) -> Path:
        """Close the bag and give it its name; it is on the disk when this returns."""
        self._writer.close()
        made = self.part / self.path.name
        for file in (*made.iterdir(), made):
            _sync(file)
        made.rename(self.path)
        self.part.rmdir()
        _sync(self.path.parent)
        return self.path

    def leave(self) -> None:
        """Let go of an episode that cannot be finished; what was written stays in `part`."""
        try:
            self._writer.abort()
        except OSError:  # closing flushes; the disk is full or gone, which is known already
            pass

    def discard(self) -> None:
        """Delete what was written."""
        self.leave()
        shutil.rmtree(self.part, ignore_errors=True)


def load_rosbags() -> None:
    """
    Load what writes bags, which takes most of a second; better not when an episode begins.

    Raises:
        BagError: It is missing.
    """
    try:
        import rosbags.rosbag2
        import rosbags.typesys  # noqa: F401
    except ImportError as error:
        raise BagError('writing bags needs "pip install rosbags"') from error


def leftovers(folder: Path) -> list[Path]:
    """List the unfinished episodes in a folder."""
    return sorted(folder.glob(PART.format('*')))


def episode_name(prefix: str) -> str:
    """Name an episode by the local time."""
    return f'{prefix}-{datetime.now():%Y%m%d-%H%M%S}'


def _free_path(folder: Path, name: str) -> Path:
    path, number = folder / name, 1
    while path.exists() or (folder / PART.format(path.name)).exists():
        number += 1
        path = folder / f'{name}-{number}'
    return path


def _sync(path: Path) -> None:
    """Have a file or folder written to the disk: a robot is switched off without notice."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
