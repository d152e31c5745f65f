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
The generator with the heads that only training has (our choice).

A mask says little about why: which things are mugs, what "left of the pan" starts from. Where the
dataset labels its things, both are asked too. What fits a thing is judged by the chooser's own
comparison of words and things, for every word of the training vocabulary at once, so that words
which sentences seldom say, or never, find their things as well (in the manner of CLIP, arXiv
2103.00020, with the sigmoid loss of arXiv 2303.15343). What a sentence only mentions is asked of a
linear head, which is thrown away with the run.
"""

from typing import NamedTuple

import torch
from torch import nn

from ivm_ros.models.chooser import Choice
from ivm_ros.models.compact import CompactNet, paint
from ivm_ros.models.outlines import draw
from ivm_ros.models.proposals import Proposals, take
from ivm_ros.models.refine import hint
from ivm_ros.sample import Batch

MENTIONED = 2  # what a sentence chooses from, what only says where


class Drawn(NamedTuple):
    """
    Masks of I images, with what colours add.

    Attributes:
        things (torch.Tensor): int64 [I, M], proposals that lie on labelled things, filled up with
            others where an image has fewer than M.
        masks (torch.Tensor): [I, M, h/2, w/2], logits of their pixels.
        robot (torch.Tensor): [I, h/2, w/2], likewise of the robot's.
    """

    things: torch.Tensor
    masks: torch.Tensor
    robot: torch.Tensor


class Answers(NamedTuple):
    """
    What losses judge.

    Attributes:
        proposals (Proposals): Of I images.
        drawn (Drawn | None): Their masks; None where training does not change them.
        choice (Choice): Of B sentences.
        target (torch.Tensor | None): [B, h/2, w/2], logits, with what colours add; None
            where all images are labelled, since what is meant and what belongs to a thing are
            then judged apart.
        names (torch.Tensor): [I, K, W], logits of the words that name each proposal.
        mentioned (torch.Tensor): [B, K, 2], logits of the second and third of `Batch.roles`.
    """

    proposals: Proposals
    drawn: Drawn | None
    choice: Choice
    target: torch.Tensor | None
    names: torch.Tensor
    mentioned: torch.Tensor


class Learner(nn.Module):
    """
    The generator's network together with the heads that only training has.

    Args:
        net: The generator's network.
        vocabulary: float32 [W, 768], the words that may fit things (`train.batch.words_of`);
            W is 0 where the data labels nothing.
    """

    vocabulary: torch.Tensor

    def __init__(self, net: CompactNet, vocabulary: torch.Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer('vocabulary', vocabulary, persistent=False)
        self.mentioned = nn.Linear(net.config.dim, MENTIONED)
        nn.init.constant_(self.mentioned.bias, -3.0)  # most things are not mentioned

    def forward(self, batch: Batch) -> Answers:
        """Answer all that a batch asks; the centres of labelled things are always proposed."""
        net = self.net
        proposals = net.proposer(batch.images, net.backbone(batch.images), batch.heat == 1)
        learns_masks = net.proposer.heat.weight.requires_grad
        drawn = _drawn(proposals, batch) if learns_masks else None
        heard = net.chooser.listen(batch.tokens, batch.token_mask, batch.forgotten)
        choice = net.chooser(proposals, heard, batch.image_index)
        target = None if bool(batch.labelled.all()) else paint(
            proposals, choice.meant, batch.image_index, net.margins, hinted=batch.images)
        names = net.chooser.fit(proposals.features[:, :-1], net.chooser.name(self.vocabulary))
        return Answers(proposals, drawn, choice, target, names, self.mentioned(choice.halfway))


def _drawn(proposals: Proposals, batch: Batch) -> Drawn:
    """Draw what is judged; what colours say is added in use, so it is added before."""
    things = _labelled(proposals, batch)
    with torch.autocast(batch.images.device.type, enabled=False):
        masks = draw(take(proposals.outlines, things), proposals.pixels, proposals.curves)
        drawn = torch.cat((masks, proposals.robot[:, None].float()), 1)
        drawn = drawn + hint(drawn, batch.images.float())
    return Drawn(things, drawn[:, :-1], drawn[:, -1])


def _labelled(proposals: Proposals, batch: Batch) -> torch.Tensor:
    """
    Pick the proposals whose masks are judged: centres come first, so every thing has one.

    Most of the others lie on a thing too. To draw them all would double the time of a step.
    """
    owned = batch.owners.flatten(1).gather(1, proposals.cells) > 0  # [I, K]
    count = max(1, int((batch.heat == 1).sum((1, 2)).max()))
    return owned.byte().sort(dim=1, descending=True, stable=True).indices[:, :count]
