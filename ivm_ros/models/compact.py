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

Our own design (the paper's generator is LLaVA-7B with SAM's ViT-H): MobileNetV2 pyramid, two-way
attention between the sentence's tokens and the stride-16 map, decoder to stride 2. What depends
only on the image (backbone, pyramid, robot plane) runs once, however many sentences ask about it.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.models.backbone import CHANNELS, MobileNetPyramid
from ivm_ros.models.text import DIM as TEXT_DIM

MASK_STRIDE = 2
WIDTHS = (32, 16, 16)  # channels of the decoder at stride 8, 4 and 2


@dataclass(frozen=True)
class CompactConfig:
    """Size of the compact generator."""

    height: Annotated[int, Range(64, 1024), Doc('Height of the canvas in pixels.')] = 192
    width: Annotated[int, Range(64, 1024), Doc('Width of the canvas in pixels.')] = 256
    dim: Annotated[int, Range(16, 512), Doc('Width of the attention layers.')] = 128
    depth: Annotated[int, Range(1, 12), Doc('Number of two-way attention layers.')] = 2
    heads: Annotated[int, Range(1, 16), Doc('Attention heads.')] = 4

    def __post_init__(self) -> None:
        """Refuse sizes that the strides do not divide."""
        check(self)
        if self.height % 32 or self.width % 32:
            raise ConfigError(f'CompactConfig: wanted height and width that 32 divides, got '
                              f'{self.height} x {self.width}')


class Prediction(NamedTuple):
    """
    Logits of the generator.

    Attributes:
        target (torch.Tensor): [B, h/2, w/2], one plane a sentence.
        robot (torch.Tensor): [I, h/2, w/2], one plane an image.
        found (torch.Tensor): [B], anything that the sentence names is in view.
        coarse (torch.Tensor): [B, h/16, w/16], target at stride 16, for training.
    """

    target: torch.Tensor
    robot: torch.Tensor
    found: torch.Tensor
    coarse: torch.Tensor


class Attention(nn.Module):
    """Multi-head attention of a over b, pre-normalised by the caller."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, a: torch.Tensor, b: torch.Tensor,
                mask: torch.Tensor | None = None) -> torch.Tensor:
        """Attend from a [B, N, D] to b [B, M, D] where mask [B, M] is True."""
        query = self.query(a).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, N, D/H]
        key, value = (self.key_value(b).unflatten(-1, (2, self.heads, -1))
                      .permute(2, 0, 3, 1, 4))  # [B, H, M, D/H]
        allowed = None if mask is None else mask[:, None, None, :]  # [B, 1, 1, M]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        joined: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(2))  # [B, N, D]
        return joined


class TwoWayLayer(nn.Module):
    """Words look at the image, the image looks at the words and at itself (objects relate)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(8))
        self.word_self = Attention(dim, heads)
        self.word_image = Attention(dim, heads)
        self.image_word = Attention(dim, heads)
        self.image_self = Attention(dim, heads)
        self.word_mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.image_mlp = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, words: torch.Tensor, image: torch.Tensor, mask: torch.Tensor | None
                ) -> tuple[torch.Tensor, torch.Tensor]:
        """Update words [B, T, D] and image [B, N, D]; mask [B, T] is True on words, None: all."""
        norm = self.norms
        normed = norm[0](words)
        words = words + self.word_self(normed, normed, mask)
        words = words + self.word_image(norm[1](words), norm[2](image))
        words = words + self.word_mlp(norm[3](words))
        image = image + self.image_word(norm[4](image), norm[5](words), mask)
        normed = norm[6](image)
        image = image + self.image_self(normed, normed)
        image = image + self.image_mlp(norm[7](image))
        return words, image


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Build a convolution of the same size followed by a ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
                         nn.ReLU(inplace=True))


def grow(x: torch.Tensor, scale: int = 2) -> torch.Tensor:
    """Enlarge a map bilinearly."""
    return F.interpolate(x, scale_factor=scale, mode='bilinear', align_corners=False)


def each(maps: torch.Tensor, image_index: torch.Tensor) -> torch.Tensor:
    """Give every sentence the map of its image; [I, C, h, w] -> [B, C, h, w]."""
    alone = len(maps) == len(image_index) == 1  # a camera's usual case: spare the copies
    return maps if alone else maps[image_index]


