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
The compact generator's network: image and sentence to masks, at camera rate on one CPU core.

Our own design (the paper's generator is LLaVA-7B with SAM's ViT-H), in three steps:

1. `Proposer`: the things that the picture shows, once an image, whatever is asked.
2. `Chooser`: words and things attend to each other; out come a logit a thing, that the sentence
   means it, and `found`.
3. `paint`: the mask is the union of the things that are meant, drawn anew by their colours.

So what things look like is learnt from every thing of every picture, and a sentence costs little.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import nn

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.models.backbone import MobileNetPyramid
from ivm_ros.models.chooser import Choice, Chooser, each, Heard
from ivm_ros.models.outlines import draw
from ivm_ros.models.proposals import Proposals, Proposer, take
from ivm_ros.models.pyramid import grow
from ivm_ros.models.refine import hint, LOWEST, refine, refine_part

FAINT = -4.0  # logit below which a thing is not worth painting
NOTHING = -20.0  # logit of pixels of which nothing is painted
DOUBTFUL = -2.0  # logit below which a thing is not worth drawing anew
REFINED = 3  # things of a sentence that are drawn anew, at most


@dataclass(frozen=True)
class CompactConfig:
    """Size of the compact generator."""

    height: Annotated[int, Range(64, 1024), Doc('Height of the canvas in pixels.')] = 192
    width: Annotated[int, Range(64, 1024), Doc('Width of the canvas in pixels.')] = 256
    dim: Annotated[int, Range(16, 512), Doc('Width of the attention layers.')] = 128
    depth: Annotated[int, Range(1, 12), Doc('Number of attention layers.')] = 4
    heads: Annotated[int, Range(1, 16), Doc('Attention heads.')] = 4
    proposals: Annotated[int, Range(1, 256), Doc('Things looked at in an image, at most.')] = 28
    pooled: Annotated[bool, Doc(
        'A sentence is one vector, the mean of its words, and not word by word.')] = False

    def __post_init__(self) -> None:
        """Refuse sizes that the strides do not divide."""
        check(self)
        if self.height % 32 or self.width % 32:
            raise ConfigError(f'CompactConfig: wanted height and width that 32 divides, got '
                              f'{self.height} x {self.width}')
        if self.dim % self.heads:
            raise ConfigError(f'CompactConfig: wanted a dim that heads divides, got {self.dim} '
                              f'and {self.heads}')


class Prediction(NamedTuple):
    """
    Logits of the generator.

    Attributes:
        target (torch.Tensor): [B, h, w], one plane a sentence.
        robot (torch.Tensor): [I, h, w], one plane an image.
        found (torch.Tensor): [B], anything that the sentence names is in view.
    """

    target: torch.Tensor
    robot: torch.Tensor
    found: torch.Tensor


def paint(proposals: Proposals, meant: torch.Tensor, image_index: torch.Tensor,
          margins: torch.Tensor, images: torch.Tensor | None = None,
          hinted: torch.Tensor | None = None) -> torch.Tensor:
    """
    Draw the union of the things that are meant.

    A pixel's logit is the best, over things, of the lesser of "this thing is meant" and "it is the
    thing's pixel": above zero where both are.

    Args:
        proposals: Of I images.
        meant: [B, K], logits.
        image_index: int64 [B].
        margins: [3], added to the logits of pixels and of things, and what scales the logits.
        images: float32 [I, 3, h, w], normalised, to draw things anew by; None for not.
        hinted: The same, to add what colours say at the masks' own resolution only (training).

    Returns:
        Logits [B, h, w] with images, [B, h/2, w/2] without.
    """
    pixel, thing, sharpness = margins
    masks, allowed = likeliest(proposals, meant + (thing - pixel), image_index)
    if images is None:
        if hinted is not None:
            masks = masks + hint(masks, each(hinted, image_index).float())
        # min(mask + pixel, meant + thing), with one sum less over all pixels.
        return (torch.minimum(masks, allowed).amax(1) + pixel) * sharpness
    images = each(images, image_index)
    if torch.compiler.is_exporting():
        union = unite(*redraw(masks, allowed, images), masks, allowed)
    else:
        union = unite_parts(masks, allowed, images)
    return (union + pixel) * sharpness


