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
SAM 3 with the text encoder of a phone: `sam3` in all else, for a third less memory.

Weights: `yonigozlan/sam3-litetext-s0` (2.2 GB; Apache-2.0 by its authors' card, but its eyes are
those of SAM 3, under the SAM License), 548.1 M parameters: 2.2 GB of memory in float32, 1.1 GB in
bfloat16. A frame takes as long as with `sam3`: the same encoder sees pictures.
"""

import torch

from ivm_ros.models.pretrained import Part
from ivm_ros.models.sam3 import Sam3
from ivm_ros.models.sam3_random import write_random_lite as write_random
from ivm_ros.models.settings import MaskerConfig

__all__ = ['PARTS', 'Sam3Lite', 'make', 'write_random']

PARTS = {'sam3_lite': Part('yonigozlan/sam3-litetext-s0', licence='Apache-2.0 and SAM License',
                           gigabytes=2.2)}


def make(config: MaskerConfig, device: torch.device, threads: int) -> 'Sam3Lite':
    """
    Make the generator of weights on disk.

    Raises:
        WeightsError: Missing, torn or of another model.
    """
    from transformers import Sam3LiteTextModel

    return Sam3Lite.load(Sam3LiteTextModel, PARTS['sam3_lite'], config, device)


class Sam3Lite(Sam3):
    """SAM 3 with a small text encoder."""

    name = 'sam3_lite'
