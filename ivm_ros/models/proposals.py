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
What things a picture shows, before any sentence: class-agnostic instance proposals.

Each proposal has a centre (the peaks of a heat map, arXiv 1904.07850), an outline that draws its
mask (`outlines.py`), and a feature that says what it is and where. The design is ours; the paper's
generator has no notion of things. All of it runs once an image, however many sentences ask.
"""

from typing import NamedTuple

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.models.attention import gelu
from ivm_ros.models.backbone import CHANNELS
from ivm_ros.models.outlines import basis, draw, Outliner
from ivm_ros.models.pyramid import MIDDLE, Pyramid, WIDE

CELL = 8  # stride of the heat map
COLOURS = 6  # mean colour of the thing and of the picture
PLACES = 7  # centre, spread, slant, area and foot, see `_places`
PAIRS = 8  # how two things lie, see `_pairs`
SCALE = 5.0  # of places and pairs, so that a decimetre in the picture weighs about one


class Proposals(NamedTuple):
    """
    K things and, last, the robot.

    Attributes:
        heat (torch.Tensor): [I, h/8, w/8], logit that a thing's centre lies in a cell.
        cells (torch.Tensor): int64 [I, K], index of each centre in the flattened heat map.
        outlines (torch.Tensor): [I, K, `OUTLINE`], what draws each thing's mask.
        pixels (torch.Tensor): [I, `FINE`, h/2, w/2], see `draw`.
        curves (torch.Tensor): [`BASIS`, h/2, w/2], see `basis`.
        small (torch.Tensor): [I, K + 1, h/4, w/4], logits of their pixels, the robot last.
        robot (torch.Tensor): [I, h/2, w/2], logits of the robot's pixels.
        features (torch.Tensor): [I, K + 1, D], what each is, the robot last.
        places (torch.Tensor): [I, K + 1, `PLACES`], where they are and how large.
        pairs (torch.Tensor): [I, K + 1, K + 1, `PAIRS`], how they lie, as the row sees it.
    """

    heat: torch.Tensor
    cells: torch.Tensor
    outlines: torch.Tensor
    pixels: torch.Tensor
    curves: torch.Tensor
    small: torch.Tensor
    robot: torch.Tensor
    features: torch.Tensor
    places: torch.Tensor
    pairs: torch.Tensor


class Proposer(nn.Module):
    """
    Finds things in the backbone's maps.

    Args:
        height: Of the canvas, pixels.
        width: Of the canvas, pixels.
        count: Number of proposals an image, K.
        dim: Width of their features.
    """

    quarters: torch.Tensor
    halves: torch.Tensor

    def __init__(self, height: int, width: int, count: int, dim: int) -> None:
        super().__init__()
        self.count = min(count, height * width // CELL ** 2)
        self.pyramid = Pyramid()
        self.heat = nn.Conv2d(WIDE, 1, 1)
        self.outline = Outliner(WIDE, height // CELL, width // CELL)
        self.robot_feature = nn.Parameter(torch.randn(1, 1, WIDE) * 0.02)
        self.name = nn.Sequential(
            nn.Linear(2 * WIDE + MIDDLE + COLOURS + PLACES + sum(CHANNELS[3:]), 2 * dim), gelu(),
            nn.Linear(2 * dim, dim))
        nn.init.constant_(self.heat.get_parameter('bias'), -4.0)  # most cells hold no centre
        self.register_buffer('quarters', basis(height // 4, width // 4), False)
        self.register_buffer('halves', basis(height // 2, width // 2), False)

    def forward(self, images: torch.Tensor, maps: list[torch.Tensor],
                centres: torch.Tensor | None = None) -> Proposals:
        """
        Propose things.

        Args:
            images: float32 [I, 3, h, w], normalised.
            maps: Of the backbone.
            centres: bool [I, h/8, w/8], cells that must be proposed (training); None for none.
        """
        p8, p4, p2, robot = self.pyramid(maps)
        heat = self.heat(p8).squeeze(1)
        cells = top_cells(heat.detach(), self.count, centres)  # [I, K]
        flat8 = p8.flatten(2).transpose(1, 2)  # [I, h/8 * w/8, WIDE]
        at = take(flat8, cells)  # [I, K, WIDE]
        with torch.autocast(images.device.type, enabled=False):  # squares need the precision
            outlines, pixels = self.outline(at.float(), cells), p2.float()
            # The mask of the mean of four pixels: a quarter of the work.
            small = draw(outlines, F.avg_pool2d(pixels, 2), self.quarters)
            small = torch.cat((small, F.avg_pool2d(robot[:, None].float(), 2)), 1)
            quarter = small.detach().sigmoid()  # [I, K + 1, h/4, w/4]
            places = self._places(quarter.flatten(2))  # [I, K + 1, PLACES]
            coarse = quarter[..., ::2, ::2]
            deep = [F.avg_pool2d(quarter, size) for size in (4, 8)]
        # Means need no pooling first: every second, or every fourth, pixel has the same.
        at = torch.cat((at, self.robot_feature.expand(at.shape[0], -1, -1)), 1)
        # What a thing is, the backbone's last maps know best: the pyramid is narrow, for outlines.
        seen = torch.cat((at, _mean(coarse, p8), _mean(quarter, p4),
                          self._colours(quarter, images[..., 2::4, 2::4]), places,
                          *(_mean(*pair) for pair in zip(deep, maps[3:]))), 2)
        return Proposals(heat, cells, outlines, pixels, self.halves, small,
                         robot, self.name(seen), SCALE * places, SCALE * _pairs(places))

    def _places(self, weights: torch.Tensor) -> torch.Tensor:
        """Centre, log spread, slant, log area and foot of shares [I, K + 1, h/4 * w/4]."""
        mass, x, y, xx, xy, yy = (weights @ self.quarters.flatten(1).T).unbind(2)  # [I, K + 1]
        whole = mass + 1e-3
        x, y = x / whole, y / whole
        wide = (xx / whole - x * x).clamp_min(1e-5).sqrt()
        high = (yy / whole - y * y).clamp_min(1e-5).sqrt()
        slant = (xy / whole - x * y) / (wide * high)
        return torch.stack((x, y, wide.log() / 2, high.log() / 2, slant.clamp(-1, 1),
                            (mass / weights.shape[2] + 1e-4).log() / 4, y + 2 * high), 2)

    def _colours(self, masks: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Mean colour of each thing, beside that of the picture."""
        whole = images.mean((2, 3))[:, None].expand(-1, masks.shape[1], -1)
        return torch.cat((_mean(masks, images), whole), 2)


