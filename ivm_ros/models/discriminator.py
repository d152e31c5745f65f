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
The discriminator: how much a label looks like one that a person made.

(image, sentence, mask) -> logit. It looks through a generator's eyes: which things the picture
shows, and how likely it is that the sentence means each. That it weighs labels is the paper's
(its figure of the two stages), where a language model reads the masked picture. That it is told
what a generator thinks of the label comes from DWBC (arXiv 2207.10050), which the paper builds on.
The form is ours and small on purpose: with features of things and words it knew 300 human labels
by heart after 200 steps, and was worth nothing on others (`docs/dev/plan.md`).
"""

from typing import NamedTuple

import torch
from torch import nn

from ivm_ros.models.chooser import each

COVER = 4  # share of the thing, share of the label, how well both agree, whether it is meant
SHAPE = 6  # see `_shape`
OPINION = 4  # see `_opinion`
WIDTH = 24
TINY = 1e-3
COVERED = .4  # share of a thing from which a label seems to be about it


class Sight(NamedTuple):
    """
    What a generator makes of I pictures and B sentences; nothing in it has a gradient.

    Attributes:
        masks (torch.Tensor): float32 [I, K, h, w] in [0, 1], the pixels of each thing.
        meant (torch.Tensor): float32 [B, K] in [0, 1], that the sentence means it.
    """

    masks: torch.Tensor
    meant: torch.Tensor


class Discriminator(nn.Module):
    """Judges labels; 3,000 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.thing = nn.Sequential(nn.Linear(COVER, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.out = nn.Sequential(nn.Linear(2 * WIDTH + SHAPE + OPINION, 32), nn.GELU(),
                                 nn.Linear(32, 1))

    def forward(self, sight: Sight, label: torch.Tensor, image_index: torch.Tensor
                ) -> torch.Tensor:
        """
        Judge labels.

        Args:
            sight: Of I pictures and B sentences.
            label: float32 [B, h, w] in [0, 1], at the stride of `sight.masks`.
            image_index: int64 [B], which picture each sentence is about.

        Returns:
            Logits float32 [B]; above zero: more like a person's than a machine's.
        """
        masks = each(sight.masks, image_index).flatten(2)  # [B, K, P]
        flat = label.flatten(1)  # [B, P]
        both = (masks @ flat[:, :, None]).squeeze(2)  # [B, K]
        whole, mass = masks.sum(2), flat.sum(1, keepdim=True)  # [B, K], [B, 1]
        cover = torch.stack((both / (whole + TINY), both / (mass + TINY),
                             both / (whole + mass - both + TINY), sight.meant), 2)
        things = self.thing(cover)  # [B, K, WIDTH]
        about = torch.sigmoid(12 * (cover[..., 0] - COVERED))  # [B, K]
        logits: torch.Tensor = self.out(torch.cat((
            things.amax(1), things.mean(1), _shape(label, masks, about),
            _opinion(about, cover[..., 2], sight.meant)), 1))
        return logits.squeeze(1)


def _opinion(about: torch.Tensor, agreement: torch.Tensor, meant: torch.Tensor) -> torch.Tensor:
    """
    Say what the generator thinks of a label's choice of things; all [B, K] -> [B, `OPINION`].

    The agreement that it expects, if just one thing is meant; by how much the likeliest thing that
    the label is about leads the likeliest other one; the likeliest thing that is left out; the
    least likely one that is not. A generator that is sure of nothing still ranks things.
    """
    lean = meant.logit(TINY)
    expected = (lean.softmax(1) * agreement).sum(1)
    lead = (lean + (about + TINY).log()).amax(1) - (lean + (1 - about + TINY).log()).amax(1)
    return torch.stack((expected, lead / 4, (meant * (1 - about)).amax(1),
                        (about * (1 - meant)).amax(1)), 1)


def _shape(label: torch.Tensor, masks: torch.Tensor, about: torch.Tensor) -> torch.Tensor:
    """
    Say how a label is drawn; [B, h, w], [B, K, P], [B, K] -> [B, `SHAPE`].

    Log area; agreement with the union of the things it covers, what sticks out, what is left out;
    how full its bounding box is; length of its edge for its area.
    """
    flat = label.flatten(1)
    area = flat.sum(1)
    union = (masks * about[:, :, None]).amax(1)  # [B, P]
    both, either = torch.minimum(flat, union).sum(1), torch.maximum(flat, union).sum(1)
    seen = label > .5
    high, wide = seen.any(2).sum(1), seen.any(1).sum(1)
    edge = label.diff(dim=1).abs().sum((1, 2)) + label.diff(dim=2).abs().sum((1, 2))
    return torch.stack(((area / flat.shape[1] + TINY).log() / 4, both / (either + TINY),
                        (area - both) / (area + TINY), (union.sum(1) - both) / (either + TINY),
                        area / (high * wide + 1), edge / (4 * area.sqrt() + 1)), 1)
