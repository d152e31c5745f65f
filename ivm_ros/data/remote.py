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
Datasets on object storage (s3://, gs://, ...), through fsspec.

Shards are whole files that do not change, so a dataset is copied once to a cache on this machine
and then read as any other. What is new or different on the storage is fetched again.
"""

import fcntl
from functools import cache
from hashlib import sha256
import json
import os
from pathlib import Path
import shutil
from typing import Any

from ivm_ros.data.shards import DatasetError
from ivm_ros.files import replace_file

KEYS = '.keys.json'
"""What the storage said of each file when it was fetched."""


@cache
def local_folder(folder: str) -> Path:
    """
    Give the folder of a dataset on this machine; one on object storage is fetched first.

    Processes of one machine wait for the one that fetches. Within a process a dataset is looked
    up once.

    Args:
        folder: A path, or a URL of fsspec such as s3://bucket/data/scenes.

    Raises:
        DatasetError: No dataset is there, or the storage's driver is missing.
        OSError: The storage cannot be reached.
    """
    if '://' not in folder:
        return Path(folder)
    storage, root = _open(folder)
    there = {Path(name).name: name for name in (
        *storage.glob(f'{root}/*.parquet'), *storage.glob(f'{root}/dataset.json'))}
    if len(there) < 2 or 'dataset.json' not in there:
        raise DatasetError(f'{folder} holds no dataset.json with *.parquet shards')
    place = _cache() / sha256(folder.encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    with (place / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _fetch(storage, there, place)
    return place


def _open(url: str) -> tuple[Any, str]:
    try:
        import fsspec

        storage, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DatasetError(f'{url}: {error}; fsspec reads s3:// with "pip install s3fs", gs:// '
                           'with gcsfs, az:// with adlfs') from error
    return storage, root.rstrip('/')


def _fetch(storage: Any, there: dict[str, str], place: Path) -> None:
    """Copy what is new or different, whole or not at all, and remove what is gone."""
    path = place / KEYS
    known: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    for name in known.keys() - there.keys():
        (place / name).unlink(missing_ok=True)
        del known[name]
    for name, source in there.items():
        key = str(storage.ukey(source))
        if known.get(name) == key and (place / name).is_file():
            continue
        with (replace_file(place / name) as part, storage.open(source, 'rb') as stream,
              part.open('wb') as copy):
            shutil.copyfileobj(stream, copy, 1 << 20)
        known[name] = key
        with replace_file(path) as part:
            part.write_text(json.dumps(known))


def _cache() -> Path:
    """Give the folder of copies: below $XDG_CACHE_HOME, else ~/.cache."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    root = Path(base) if os.path.isabs(base) else Path.home() / '.cache'
    return root / 'ivm_ros' / 'datasets'