def top_cells(heat: torch.Tensor, count: int, centres: torch.Tensor | None = None
              ) -> torch.Tensor:
    """
    Pick the `count` best cells of heat [I, h, w], `centres` first; int64 [I, count].

    A cell beside a hotter one loses one, and what it is colder by. To drop it altogether would
    lose things that touch others: one thing in thirty (`docs/dev/plan.md`).
    """
    beside = torch.maximum(F.max_pool2d(heat[:, None], (3, 1), 1, (1, 0)),
                           F.max_pool2d(heat[:, None], (1, 3), 1, (0, 1))).squeeze(1)
    scores = 2 * heat - beside - (beside > heat).to(heat.dtype)
    if centres is not None:
        scores = torch.where(centres, heat + 1000, scores)
    return scores.flatten(1).topk(count, 1).indices


def take(values: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Take rows of values [B, N, C] by which int64 [B, M]; [B, M, C]."""
    return values.gather(1, which[..., None].expand(-1, -1, values.shape[2]))


def _mean(masks: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Average features [I, C, h, w] over masks [I, K, h, w], nearly none count less; [I, K, C]."""
    weights = masks.flatten(2)
    sums = weights.to(features.dtype) @ features.flatten(2).transpose(1, 2)
    return sums / (weights.sum(2, keepdim=True) + 1e-3).to(features.dtype)


def _pairs(places: torch.Tensor) -> torch.Tensor:
    """Tell how the second thing lies as the first sees it; [I, K, PLACES] -> [I, K, K, PAIRS]."""
    apart = places[:, None] - places[:, :, None]  # [I, K, K, PLACES]
    x, y, wide, high, _, area, foot = apart.unbind(3)
    square = apart[..., :2] ** 2
    away = torch.sqrt(square.sum(3) + 1e-6)
    reach = (4 * places[..., 2:4]).exp() * 4  # squares of twice the spread, of x and y
    # Where the second's centre lies in the first's extent, and the other way round.
    inside = [torch.exp(-(square / extent).sum(3))
              for extent in (reach[:, :, None], reach[:, None])]
    return torch.stack((x, y, away, foot, area, wide + high, *inside), 3)
