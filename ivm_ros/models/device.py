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
"""Where the network runs and with how many threads: decided in one place, said aloud."""

import os
from typing import TYPE_CHECKING

from ivm_ros.models.errors import DeviceError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> 'torch.device':
    """
    Turn 'auto', 'cpu' or 'cuda' into a device.

    Raises:
        DeviceError: CUDA is asked for and absent.
    """
    import torch  # here, as what runs in ONNX Runtime does without

    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    if name == 'cuda' and not torch.cuda.is_available():
        raise DeviceError(f'device: wanted cuda, but torch {torch.__version__} sees no CUDA '
                          'device; use device=auto or cpu, or check nvidia-smi')
    return torch.device(name)


def choose_threads(threads: int) -> int:
    """
    Give the number of CPU threads; 0 chooses.

    One up to four cores: teams of spinning threads fight the camera driver there (a network took
    80 times longer with two threads on two busy cores). Half of the cores above.
    """
    cores = os.cpu_count() or 1
    return threads or (1 if cores <= 4 else min(4, cores // 2))


def fast_bfloat16(device: 'torch.device') -> bool:
    """Tell whether a CPU has units for bfloat16 (AMX): a network takes half the time there."""
    import torch

    tell = getattr(torch.cpu, 'get_capabilities', None)  # PyTorch 2.6 has none
    return device.type == 'cpu' and tell is not None and bool(tell().get('amx_bf16'))
