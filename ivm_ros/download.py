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
"""`ivm download`: the weights of a large generator or carrier, from the hub to this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table
from typing_extensions import Doc
import tyro

from ivm_ros.config import ConfigError, nearest
from ivm_ros.models.pretrained import find_part, Part, WeightsError
from ivm_ros.models.registry import module_of, parts_of
from ivm_ros.models.settings import CARRIERS, GENERATORS
from ivm_ros.terminal import PlainConsole


@dataclass(frozen=True)
class DownloadConfig:
    """Settings of `ivm download`."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='NAME'), Doc(
        'Generator, or what carries masks (sam2, edgetam); empty: list them all.')] = ''
    out: Annotated[Path | None, Doc(
        'Folder for its weights, for the setting "weights" (of what carries masks: '
        '"track_weights"), to carry to a robot; without it they go to the cache of the Hugging '
        'Face hub, where they are found.')] = None
    tiny: Annotated[bool, Doc(
        'Write random weights of about a megabyte to --out instead: the same files, code and '
        'topics, and masks without sense. Needs no network.')] = False


def download(config: DownloadConfig) -> int:
    """
    Fetch the weights of a generator, or list what there is.

    Raises:
        ConfigError: There is no such generator, or it needs none.
        WeightsError: The hub cannot be reached, or does not give them.
    """
    if not config.name:
        _list()
        return 0
    known = [*GENERATORS, *CARRIERS]
    if config.name not in known:
        raise ConfigError(f'no generator {config.name!r}{nearest(config.name, known)}; there '
                          f'are {", ".join(known)}')
    parts = parts_of(config.name)
    if not parts:
        raise ConfigError(f'the weights of {config.name} come with the package; nothing to fetch')
    console = PlainConsole()
    if config.tiny:
        if config.out is None:
            raise ConfigError('--tiny: wanted --out FOLDER for the random weights')
        module_of(config.name).write_random(config.out)
    else:
        for name, part in parts.items():
            console.print(f'{part.repo}: {part.gigabytes:g} GB, licence: {part.licence}',
                          markup=False, highlight=False)
            fetch(part, config.out / name if config.out else None)
            find_part(config.name, name, part, str(config.out or ''))
    console.print(f'to use them: {_use(config)}', markup=False, highlight=False, soft_wrap=True)
    return 0


def _use(config: DownloadConfig) -> str:
    """Spell a command that uses the weights."""
    if config.name in GENERATORS:
        weights = f' --weights {config.out}' if config.out else ''
        return f'ivm mask photo.jpg "the red mug" --generator {config.name}{weights}'
    weights = f' -p track_weights:={config.out}' if config.out else ''
    return (f'ros2 run ivm_ros ivm_node --ros-args -p track:=true -p track_by:={config.name}'
            f'{weights}')


def fetch(part: Part, folder: Path | None) -> None:
    """
    Fetch one part; what is there already is not fetched again.

    Args:
        part: What.
        folder: Where to; None: the cache of the hub.

    Raises:
        WeightsError: The hub cannot be reached, or does not give it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        snapshot_download(part.repo, allow_patterns=[*part.files], local_dir=folder)
    except OfflineModeIsEnabled as error:
        raise WeightsError(f'{part.repo}: the hub is switched off by HF_HUB_OFFLINE; unset it to '
                           'download') from error
    except (HfHubHTTPError, OSError) as error:
        raise WeightsError(f'{part.repo} cannot be fetched ({_line(error)}); check the network, '
                           'and whether its page asks to accept a licence ("hf auth login"). What '
                           'is here already stays: the same command goes on') from error


def _list() -> None:
    """Print generators and carriers, their weights, licences and whether they are here."""
    table = Table('generator or carrier', 'weights', 'GB', 'licence', 'here')
    for name in (*GENERATORS, *CARRIERS):
        for key, part in parts_of(name).items():
            table.add_row(name, part.repo, f'{part.gigabytes:g}', part.licence,
                          'yes' if _is_here(name, key, part) else 'no')
        if not parts_of(name):
            table.add_row(name, 'come with the package', '', 'Apache-2.0', 'yes')
    PlainConsole().print(table)


def _is_here(generator: str, name: str, part: Part) -> bool:
    try:
        find_part(generator, name, part, '')
    except WeightsError:
        return False
    return True


def _line(error: Any) -> str:
    """Give the first line of a message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
