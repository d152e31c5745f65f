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
"""Files that are whole or not there."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path


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
    finally:
        part.unlink(missing_ok=True)
