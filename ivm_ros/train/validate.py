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
"""Quality on a validation set while training: fast, at the stride of the labels."""

from __future__ import annotations


import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.data.loader import Batches
from ivm_ros.data.remote import local_folder
from ivm_ros.data.scenes import Scenes
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.text import TextEncoder
from ivm_ros.train.batch import to_batch
from ivm_ros.train.config import TrainConfig

IMAGES = 120


@torch.inference_mode()
def validate(net: CompactNet, encoder: TextEncoder, config: TrainConfig) -> dict[str, float]:
    """Give mean IoU of target (found) and robot (labelled), accuracy of found; 120 images."""
    scenes = Scenes([local_folder(folder) for folder in config.validation])
    batches = Batches(scenes, (config.model.height, config.model.width),
                      min(config.images, len(scenes)), config.sentences, None, seed=0)
    target, robot, found = [], [], []
    for step in range(max(1, min(IMAGES, len(scenes)) // config.images)):
        batch = to_batch(batches[step], encoder)
        prediction = net(batch.images, batch.tokens, batch.token_mask, batch.image_index)
        drawn, robots = (F.avg_pool2d(plane, 2) for plane in (prediction.target,
                                                              prediction.robot))
        ious = iou(drawn > 0, batch.target > 0.5)
        target.append(ious[batch.found > 0.5])
        robot.append(iou(robots > 0, batch.robot > 0.5)[batch.robot_known > 0.5])
        found.append((prediction.found > 0) == (batch.found > 0.5))
    seen = torch.cat(robot)
    return {'validation/iou': float(torch.cat(target).mean()),
            'validation/iou50': float((torch.cat(target) > 0.5).float().mean()),
            **({'validation/robot_iou': float(seen.mean())} if len(seen) else {}),
            'validation/found': float(torch.cat(found).float().mean())}


def iou(seen: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Intersection over union of bool [B, h, w]; two empty masks agree fully. [B]."""
    both = (seen & truth).sum((1, 2))
    either = (seen | truth).sum((1, 2))
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)
