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
Checkpoints: `NAME.safetensors` with the arrays and `NAME.json` with all that explains them.

The JSON holds `generator`, `config`, `text_encoder` (name and SHA-256), `provenance` (command,
seed, data, versions) and `quality` (what `ivm eval grounding` measured). Nothing is unpickled.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
import torch

from ivm_ros.config import ConfigError, from_dict
from ivm_ros.files import replace_file
from ivm_ros.models.checkpoint_info import (
    file_hash, FORMAT, read_checkpoint_info, SHIPPED, write_checkpoint_info)
from ivm_ros.models.compact import CompactConfig, CompactNet
from ivm_ros.models.errors import CheckpointError


@dataclass(frozen=True)
class Checkpoint:
    """
    A loaded checkpoint.

    Attributes:
        path (Path): The safetensors file.
        hash (str): Its SHA-256.
        net (CompactNet): The network, in evaluation mode, on the CPU.
        info (dict): The JSON beside it.
    """

    path: Path
    hash: str
    net: CompactNet
    info: dict[str, Any]


def save_checkpoint(path: Path, net: CompactNet, text_encoder: Mapping[str, str],
                    provenance: Mapping[str, Any], quality: Mapping[str, Any]) -> None:
    """
    Write `path` (.safetensors) and its JSON, each whole or not at all.

    Args:
        path: Ends in .safetensors.
        net: What to save.
        text_encoder: `name` and `sha256` of the sentence encoder it was trained with.
        provenance: How it was made.
        quality: What was measured; empty when nothing was.

    Raises:
        OSError: It cannot be written.
    """
    info = {'format': FORMAT, 'generator': 'compact', 'config': asdict(net.config),
            'text_encoder': dict(text_encoder), 'provenance': dict(provenance),
            'quality': dict(quality)}
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    with replace_file(path) as part:
        part.write_bytes(save(state))  # `save_file` has an error of its own for a full disk
    write_checkpoint_info(path, info)


def load_checkpoint(path: Path = SHIPPED) -> Checkpoint:
    """
    Load a compact generator.

    Raises:
        CheckpointError: Missing, truncated, a pickle, or of another shape.
    """
    if not path.is_file():
        raise CheckpointError(f'no weights at {path}; leave "weights" empty for those in use '
                              'or make some with "ivm train"')
    if path.suffix != '.safetensors':
        raise CheckpointError(f'{path}: wanted a .safetensors file, got {path.suffix or "no"} '
                              'suffix; pickled weights (.pt, .pth, .bin) are never loaded')
    info = read_checkpoint_info(path)
    try:
        net = CompactNet(from_dict(CompactConfig, info.get('config', {})))
    except ConfigError as error:
        raise CheckpointError(f'{path.with_suffix(".json")}: {error}') from error
    net.load_state_dict(_read_state(path, net))
    return Checkpoint(path, file_hash(path), net.eval(), info)


def _read_state(path: Path, net: CompactNet) -> dict[str, torch.Tensor]:
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        kind = 'is a pickle, which is never loaded' if _looks_pickled(path) else (
            f'is truncated or not safetensors ({error})')
        raise CheckpointError(f'{path} {kind}; copy it again') from error
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    came = {name: tuple(value.shape) for name, value in state.items()}
    wrong = sorted(name for name in wanted.keys() | came.keys()
                   if wanted.get(name) != came.get(name))
    if wrong:
        first = wrong[0]
        raise CheckpointError(
            f'{path} does not fit its JSON: {len(wrong)} arrays differ, first {first!r}: wanted '
            f'{wanted.get(first)}, got {came.get(first)}; the two files are not of one checkpoint')
    return state


def _looks_pickled(path: Path) -> bool:
    with path.open('rb') as stream:
        head = stream.read(9)
    if head[8:] == b'{':  # safetensors: the length of a JSON text, and the text
        return False
    return head[:1] == b'\x80' or head[:4] == b'PK\x03\x04'  # pickle protocol 2+, torch's zip
