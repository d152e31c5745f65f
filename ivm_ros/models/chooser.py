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
Which of the things in a picture a sentence means: words and things attend to each other.

Three ways from words to things: attention; geometry, weighed by what the sentence says of
directions and sizes; and a space in which the names of things and words lie side by side.
"""

from typing import NamedTuple

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.models.attention import Block, gelu
from ivm_ros.models.proposals import PAIRS, PLACES, Proposals
from ivm_ros.models.text_files import DIM as TEXT_DIM

LIE = 32  # width of what is known of how two things lie
NAMING = 96  # width of the space in which words and things are compared
ASKED = 4  # mixtures of a sentence's words that things are compared with
OWN = 0.5  # weight of a word's own embedding beside its state in the sentence
HIDDEN = -1e4  # bias of what must not be looked at


class Heard(NamedTuple):
    """
    Sentences as the chooser takes them, whatever the picture shows.

    Attributes:
        words (torch.Tensor): [B, T, D].
        mask (torch.Tensor): bool [B, T], False on padding.
        directions (torch.Tensor): [B, L * H, `LIE`], what each says of how things lie.
        preferred (torch.Tensor): [B, `PLACES`], what each says of where a thing is.
        names (torch.Tensor): [B, T, `NAMING`], what each word may name, of length one.
        asked (torch.Tensor): [B, `ASKED`, `NAMING`], the same of the words that matter.
    """

    words: torch.Tensor
    mask: torch.Tensor
    directions: torch.Tensor
    preferred: torch.Tensor
    names: torch.Tensor
    asked: torch.Tensor


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


class Chooser(nn.Module):
    """
    Which of the proposals a sentence means.

    Args:
        dim: Width of the attention layers, and of the features of proposals.
        depth: Number of layers.
        heads: Attention heads.
        pooled: Sentences are heard as one vector each, the mean of their words.
    """

    def __init__(self, dim: int, depth: int, heads: int, pooled: bool = False) -> None:
        super().__init__()
        self.pooled = pooled
        self.text_in = nn.Linear(TEXT_DIM, dim)
        self.query = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.kinds = nn.Parameter(torch.randn(2, dim) * 0.02)  # a word, a thing
        self.thing_in = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.place_in = nn.Linear(PLACES, dim)
        self.pairs = nn.Sequential(nn.Linear(PAIRS, LIE), gelu(),
                                   nn.Linear(LIE, depth * heads))
        # What a sentence says of directions and sizes: 'left of' and 'right of' look at the same
        # pairs with opposite signs. From zero, so that these only come in where they help.
        self.direct = nn.Linear(TEXT_DIM, depth * heads * LIE)
        self.prefer = nn.Linear(TEXT_DIM, PLACES)
        # Words and things are compared in the encoder's own space, into which things are brought,
        # so that a word may find its thing though no sentence of training said it. Words are only
        # turned and cut (`take_axes`): a layer that learns from the names of some hundred things
        # forgets what the encoder knows of all others.
        self.named = nn.Linear(dim, NAMING)  # a thing
        self.naming = nn.Linear(TEXT_DIM, NAMING).requires_grad_(False)  # a word
        self.likeness = nn.Parameter(torch.tensor([2.3, -5.0]))  # log scale, and bias
        self.heed = nn.Parameter(torch.zeros(depth * heads))
        self.gates = nn.Linear(TEXT_DIM, ASKED)
        self.fitting = nn.Linear(ASKED, dim)
        for layer in (self.place_in, self.direct, self.prefer, self.fitting):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.out = nn.LayerNorm(dim)
        self.meant = nn.Linear(dim, 1)
        self.found = nn.Sequential(nn.Linear(dim + 1, dim), gelu(), nn.Linear(dim, 1))
        nn.init.constant_(self.meant.get_parameter('bias'), -2.0)  # most things are not meant

    def listen(self, tokens: torch.Tensor, token_mask: torch.Tensor,
               forgotten: torch.Tensor | None = None) -> Heard:
        """
        Do what needs no picture, so that a stream under one sentence does it once.

        Args:
            tokens: float32 [B, T, 768] states of the sentence encoder.
            token_mask: bool [B, T].
            forgotten: bool [B, T], words that are known only by what they may name (training).
        """
        said = _mean(tokens, token_mask)  # [B, 768]
        if self.pooled:
            tokens, token_mask, forgotten = said[:, None], token_mask[:, :1], None
        names = self.name(tokens)
        gates = self.gates(tokens) * token_mask[..., None]  # [B, T, ASKED]
        words = self.text_in(tokens)
        if forgotten is not None:
            words = words.masked_fill(forgotten[..., None], 0)
        return Heard(words + self.kinds[0], token_mask,
                     self.direct(said).unflatten(1, (-1, LIE)), self.prefer(said), names,
                     gates.transpose(1, 2) @ names)

    @torch.no_grad()
    def take_axes(self, words: torch.Tensor) -> None:
        """
        Let `NAMING` principal axes of words be the space in which words and things are compared.

        Args:
            words: float32 [W, 768], states of words one by one.
        """
        weights = torch.ones(TEXT_DIM, device=words.device)
        weights[TEXT_DIM // 2:] = OWN
        spread = (words - words.mean(0)) * weights
        axes = torch.linalg.svd(spread, full_matrices=True).Vh[:NAMING] * weights
        self.naming.weight.copy_(axes)
        self.naming.bias.copy_(-axes @ words.mean(0))

    def name(self, tokens: torch.Tensor) -> torch.Tensor:
        """Say what words [..., 768] may name; [..., `NAMING`], of length one."""
        return F.normalize(self.naming(tokens), dim=-1)

    def fit(self, features: torch.Tensor, names: torch.Tensor) -> torch.Tensor:
        """Logit that each name fits each thing; [..., K, D], [..., W, NAMING] -> [..., K, W]."""
        scale, bias = self.likeness
        return scale.exp() * self._named(features) @ names.transpose(-1, -2) + bias

    def _named(self, features: torch.Tensor) -> torch.Tensor:
        """Say what things [..., D] may be called; [..., `NAMING`], of length one."""
        return F.normalize(self.named(features), dim=-1)

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
        named = each(self.likeness[0].exp() * self._named(proposals.features), image_index)
        fitting = self.fitting(named @ heard.asked.transpose(1, 2))  # [B, K + 1, D]
        things = each(things + self.kinds[1], image_index) + fitting
        states = torch.cat((self.query.expand(words.shape[0], -1, -1), things, words), 1)
        wanted = 1 + things.shape[1]
        # Geometry between things, likeness between things and words, and padding is not looked at.
        lie = self._lie(proposals.pairs, heard.directions, image_index)  # [B, L * H, K+1, K+1]
        like = named @ heard.names.transpose(1, 2)  # [B, K + 1, T]
        heed = F.pad(like[:, None] * self.heed[:, None, None], (0, 0, 1, 0))  # [B, L * H, K+2, T]
        bias = torch.cat((F.pad(lie, (1, 0, 1, 0)), heed), 3)  # [B, L * H, K+2, N]
        bias = torch.cat((bias, F.pad(heed.transpose(2, 3), (0, words.shape[1]))), 2)
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
