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
Weights of other people: where they lie, whether they are whole, and how they are fetched.

A generator names its weights as `Part`s. They lie in a folder with a subfolder a part, or in the
cache of the Hugging Face hub. Nothing is fetched but by `ivm download`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from safetensors import safe_open, SafetensorError
import torch

from ivm_ros.files import read_json
from ivm_ros.models.errors import CheckpointError
from ivm_ros.models.mapped import keep
from ivm_ros.models.settings import GENERATORS, MaskerConfig

SHOWN = 3  # names of arrays in a message
CONSTANTS = ('position_ids', 'inv_freq')
"""Ends of names that older releases of transformers saved though nobody learnt them."""


class WeightsError(CheckpointError):
    """Weights of a generator are missing, torn or of another model; says which and the cure."""


@dataclass(frozen=True)
class Part:
    """
    Weights that lie in one repository of the hub.

    Attributes:
        repo (str): Its name there.
        files (tuple[str, ...]): Patterns of what is needed of it.
        key (str): A file that must be there.
        licence (str): Of the weights, as their publishers state it.
        gigabytes (float): What is fetched, roughly.
    """

    repo: str
    files: tuple[str, ...] = ('*.json', '*.safetensors', '*.model', '*.txt', '*.jinja')
    key: str = 'config.json'
    licence: str = ''
    gigabytes: float = 0.0


def find_part(generator: str, name: str, part: Part, folder: str) -> Path:
    """
    Find the folder of a part, without the network.

    Args:
        generator: Who needs it, or which carrier.
        name: Subfolder of the part.
        part: What is wanted.
        folder: Where the parts lie, '' for the hub's cache.

    Raises:
        WeightsError: It is not there; says how to get it.
    """
    from huggingface_hub import snapshot_download

    who, setting = (('generator', 'weights') if generator in GENERATORS else
                    ('track_by', 'track_weights'))
    how = f'"ivm download {generator}" fetches it'
    if folder:
        place = Path(folder) / name
        if not (place / part.key).is_file():
            raise WeightsError(f'{who} {generator}: no {part.key} in {place}; {how}, with '
                               f'"--out {folder}" to that place')
        return place
    try:
        place = Path(snapshot_download(part.repo, allow_patterns=[*part.files],
                                       local_files_only=True))
    except OSError as error:  # LocalEntryNotFoundError is one
        raise WeightsError(f'{who} {generator}: {part.repo} is not on this machine; {how}, or '
                           f'set {setting} to a folder that has {name}/{part.key}') from error
    if not (place / part.key).is_file():
        raise WeightsError(f'{who} {generator}: {part.repo} was fetched in part, {part.key} '
                           f'is missing in {place}; {how}')
    return place


def load_pretrained(kind: Any, folder: Path, other: tuple[str, ...] = (), **words: Any) -> Any:
    """
    Load a transformers model, every array of it, from a folder.

    Args:
        kind: Class of the model.
        folder: Holds config.json and .safetensors files.
        other: How names begin that may be left over: parts of the file that are not needed.
        words: For `from_pretrained`.

    Raises:
        WeightsError: Torn or pickled files, arrays missing, left over or of another shape.
    """
    check_files(folder)
    try:
        with quiet():
            model, said = kind.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, use_safetensors=True,
                ignore_mismatched_sizes=True, trust_remote_code=False, **words)
    except (OSError, ValueError) as error:
        raise WeightsError(f'{folder}: {error}') from error
    differences = {
        'missing': sorted(said['missing_keys']),
        'left over': [name for name in sorted(said['unexpected_keys'])
                      if not name.startswith(other) and not name.endswith(CONSTANTS)],
        'of another shape': sorted(map(_spelt, said['mismatched_keys']))}
    refuse_differences(folder, kind.__name__, differences)
    keep(model)
    return model.eval().requires_grad_(False)


def load_processor(folder: Path) -> Any:
    """
    Load what turns sentences and pictures into a model's input.

    Raises:
        WeightsError: Its files are missing or torn.
    """
    from transformers import AutoProcessor

    try:
        with quiet():
            return AutoProcessor.from_pretrained(folder, local_files_only=True,
                                                 trust_remote_code=False)
    except Exception as error:  # its errors share no class
        raise WeightsError(f'{folder}: no processor can be made of the files there '
                           f'({error}); copy or download them again') from error


def refuse_differences(place: Path, what: str, differences: Mapping[str, list[str]]) -> None:
    """
    Refuse weights whose arrays are not those of a model.

    Raises:
        WeightsError: Some differ; names the first of each kind.
    """
    lines = [f'{len(names)} arrays {kind} ({", ".join(names[:SHOWN])}'
             f'{", ..." if len(names) > SHOWN else ""})'
             for kind, names in differences.items() if names]
    if lines:
        raise WeightsError(f'{place} is not the {what} that was wanted: {"; ".join(lines)}; copy '
                           'or download it again')


def check_files(folder: Path) -> list[Path]:
    """
    List the weights in a folder after a look at each header.

    Raises:
        WeightsError: None is there, one is missing, or one is torn.
    """
    wanted = {path.name for path in folder.glob('*.safetensors')}
    for index in folder.glob('*.safetensors.index.json'):
        try:
            named = {*read_json(index)['weight_map'].values()}
            if odd := [name for name in named if name != Path(name).name]:
                raise ValueError(f'{odd[0]!r} is no name of a file in this folder')
            wanted |= named
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f'{index} is no index of weights ({error}); copy it again') from (
                error)
    if not wanted:
        raise WeightsError(f'{folder}: wanted .safetensors files, there are none; pickled weights '
                           '(.bin, .pth) of a base model are never loaded')
    paths = [folder / name for name in sorted(wanted)]
    gone = [path.name for path in paths if not path.is_file()]
    if gone:
        raise WeightsError(f'{folder}: {len(gone)} of {len(paths)} files are missing, first '
                           f'{gone[0]}: half a download; fetch it again')
    for path in paths:
        try:
            with safe_open(path, 'pt'):
                pass
        except (SafetensorError, OSError) as error:
            raise WeightsError(f'{path} is truncated or not safetensors ({error}); fetch it '
                               'again') from error
    return paths


def dtype_of(config: MaskerConfig, device: torch.device) -> torch.dtype:
    """Give what a large network computes in: bfloat16 on CUDA where `half` is on, else float32."""
    return torch.bfloat16 if config.half and device.type == 'cuda' else torch.float32


def need(package: str, what: str) -> Any:
    """
    Import a package that only large generators need.

    Raises:
        WeightsError: It is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise WeightsError(f'{what} needs the package {error.name}; pip install '
                           '"ivm_ros[foundation]" brings it') from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars and tables off a node's log; our errors say it shorter."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def seeded(seed: int, dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """Make random weights of a seed and a type inside; the caller's random numbers stay."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def _spelt(difference: Any) -> str:
    """Spell a name with the shapes that came and were wanted."""
    if isinstance(difference, str):
        return difference
    name, came, wanted = difference
    return f'{name}: wanted {[*wanted]}, got {[*came]}'
