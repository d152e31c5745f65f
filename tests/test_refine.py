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
"""Masks drawn anew by colour: what the formula says, and what must not happen."""

import pytest
import torch
from torch.distributions import MultivariateNormal
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.models.refine import (
    _bell, _monomials, COLOUR, palette_of, REACH, refine, SPREAD, SUREST)


def iou(here: torch.Tensor, there: torch.Tensor) -> float:
    """Compare two masks, bool [h, w]."""
    return float((here & there).sum() / (here | there).sum())


def test_a_bell_is_the_normal_density_of_what_it_was_given():
    torch.manual_seed(0)
    mix = torch.tensor([[.5, .2, 0.], [0., 1., .4], [.1, 0., 2.]])
    colours = torch.randn(500, 3) @ mix + torch.tensor([1., -1, .3])
    weights = torch.rand(500)
    terms = _monomials(colours.T[None])[0]  # [10, 500]
    density = _bell((terms @ weights)[None]) @ terms
    mean = (weights @ colours) / weights.sum()
    apart = colours - mean
    spread = (weights[:, None] * apart).T @ apart / weights.sum() + SPREAD * torch.eye(3)
    wanted = MultivariateNormal(mean, spread).log_prob(colours)
    ours = density[0] - 1.5 * torch.log(torch.tensor(2 * torch.pi))
    assert torch.allclose(ours, wanted, atol=1e-2)


def test_a_coarse_mask_takes_the_outline_that_the_colours_have():
    """A disc whose mask is a pixel aside, too large and vague: its outline comes back."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(96.), torch.arange(128.), indexing='ij')
    disc = (rows - 48) ** 2 + (columns - 64) ** 2 < 15 ** 2
    picture = torch.where(disc, torch.tensor([1., -1, 0])[:, None, None],
                          torch.tensor([-1., .5, .5])[:, None, None])
    picture = picture + .3 * torch.randn(3, 96, 128)
    away = ((rows - 49) ** 2 + (columns - 65) ** 2).sqrt()
    masks = F.avg_pool2d((.5 * (17 - away)).clamp(-5, 5)[None, None], 2)
    before = F.interpolate(masks, scale_factor=2)[0, 0] > 0
    after = refine(masks, palette_of(picture[None]))[0, 0] > 0
    assert iou(before, disc) < .82
    assert iou(after, disc) > .92


def test_no_colour_overrules_what_is_sure_nor_reaches_far():
    torch.manual_seed(0)
    masks, images = 3 * torch.randn(2, 3, 24, 32) - 4, torch.randn(2, 3, 48, 64)
    masks[1, 2] = -9.0  # an empty mask stays what it was
    whole = F.interpolate(masks, scale_factor=2, mode='bilinear', align_corners=False)
    drawn = refine(masks, palette_of(images))
    assert (drawn - whole).abs().max() <= COLOUR * SUREST + 1e-5
    assert torch.allclose(drawn[1, 2], whole[1, 2], atol=1e-3)
    lonely = torch.full((1, 1, 24, 32), -9.0)
    lonely[0, 0, 12, 16] = 5.0
    moved = refine(lonely, palette_of(images[:1]))[0, 0] - F.interpolate(
        lonely, scale_factor=2, mode='bilinear', align_corners=False)[0, 0]
    places = torch.nonzero(moved.abs() > .01)
    assert places.amin(0).tolist() == [2 * (12 - REACH), 2 * (16 - REACH)]
    assert places.amax(0).tolist() == [2 * (12 + REACH) + 1, 2 * (16 + REACH) + 1]


@pytest.mark.parametrize('colour', [0.0, 1.0])
def test_a_picture_of_one_colour_leaves_masks_alone(colour):
    masks = torch.randn(1, 2, 24, 32)
    drawn = refine(masks, palette_of(torch.full((1, 3, 48, 64), colour)))
    whole = F.interpolate(masks, scale_factor=2, mode='bilinear', align_corners=False)
    assert drawn.isfinite().all()
    assert torch.allclose(drawn, whole, atol=.05)


def test_each_thing_is_drawn_for_itself():
    """Masks side by side in a batch do not see each other."""
    torch.manual_seed(0)
    masks, images = torch.randn(2, 3, 24, 32), torch.randn(2, 3, 48, 64)
    together = refine(masks, palette_of(images))
    alone = refine(masks[1:, 1:2], palette_of(images[1:]))
    assert torch.allclose(together[1:, 1:2], alone, atol=1e-4)
