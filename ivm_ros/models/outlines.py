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
The outline of a thing: a few hundred numbers that draw its mask over features of the picture.

Three parts are summed: a filter over the features of a pixel (arXiv 1904.02689), a window where
the thing may be, and hinges: `HINGES` units of one hidden layer over features and place, whose
weights are the thing's own (arXiv 2003.05664; two layers where that has three). The sum of the
first two is linear in what a pixel shows, so it cannot say 'white or black, but not the table's
grey', nor 'inside the rim, but not the star that lies there'; hinges can.
"""

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.models.attention import gelu

FINE = 16  # features of a pixel at stride 2
BASIS = 6  # 1, x, y, x², xy, y²: what a window is made of
PLACE = 3  # 1, x, y: what a hinge knows of a pixel's place
WINDOW = 6  # offsets, sizes, slant and height of a window
HINGES = 8
PARTS = (FINE, BASIS, HINGES * (FINE + PLACE), HINGES)
OUTLINE = sum(PARTS)
RADIUS = 0.085  # where a new window crosses zero, picture heights


class Outliner(nn.Module):
    """
    Tells outlines from what the cell at a thing's centre holds.

    Args:
        wide: Channels of a cell.
        rows: Cells from top to bottom.
        columns: Cells from left to right.
    """

    middles: torch.Tensor

    def __init__(self, wide: int, rows: int, columns: int) -> None:
        super().__init__()
        self.filter = nn.Linear(wide, FINE)
        self.window = nn.Linear(wide, WINDOW)
        self.hinges = nn.Sequential(nn.Linear(wide, wide), gelu(),
                                    nn.Linear(wide, sum(PARTS[2:])))
        nn.init.zeros_(self.window.weight)
        nn.init.zeros_(self.window.bias)
        last = self.hinges.get_submodule('2')
        with torch.no_grad():  # a new mask is a disc: hinges come in where they help
            last.get_parameter('weight')[-HINGES:] = 0
            last.get_parameter('bias')[-HINGES:] = 0
        self.register_buffer('middles', basis(rows, columns)[1:3].flatten(1).T.contiguous(),
                             False)

    def forward(self, at: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Turn cells' features [I, K, wide] and places, int64 [I, K], into [I, K, `OUTLINE`]."""
        centres = F.embedding(cells, self.middles)  # [I, K, 2], picture heights
        bends, sums = self.hinges(at).split(PARTS[2:], 2)
        colour, level, slope = bends.unflatten(2, (HINGES, -1)).split((FINE, 1, 2), 3)
        slope = slope / RADIUS  # from the centre: a hinge bends within the thing
        level = level - slope @ centres[..., None]
        bends = torch.cat((colour, level, slope), 3).flatten(2)
        return torch.cat((self.filter(at), self._windows(at, centres), bends, sums), 2)

    def _windows(self, at: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        """Give the window of each thing as weights of `basis`; [I, K, BASIS]."""
        raw = self.window(at)  # right, down, wide, high, slant, level
        place = centres + 0.1 * raw[..., :2]
        # Inverse variances of a bell that falls from 2 to 0 at `RADIUS` before training.
        steep = 4 / RADIUS ** 2 * torch.exp(-raw[..., 2:4].clamp(-4, 4))  # [I, K, 2]
        slant = 0.95 * torch.tanh(raw[..., 4:5]) * steep.prod(2, keepdim=True).sqrt()
        # level - (a (u-x)² + 2c (u-x)(v-y) + b (v-y)²) / 2, as a sum over 1, u, v, u², uv, v².
        slope = steep * place + slant * place.flip(2)
        level = 2 + raw[..., 5:] - (slope * place).sum(2, keepdim=True) / 2
        half = steep / -2
        return torch.cat((level, slope, half[..., :1], -slant, half[..., 1:]), 2)


def draw(outlines: torch.Tensor, pixels: torch.Tensor, curves: torch.Tensor) -> torch.Tensor:
    """
    Draw masks.

    Args:
        outlines: [I, K, `OUTLINE`].
        pixels: [I, FINE, h, w].
        curves: [BASIS, h, w], see `basis`.

    Returns:
        Logits [I, K, h, w].
    """
    filters, windows, bends, sums = outlines.split(PARTS, 2)
    seen, curve = pixels.flatten(2), curves.flatten(1)
    masks = torch.baddbmm(windows @ curve, filters, seen)  # [I, K, h * w]
    seen = torch.cat((seen, curve[1:PLACE].expand(seen.shape[0], -1, -1)), 1)
    bends = bends.unflatten(2, (HINGES, -1)).flatten(1, 2)  # [I, K * H, FINE + PLACE]
    colour, level, slope = bends.split((FINE, 1, 2), 2)
    bent = F.relu_(torch.baddbmm(level, torch.cat((colour, slope), 2), seen))  # [I, K * H, h * w]
    masks = masks + (sums[:, :, None] @ bent.unflatten(1, (-1, HINGES))).squeeze(2)
    return masks.unflatten(2, curves.shape[1:])


def basis(rows: int, columns: int) -> torch.Tensor:
    """
    Give 1, x, y, x², xy, y² of the middles of cells; [BASIS, rows, columns].

    x and y are in picture heights, from the middle of the picture.
    """
    y = ((torch.arange(rows) + 0.5) / rows - 0.5)[:, None].expand(rows, columns)
    x = ((torch.arange(columns) + 0.5 - columns / 2) / rows).expand(rows, columns)
    return torch.stack((torch.ones_like(x), x, y, x * x, x * y, y * y))
