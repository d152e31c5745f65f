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
"""The JSON beside a checkpoint, and which file ships: what can be known without PyTorch."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from ivm_ros.files import read_json, write_json
from ivm_ros.models.errors import CheckpointError

# 1: before things were proposed, 2: .. words compared with them, 3: .. a run with hidden units in
# outlines, 4: with them
FORMAT = 5
SHIPPED = Path(__file__).parent.parent / 'weights' / 'compact.safetensors'


def file_hash(path: Path) -> str:
    """Give the SHA-256 of a file."""
    digest = sha256()
    with path.open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_checkpoint_info(path: Path, info: Mapping[str, Any]) -> None:
    """Write the JSON beside a checkpoint."""
    write_json(path.with_suffix('.json'), info)


def read_checkpoint_info(path: Path) -> dict[str, Any]:
    """Read the JSON beside a checkpoint."""
    beside = path.with_suffix('.json')
    if not beside.is_file():
        raise CheckpointError(f'{path} has no {beside.name} beside it; copy both files')
    try:
        info: dict[str, Any] = read_json(beside)
    except (OSError, ValueError) as error:
        raise CheckpointError(f'{beside} is not JSON ({error}); copy it again') from error
    if not isinstance(info, dict) or info.get('generator') != 'compact':
        raise CheckpointError(f'{beside}: wanted "generator": "compact", got '
                              f'{info.get("generator")!r}' if isinstance(info, dict) else
                              f'{beside}: wanted a JSON object')
    if info.get('format') != FORMAT:
        raise CheckpointError(f'{beside}: wanted format {FORMAT}, got {info.get("format")!r}: '
                              'written by another version of ivm_ros; use that version, or train '
                              'anew with "ivm train"')
    return info
