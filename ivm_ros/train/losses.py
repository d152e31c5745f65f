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
from ivm_ros.sample import Batch
from ivm_ros.train.learner import Answers, Drawn


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; BCE and Dice are the paper's 1:1, the rest is our choice."""

    bce: Annotated[float, Range(0, 100), Doc(
        'Binary cross-entropy of the target, in images without labels.')] = 1.0
    dice: Annotated[float, Range(0, 100), Doc('Dice of the target, likewise.')] = 1.0
    robot: Annotated[float, Range(0, 100), Doc('BCE + Dice of the robot.')] = 1.0
    found: Annotated[float, Range(0, 100), Doc('BCE of the found score.')] = 0.3
    heat: Annotated[float, Range(0, 100), Doc('Focal loss of centres.')] = 0.5
    things: Annotated[float, Range(0, 100), Doc('BCE + Dice of the masks of things.')] = 3.0
    names: Annotated[float, Range(0, 100), Doc('BCE of the words that name a thing.')] = 0.5
    meant: Annotated[float, Range(0, 100), Doc('BCE of which things a sentence means.')] = 1.0
    mentioned: Annotated[float, Range(0, 100), Doc(
        'BCE of what a sentence chooses from and of what says where.')] = 0.3

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


def area_bce_loss(logits: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """
    Cross-entropy over valid pixels, relative to the area of the truth; [B, h, w] -> [B].

    A mean over the picture would let small things cost nothing. 32 pixels keep tiny ones in
    bounds.
    """
    loss = F.binary_cross_entropy_with_logits(logits, truth, reduction='none')
    return (loss * valid).sum((1, 2)) / ((truth * valid).sum((1, 2)) + 32)


def heat_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """
    Focal loss of centres relative to their number, as CenterNet has it (arXiv 1904.07850, eq. 1).

    Logits and truth [I, h, w] -> [I]; a cell with truth 1 is a centre, and the nearer to one a
    cell lies, the less a high value costs there.
    """
    seen = logits.sigmoid()
    centre = (truth == 1).to(logits.dtype)
    hit = -F.logsigmoid(logits) * (1 - seen) ** 2 * centre
    miss = -F.logsigmoid(-logits) * seen ** 2 * (1 - truth) ** 4 * (1 - centre)
    return (hit + miss).sum((1, 2)) / centre.sum((1, 2)).clamp_min(1)


def sample_losses(answers: Answers, batch: Batch, config: LossConfig) -> dict[str, torch.Tensor]:
    """
    Compute every term, weighted by the config, one value a sample.

    Args:
        answers: Of the learner for this batch.
        batch: Truth.
        config: Weights of the terms.

    Returns:
        Terms by name, each float32 [B]; a term about an image counts for each of its sentences.
    """
    index, known = batch.image_index, batch.labelled[batch.image_index]
    found = F.binary_cross_entropy_with_logits(answers.choice.found, batch.found,
                                               reduction='none')
    terms = {'found': config.found * found}
    if answers.target is not None:
        valid, bare = batch.valid[index], 1 - known
        terms['bce'] = config.bce * bare * bce_loss(answers.target, batch.target, valid)
        terms['dice'] = config.dice * bare * dice_loss(answers.target, batch.target, valid)
    owners = batch.owners.flatten(1).gather(1, answers.proposals.cells)  # [I, K]
    if answers.drawn is not None:
        things, robot = _mask_losses(answers.drawn, batch, owners)
        heat = heat_loss(answers.proposals.heat, batch.heat)
        terms |= {'robot': config.robot * robot[index],
                  'heat': config.heat * known * heat[index],
                  'things': config.things * known * things[index]}
    meant, mentioned = _choice_losses(answers, batch, owners[index])
    return terms | {'names': config.names * known * _name_losses(answers, batch, owners)[index],
                    'meant': config.meant * known * meant,
                    'mentioned': config.mentioned * known * mentioned}


def _mask_losses(drawn: Drawn, batch: Batch, owners: torch.Tensor
                 ) -> tuple[torch.Tensor, torch.Tensor]:
    """Judge masks of the proposals that are things, a mean an image, and of robots; each [I]."""
    shown = owners.gather(1, drawn.things)  # [I, M]
    image, place = torch.nonzero(shown, as_tuple=True)  # each [P]
    truth = _half(batch.labels[image], shown[image, place])  # [P, h/2, w/2]
    masks, valid = drawn.masks[image, place], batch.valid[image]
    things = area_bce_loss(masks, truth, valid) + dice_loss(masks, truth, valid)  # [P]
    robot = batch.robot_known * (area_bce_loss(drawn.robot, batch.robot, batch.valid)
                                 + dice_loss(drawn.robot, batch.robot, batch.valid))
    return _mean_by(things, image, shown > 0), robot


def _name_losses(answers: Answers, batch: Batch, owners: torch.Tensor) -> torch.Tensor:
    """Judge names of the proposals that are things; a mean an image, [I]."""
    shown, kind = torch.nonzero(owners, as_tuple=True)  # each [Q]
    named = F.binary_cross_entropy_with_logits(
        answers.names[shown, kind], batch.names[shown, owners[shown, kind]],
        reduction='none').sum(1)  # [Q]
    return _mean_by(named, shown, owners > 0)


def _mean_by(values: torch.Tensor, image: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Average values [P] over the things [I, M] of each image that they belong to; [I]."""
    sums = values.new_zeros(len(which)).index_add(0, image, values)
    return sums / which.sum(1).clamp_min(1)


def _half(labels: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Share of each 2 x 2 pixels [P, h, w] that shows a label [P]; [P, h/2, w/2]."""
    wanted = which.to(labels.dtype)[:, None, None]
    quarters = [(labels[:, row::2, column::2] == wanted).view(torch.uint8)
                for row in (0, 1) for column in (0, 1)]
    return sum(quarters[1:], quarters[0]).float() / 4


def _choice_losses(answers: Answers, batch: Batch, owners: torch.Tensor
                   ) -> tuple[torch.Tensor, torch.Tensor]:
    """Judge which proposals are meant and mentioned; owners [B, K] -> sums over them, [B]."""
    roles = batch.roles.gather(2, owners[:, None].expand(-1, batch.roles.shape[1], -1))
    loss = F.binary_cross_entropy_with_logits(
        torch.cat((answers.choice.meant[:, None], answers.mentioned.transpose(1, 2)), 1), roles,
        reduction='none').sum(2)  # [B, 3]
    return loss[:, 0], loss[:, 1:].sum(1)
