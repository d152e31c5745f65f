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

from ivm_ros.models.compact import redraw, unite, unite_parts
from ivm_ros.models.refine import (
    _bell, _monomials, COLOUR, hint, REACH, refine, refine_part, SEEN, SPREAD, SUREST)


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
    after = refine(masks, picture[None])[0, 0] > 0
    assert iou(before, disc) < .82
    assert iou(after, disc) > .92


def test_no_colour_overrules_what_is_sure_nor_reaches_far():
    torch.manual_seed(0)
    masks, images = 3 * torch.randn(2, 3, 24, 32) - 4, torch.randn(2, 3, 48, 64)
    masks[1, 2] = -9.0  # an empty mask stays what it was
    whole = F.interpolate(masks, scale_factor=2, mode='bilinear', align_corners=False)
    drawn = refine(masks, images)
    assert (drawn - whole).abs().max() <= COLOUR * SUREST + 1e-5
    assert torch.allclose(drawn[1, 2], whole[1, 2], atol=1e-3)
    lonely = torch.full((1, 1, 24, 32), -9.0)
    lonely[0, 0, 12, 16] = 5.0
    moved = refine(lonely, images[:1])[0, 0] - F.interpolate(
        lonely, scale_factor=2, mode='bilinear', align_corners=False)[0, 0]
    places = torch.nonzero(moved.abs() > .01)
    assert places.amin(0).tolist() == [2 * (12 - REACH), 2 * (16 - REACH)]
    assert places.amax(0).tolist() == [2 * (12 + REACH) + 1, 2 * (16 + REACH) + 1]


@pytest.mark.parametrize('colour', [0.0, 1.0])
def test_a_picture_of_one_colour_leaves_masks_alone(colour):
    masks = torch.randn(1, 2, 24, 32)
    drawn = refine(masks, torch.full((1, 3, 48, 64), colour))
    whole = F.interpolate(masks, scale_factor=2, mode='bilinear', align_corners=False)
    assert drawn.isfinite().all()
    assert torch.allclose(drawn, whole, atol=.05)


def test_each_thing_is_drawn_for_itself():
    """Masks side by side in a batch do not see each other."""
    torch.manual_seed(0)
    masks, images = torch.randn(2, 3, 24, 32), torch.randn(2, 3, 48, 64)
    together = refine(masks, images)
    alone = refine(masks[1:, 1:2], images[1:])
    assert torch.allclose(together[1:, 1:2], alone, atol=1e-4)


def test_a_part_is_what_the_whole_is_there():
    """Two small things in a corner: the same logits in their box, nothing outside of it."""
    torch.manual_seed(0)
    mask, image = torch.full((48, 64), -9.0), torch.randn(3, 96, 128)
    mask[2:7, 3:9], mask[20:24, 11:15] = 4.0, torch.randn(4, 4)
    whole = refine(mask[None, None], image[None])[0, 0]
    box, part = refine_part(mask, image)
    assert [(span.start, span.stop) for span in box] == [(0, 56), (0, 38)]
    assert torch.allclose(part.sigmoid(), whole[box].sigmoid(), atol=1e-3)
    outside = whole.clone()
    outside[box] = -9
    assert (outside > SEEN).sum() == 0
    assert refine_part(torch.full((48, 64), -9.0), image)[1].numel() == 0


def test_the_graphs_way_and_the_quick_way_unite_the_same():
    """Some things certain, some doubtful, some too faint; another number in each sentence."""
    torch.manual_seed(0)
    masks, images = 4 * torch.randn(3, 6, 24, 32) - 6, torch.randn(3, 3, 48, 64)
    allowed = torch.tensor([[5., 3, 1, 0, -3, -6], [2., -1, -3, -5, -6, -7],
                            [-3., -3.5, -5, -6, -7, -8]])[..., None, None]
    slow = unite(*redraw(masks, allowed, images), masks, allowed)
    quick = unite_parts(masks, allowed, images)
    assert torch.allclose(slow.sigmoid(), quick.sigmoid(), atol=1e-3)
    assert (quick[2].sigmoid() > .01).any()  # what is doubtful shows faintly, as it was drawn


def test_a_hint_is_the_drawing_anew_at_the_resolution_of_masks():
    torch.manual_seed(0)
    masks = (3 * torch.randn(2, 3, 24, 32) - 4).requires_grad_()
    images = torch.randn(2, 3, 24, 32).repeat_interleave(2, 2).repeat_interleave(2, 3)
    added = hint(masks, images)
    assert not added.requires_grad
    moved = refine(masks, images) - F.interpolate(masks, scale_factor=2, mode='bilinear',
                                                  align_corners=False)
    assert torch.allclose(F.avg_pool2d(moved, 2), added, atol=1e-4)
