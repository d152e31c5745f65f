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
`ivm bench`: speed, measured in one run on one thread; large generators in `bench_large`.

Absolute figures drift on shared machines, so all jobs take turns, round after round, and the bars
are on ratios and differences of their medians.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
import os
from pathlib import Path
import shlex
import sys
import time
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
import tyro

from ivm_ros.bench_carrier import bench_carrier
from ivm_ros.bench_large import bench_large
from ivm_ros.bench_models import clipseg_job, deploy_jobs, Job, model_jobs, onnx_jobs
from ivm_ros.bench_node import memory_without_torch, NodeBench
from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.files import write_json
from ivm_ros.masker import Masker, MaskerConfig, OnnxError
from ivm_ros.models.device import choose_device
from ivm_ros.processes import end_as_by_ctrl_c, ProcessError
from ivm_ros.tracker import TrackConfig
from ivm_ros.version import commit, versions

WARM_UP = 3
CARRIER_SHARE = 20
"""Of as many rounds as the compact generator gets, a carrier gets one frame."""
Times = dict[str, list[float]]


@dataclass(frozen=True)
class BenchConfig:
    """Settings of `ivm bench`."""

    json: Annotated[str, Doc('Where to write the figures; empty for nowhere.')] = ''
    quick: Annotated[bool, Doc('A tenth of rounds and frames: shows that all works.')] = False
    node: Annotated[bool, Doc('Measure the ROS node too.')] = True
    strict: Annotated[bool, Doc('Exit with 1 when a bar is missed.')] = False
    rounds: Annotated[int, Range(10, 100000), Doc('How often each job is timed.')] = 200
    frames: Annotated[int, Range(10, 1000000), Doc('Frames of the stream.')] = 600
    rate: Annotated[float, Range(1, 1000), Doc('Frames per second of the stream.')] = 30.0
    carrier: Annotated[Literal['', 'flow', 'sam2', 'edgetam'], Doc(
        'Time what carries masks between keyframes, instead of a generator.')] = ''
    track_weights: Annotated[str, Doc('With --carrier: as the node has it.')] = ''
    random: Annotated[bool, Doc('With --generator or --carrier: random weights of the true size; '
                                'nothing is fetched.')] = False
    tiny: Annotated[bool, Doc('The same with a miniature.')] = False
    masker: tyro.conf.OmitArgPrefixes[MaskerConfig] = field(
        default_factory=lambda: MaskerConfig(threads=1))

    def __post_init__(self) -> None:
        """Check ranges, and that random weights are asked for once and of a large generator."""
        check(self)
        if self.random and self.tiny:
            raise ConfigError('random, tiny: wanted one of them')
        if self.carrier:
            if (self.random or self.tiny) and (self.track_weights or self.carrier == 'flow'):
                raise ConfigError('random, tiny: wanted --carrier sam2 or edgetam, and no weights')
            return
        if (self.random or self.tiny) and self.masker.generator == 'compact':
            raise ConfigError('random, tiny: wanted a large generator (--generator NAME); the '
                              'compact one has its weights')
        if (self.random or self.tiny) and self.masker.weights:
            raise ConfigError(f'random, tiny: wanted no weights, got {self.masker.weights!r}')


