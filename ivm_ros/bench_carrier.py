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
`ivm bench --carrier NAME`: what it costs to carry the masks of a keyframe to another frame.

Two planes, target and robot, at 640x480; frames move by two pixels. Neither time nor memory
depends on what weights know, so random ones do (`--random`, `--tiny`). Beside the time on the
clock stands that of the processor, which other programs of a busy machine change less.
"""

from dataclasses import replace
from pathlib import Path
import shlex
import sys
import time
from typing import Any

import cv2
import numpy as np
from rich.table import Table
import torch

from ivm_ros.bench_large import memory, random_weights
from ivm_ros.bench_models import picture
from ivm_ros.carriers import load_carriers
from ivm_ros.files import write_json
from ivm_ros.masker import MaskerConfig
from ivm_ros.models.device import choose_device, choose_threads
from ivm_ros.models.flops import counted
from ivm_ros.terminal import PlainConsole
from ivm_ros.tracker import Carrier, TrackConfig
from ivm_ros.version import commit, versions

WARM_UP = 8
"""Frames until the memory of a keyframe is full: seven are looked at."""


def bench_carrier(track: TrackConfig, masker: MaskerConfig, made: str, rounds: int, path: str
                  ) -> int:
    """
    Time what `track_by` names, print what came out, write it.

    Args:
        track: Which one, and its weights.
        masker: Device, threads, half precision.
        made: 'random' or 'tiny' weights; '': those that `track` finds.
        rounds: Frames that are timed.
        path: Of the JSON; '' for none.

    Raises:
        WeightsError: There are no weights, or a package is missing.
    """
    threads, device = choose_threads(masker.threads), choose_device(masker.device)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    with random_weights(track.track_by, made) as folder:
        make = load_carriers(replace(track, track_weights=folder or track.track_weights), masker)
        times, cpu, gflops = _measure(make(), rounds)
    report: dict[str, Any] = {
        'carrier': track.track_by, 'made': made or 'as found',
        'carry_ms': {'median': round(float(np.median(times)), 3),
                     'cpu': round(float(np.median(cpu)), 3), 'n': len(times)},
        'gflops': gflops, **memory(str(device)), 'device': str(device), 'threads': threads,
        'half': masker.half, 'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
        'versions': versions()}
    table = Table(report['carrier'], f'{report["made"]} weights, {device}')
    table.add_row(f'a frame, two planes: median of {len(times)}, ms',
                  f'{report["carry_ms"]["median"]:.1f}')
    table.add_row('the same, of the processor, ms', f'{report["carry_ms"]["cpu"]:.1f}')
    table.add_row('a frame, two planes: GFLOP', f'{gflops:,.1f}')
    for name in ('peak_process_mib', 'peak_cuda_mib'):
        if name in report:
            table.add_row(name.replace('_', ' ').replace('mib', 'memory, MiB'),
                          f'{report[name]:.0f}')
    PlainConsole().print(table)
    if path:
        write_json(Path(path), report)
    return 0


def _measure(carrier: Carrier, rounds: int) -> tuple[list[float], list[float], float]:
    """Carry two planes over so many frames; ms of each, by the processor, GFLOP of the last."""
    image, planes = picture(), [np.zeros((480, 640), np.float32) for _ in range(2)]
    planes[0][200:320, 240:400] = planes[1][:240, 480:560] = 1
    carrier.advance(image)
    key, times, cpu, gflops = carrier.mark(), [], [], 0.0
    for number in range(-WARM_UP, rounds + 1):
        frame = np.ascontiguousarray(np.roll(image, 2 * (number + WARM_UP + 1), 1))
        if number == rounds:
            with counted() as counter:
                carrier.advance(frame)
                carrier.carry(key, planes)
            gflops = round(counter.get_total_flops() / 1e9, 1)
            break
        start, busy = time.perf_counter(), time.process_time()
        carrier.advance(frame)
        carrier.carry(key, planes)  # masks on the CPU end it
        if number >= 0:
            times.append((time.perf_counter() - start) * 1e3)
            cpu.append((time.process_time() - busy) * 1e3)
    return times, cpu, gflops
