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
Which weights are used where none are named: the promoted ones, else the shipped ones.

`$XDG_DATA_HOME/ivm_ros/weights` (`~/.local/share/...`) holds a folder a set of weights, and the
file `current` with the name of the one in use. What is there is whole, and never changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
import json
import os
from pathlib import Path
import re
import shutil
from typing import Any

from ivm_ros.files import read_json, replace_file
from ivm_ros.models.checkpoint_info import file_hash, SHIPPED
from ivm_ros.models.errors import CheckpointError

POINTER, FILE, REPORT = 'current', 'compact.safetensors', 'promotion.json'
NONE = 'shipped'
"""Name of the weights of the package, which are not installed but always there."""
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,63}')


@dataclass(frozen=True)
class Installed:
    """
    Weights that were promoted.

    Attributes:
        name (str): To roll back to.
        current (bool): In use.
        report (dict): How they compared when they were promoted.
    """

    name: str
    current: bool
    report: dict[str, Any]


def weights_home() -> Path:
    """Give the folder of promoted weights, there or not."""
    base = os.environ.get('XDG_DATA_HOME', '')
    root = Path(base) if os.path.isabs(base) else Path.home() / '.local' / 'share'
    return root / 'ivm_ros' / 'weights'


def installed(name: str) -> Path:
    """
    Give the checkpoint of a name.

    Raises:
        CheckpointError: No name of weights.
    """
    if not NAME.fullmatch(name) or name in (POINTER, NONE):
        raise CheckpointError(f'weights cannot be called {name!r}: wanted up to 64 letters, '
                              f'digits, dots, - and _, and neither {POINTER} nor {NONE}')
    return weights_home() / name / FILE


def current_name() -> str:
    """Give the name of the promoted weights in use, '' where the shipped ones are."""
    try:
        return (weights_home() / POINTER).read_text().strip()
    except FileNotFoundError:
        return ''
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f'{weights_home() / POINTER} cannot be read ({error}); delete it to '
                              'use the shipped weights') from error


def weights_path(setting: str) -> Path:
    """
    Give the checkpoint that a setting stands for.

    Args:
        setting: A path; '' for the promoted weights, or the shipped ones where there are none.

    Raises:
        CheckpointError: The promoted ones are gone. Others are not taken in silence.
    """
    if setting:
        return Path(setting)
    name = current_name()
    if not name:
        return SHIPPED
    path = installed(name)
    if not path.is_file():
        raise CheckpointError(f'the promoted weights {name!r} are gone from {path.parent}; choose '
                              f'others with "ivm promote --list" and "ivm promote --rollback '
                              f'NAME", or "--rollback {NONE}"')
    return path


def install(checkpoint: Path, name: str, report: Mapping[str, Any]) -> Path:
    """
    Copy a checkpoint among the promoted weights, whole or not at all, and use it from now on.

    Args:
        checkpoint: The safetensors file; its JSON lies beside it.
        name: What to call it; '' for one of day and hash.
        report: Kept beside it.

    Raises:
        CheckpointError: It cannot be loaded, or other weights have that name.
    """
    digest = _tried(checkpoint)
    now = datetime.now(timezone.utc)
    name = name or f'{now:%Y-%m-%d}-{digest[:8]}'
    path = installed(name)
    if path.is_file():
        if file_hash(path) != digest:
            raise CheckpointError(f'{path.parent} holds other weights: wanted a new name; those '
                                  'that were promoted are never overwritten')
        return choose(name)
    part = path.parent.with_name(f'.{name}.{os.getpid()}.part')
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        for suffix in ('.safetensors', '.json'):
            target = (part / FILE).with_suffix(suffix)
            with replace_file(target) as copy:  # for its fsync: a rename must not come first
                shutil.copyfile(checkpoint.with_suffix(suffix), copy)
        with replace_file(part / REPORT) as text:
            text.write_text(json.dumps({**report, 'promoted': f'{now:%Y-%m-%d %H:%M:%S} UTC'},
                                       indent=2) + '\n')
        part.rename(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return choose(name)


def choose(name: str) -> Path:
    """
    Use installed weights from now on, or the shipped ones; return their path.

    Raises:
        CheckpointError: There are none of that name, or they cannot be loaded.
    """
    pointer = weights_home() / POINTER
    if name == NONE:
        pointer.unlink(missing_ok=True)
        return SHIPPED
    path = installed(name)
    if not path.is_file():
        known = ', '.join([*(item.name for item in shelf()), NONE])
        raise CheckpointError(f'no weights {name!r} are installed; there are: {known}')
    _tried(path)
    with replace_file(pointer) as part:
        part.write_text(name + '\n')
    return path


def _tried(path: Path) -> str:
    """Load a checkpoint to see that it can be; give its SHA-256."""
    from ivm_ros.models.checkpoint import load_checkpoint  # needs PyTorch, which a node may not

    return load_checkpoint(path).hash


def shelf() -> list[Installed]:
    """List the promoted weights, the earliest first."""
    found = [path.parent for path in weights_home().glob(f'*/{FILE}')
             if NAME.fullmatch(path.parent.name)]
    current = current_name()
    items = [Installed(folder.name, folder.name == current, _report(folder / REPORT))
             for folder in found]
    return sorted(items, key=lambda item: (str(item.report.get('promoted', '')), item.name))


def _report(path: Path) -> dict[str, Any]:
    try:
        report = read_json(path)
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}
