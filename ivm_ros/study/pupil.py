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
"""What learns from labels in the study: a fresh chooser, and masks that it may redraw."""

import torch
from torch import nn

from ivm_ros.models.chooser import Chooser, each
from ivm_ros.models.outlines import draw, OUTLINE
from ivm_ros.models.proposals import Proposals
from ivm_ros.study.seen import Seen
from ivm_ros.train.losses import bce_loss, dice_loss

WIDTH, DEPTH, HEADS = 64, 2, 4
SURE = 1.0  # logit of the best guess, at least, where masks are compared with the truth


class Pupil(nn.Module):
    """
    A generator that knows what things look like, and nothing of sentences.

    It sees labels as masks only, as whatever people or experts draw. For each sentence it may also
    move every thing's mask, so that it can take over how labels are drawn, for good or bad.

    Args:
        seen: What it will look at.
    """

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.narrow = nn.Linear(seen.features.shape[2], WIDTH)
        self.chooser = Chooser(WIDTH, DEPTH, HEADS)
        self.chooser.naming.load_state_dict(seen.naming.state_dict())
        self.redraw = nn.Linear(WIDTH, OUTLINE)
        nn.init.zeros_(self.redraw.weight)
        nn.init.zeros_(self.redraw.bias)

    def forward(self, proposals: Proposals, tokens: torch.Tensor, token_mask: torch.Tensor,
                image_index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Mask pictures by sentences.

        Args:
            proposals: Of I pictures.
            tokens: float32 [B, T, 768].
            token_mask: bool [B, T].
            image_index: int64 [B].

        Returns:
            Logits of the target [B, h, w], and of each thing that it is meant, [B, K].
        """
        proposals = proposals._replace(features=self.narrow(proposals.features))
        choice = self.chooser(proposals, self.chooser.listen(tokens, token_mask), image_index)
        # Masks are linear in outlines, so moving one adds what its change draws.
        moved = draw(self.redraw(choice.halfway), each(proposals.pixels, image_index),
                     proposals.curves)
        masks = each(proposals.small, image_index) + moved  # [B, K, h, w]
        meant = choice.meant
        if not self.training:  # the best guess is shown, however unsure: something is in view
            best, which = meant.max(1, keepdim=True)
            meant = meant.scatter(1, which, best.clamp_min(SURE))
        # The mask is amax of minimum(masks, meant) over things. Only the thing that a pixel shows
        # has a gradient, so it is looked up first: passes over all of them took half of a step.
        shown = _foremost(masks.detach(), meant.detach())  # [B, 1, h, w]
        own = meant.gather(1, shown.flatten(1)).view_as(shown)
        return torch.minimum(masks.gather(1, shown), own).squeeze(1), choice.meant


def _foremost(masks: torch.Tensor, meant: torch.Tensor) -> torch.Tensor:
    """Tell for each pixel which thing min(mask, meant) is highest for; int64 [B, 1, h, w]."""
    best = torch.minimum(masks[:, :1], meant[:, :1, None, None])
    which = torch.zeros_like(best, dtype=torch.int64)
    for place in range(1, masks.shape[1]):  # argmax over a strided dimension takes six times this
        other = torch.minimum(masks[:, place:place + 1], meant[:, place:place + 1, None, None])
        which = torch.where(other > best, place, which)
        best = torch.maximum(best, other)
    return which


def losses_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and Dice of labels in [0, 1], both [B, h, w]; [B]."""
    everywhere = torch.ones_like(labels)
    return 10 * bce_loss(logits, labels, everywhere) + dice_loss(logits, labels, everywhere)


@torch.inference_mode()
def true_iou(pupil: Pupil, seen: Seen, chunk: int = 128) -> torch.Tensor:
    """Compare each sentence's mask with the truth; IoU, [N]."""
    ious = []
    pupil.eval()
    for start in range(0, len(seen.picture), chunk):
        which = torch.arange(start, min(start + chunk, len(seen.picture)))
        pictures, index = seen.picture[which].unique(return_inverse=True)
        logits, _ = pupil(seen.proposals(pictures), *seen.tokens(which), index)
        here, there = logits > 0, seen.truth[which] > .5
        both, either = (here & there).sum((1, 2)), (here | there).sum((1, 2))
        ious.append(both / either.clamp_min(1))
    return torch.cat(ious)
