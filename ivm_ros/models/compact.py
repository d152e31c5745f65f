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
3. `paint`: the mask is the union of the things that are meant.

So what things look like is learnt from every thing of every picture, and a sentence costs little.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.models.attention import Block, gelu
from ivm_ros.models.backbone import MobileNetPyramid
from ivm_ros.models.proposals import draw, PAIRS, PLACES, Proposals, Proposer, take
from ivm_ros.models.text import DIM as TEXT_DIM

MASK_STRIDE = 2
FAINT = -8.0  # logit below which a thing is not worth painting
LIE = 32  # width of what is known of how two things lie
HIDDEN = -1e4  # bias of what must not be looked at


@dataclass(frozen=True)
class CompactConfig:
    """Size of the compact generator."""

    height: Annotated[int, Range(64, 1024), Doc('Height of the canvas in pixels.')] = 192
    width: Annotated[int, Range(64, 1024), Doc('Width of the canvas in pixels.')] = 256
    dim: Annotated[int, Range(16, 512), Doc('Width of the attention layers.')] = 128
    depth: Annotated[int, Range(1, 12), Doc('Number of attention layers.')] = 4
    heads: Annotated[int, Range(1, 16), Doc('Attention heads.')] = 4
    proposals: Annotated[int, Range(1, 256), Doc('Things looked at in an image, at most.')] = 28

    def __post_init__(self) -> None:
        """Refuse sizes that the strides do not divide."""
        check(self)
        if self.height % 32 or self.width % 32:
            raise ConfigError(f'CompactConfig: wanted height and width that 32 divides, got '
                              f'{self.height} x {self.width}')
        if self.dim % self.heads:
            raise ConfigError(f'CompactConfig: wanted a dim that heads divides, got {self.dim} '
                              f'and {self.heads}')


class Heard(NamedTuple):
    """
    Sentences as the chooser takes them, whatever the picture shows.

    Attributes:
        words (torch.Tensor): [B, T, D].
        mask (torch.Tensor): bool [B, T], False on padding.
        directions (torch.Tensor): [B, L * H, `LIE`], what each says of how things lie.
        preferred (torch.Tensor): [B, `PLACES`], what each says of where a thing is.
    """

    words: torch.Tensor
    mask: torch.Tensor
    directions: torch.Tensor
    preferred: torch.Tensor


class Choice(NamedTuple):
    """
    What sentences mean.

    Attributes:
        meant (torch.Tensor): [B, K], logit that the sentence means each proposal.
        found (torch.Tensor): [B], logit that anything the sentence names is in view.
        halfway (torch.Tensor): [B, K, D], states of the proposals after half of the layers.
    """

    meant: torch.Tensor
    found: torch.Tensor
    halfway: torch.Tensor


class Prediction(NamedTuple):
    """
    Logits of the generator.

    Attributes:
        target (torch.Tensor): [B, h/2, w/2], one plane a sentence.
        robot (torch.Tensor): [I, h/2, w/2], one plane an image.
        found (torch.Tensor): [B], anything that the sentence names is in view.
    """

    target: torch.Tensor
    robot: torch.Tensor
    found: torch.Tensor