class ImagePyramid(nn.Module):
    """Top-down pyramid over the backbone: maps at stride 8, 4, 2, and the robot plane."""

    def __init__(self) -> None:
        super().__init__()
        two, four, eight, sixteen, thirty_two = CHANNELS
        wide, middle, fine = WIDTHS
        self.top = nn.Conv2d(thirty_two, wide, 1)
        self.side16 = nn.Conv2d(sixteen, wide, 1)
        self.side8 = nn.Conv2d(eight, wide, 1)
        self.side4 = nn.Conv2d(four, middle, 1)
        self.side2 = nn.Conv2d(two, fine, 1)
        self.down4 = nn.Conv2d(wide, middle, 1)
        self.down2 = nn.Conv2d(middle, fine, 1)
        self.robot = nn.Sequential(nn.ReLU(), nn.Conv2d(fine, 1, 1))

    def forward(self, maps: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Turn backbone maps into maps of `WIDTHS` channels at stride 8, 4 and 2."""
        two, four, eight, sixteen, thirty_two = maps
        p16 = self.side16(sixteen) + grow(self.top(thirty_two))
        p8 = F.relu(self.side8(eight) + grow(p16))
        p4 = F.relu(self.side4(four) + grow(self.down4(p8)))
        p2 = self.side2(two) + grow(self.down2(p4))
        return p8, p4, p2


class CompactNet(nn.Module):
    """The compact generator's network."""

    def __init__(self, config: CompactConfig = CompactConfig()) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.backbone = MobileNetPyramid()
        self.pyramid = ImagePyramid()
        self.image_in = nn.Conv2d(CHANNELS[3], dim, 1)
        self.image_top = nn.Conv2d(CHANNELS[4], dim, 1)
        self.place = nn.Parameter(
            torch.randn(1, dim, config.height // 16, config.width // 16) * 0.02)
        self.text_in = nn.Linear(TEXT_DIM, dim)
        self.query = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.layers = nn.ModuleList(TwoWayLayer(dim, config.heads) for _ in range(config.depth))
        self.image_out = nn.LayerNorm(dim)
        self.query_out = nn.LayerNorm(dim)
        self.coarse = nn.Linear(dim, 1)
        self.found = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1))
        wide, middle, fine = WIDTHS
        self.down8 = nn.Conv2d(dim, wide, 1)
        self.mix8 = conv(wide, wide)
        self.down4 = nn.Conv2d(wide, middle, 1)
        self.mix4 = conv(middle, middle)
        self.down2 = nn.Conv2d(middle, fine * 4, 1)  # four pixels of stride 2 for one of stride 4
        self.fine = nn.Conv2d(fine, fine, 1)
        self.mask = nn.Conv2d(fine, 1, 1)
        for head in (self.coarse, self.mask, self.pyramid.robot[-1]):
            # Most pixels are not wanted: start there.
            nn.init.constant_(head.get_parameter('bias'), -2.0)

    def forward(self, images: torch.Tensor, tokens: torch.Tensor, token_mask: torch.Tensor,
                image_index: torch.Tensor) -> Prediction:
        """
        Predict masks.

        Args:
            images: float32 [I, 3, h, w], normalised.
            tokens: float32 [B, T, 384] states of the sentence encoder.
            token_mask: bool [B, T].
            image_index: int64 [B], which image each sentence is about.
        """
        maps = self.backbone(images)
        p8, p4, p2 = self.pyramid(maps)
        scene = self.image_in(maps[3]) + grow(self.image_top(maps[4])) + self.place
        fused, query = self._fuse(each(scene, image_index), tokens, token_mask)
        coarse = self.coarse(fused)  # [B, N, 1]
        size = scene.shape[-2:]
        grid = fused.transpose(1, 2).reshape(len(fused), -1, *size)  # [B, D, h/16, w/16]
        u8 = self.mix8(grow(self.down8(grid)) + each(p8, image_index))  # [B, 32, h/8, w/8]
        u4 = self.mix4(grow(self.down4(u8)) + each(p4, image_index))  # [B, 16, h/4, w/4]
        u2 = F.pixel_shuffle(self.down2(u4), 2)  # [B, 16, h/2, w/2]
        # One hidden layer over (sentence's map, image's map); the image's half runs once an image.
        target = self.mask(F.relu(u2 + each(self.fine(p2), image_index)))  # [B, 1, h/2, w/2]
        return Prediction(target.squeeze(1), self.pyramid.robot(p2).squeeze(1),
                          self.found(query).flatten(), coarse.reshape(-1, *size))

    def _fuse(self, scene: torch.Tensor, tokens: torch.Tensor,
              token_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        image = scene.flatten(2).transpose(1, 2)  # [B, N, D]
        query = self.query.expand(len(tokens), -1, -1)
        words = torch.cat((query, self.text_in(tokens)), 1)  # [B, 1 + T, D]
        # A sentence alone has no padding to hide, and attention without a mask is faster.
        mask = None if len(tokens) == 1 else F.pad(token_mask, (1, 0), value=True)  # [B, 1 + T]
        for layer in self.layers:
            words, image = layer(words, image, mask)
        return self.image_out(image), self.query_out(words[:, 0])
