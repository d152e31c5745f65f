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
Losses a sample: every function returns [B]; only the training step reduces.

So a sample can be weighed. The authors' code averages first and cannot.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.config import check, Doc, Range
from ivm_ros.models.compact import Prediction
from ivm_ros.sample import Batch


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; BCE and Dice are the paper's 1:1, the rest is our choice."""

    bce: Annotated[float, Range(0, 100), Doc('Binary cross-entropy of the target.')] = 1.0
    dice: Annotated[float, Range(0, 100), Doc('Dice of the target.')] = 1.0
    coarse: Annotated[float, Range(0, 100), Doc('BCE of the target at stride 16.')] = 4.0
    robot: Annotated[float, Range(0, 100), Doc('BCE + Dice of the robot.')] = 0.3
    found: Annotated[float, Range(0, 100), Doc('BCE of the found score.')] = 0.1

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def bce_loss(logits: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over valid pixels; logits, truth, valid [B, h, w] -> [B]."""
    loss = F.binary_cross_entropy_with_logits(logits, truth, reduction='none')
    return (loss * valid).sum((1, 2)) / valid.sum((1, 2)).clamp_min(1)


def dice_loss(logits: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """
    One minus the soft Dice overlap over valid pixels; [B, h, w] -> [B] in [0, 1].

    One pixel is added above and below, so that an empty mask for an empty truth costs nothing.
    """
    seen = logits.sigmoid() * valid
    truth = truth * valid
    both = (seen * truth).sum((1, 2))
    return 1 - (2 * both + 1) / (seen.sum((1, 2)) + truth.sum((1, 2)) + 1)


def sample_losses(prediction: Prediction, batch: Batch,
                  config: LossConfig) -> dict[str, torch.Tensor]:
    """
    Compute every term, weighted by the config, one value a sample.

    Args:
        prediction: Of the generator for this batch.
        batch: Truth.
        config: Weights of the terms.

    Returns:
        Terms by name, each float32 [B]; a term about an image counts for each of its sentences.
    """
    valid = batch.valid[batch.image_index]  # [B, h/2, w/2]
    grid = (prediction.coarse.shape[-2], prediction.coarse.shape[-1])
    coarse = F.adaptive_avg_pool2d(batch.target, grid)
    coarse_valid = F.adaptive_avg_pool2d(valid, grid)
    robot = (bce_loss(prediction.robot, batch.robot, batch.valid)
             + dice_loss(prediction.robot, batch.robot, batch.valid))
    found = F.binary_cross_entropy_with_logits(prediction.found, batch.found, reduction='none')
    return {'bce': config.bce * bce_loss(prediction.target, batch.target, valid),
            'dice': config.dice * dice_loss(prediction.target, batch.target, valid),
            'coarse': config.coarse * bce_loss(prediction.coarse, coarse, coarse_valid),
            'robot': config.robot * robot[batch.image_index],
            'found': config.found * found}
