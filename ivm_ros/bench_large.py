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
`ivm bench --generator NAME`: what a frame costs with a large generator, and what memory it takes.

With `--random` the weights are random ones of the true size, with `--tiny` those of a miniature:
neither time nor memory depends on what weights know, so nothing has to be fetched. Where the
paper's generator does not fit the machine, its blocks are timed one by one (`bench_blocks`).
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
import resource
import shlex
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any

import numpy as np
from rich.table import Table
import torch

from ivm_ros.bench_blocks import estimate, lacking
from ivm_ros.bench_models import picture
from ivm_ros.files import write_json
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.device import choose_device, choose_threads
from ivm_ros.models.flops import counted
from ivm_ros.models.pretrained import WeightsError
from ivm_ros.models.registry import module_of
from ivm_ros.terminal import PlainConsole
from ivm_ros.version import commit, versions

WARM_UP = 1
SENTENCES = ('put the red mug on the plate left of the bowl', 'pick up the duck', 'the fork',
             'take the large white plate')
SHARE = 20
"""Of as many rounds as the compact generator gets, a large one gets one, and one at least."""


def bench_large(config: MaskerConfig, made: str, rounds: int, path: str) -> int:
    """
    Time a large generator, print what came out, write it.

    Args:
        config: Which one, where, in what numbers.
        made: 'random' or 'tiny' weights; '': those that `config` finds.
        rounds: Of the compact generator.
        path: Of the JSON; '' for none.

    Raises:
        WeightsError: There are no weights, a package is missing, or random ones do not fit here.
        MemoryFullError: They do not fit.
    """
    device = choose_device(config.device)
    lacks = lacking(config.generator, device) if made == 'random' else ''
    if lacks and config.generator != 'ivm_v1':
        raise WeightsError(f'random weights of {config.generator} of the true size want {lacks}; '
                           'use another machine, or --tiny')
    if lacks:
        threads = choose_threads(config.threads)
        torch.set_num_threads(threads)
        report = {**estimate(device, config.half, max(3, rounds // SHARE)), **memory(str(device)),
                  'made': f'block by block, as all of them want {lacks}; random',
                  'device': str(device), 'threads': threads}
    else:
        report = _whole(config, made, rounds)
    report |= {'generator': config.generator, 'precision': config.precision,
               'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
               'versions': versions()}
    _show(report)
    if path:
        write_json(Path(path), report)
    return 0


def _whole(config: MaskerConfig, made: str, rounds: int) -> dict[str, Any]:
    """Load a generator and time it."""
    with random_weights(config.generator, made) as folder:
        settings = replace(config, weights=folder or config.weights)
        started = time.perf_counter()
        masker = Masker(settings)
        loading = time.perf_counter() - started
        if masker.info['device'].startswith('cuda'):
            torch.cuda.reset_peak_memory_stats()
        gflops = _gflops(masker)
        times = _measure(masker, max(1, rounds // SHARE))
    info = masker.info
    return {**{name: {'median': round(float(np.median(ms)), 3),
                      'cpu': round(float(np.median(cpu)), 3), 'n': len(ms)}
               for name, (ms, cpu) in times.items()},
            'made': made or 'as found', 'gflops': gflops, 'load_s': round(loading, 2),
            **memory(info['device']), 'trouble': info.get('trouble', ''),
            'robot_plane': config.robot_plane, 'device': info['device'],
            'threads': masker.threads, 'sha256': info['sha256']}


@contextmanager
def random_weights(name: str, made: str) -> Iterator[str]:
    """Give a folder of random weights that is gone afterwards; '' where none are asked for."""
    if not made:
        yield ''
        return
    with TemporaryDirectory(prefix='ivm_bench_') as folder:
        write = module_of(name).write_random
        if made == 'tiny':
            write(Path(folder), tiny=True)
        else:  # in a process of its own, so that the peak of memory is that of masking alone
            with ProcessPoolExecutor(1, get_context('spawn')) as pool:
                pool.submit(write, Path(folder), tiny=False).result()
        yield folder


def _measure(masker: Masker, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """
    Time a picture with one sentence and with four, in turns; masks on the CPU end a turn.

    Returns:
        ms on the clock and ms of the processor, which a busy machine changes less.
    """
    image = picture()
    jobs = {f'{count}_sentences_ms': SENTENCES[:count] for count in (1, len(SENTENCES))}
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in jobs}
    for number in range(-WARM_UP, rounds):
        for name, sentences in jobs.items():
            start, busy = time.perf_counter(), time.process_time()
            masker([image] * len(sentences), sentences)
            if number >= 0:
                times[name][0].append((time.perf_counter() - start) * 1e3)
                times[name][1].append((time.process_time() - busy) * 1e3)
    return times


def _gflops(masker: Masker) -> float:
    """Count the arithmetic of a picture with a sentence; a multiplication with its addition: 2."""
    with counted() as counter:
        masker(picture(), SENTENCES[0])
    return round(counter.get_total_flops() / 1e9, 1)


def memory(device: str) -> dict[str, float]:
    """Give the highest memory so far, MiB: of the process, and of CUDA where that computes."""
    report = {'peak_process_mib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if device.startswith('cuda'):
        report['peak_cuda_mib'] = torch.cuda.max_memory_allocated() / 2**20
    return {name: round(mib, 1) for name, mib in report.items()}


def _show(report: dict[str, Any]) -> None:
    table = Table(report['generator'], f'{report["made"]} weights, {report["device"]}')
    for name, value in report.items():
        if name.endswith('_ms'):
            table.add_row(f'a picture, {name[0]} sentence(s): median of {value["n"]}, ms',
                          f'{value["median"]:.1f}, of the processor {value["cpu"]:.1f}')
    table.add_row('a picture, 1 sentence: GFLOP', f'{report["gflops"]:,.1f}')
    for part, facts in report.get('blocks', {}).items():
        table.add_row(f'{part}: ms of a block', ', '.join(
            f'{facts[kind]["count"]} of {facts[kind]["ms"]:.0f}' for kind in facts
            if kind != 'rest_ms'))
    if 'load_s' in report:
        table.add_row('loading, s', f'{report["load_s"]:g}')
    for name in ('peak_process_mib', 'peak_cuda_mib'):
        if name in report:
            table.add_row(name.replace('_', ' ').replace('mib', 'memory, MiB'),
                          f'{report[name]:.0f}')
    if report.get('trouble'):
        table.add_row('memory was full', report['trouble'])
    PlainConsole().print(table)
