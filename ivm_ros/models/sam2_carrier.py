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
SAM 2.1 with its memory: carries masks between keyframes (`track_by: sam2`).

Weights: `facebook/sam2.1-hiera-tiny` (0.16 GB; Apache-2.0; arXiv 2408.00714), 39.0 M parameters:
0.16 GB of memory in float32, half of it in bfloat16 on CUDA. The larger ones of that family load
as well: fetch one to a folder sam2/ in that of `track_weights`.
"""

from pathlib import Path
from typing import Any

import torch

from ivm_ros.models.edgetam_random import memory_sizes, save, SMALL
from ivm_ros.models.grounded_sam2_random import sam_config
from ivm_ros.models.pretrained import (dtype_of, find_part, load_pretrained, load_processor, Part,
                                       seeded)
from ivm_ros.models.settings import MaskerConfig

PARTS = {'sam2': Part('facebook/sam2.1-hiera-tiny', licence='Apache-2.0', gigabytes=.16)}


def load(weights: str, config: MaskerConfig, device: torch.device) -> tuple[Any, Any, Any]:
    """
    Load the model of weights on disk.

    Returns:
        The model, the class of its sessions, what prepares pictures.

    Raises:
        WeightsError: Missing, torn or of another model.
    """
    from transformers import Sam2VideoInferenceSession, Sam2VideoModel

    folder = find_part('sam2', 'sam2', PARTS['sam2'], weights)
    net = load_pretrained(Sam2VideoModel, folder, dtype=dtype_of(config, device))
    return net.to(device), Sam2VideoInferenceSession, load_processor(folder)


def write_random(folder: Path, seed: int = 0, tiny: bool = True) -> None:
    """
    Write random weights to `folder`/sam2, for the setting `track_weights`.

    Args:
        folder: Gets sam2/.
        seed: Of the weights; the caller's random numbers are left as they are.
        tiny: A miniature; else the true size, 0.16 GB.
    """
    from transformers import Sam2VideoModel

    with seeded(seed):
        save(Sam2VideoModel(config_of(tiny)), folder / 'sam2', tiny)


def config_of(tiny: bool) -> Any:
    """Give the configuration of a miniature, or of `facebook/sam2.1-hiera-tiny`."""
    from transformers import Sam2VideoConfig

    if not tiny:
        return Sam2VideoConfig()
    vision = sam_config(tiny).vision_config
    vision.fpn_hidden_size = 128
    return Sam2VideoConfig(vision_config=vision, **SMALL, **memory_sizes(),
                           memory_attention_feed_forward_hidden_size=64)
