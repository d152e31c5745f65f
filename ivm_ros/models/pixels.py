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
"""Pixels as the backbone wants them."""

import numpy as np
import torch

from ivm_ros.image import DEVIATION, MEAN


def normalise(images: np.ndarray, device: torch.device | str = 'cpu') -> torch.Tensor:
    """Turn uint8 [I, h, w, 3] RGB into float32 [I, 3, h, w] with ImageNet's mean and deviation."""
    width = images.shape[2]
    scale = torch.tensor([1 / (255 * value) for value in DEVIATION], device=device).repeat(width)
    shift = torch.tensor([-mean / value for mean, value in zip(MEAN, DEVIATION)],
                         device=device).repeat(width)
    # In one pass, a row of the picture at a time: a third of the time that three channels take.
    rows = torch.from_numpy(images).to(device).flatten(2)  # [I, h, w * 3]
    pixels = torch.addcmul(shift, rows, scale).unflatten(2, (width, 3))
    # Channels stay last in memory: the convolutions are fastest so on a CPU.
    return pixels.permute(0, 3, 1, 2)
