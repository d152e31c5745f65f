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
"""The arrays that travel between the parts, with their shapes, types and ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # simulation and ROS conversion use Mask without paying for torch
    import torch


class InstructionError(ValueError):
    """An instruction is empty, too long or no text."""


@dataclass(frozen=True)
class Mask:
    """
    What a sentence needs of an image.

    Attributes:
        target (np.ndarray):
            float32 [H, W] in [0, 1], the size of the image: 1 where the sentence needs the pixel,
            that is what is acted on and where it goes; not what only locates it.
        robot (np.ndarray):
            float32 [H, W] in [0, 1]: 1 on the robot's arm and gripper, whatever the sentence says.
        found (float):
            Probability in [0, 1] that anything the sentence names as a target is in view.
    """

    target: np.ndarray
    robot: np.ndarray
    found: float


@dataclass(frozen=True)
class Sample:
    """
    One labelled (image, sentence) pair, as a dataset row holds it.

    Attributes:
        id (str): Unique in its dataset; samples of one image share the part before the last '-'.
        image (np.ndarray): uint8 [H, W, 3], RGB.
        instruction (str): The sentence.
        kind (str): Kind of sentence ('attribute', 'relation', 'pair', 'all', 'absent', ...).
        mask (np.ndarray | None):
            uint8 [H, W], 255 = target; None when the sample is not labelled yet.
        robot_mask (np.ndarray | None): uint8 [H, W], 255 = robot.
        found (bool | None): Anything that the sentence names as a target is in view.
        weight (float): Weight of the sample in the loss; 1 unless a discriminator says otherwise.
        is_human (bool): A person made the mask.
    """

    id: str
    image: np.ndarray
    instruction: str
    kind: str
    mask: np.ndarray | None
    robot_mask: np.ndarray | None
    found: bool | None
    weight: float = 1.0
    is_human: bool = False


@dataclass(frozen=True)
class Batch:
    """
    What one training step reads. Several sentences may share one image.

    Attributes:
        images (torch.Tensor): float32 [I, 3, h, w], normalised by ImageNet's mean and deviation.
        tokens (torch.Tensor): float32 [B, T, 768], states of the frozen sentence encoder.
        token_mask (torch.Tensor): bool [B, T], True where there is a token.
        forgotten (torch.Tensor): bool [B, T], tokens known only by what they may name.
        image_index (torch.Tensor): int64 [B], which of the I images the sentence is about.
        target (torch.Tensor): float32 [B, h/2, w/2] in [0, 1], at the stride of the logits.
        robot (torch.Tensor): float32 [I, h/2, w/2] in [0, 1].
        robot_known (torch.Tensor): float32 [I], 1 where it is labelled: where nobody did, a robot
            may be in view all the same.
        valid (torch.Tensor): float32 [I, h/2, w/2], 0 on padding, which no loss counts.
        found (torch.Tensor): float32 [B], 1 when the target is in view.
        weight (torch.Tensor): float32 [B], weight of each sample in the loss.
        human (torch.Tensor): float32 [B], 1 where a person made the mask.
        labels (torch.Tensor): uint8 [I, h, w], id of the thing that a pixel shows, 0 for none.
        heat (torch.Tensor): float32 [I, h/8, w/8] in [0, 1], 1 in the cell of a thing's centre.
        owners (torch.Tensor): int64 [I, h/8, w/8], id of the thing that a cell shows.
        names (torch.Tensor): float32 [I, 256, W], 1 where one of the W words of the training
            vocabulary names the thing with an id.
        roles (torch.Tensor): float32 [B, 3, 256], 1 for the things that a sentence means (0),
            that it chooses from (1), that only say where the target is (2).
        labelled (torch.Tensor): float32 [I], 1 where the five above are known.
    """

    images: torch.Tensor
    tokens: torch.Tensor
    token_mask: torch.Tensor
    forgotten: torch.Tensor
    image_index: torch.Tensor
    target: torch.Tensor
    robot: torch.Tensor
    robot_known: torch.Tensor
    valid: torch.Tensor
    found: torch.Tensor
    weight: torch.Tensor
    human: torch.Tensor
    labels: torch.Tensor
    heat: torch.Tensor
    owners: torch.Tensor
    names: torch.Tensor
    roles: torch.Tensor
    labelled: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Copy to a device."""
        return Batch(**{name: value.to(device, non_blocking=True)
                        for name, value in vars(self).items()})
