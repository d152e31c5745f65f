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
"""Files: written whole or not at all; read with limits, and never outside of their folder."""

from collections.abc import Iterator
from contextlib import contextmanager
import json
import os
from pathlib import Path
from typing import Any

MOST_JSON = 1 << 26
"""Bytes of JSON that is read where nothing else is said: settings, reports, indices."""

MOST_LABELS = 1 << 31
"""Bytes of JSON with other people's labels: those of LVIS are 1.1 GB."""


MALFORMED = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""What looking through a document raises that is of another shape than it should be."""


class FileError(ValueError):
    """A file is too large or not what it should be, or a name leads out of its folder."""


def read_json(path: Path, most: int = MOST_JSON) -> Any:
    """
    Read a file of JSON that may be anybody's.

    Args:
        path: The file, in UTF-8.
        most: Bytes that are read at most.

    Raises:
        FileError: Too large, or nested deeper than Python follows.
        ValueError: No JSON, or not UTF-8.
        OSError: It cannot be read.
    """
    with path.open('rb') as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise FileError(f'{path}: wanted at most {most} bytes of JSON, got more')
    return parse_json(data.decode('utf-8'))


def parse_json(text: str) -> Any:
    """
    Read JSON that may be anybody's.

    Raises:
        FileError: Nested deeper than Python follows.
        ValueError: No JSON.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise FileError('JSON that is nested too deep') from error


def inside(folder: Path, name: str) -> Path:
    """
    Join a folder and a name that a file gives; it leads nowhere else, be it by a link.

    Args:
        folder: Its links are followed.
        name: A relative path with / between its parts; the file need not be there.

    Raises:
        FileError: The name leads out of the folder, or can be none of a file.
    """
    try:
        root = folder.resolve()
        path = (root / name).resolve()
        path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, links in a ring
        raise FileError(f'{name[:80]!r} is no name of a file ({error})') from error
    if not path.is_relative_to(root):
        raise FileError(f'{name[:200]!r} leads out of {folder}')
    return path


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """
    Give a path to write to; rename it to `path` when the block ends well, else delete it.

    A reader sees the old file or the whole new one, also when the writer is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield part
        with part.open('rb+') as written:
            os.fsync(written.fileno())
        part.chmod(0o644)  # safetensors writes for its owner alone; a robot runs as another user
        os.replace(part, path)
    except OSError as error:
        # A write that fails does not say of which file. Without a number a name hides the message.
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any, allow_nan: bool = True, sort_keys: bool = False) -> None:
    """
    Write JSON for people to read as well, whole or not at all.

    Raises:
        ValueError: A number is not finite, and `allow_nan` is off.
        OSError: It cannot be written.
    """
    text = json.dumps(value, indent=2, allow_nan=allow_nan, sort_keys=sort_keys)
    with replace_file(path) as part:
        part.write_text(text + '\n')
