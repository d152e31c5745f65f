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
"""Weights that outlive their file: loaders map files into memory, and files are overwritten."""

from torch import nn


def keep(net: nn.Module) -> None:
    """
    Give a network memory of its own for every array that the CPU holds.

    What safetensors loads lies in the mapped file. Where that is overwritten in place, the next
    look at it ends the process (SIGBUS), whatever Python would catch. The arrays are copied one
    by one, and pages of a file can be dropped: it takes no more memory than there was to map.
    """
    for array in (*net.parameters(), *net.buffers()):
        if array.device.type == 'cpu':
            array.data = array.data.clone()
