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
"""Episodes from bags (rosbag2 in MCAP or sqlite3, ROS 1), read without ROS, message by message."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import struct
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import get_typestore, Stores

from ivm_ros.data.frames import Frame, instruction_of
from ivm_ros.data.shards import DatasetError

PICTURES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
TEXT = 'std_msgs/msg/String'


class Bag:
    """
    One bag as a recording: a folder, or a file of one.

    Args:
        path: Folder with metadata.yaml, or .mcap, .db3, .bag.
        image: Topic of the pictures; '' for the only one.
        instruction: Topic of the instructions.
        text: Instruction where that topic is silent.
    """

    def __init__(self, path: Path, image: str, instruction: str, text: str) -> None:
        self.path, self.name = path, path.stem if path.is_file() else path.name
        self.bytes = sum(file.stat().st_size for file in _files(path))
        self._image, self._instruction, self._text = image, instruction, text

    def frames(self, after: tuple[int, int] | None, text: str) -> Iterator[Frame]:
        """Give frames with the instruction in force: the last that came before, or with, them."""
        text = text or self._text
        with _opened(self.path) as bag:
            topic, asked = self._topics(bag.topics)
            links = [link for link in bag.connections if link.topic in (topic, asked)]
            waiting: tuple[int, Any] | None = None  # for an instruction of the same stamp
            for link, stamp, raw in bag.messages(links, start=after[1] if after else None):
                message: Any = bag.deserialize(raw, link.msgtype)
                if waiting and stamp > waiting[0]:
                    yield Frame(0, waiting[0], text, waiting[1])
                    waiting = None
                if link.topic == asked:
                    text = instruction_of(message.data, f'{self.path} {asked}')
                else:
                    waiting = stamp, message
            if waiting:
                yield Frame(0, waiting[0], text, waiting[1])

    def _topics(self, topics: dict[str, Any]) -> tuple[str, str]:
        """Find the topics of pictures and of instructions; the second is '' without one."""
        asked = _resolved(self._instruction)
        kinds = {name: about.msgtype for name, about in topics.items()}
        known = [name for name, kind in kinds.items() if kind in PICTURES]
        wanted = _resolved(self._image)
        if not wanted and len(known) == 1:
            wanted = known[0]
        if wanted not in kinds and f'{wanted}/compressed' in known:
            wanted = f'{wanted}/compressed'
        if wanted not in known:
            came = f'which is {kinds[wanted] or "of several types"}' if wanted in kinds else (
                'which it lacks' if wanted else 'of which there has to be one')
            raise DatasetError(f'{self.path}: wanted pictures on {wanted or "an image topic"}, '
                               f'{came}; it has pictures on {", ".join(known) or "no topic"}: '
                               'set --image')
        if kinds.get(asked) == TEXT:
            return wanted, asked
        if self._text and asked not in kinds:
            return wanted, ''
        texts = ', '.join(name for name, kind in kinds.items() if kind == TEXT) or 'no topic'
        came = f'which is {kinds[asked]}' if asked in kinds else 'which it lacks'
        raise DatasetError(f'{self.path}: wanted instructions ({TEXT}) on {asked}, {came}; it has '
                           f'such messages on {texts}: set --instruction, or give the sentence '
                           'with --text')


def _resolved(topic: str) -> str:
    return topic if not topic or topic.startswith('/') else f'/{topic}'


def _files(path: Path) -> list[Path]:
    return [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]


@contextmanager
def _opened(path: Path) -> Iterator[AnyReader]:
    """Open a bag; whatever its readers raise on bytes that are not as they should be, name it."""
    try:
        # Bags in sqlite3 often carry no message definitions: ROS 2's own are taken.
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as bag:
            yield bag
    except DatasetError:
        raise
    except (AnyReaderError, OSError, ValueError, LookupError, TypeError, AttributeError,
            AssertionError, ArithmeticError, RuntimeError, EOFError, MemoryError, SyntaxError,
            struct.error) as error:
        raise _broken(path, error) from error
    except Exception as error:
        # Errors of the libraries below rosbags have no base class of their own.
        if type(error).__module__.split('.')[0] in ('apsw', 'backports', 'compression', 'rosbags',
                                                    'ruamel', 'zstd', '_zstd'):
            raise _broken(path, error) from error
        raise


def _broken(path: Path, error: Exception) -> DatasetError:
    what = ' '.join(str(error).split()) or type(error).__name__
    return DatasetError(f'{path}: not a readable bag ({what}); a recording that was cut off is '
                        'mended by "ros2 bag reindex", in MCAP by "mcap recover"; or leave it out')
