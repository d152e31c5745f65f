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
"""The backbone's maps joined from the deepest to the finest (arXiv 1612.03144), made narrow."""

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.models.backbone import CHANNELS
from ivm_ros.models.outlines import FINE

WIDE, MIDDLE = 96, 32  # channels at stride 8 and 4; `FINE` at stride 2


class Around(nn.Module):
    """What lies around a cell: each of twice the channels looks 5 x 5 cells far; added to it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1), nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, 5, padding=2, groups=wide), nn.ReLU(inplace=True),
            nn.Conv2d(wide, channels, 1))
        nn.init.zeros_(self.layers.get_submodule('4').get_parameter('weight'))
        nn.init.zeros_(self.layers.get_submodule('4').get_parameter('bias'))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Turn [I, C, h, w] into the same."""
        result: torch.Tensor = x + self.layers(x)
        return result


class Pyramid(nn.Module):
    """Top-down pyramid over the backbone: maps at stride 8, 4 and 2, and the robot plane."""

    def __init__(self) -> None:
        super().__init__()
        two, four, eight, sixteen, thirty_two = CHANNELS
        self.top = nn.Conv2d(thirty_two, WIDE, 1)
        self.side16 = nn.Conv2d(sixteen, WIDE, 1)
        self.side8 = nn.Conv2d(eight, WIDE, 1)
        self.side4 = nn.Conv2d(four, MIDDLE, 1)
        self.side2 = nn.Conv2d(two, FINE, 1)
        self.near = nn.Conv2d(3, FINE, 2, 2)  # the picture itself: outlines are where it changes
        self.mix8 = narrow(WIDE, 32)
        self.down4 = nn.Conv2d(WIDE, MIDDLE, 1)
        self.mix4 = narrow(MIDDLE, 16)
        self.around = Around(MIDDLE)
        self.down2 = nn.Conv2d(MIDDLE, FINE, 1)
        self.mix2 = nn.Sequential(nn.Conv2d(FINE, FINE, 3, padding=1), nn.ReLU(inplace=True))
        self.robot = nn.Conv2d(FINE, 1, 1)
        self.robot4 = nn.Conv2d(MIDDLE, 1, 1)
        nn.init.constant_(self.robot.get_parameter('bias'), -2.0)

    def forward(self, images: torch.Tensor, maps: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Turn a picture and its maps into maps at stride 8, 4, 2 and the robot's logits at 2."""
        two, four, eight, sixteen, thirty_two = maps
        p16 = F.relu_(self.side16(sixteen) + grow(self.top(thirty_two)))
        p8 = self.mix8(F.relu_(self.side8(eight) + grow(p16)))
        p4 = self.around(self.mix4(F.relu_(self.side4(four) + grow(self.down4(p8)))))
        p2 = self.mix2(F.relu_(self.side2(two) + self.near(images) + grow(self.down2(p4))))
        robot = self.robot(p2) + grow(self.robot4(p4))
        return p8, p4, p2, robot.squeeze(1)


def narrow(channels: int, middle: int) -> nn.Sequential:
    """Build a convolution as a product of two: fewer channels in the middle, half the time."""
    first = nn.Conv2d(channels, middle, 3, padding=1, bias=False)
    second = nn.Conv2d(middle, channels, 1)
    nn.init.kaiming_normal_(first.weight, nonlinearity='linear')  # keeps the size of what passes
    nn.init.kaiming_normal_(second.weight)
    return nn.Sequential(first, second, nn.ReLU(inplace=True))


def grow(x: torch.Tensor) -> torch.Tensor:
    """Double the size of a map bilinearly."""
    return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
