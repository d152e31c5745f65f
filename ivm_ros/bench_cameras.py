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
`ivm bench cameras`: what the node costs as it serves more cameras, over real DDS.

For each number of cameras one `ivm_node` with one model; a process beside it sends a picture of
every camera at every tick and takes what comes back. Times on the clock grow with whatever else
the machine does; the node's CPU time a batch hardly does, so both are told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
import os
from pathlib import Path
import shlex
import sys
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from rich.console import Console

from ivm_ros.bench_node import STARTING
from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.files import replace_file, write_json
from ivm_ros.processes import (end_as_by_ctrl_c, environment_of, ProcessError, Program, Programs,
                               reserve_domain, ros_arguments, ros_facts)
from ivm_ros.version import commit, versions

NODE, SPACE = 'bench_cameras_node', '/ivm_bench_cameras'


@dataclass(frozen=True)
class CamerasConfig:
    """Settings of `ivm bench cameras`."""

    out: Annotated[str, Doc('Folder to write: cameras.json, cameras.md, cameras.png.')] = 'cameras'
    counts: Annotated[tuple[int, ...], Range(1, 64), Doc('Numbers of cameras.')] = (1, 2, 4, 8)
    rate: Annotated[float, Range(0.1, 1000.0), Doc('Ticks per second.')] = 10.0
    ticks: Annotated[int, Range(5, None), Doc('Ticks that are counted.')] = 200
    width: Annotated[int, Range(32, 4096), Doc('Width of the pictures, a multiple of 16.')] = 320
    height: Annotated[int, Range(32, 4096), Doc('Height of the pictures, the same.')] = 240
    runtime: Annotated[Literal['torch', 'onnx'], Doc('Of the node.')] = 'torch'
    threads: Annotated[int, Range(0, 256), Doc('Of the node; 0: it chooses.')] = 1
    weights: Annotated[str, Doc('Checkpoint; empty for the one in use.')] = ''

    def __post_init__(self) -> None:
        """Check ranges, and that pictures can be made."""
        check(self)
        if self.width % 16 or self.height % 16 or not self.counts:
            raise ConfigError(f'CamerasConfig: wanted multiples of 16 for width and height and at '
                              f'least one count, got {self.width} x {self.height}, {self.counts}')


def bench_cameras(config: CamerasConfig) -> Path:
    """Measure and write; return the folder."""
    end_as_by_ctrl_c()
    console, cases = Console(stderr=True), []
    load = os.getloadavg()[0]
    about = ros_facts()
    for count in config.counts:
        domain, lock = reserve_domain()
        with lock, TemporaryDirectory(prefix='ivm_bench_') as folder, \
                Programs(environment_of(about, domain), Path(folder)) as programs:
            cases.append(measure(config, count, programs))
        console.print(cases[-1], soft_wrap=True, highlight=False)
    report = {'cases': cases, 'settings': vars(config), 'cores': os.cpu_count(),
              'cores_used': len(os.sched_getaffinity(0)), 'load_before': round(load, 2),
              'load_after': round(os.getloadavg()[0], 2), 'rmw': about['rmw'],
              'distribution': about['distribution'],
              'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
              'versions': versions()}
    out = Path(config.out)
    write_json(out / 'cameras.json', report)
    text = '\n'.join(_table(report))
    with replace_file(out / 'cameras.md') as part:
        part.write_text(text)
    _plot(report, out / 'cameras.png')
    print(text)
    return out


def measure(config: CamerasConfig, count: int, programs: Programs) -> dict[str, Any]:
    """
    Start a node for so many cameras, and let them run once to warm up and once to count.

    Returns:
        What `bench_eyes` says, CPU time of the node a batch, ms, and its peak memory, MiB.

    Raises:
        ProcessError: The node does not start, or ends before its time.
    """
    cameras = [f'camera_{number}' for number in range(count)]
    # With thresholds of 0 every frame is masked, whatever the weights see in the picture.
    node = programs.start('ivm_node', 'ivm_ros.nodes.ivm_node', ros_arguments({
        'cameras': cameras, 'instruction': 'pick up the red mug', 'found_threshold': 0.0,
        'threshold': 0.0, 'device': 'cpu', 'threads': config.threads, 'runtime': config.runtime,
        **({'weights': config.weights} if config.weights else {})}, SPACE, NODE))
    eyes = programs.start('bench_eyes', 'ivm_ros.nodes.bench_eyes', [
        NODE, str(config.ticks), str(config.rate), str(config.width), str(config.height), *cameras,
        *ros_arguments({}, SPACE)])
    _await(node, eyes)
    patience = 60 + 5 * config.ticks / config.rate
    eyes.ask()
    eyes.answer(patience)
    begin = node.cpu_seconds
    eyes.ask()
    facts = eyes.answer(patience)
    spent = node.cpu_seconds - begin
    return {'cameras': count, **facts, 'peak_mib': node.peak_memory,
            'cpu_ms_a_batch': 1e3 * spent / max(1, facts['batch_batches'])}


def _await(node: Program, eyes: Program) -> None:
    for _ in range(int(STARTING)):
        if eyes.facts(1.0) is not None:
            return
        if node.failed():
            break
    raise ProcessError(f'the node does not start. {node.last_words()}')


def _table(report: dict[str, Any]) -> Iterator[str]:
    """Give the report in Markdown."""
    ticks = report['settings']['ticks']
    yield ('| cameras | frames sent | masked and back | stale | lost | batches a tick | frames a '
           'batch | CPU of the node a batch, ms | round trip, ms: median | p99 | memory, MiB |')
    yield '|' + '---|' * 11
    for case in report['cases']:
        size = case['batch_frames'] / max(1, case['batch_batches'])
        yield (f'| {case["cameras"]} | {case["sent"]} | {case["back"]} | {case["frames_stale"]} | '
               f'{case["frames_lost"]} | {case["batch_batches"] / ticks:.2f} | {size:.2f} | '
               f'{case["cpu_ms_a_batch"]:.0f} | {case["ms"][0]:.0f} | {case["ms"][1]:.0f} | '
               f'{case["peak_mib"]:.0f} |')
    yield ''


def _plot(report: dict[str, Any], path: Path) -> None:
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot

    cases = report['cases']
    counts = [case['cameras'] for case in cases]
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.2))
    axes[0].plot(counts, [case['cpu_ms_a_batch'] for case in cases], marker='o')
    axes[0].axhline(1e3 / report['settings']['rate'], color='grey', linestyle=':')
    axes[0].set_title('CPU of the node a batch, ms (dotted: the tick)', fontsize=9)
    axes[1].plot(counts, [100 * case['back'] / case['sent'] for case in cases], marker='o')
    axes[1].set_title('frames masked, %', fontsize=9)
    axes[1].set_ylim(0, 105)
    for axis in axes:
        axis.set_xlabel('cameras')
        axis.set_xticks(counts)
        axis.grid(alpha=.3)
    axes[0].set_ylim(0, None)
    figure.tight_layout()
    with replace_file(path) as part:
        figure.savefig(part, format='png', dpi=110)
    pyplot.close(figure)
