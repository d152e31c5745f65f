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
EdgeTAM with its memory: carries masks between keyframes (`track_by: edgetam`).

Weights: `yonigozlan/EdgeTAM-hf` (0.06 GB; Apache-2.0; arXiv 2501.07256), 13.9 M parameters:
0.06 GB of memory in float32, half of it in bfloat16 on CUDA. SAM 2 made for phones: a small
backbone, and a memory of 512 cells a frame instead of 4,096.
"""

from pathlib import Path
from typing import Any

import torch

from ivm_ros.models.edgetam_random import save, video_config
from ivm_ros.models.grounded_edgetam import PARTS as GROUNDED_PARTS
from ivm_ros.models.pretrained import (dtype_of, find_part, load_pretrained, load_processor, need,
                                       seeded)
from ivm_ros.models.settings import MaskerConfig

PARTS = {'edgetam': GROUNDED_PARTS['edgetam']}


def load(weights: str, config: MaskerConfig, device: torch.device) -> tuple[Any, Any, Any]:
    """
    Load the model of weights on disk.

    Returns:
        The model, the class of its sessions, what prepares pictures.

    Raises:
        WeightsError: Missing, torn or of another model; or timm is not installed.
    """
    from transformers import EdgeTamVideoInferenceSession, EdgeTamVideoModel

    need('timm', 'EdgeTAM')
    folder = find_part('edgetam', 'edgetam', PARTS['edgetam'], weights)
    net = load_pretrained(EdgeTamVideoModel, folder, dtype=dtype_of(config, device))
    return net.to(device), EdgeTamVideoInferenceSession, load_processor(folder)


def write_random(folder: Path, seed: int = 0, tiny: bool = True) -> None:
    """
    Write random weights to `folder`/edgetam, for the setting `track_weights`.

    Args:
        folder: Gets edgetam/.
        seed: Of the weights; the caller's random numbers are left as they are.
        tiny: A miniature; else the true size, 0.06 GB.
    """
    from transformers import EdgeTamVideoModel

    with seeded(seed):
        save(EdgeTamVideoModel(video_config(tiny)), folder / 'edgetam', tiny)