class Chooser(nn.Module):
    """Which of the proposals a sentence means."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        dim = config.dim
        self.text_in = nn.Linear(TEXT_DIM, dim)
        self.query = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.kinds = nn.Parameter(torch.randn(2, dim) * 0.02)  # a word, a thing
        self.thing_in = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(Block(dim, config.heads) for _ in range(config.depth))
        self.place_in = nn.Linear(PLACES, dim)
        self.pairs = nn.Sequential(nn.Linear(PAIRS, LIE), gelu(),
                                   nn.Linear(LIE, config.depth * config.heads))
        # What a sentence says of directions and sizes: 'left of' and 'right of' look at the same
        # pairs with opposite signs. From zero, so that these only come in where they help.
        self.direct = nn.Linear(TEXT_DIM, config.depth * config.heads * LIE)
        self.prefer = nn.Linear(TEXT_DIM, PLACES)
        for layer in (self.place_in, self.direct, self.prefer):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.out = nn.LayerNorm(dim)
        self.meant = nn.Linear(dim, 1)
        self.found = nn.Sequential(nn.Linear(dim + 1, dim), gelu(), nn.Linear(dim, 1))
        nn.init.constant_(self.meant.get_parameter('bias'), -2.0)  # most things are not meant

    def listen(self, tokens: torch.Tensor, token_mask: torch.Tensor) -> Heard:
        """
        Do what needs no picture, so that a stream under one sentence does it once.

        Args:
            tokens: float32 [B, T, 768] states of the sentence encoder.
            token_mask: bool [B, T].
        """
        said = _mean(tokens, token_mask)  # [B, 768]
        return Heard(self.text_in(tokens) + self.kinds[0], token_mask,
                     self.direct(said).unflatten(1, (-1, LIE)), self.prefer(said))

    def forward(self, proposals: Proposals, heard: Heard, image_index: torch.Tensor) -> Choice:
        """
        Choose among the proposals of each sentence's image.

        Args:
            proposals: Of I images.
            heard: B sentences.
            image_index: int64 [B], which image each sentence is about.
        """
        words = heard.words
        things = self.thing_in(proposals.features) + self.place_in(proposals.places)
        things = each(things + self.kinds[1], image_index)  # [B, K + 1, D]
        states = torch.cat((self.query.expand(words.shape[0], -1, -1), things, words), 1)
        wanted = 1 + things.shape[1]
        # Geometry between things, nothing between others, and padding is not looked at.
        lie = self._lie(proposals.pairs, heard.directions, image_index)  # [B, L * H, K+1, K+1]
        bias = F.pad(lie, (1, words.shape[1], 1, words.shape[1]))  # [B, L * H, N, N]
        if torch.compiler.is_exporting() or len(words) > 1:  # one alone has no padding
            unseen = F.pad(~heard.mask, (wanted, 0)) * HIDDEN  # [B, N]
            bias = bias + unseen[:, None, None]
        biases = bias.chunk(len(self.layers), 1)  # L times [B, H, N, N]
        halfway = states
        for depth, (layer, bias) in enumerate(zip(self.layers, biases), 1):
            last = depth == len(self.layers)
            states = layer(states, bias, wanted if last else states.shape[1])
            if depth <= (len(self.layers) + 1) // 2:
                halfway = states
        states = self.out(states)
        places = each(proposals.places[:, :-1], image_index)
        preferred = places @ heard.preferred[:, :, None]  # [B, K, 1]
        meant = (self.meant(states[:, 1:-1]) + preferred).squeeze(2)  # [B, K]
        best = meant.detach().amax(1, keepdim=True)
        found = self.found(torch.cat((states[:, 0], best), 1)).squeeze(1)
        return Choice(meant, found, halfway[:, 1:wanted - 1])

    def _lie(self, pairs: torch.Tensor, directions: torch.Tensor, image_index: torch.Tensor
             ) -> torch.Tensor:
        """Bias of attention by how things lie, and by what the sentence says of that."""
        hidden = self.pairs[:2](pairs)  # [I, K + 1, K + 1, LIE]
        hidden = each(hidden.flatten(1, 2).transpose(1, 2), image_index)  # [B, LIE, (K + 1)²]
        last = self.pairs.get_submodule('2')
        weights = last.get_parameter('weight') + directions  # [B, L * H, LIE]
        lie = weights @ hidden + last.get_parameter('bias')[:, None]
        return lie.unflatten(2, pairs.shape[1:3])


def _mean(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average tokens [B, T, C] where mask [B, T] is True; [B, C]."""
    share = mask.to(tokens.dtype)
    return (tokens * share[..., None]).sum(1) / share.sum(1, keepdim=True)


def each(values: torch.Tensor, image_index: torch.Tensor) -> torch.Tensor:
    """Give every sentence what belongs to its image; [I, ...] -> [B, ...]."""
    # An exported graph has a sentence for each image; a camera's usual case: spare the copies.
    if torch.compiler.is_exporting() or len(values) == len(image_index) == 1:
        return values
    return values[image_index]


def paint(proposals: Proposals, meant: torch.Tensor, image_index: torch.Tensor,
          margins: torch.Tensor) -> torch.Tensor:
    """
    Draw the union of the things that are meant.

    A pixel's logit is the best, over things, of the lesser of "this thing is meant" and "it is the
    thing's pixel": above zero where both are.

    Args:
        proposals: Of I images.
        meant: [B, K], logits.
        image_index: int64 [B].
        margins: [2], added to the logits of pixels and of things.

    Returns:
        Logits [B, h/2, w/2].
    """
    pixel, thing = margins
    # One or two things are meant as a rule, and all but one of twenty now and then.
    # A graph for other runtimes has no such choice, and paints all.
    count = (meant.shape[1] if torch.compiler.is_exporting() else
             int((meant + (thing - pixel) > FAINT).sum(1).max().clamp_min(1)))
    best, which = meant.topk(count, 1)  # [B, M]
    filters, windows = (take(each(values, image_index), which)
                        for values in (proposals.filters, proposals.windows))
    pixels = each(proposals.pixels, image_index)
    with torch.autocast(meant.device.type, enabled=False):
        masks = draw(filters, windows, pixels, proposals.curves)  # [B, M, h/2, w/2]
    # min(mask + pixel, meant + thing), with one sum less over all pixels.
    return torch.minimum(masks, (best + thing - pixel)[:, :, None, None]).amax(1) + pixel


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
        self.chooser = Chooser(config)
        self.register_buffer('margins', torch.zeros(2))

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
        target = paint(proposals, at_least_one(choice), image_index, self.margins)
        return Prediction(target, proposals.robot, choice.found)
