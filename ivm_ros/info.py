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
"""`ivm info`: what a bug report needs, also from a half-broken installation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
import json
import os
from pathlib import Path
import platform
import subprocess
import sys
from typing import Annotated, Any

from rich.table import Table
from typing_extensions import Doc

from ivm_ros.terminal import PlainConsole
from ivm_ros.version import commit, versions

Facts = dict[str, Any]
PATIENCE = 120
"""Seconds to wait for a child process; a software renderer's first start takes some."""
SHOWN = 10  # of the values within a value


@dataclass(frozen=True)
class InfoConfig:
    """Settings of `ivm info`."""

    json: Annotated[bool, Doc('Print JSON instead of a table.')] = False
    weights: Annotated[str, Doc('Checkpoint to describe; empty for those in use.')] = ''


def info(config: InfoConfig) -> int:
    """Print what is installed and in force; always succeeds, as it is for finding faults."""
    facts = collect(config.weights)
    if config.json:
        print(json.dumps(facts, indent=2))
    else:
        _show(facts)
    return 0


def collect(weights: str = '') -> dict[str, Facts]:
    """
    Gather the facts, section by section; one that fails says so under 'error'.

    Args:
        weights: Checkpoint to describe, '' for those in use.
    """
    with _start('ivm_ros.nodes.about') as ros, _start('ivm_sim.gl') as gl:
        sections: dict[str, Callable[[], Facts]] = {
            'system': _system,
            'packages': versions,
            'device': _device,
            'weights': lambda: _weights(weights),
            'text_encoder': _text_encoder,
            'ros': lambda: json.loads(_answer(ros)),
            'opengl': lambda: {'backend': _answer(gl).splitlines()[-1],
                               'MUJOCO_GL': os.environ.get('MUJOCO_GL', 'not set')},
        }
        return {name: _guarded(section) for name, section in sections.items()}


def _guarded(section: Callable[[], Facts]) -> Facts:
    try:
        return section()
    except Exception as error:  # noqa: BLE001 - a broken part is what the reader looks for
        return {'error': ' '.join(f'{type(error).__name__}: {error}'.split())}


def _system() -> Facts:
    return {'ivm_ros': str(Path(__file__).parent), 'commit': commit() or 'not a git checkout',
            'python': sys.executable, 'system': platform.platform(), 'cores': os.cpu_count()}


def _device() -> Facts:
    import torch

    from ivm_ros.models.device import choose_device, choose_threads

    facts: Facts = {'auto': str(choose_device('auto')), 'threads': choose_threads(0),
                    'cuda': torch.version.cuda or 'torch built without'}
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        facts[f'gpu_{number}'] = f'{card.name}, {card.total_memory / 2**30:.0f} GiB'
    facts.update({name: os.environ[name] for name in ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES')
                  if name in os.environ})
    return facts


def _weights(weights: str) -> Facts:
    from ivm_ros.models.checkpoint import load_checkpoint
    from ivm_ros.models.installed import current_name, NONE, weights_path

    path = weights_path(weights)
    checkpoint = load_checkpoint(path)
    origin = 'named' if weights else f'promoted: {name}' if (name := current_name()) else NONE
    return {'origin': origin, 'path': str(path), 'bytes': path.stat().st_size,
            'sha256': checkpoint.hash,
            'generator': checkpoint.info.get('generator'),
            'config': checkpoint.info.get('config', {}),
            'provenance': checkpoint.info.get('provenance', {}),
            'quality': checkpoint.info.get('quality', {}),
            'text_encoder': checkpoint.info.get('text_encoder', {})}


def _text_encoder() -> Facts:
    from ivm_ros.models.checkpoint_info import file_hash
    from ivm_ros.models.text_files import find_text_encoder, NAME

    folder = find_text_encoder()
    return {'name': NAME, 'folder': str(folder), 'sha256': file_hash(folder / 'model.safetensors')}


def _start(module: str) -> subprocess.Popen[str]:
    """Start a module of ours as a process: the core imports neither rclpy nor the simulation."""
    return subprocess.Popen([sys.executable, '-m', module], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def _answer(process: subprocess.Popen[str]) -> str:
    try:
        out, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if process.returncode:
        lines = errors.strip().splitlines() or [f'ended with code {process.returncode}']
        raise RuntimeError(lines[-1])
    return out.strip()


def _show(facts: dict[str, Facts]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style='bold', no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow='fold')
    for section, values in facts.items():
        for number, (name, value) in enumerate(values.items()):
            text = brief(value) if isinstance(value, dict) else str(value)
            style = 'red' if name == 'error' else ''
            table.add_row('' if number else section, name, text, style=style)
        table.add_row()
    PlainConsole().print(table, markup=False, highlight=False)


def brief(values: Facts) -> str:
    """Say the first few of nested values; all of them are in the JSON."""
    flat = list(_flat(values))
    parts = [f'{name} {value:.3g}' if isinstance(value, float) else f'{name} {value}'
             for name, value in flat[:SHOWN]]
    rest = [f'... {len(flat) - SHOWN} more with --json'] if len(flat) > SHOWN else []
    return ', '.join(parts + rest)


def _flat(values: Facts, before: str = '') -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{before}{name}.')
        else:
            yield before + name, value
