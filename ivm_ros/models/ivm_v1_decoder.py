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
The mask decoder of IVM-V1.0: one learnt token and one condition token look at a picture.

Our own writing of what the authors' code does (arXiv 2405.19783; repository 2toinf/IVM), which
took SAM's two-way transformer: tokens attend to each other, then to the picture, then the picture
to the tokens; the learnt token becomes the weights of a last 1 x 1 convolution.
"""

from dataclasses import dataclass
import math
from typing import Annotated

import torch
from torch import nn
from torch.nn import functional

from ivm_ros.config import check, Doc, Range


@dataclass(frozen=True)
class V1Config:
    """Sizes that neither LLaVA's nor SAM's config states; the defaults are the release's."""

    rank: Annotated[int, Range(1), Doc('Rank of LoRA on q_proj and v_proj.')] = 8
    alpha: Annotated[int, Range(1), Doc('Scale of LoRA, times the rank.')] = 16
    projection: Annotated[int, Range(1), Doc('Hidden width from state to condition.')] = 2048
    depth: Annotated[int, Range(1), Doc('Blocks of the decoder.')] = 2
    heads: Annotated[int, Range(1), Doc('Of every attention of the decoder.')] = 8
    mlp: Annotated[int, Range(1), Doc('Hidden width of the decoder.')] = 2048

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check(self)


class Attention(nn.Module):
    """Attention whose inner width is a fraction of the outer one."""

    def __init__(self, dim: int, heads: int, shrink: int = 1) -> None:
        super().__init__()
        inner = dim // shrink
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(dim, inner) for _ in range(3))
        self.out = nn.Linear(inner, dim)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Attend with [B, Q, D] to [B, K, D]; return [B, Q, D]."""
        split = [layer(states).unflatten(2, (self.heads, -1)).transpose(1, 2)
                 for layer, states in ((self.query, query), (self.key, key), (self.value, value))]
        mixed = functional.scaled_dot_product_attention(*split)  # [B, heads, Q, D / heads]
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Tokens to each other, tokens to picture, tokens alone, picture to tokens."""

    def __init__(self, dim: int, config: V1Config, first: bool) -> None:
        super().__init__()
        self.first = first
        self.to_each_other = Attention(dim, config.heads)
        self.to_picture = Attention(dim, config.heads, 2)
        self.widen, self.narrow = nn.Linear(dim, config.mlp), nn.Linear(config.mlp, dim)
        self.to_tokens = Attention(dim, config.heads, 2)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(4))

    def forward(self, tokens: torch.Tensor, picture: torch.Tensor, named: torch.Tensor,
                places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Exchange what tokens and picture know.

        Args:
            tokens: [B, T, D].
            picture: [B, P, D].
            named: The tokens as they came in, [B, T, D]: what places are for the picture.
            places: [1, P, D].
        """
        if self.first:  # SAM has no residual and no names here
            tokens = self.to_each_other(tokens, tokens, tokens)
        else:
            query = tokens + named
            tokens = tokens + self.to_each_other(query, query, tokens)
        tokens = self.norms[0](tokens)
        tokens = self.norms[1](tokens + self.to_picture(tokens + named, picture + places, picture))
        tokens = self.norms[2](tokens + self.narrow(self.widen(tokens).relu()))
        picture = self.norms[3](
            picture + self.to_tokens(picture + places, tokens + named, tokens))
        return tokens, picture


class MaskDecoder(nn.Module):
    """
    Picture and condition to mask.

    Args:
        dim: Channels of the encoded picture; the release has 256.
        config: Other sizes.
    """

    def __init__(self, dim: int, config: V1Config) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.randn(1, dim))
        self.register_buffer('frequencies', torch.randn(2, dim // 2))
        self.frequencies: torch.Tensor
        self.blocks = nn.ModuleList(Block(dim, config, first=number == 0)
                                    for number in range(config.depth))
        self.last_look, self.last_norm = Attention(dim, config.heads, 2), nn.LayerNorm(dim)
        self.grow = nn.ConvTranspose2d(dim, dim // 4, 2, stride=2)
        self.grow_norm = nn.LayerNorm(dim // 4, eps=1e-6)
        self.grow_again = nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2)
        self.hyper = nn.ModuleList((nn.Linear(dim, dim), nn.Linear(dim, dim),
                                    nn.Linear(dim, dim // 8)))

    def forward(self, picture: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """
        Decode.

        Args:
            picture: Of SAM's image encoder, [B, D, h, w].
            condition: What the sentence asks of it, [B, 1, D].

        Returns:
            Logits [B, 1, 4 h, 4 w].
        """
        size = (picture.shape[2], picture.shape[3])
        named = torch.cat((self.mask_token.expand(len(condition), 1, -1), condition), 1)
        tokens, pixels = named, picture.flatten(2).transpose(1, 2)  # [B, 2, D], [B, h w, D]
        places = self._places(size)
        for block in self.blocks:
            tokens, pixels = block(tokens, pixels, named, places)
        tokens = self.last_norm(
            tokens + self.last_look(tokens + named, pixels + places, pixels))
        grown = self.grow(pixels.transpose(1, 2).unflatten(2, size))  # [B, D / 4, 2 h, 2 w]
        grown = self.grow_norm(grown.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        grown = functional.gelu(self.grow_again(functional.gelu(grown)))  # [B, D / 8, 4 h, 4 w]
        first, second, last = self.hyper
        kernel = last(second(first(tokens[:, 0]).relu()).relu())  # [B, D / 8]
        return torch.einsum('bchw,bc->bhw', grown, kernel)[:, None]

    def _places(self, size: tuple[int, int]) -> torch.Tensor:
        """Give random Fourier features of the middle of each cell, [1, h w, D]."""
        rows, columns = ((torch.arange(side, device=self.frequencies.device) + .5) / side
                         for side in size)
        grid = torch.stack(torch.meshgrid(columns, rows, indexing='xy'), -1)  # (x, y), [h, w, 2]
        waves = 2 * math.pi * ((2 * grid - 1) @ self.frequencies)
        return torch.cat((waves.sin(), waves.cos()), -1).flatten(0, 1)[None]