@dataclass(frozen=True)
class Bar:
    """
    One promise about speed.

    Attributes:
        name (str): What is measured.
        value (float): What was measured.
        limit (float): Where the bar is.
        at_least (bool): The value has to be at least the limit, else at most.
    """

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """The promise is kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def bench(config: BenchConfig) -> int:
    """Measure, print, write; return 1 when `strict` and a bar is missed."""
    rounds = max(10, config.rounds // 10) if config.quick else config.rounds
    made = 'random' if config.random else 'tiny' if config.tiny else ''
    if config.carrier:
        track = TrackConfig(track_by=config.carrier, track_weights=config.track_weights)
        return bench_carrier(track, config.masker, made, max(5, rounds // CARRIER_SHARE),
                             config.json)
    if config.masker.generator != 'compact':
        return bench_large(config.masker, made, rounds, config.json)
    frames = max(10, config.frames // 10) if config.quick else config.frames
    load = os.getloadavg()[0]
    cv2.setNumThreads(1)
    end_as_by_ctrl_c()
    masker = Masker(config.masker)
    device = choose_device(config.masker.device)
    jobs: dict[str, tuple[Job, int]] = {
        name: (job, 1) for name, job in (model_jobs(masker) | deploy_jobs()).items()}
    jobs |= {name: (job, 1) for name, job in _onnx(config, masker).items()}
    jobs['clipseg'] = clipseg_job(device, 32), 4 if config.quick else 8
    if not config.quick:
        jobs['clipseg_published'] = clipseg_job(device, 16), max(1, rounds // 5)
    with ExitStack() as stack:
        node, skipped = _start_node(config, masker, stack)
        times = measure(jobs, node, rounds)
        stream = node.stream(frames, config.rate) if node is not None else None
        memory = [node.peak_memory] if node is not None else []
    if memory and 'onnx_network' in jobs:
        memory.append(memory_without_torch(config.masker, masker.threads))
    report = summary(times, stream, memory)
    report |= {'node': skipped or f'measured with {node.profile if node else ""}',
               'rounds': rounds, 'rate': config.rate, 'threads': masker.threads,
               'device': str(device), 'cores': os.cpu_count(), 'load_before': round(load, 2),
               'weights': masker.info['weights'],
               'sha256': masker.info['sha256'], 'command': shlex.join(['ivm', *sys.argv[1:]]),
               'commit': commit(), 'versions': versions()}
    _show(report)
    if config.json:
        write_json(Path(config.json), report)
    return int(config.strict and not all(bar['ok'] for bar in report['bars']))


def _onnx(config: BenchConfig, masker: Masker) -> dict[str, Job]:
    """Give the jobs of ONNX Runtime, or none where it is not installed."""
    try:
        return onnx_jobs(config.masker.weights, masker.threads)
    except OnnxError as error:
        Console(stderr=True).print(f'without ONNX Runtime: {error}', soft_wrap=True)
        return {}


def _start_node(config: BenchConfig, masker: Masker,
                stack: ExitStack) -> tuple[NodeBench | None, str]:
    """Start the node; return it, or None and the reason why not."""
    if not config.node:
        return None, 'skipped: --no-node'
    try:
        node = stack.enter_context(NodeBench(config.masker.weights, masker.threads,
                                             config.masker.device))
        node.wait()
    except ProcessError as error:
        return None, f'skipped: {error}'
    return node, ''


def measure(jobs: dict[str, tuple[Job, int]], node: NodeBench | None, rounds: int) -> Times:
    """
    Let all jobs take turns.

    Args:
        jobs: Each with the number of rounds between two turns of it.
        node: Takes part in every round; None: there is none.
        rounds: How many.

    Returns:
        Milliseconds of each turn, by job; `node_roundtrip` and `passthrough_roundtrip` with them.
    """
    times: Times = {name: [] for name in jobs}
    if node is not None:
        times |= {'node_roundtrip': [], 'passthrough_roundtrip': []}
    console = Console(stderr=True)
    for number in track(range(-WARM_UP, rounds), 'measuring', console=console,
                        disable=not console.is_terminal):
        for name, ms in _turns(jobs, node, number):
            if number >= 0:
                times[name].append(ms)
    return times


def _turns(jobs: dict[str, tuple[Job, int]], node: NodeBench | None,
           number: int) -> Iterator[tuple[str, float]]:
    for name, (job, every) in jobs.items():
        if number % every == 0:
            job()  # not timed: no job pays for what the one before it threw out of the caches
            start = time.perf_counter()
            job()
            yield name, (time.perf_counter() - start) * 1e3
    if node is not None:
        through_node, through_relay = node.round()
        yield 'node_roundtrip', through_node
        yield 'passthrough_roundtrip', through_relay


def summary(times: Times, stream: dict[str, int] | None, memory: Sequence[float] = ()
            ) -> dict[str, Any]:
    """
    Return medians and 99th percentiles, ms, the stream's counts, and the bars.

    Args:
        times: Of all turns.
        stream: What became of its frames.
        memory: Peak of the node, MiB, with PyTorch and with ONNX Runtime.
    """
    report: dict[str, Any] = {f'{name}_ms': _figures(values) for name, values in times.items()}
    report = {'node_roundtrip_ms': None, 'passthrough_roundtrip_ms': None} | report
    report |= {'frames': stream, 'node_peak_mib': None, 'node_onnx_peak_mib': None}
    report |= dict(zip(('node_peak_mib', 'node_onnx_peak_mib'), memory))
    report['bars'] = [{**asdict(bar), 'ok': bar.ok} for bar in bars(report)]
    return report


def _figures(values: list[float]) -> dict[str, float]:
    median, high = np.percentile(values, (50, 99))
    return {'median': round(float(median), 3), 'p99': round(float(high), 3), 'n': len(values)}


def bars(report: dict[str, Any]) -> list[Bar]:
    """Compare with what is promised; what was not measured is left out."""
    medians = {name: figures['median'] for name, figures in report.items()
               if name.endswith('_ms') and figures is not None}
    generator = medians['generator_ms']
    found = [Bar('CLIPSeg / generator', medians['clipseg_ms'] / generator, 12, at_least=True),
             Bar('generator / backbone', generator / medians['backbone_ms'], 1.8),
             Bar('slowest deployment method, ms',
                 max(ms for name, ms in medians.items() if name.startswith('deploy_')), 3)]
    if 'onnx_network_ms' in medians:
        network = medians['onnx_network_ms']
        found += [Bar('ONNX network / ONNX backbone', network / medians['onnx_backbone_ms'], 1.5),
                  Bar('ONNX generator, from picture to masks / ONNX network',
                      medians['onnx_generator_ms'] / network, 1.4),
                  Bar('CLIPSeg / ONNX network', medians['clipseg_ms'] / network, 40,
                      at_least=True)]
    if 'node_roundtrip_ms' in medians:
        found.append(Bar('node - generator - pass-through, ms', medians['node_roundtrip_ms']
                         - generator - medians['passthrough_roundtrip_ms'], 3))
    if report['node_peak_mib'] is not None:
        found.append(Bar('peak memory of the node, MiB', report['node_peak_mib'], 700))
    if report['node_onnx_peak_mib'] is not None:
        found.append(Bar('peak memory of the node with ONNX Runtime, MiB',
                         report['node_onnx_peak_mib'], 700))
    if frames := report['frames']:
        found += [Bar('frames lost', frames['lost'], 0),
                  Bar('frames dropped as stale, %', 100 * frames['dropped'] / frames['in'], 1)]
    return found


def _show(report: dict[str, Any]) -> None:
    console = Console()
    table = Table('job', 'median ms', 'p99 ms', 'turns')
    for column in table.columns[1:]:
        column.justify = 'right'
    for name, figures in report.items():
        if name.endswith('_ms') and figures is not None:
            table.add_row(name.removesuffix('_ms').replace('_', ' '), f'{figures["median"]:.2f}',
                          f'{figures["p99"]:.2f}', str(figures['n']))
    console.print(table)
    table = Table('bar', 'wanted', 'measured', '')
    for bar in report['bars']:
        sign = '>=' if bar['at_least'] else '<='
        table.add_row(bar['name'], f'{sign} {bar["limit"]:g}', f'{bar["value"]:.2f}',
                      '[green]ok[/]' if bar['ok'] else '[red]missed[/]')
    console.print(table)
    if report['frames'] is not None:
        counts = {name: report['frames'][name] for name in ('in', 'out', 'dropped', 'lost')}
        console.print(f'640x480 at {report["rate"]:g} Hz: {counts}')
    console.print(f'{report["device"]}, {report["threads"]} thread(s) of {report["cores"]} cores; '
                  f'node: {report["node"]}', soft_wrap=True, highlight=False)
    if report['load_before'] > 0.5:
        console.print(f'[yellow]Other programs kept {report["load_before"]:.1f} of '
                      f'{report["cores"]} cores busy before: believe the ratios at most.[/]')
