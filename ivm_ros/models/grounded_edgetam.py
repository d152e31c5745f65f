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
Grounding DINO finds boxes of what the grammar's phrases name, EdgeTAM masks what is in them.

Weights: `IDEA-Research/grounding-dino-tiny` (0.7 GB; Apache-2.0), 172.3 M parameters, and
`yonigozlan/EdgeTAM-hf` (0.06 GB; Apache-2.0; arXiv 2501.07256), 9.1 M for single pictures: 0.7 GB
of memory in float32, as good as all of it Grounding DINO's. `grounded_sam2` where SAM's share of
memory and time counts: EdgeTAM was made for phones. No relations either.
"""

import torch

from ivm_ros.models.edgetam_random import write_random
from ivm_ros.models.grounded_sam2 import GroundedSam2, PARTS as SAM2_PARTS
from ivm_ros.models.pretrained import need, Part
from ivm_ros.models.settings import MaskerConfig

__all__ = ['PARTS', 'GroundedEdgeTam', 'make', 'write_random']

PARTS = {
    'dino': SAM2_PARTS['dino'],
    'edgetam': Part('yonigozlan/EdgeTAM-hf', licence='Apache-2.0', gigabytes=.06)}


def make(config: MaskerConfig, device: torch.device, threads: int) -> 'GroundedEdgeTam':
    """
    Make the generator of weights on disk.

    Raises:
        WeightsError: Missing, torn or of another model; or timm is not installed.
    """
    from transformers import EdgeTamModel

    need('timm', 'EdgeTAM')
    return GroundedEdgeTam.load(EdgeTamModel, PARTS, config, device)


class GroundedEdgeTam(GroundedSam2):
    """Boxes by Grounding DINO, masks by EdgeTAM."""

    name = 'grounded_edgetam'
