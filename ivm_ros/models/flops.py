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
What a mask of the compact generator costs in arithmetic.

Counted by PyTorch's own counter. A multiplication with its addition counts as two.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import nn
from torch.nn.attention import sdpa_kernel, SDPBackend
from torch.utils.flop_counter import FlopCounterMode

from ivm_ros.models.compact import CompactConfig, CompactNet
from ivm_ros.models.text_files import DIM

OUR_TOKENS = 14  # a sentence of a dozen words


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    """
    Count the operations inside, a multiplication with its addition as two.

    Attention and encoder layers that a CPU computes in one piece count as nothing in PyTorch's
    counter, so they are computed in their parts meanwhile.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def count(module: nn.Module, *arguments: torch.Tensor, **options: torch.Tensor) -> float:
    """Count the operations of one forward pass, in GFLOP."""
    with counted() as counter, torch.no_grad():
        module(*arguments, **options)
    return float(counter.get_total_flops()) / 1e9


@cache  # studies ask again after every network
def compact_gflops(config: CompactConfig = CompactConfig()) -> dict[str, float]:
    """Count the compact generator: all of it, and its backbone alone; the sentence is known."""
    with torch.random.fork_rng(devices=[]):  # what is painted depends on the weights a little
        torch.manual_seed(0)
        net = CompactNet(config).eval()
    images = torch.zeros(1, 3, config.height, config.width)
    with torch.inference_mode():
        heard = net.chooser.listen(torch.zeros(1, OUR_TOKENS, DIM),
                                   torch.ones(1, OUR_TOKENS, dtype=torch.bool))
        with counted() as counter:
            net.look(images, heard, torch.tensor([0]))
    return {'compact': counter.get_total_flops() / 1e9,
            'compact backbone': count(net.backbone, images)}
