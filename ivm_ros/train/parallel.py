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
Training in several processes (`torchrun --nproc-per-node N -m ivm_ros.cli train ...`).

Every process takes its share of the images of the same global batch, so that N processes take
the same step as one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import os

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Team:
    """
    The processes that train together.

    Attributes:
        rank (int): Which of them this is; 0 writes and speaks.
        size (int): How many there are.
    """

    rank: int
    size: int

    def join(self, net: nn.Module) -> nn.Module:
        """Wrap a network so that its gradients are averaged over the team."""
        return nn.parallel.DistributedDataParallel(net) if self.size > 1 else net

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Average a value over the team."""
        if self.size > 1:
            value = value.clone()
            distributed.all_reduce(value)
            value /= self.size
        return value

    def wait(self) -> None:
        """Wait until all are here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def team(device: torch.device) -> Iterator[Team]:
    """Join the processes that torchrun started; alone when it did not."""
    size = int(os.environ.get('WORLD_SIZE', 1))
    if size == 1:
        yield Team(0, 1)
        return
    distributed.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
    if device.type == 'cuda':
        torch.cuda.set_device(int(os.environ.get('LOCAL_RANK', 0)))
    try:
        yield Team(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
