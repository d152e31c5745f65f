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
What a frame costs with the paper's generator where it does not fit the machine.

Its arithmetic is counted without contents; one block of each kind is timed at its true size, and
taken as often as the generator has it.
"""

from collections.abc import Callable
from pathlib import Path
import shutil
from tempfile import gettempdir
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from ivm_ros.bench_flops import (
    clip_picture, encoder, eyes, language, paper_gflops, prompt, sam_picture)
from ivm_ros.models.registry import module_of

PARTS = {
    'CLIP ViT-L/14': (lambda: {'pixel_values': clip_picture()}, lambda: eyes(1),
                      {'layer': (24, lambda: eyes(2))}),
    'LLaVA-1.5 7B': (prompt, lambda: language(1), {'layer': (32, lambda: language(2))}),
    'SAM ViT-H': (lambda: {'pixel_values': sam_picture()}, lambda: encoder(1, ()), {
        'layer': (28, lambda: encoder(2, ())), 'wide layer': (4, lambda: encoder(2, (1,)))})}
"""
Of each part of the generator: what it sees, the part with one layer, and by kind of layer how
many the whole has and the part with one of it besides.
"""


def lacking(name: str, device: torch.device) -> str:
    """
    Say what the machine lacks to hold random weights of a generator's true size; '' for nothing.

    Weights are made in memory and written to the folder for temporary files; a CPU computes in
    float32, for which those of `ivm_v1`, which are of bfloat16, grow twofold.
    """
    size = sum(part.gigabytes for part in module_of(name).PARTS.values())
    memory = size * (1 if device.type == 'cuda' else 2)
    free = _free_memory() / 1e9
    disk = shutil.disk_usage(gettempdir()).free / 1e9
    return ' and '.join(f'{wanted:.1f} GB {what}, where {there:.1f} are free' for wanted, there,
                        what in ((memory, free, 'of memory'), (size, disk, f'in {gettempdir()}'))
                        if wanted > there)


def _free_memory() -> int:
    """Count the bytes of memory that are free or could be."""
    for line in Path('/proc/meminfo').read_text().splitlines():
        if line.startswith('MemAvailable:'):
            return 1024 * int(line.split()[1])
    raise OSError('/proc/meminfo has no MemAvailable')


def estimate(device: torch.device, half: bool, rounds: int) -> dict[str, Any]:
    """
    Work out what a picture with a sentence takes with `ivm_v1`, but for its mask decoder.

    Args:
        device: Where blocks are timed.
        half: In bfloat16, on CUDA.
        rounds: How often each is timed.

    Returns:
        gflops; blocks: by part and kind, ms of one (`ms`), how many there are (`count`), and ms
        of what a part does besides (`rest_ms`); 1_sentences_ms: the sum, as `bench_large` has it.
    """
    parts: dict[str, Any] = {}
    total = np.zeros(2)  # on the clock, of the processor
    dtype = torch.bfloat16 if half and device.type == 'cuda' else torch.float32
    for part, (given, make, kinds) in PARTS.items():
        inputs = {name: value.to(device, dtype) for name, value in given().items()}
        first = _timed(make, inputs, rounds)
        blocks = {kind: _timed(more, inputs, rounds) - first for kind, (_, more) in kinds.items()}
        rest = first - blocks['layer']
        total += rest + sum(blocks[kind] * count for kind, (count, _) in kinds.items())
        parts[part] = {'rest_ms': round(float(rest[0]), 3), **{
            kind: {'ms': round(float(blocks[kind][0]), 3), 'count': count}
            for kind, (count, _) in kinds.items()}}
    return {'1_sentences_ms': {'median': round(float(total[0]), 3),
                               'cpu': round(float(total[1]), 3), 'n': rounds},
            'gflops': round(sum(paper_gflops().values()), 1), 'blocks': parts}


@torch.inference_mode()
def _timed(make: Callable[[], nn.Module], inputs: dict[str, torch.Tensor], rounds: int
           ) -> np.ndarray:
    """Give medians of a pass, ms on the clock and of the processor."""
    some = next(iter(inputs.values()))
    net, times = make().eval().to(some.device, some.dtype), []
    for _ in range(rounds + 1):  # the first warms up
        start, busy = time.perf_counter(), time.process_time()
        net(**inputs)
        if some.is_cuda:
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start, time.process_time() - busy))
    return np.asarray(1e3 * np.median(times[1:], 0))
