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
Shared memory that killed processes left behind: nobody else frees it.

A node that ends well frees its own. One that is killed leaves its segment, 64 MiB with our DDS
profile; respawned often enough, or in a container with a small /dev/shm, it would fill that up.
"""

import fcntl
from pathlib import Path
import time

SEGMENTS = ('fastdds_*_el', 'fastrtps_*_el')
"""Lock files beside segments: Fast DDS 3, and 2 up to Jazzy."""

YOUNG = 60.0
"""Seconds within which a lock file may have been made and not been locked yet."""


def free_left_behind(folder: Path = Path('/dev/shm'), young: float = YOUNG) -> int:
    """
    Delete segments of Fast DDS whose owner is gone, as `fastdds shm clean` does.

    A living owner holds a lock, which the kernel releases when it dies. Segments of other users
    are left to them.

    Returns:
        How many bytes were freed.
    """
    freed = 0
    for pattern in SEGMENTS:
        for path in folder.glob(pattern):
            if '_port' in path.name:  # small, and used again
                continue
            try:
                with path.open('rb') as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if time.time() - path.stat().st_mtime > young:
                        freed += _delete(path)
            except OSError:  # held, gone meanwhile, or another user's
                continue
    return freed


def _delete(lock: Path) -> int:
    segment = lock.with_name(lock.name.removesuffix('_el'))
    size = segment.stat().st_size if segment.exists() else 0
    segment.unlink(missing_ok=True)
    lock.unlink()
    return size