def likeliest(proposals: Proposals, meant: torch.Tensor, image_index: torch.Tensor
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Draw the things that are worth painting, the likeliest first.

    Args:
        proposals: Of I images.
        meant: [B, K], logits.
        image_index: int64 [B].

    Returns:
        Logits of their pixels [B, M, h/2, w/2], and that each is meant, [B, M, 1, 1].
    """
    # One or two things are meant as a rule, and all but one of twenty now and then.
    # A graph for other runtimes has no such choice, and paints all.
    count = (meant.shape[1] if torch.compiler.is_exporting() else
             int((meant > FAINT).sum(1).max().clamp_min(1)))
    best, which = meant.topk(count, 1)  # [B, M]
    outlines = take(each(proposals.outlines, image_index), which)
    with torch.autocast(meant.device.type, enabled=False):
        masks = draw(outlines, each(proposals.pixels, image_index), proposals.curves)
    return masks, best[:, :, None, None]


def unite_parts(masks: torch.Tensor, allowed: torch.Tensor, images: torch.Tensor
                ) -> torch.Tensor:
    """
    Unite things, of which the first `REFINED` that may be meant are drawn anew.

    Args:
        masks: [B, M, h/2, w/2], logits, the likeliest thing first.
        allowed: [B, M, 1, 1], logits that each is meant.
        images: float32 [B, 3, h, w], normalised.

    Returns:
        Logits [B, h, w].
    """
    chances = allowed.flatten(1).tolist()
    anew = [[number < REFINED and chance > DOUBTFUL for number, chance in enumerate(row)]
            for row in chances]
    others = [[chance > FAINT and not here for chance, here in zip(*rows)]
              for rows in zip(chances, anew)]
    if any(map(any, others)):
        shown = torch.tensor(others, device=masks.device)[..., None, None]
        union = grow(torch.minimum(masks, allowed).masked_fill(~shown, NOTHING)
                     .amax(1, keepdim=True)).squeeze(1)
    else:
        union = images.new_full((len(images), *images.shape[2:]), NOTHING)
    for row, thing in torch.nonzero(torch.tensor(anew)).tolist():
        with torch.autocast(masks.device.type, enabled=False):
            box, part = refine_part(masks[row, thing].float(), images[row].float())
        here = (row, *box)
        union[here] = torch.maximum(union[here].clone(), part.clamp_max(chances[row][thing]))
    return union


def redraw(masks: torch.Tensor, allowed: torch.Tensor, images: torch.Tensor
           ) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Draw the first things anew, as a graph can; arguments as of `unite_parts`.

    Returns:
        Logits [B, R, h, w], R at most `REFINED`, and which of them count, bool [B, R, 1, 1].
    """
    few = min(REFINED, masks.shape[1])
    return refine(masks[:, :few].float(), images.float()), allowed[:, :few] > DOUBTFUL


def unite(anew: torch.Tensor, certain: torch.Tensor, masks: torch.Tensor, allowed: torch.Tensor
          ) -> torch.Tensor:
    """Unite things drawn anew (by `redraw`) with all others, as `unite_parts` does; [B, h, w]."""
    few = anew.shape[1]
    first = torch.minimum(anew, allowed[:, :few]).masked_fill(~certain, NOTHING).amax(1)
    shown = allowed > FAINT
    others = torch.cat((shown[:, :few] & ~certain, shown[:, few:]), 1)
    least = torch.minimum(masks, allowed).masked_fill(~others, NOTHING).amax(1, keepdim=True)
    return torch.maximum(first, grow(least).squeeze(1))


def at_least_one(choice: Choice) -> torch.Tensor:
    """
    Raise the likeliest thing's logit to that of `found`; [B, K].

    Where a sentence surely means something in view, but any of several might be it, each alone is
    unlikely and nothing would be shown. The best guess is better than that.
    """
    best, which = choice.meant.max(1, keepdim=True)
    raised = torch.maximum(best, choice.found[:, None].to(best.dtype))
    return choice.meant.scatter(1, which, raised)


class CompactNet(nn.Module):
    """The compact generator's network; its `margins` are set after training (`train.margins`)."""

    margins: torch.Tensor

    def __init__(self, config: CompactConfig = CompactConfig()) -> None:
        super().__init__()
        self.config = config
        self.backbone = MobileNetPyramid()
        self.proposer = Proposer(config.height, config.width, config.proposals, config.dim)
        self.chooser = Chooser(config.dim, config.depth, config.heads, config.pooled)
        self.register_buffer('margins', torch.tensor([0.0, 0.0, 1.0]))

    def forward(self, images: torch.Tensor, tokens: torch.Tensor, token_mask: torch.Tensor,
                image_index: torch.Tensor) -> Prediction:
        """
        Predict masks.

        Args:
            images: float32 [I, 3, h, w], normalised.
            tokens: float32 [B, T, 768] states of the sentence encoder.
            token_mask: bool [B, T].
            image_index: int64 [B], which image each sentence is about.
        """
        return self.look(images, self.chooser.listen(tokens, token_mask), image_index)

    def look(self, images: torch.Tensor, heard: Heard, image_index: torch.Tensor) -> Prediction:
        """Predict masks for sentences that were listened to before."""
        proposals = self.proposer(images, self.backbone(images))
        choice = self.chooser(proposals, heard, image_index)
        robot = self._robot(proposals.robot.float(), images)
        target = paint(proposals, at_least_one(choice), image_index, self.margins, images)
        return Prediction(target, robot, choice.found)

    @staticmethod
    def _robot(masks: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Draw the robot anew; [I, h/2, w/2] -> [I, h, w]."""
        with torch.autocast(images.device.type, enabled=False):
            if torch.compiler.is_exporting():
                return refine(masks[:, None], images.float()).squeeze(1)
            planes = grow(masks[:, None]).squeeze(1)
            for place, (mask, image) in enumerate(zip(masks, images.float())):
                box, part = refine_part(mask, image, LOWEST)
                planes[(place, *box)] = part
            return planes
