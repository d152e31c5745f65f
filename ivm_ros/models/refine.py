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
Masks drawn anew by colour, at the canvas's own resolution (our choice).

A thing's mask at stride 2 says which colours it has, and a ring around it which colours it lies
on. Each is summed up by one normal distribution; a pixel of the ring or the mask is moved by how
much likelier its colour is inside. That is GrabCut's idea (Rother et al. 2004) with one component,
one turn and no graph, in closed form: two products of matrices. Nothing of it is learnt, but for
`COLOUR`, which was chosen on validation data (`docs/results/weights.md`).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

COLOUR = 0.6  # weight of the logarithm of the ratio of likelihoods
SUREST = 6.0  # of that logarithm at most, so that no colour overrules a mask that is sure
STEPS = (1, 2, 1)  # add up to the width of the ring, pixels of the mask
REACH = sum(STEPS)
SPREAD = 0.03  # least variance of a colour, of values of deviation one
NONE = 1e-3  # mass of an empty mask


class Palette(NamedTuple):
    """
    The colours of I pictures as `_monomials`, which all masks of a picture share.

    Attributes:
        coarse (torch.Tensor): [I, 10, h/2 * w/2], of the means of 2 x 2 pixels.
        fine (torch.Tensor): [I, 10, h * w].
    """

    coarse: torch.Tensor
    fine: torch.Tensor


def palette_of(images: torch.Tensor) -> Palette:
    """Take the colours of images [I, 3, h, w], normalised; h and w even."""
    images = images.contiguous()
    halves = images[..., ::2, :] + images[..., 1::2, :]
    small = (halves[..., ::2] + halves[..., 1::2]) / 4
    return Palette(_monomials(small.flatten(2)), _monomials(images.flatten(2)))


def refine(masks: torch.Tensor, colours: Palette) -> torch.Tensor:
    """
    Draw masks anew at twice their resolution.

    Args:
        masks: [B, M, h/2, w/2], logits.
        colours: Of the B pictures that they are of.

    Returns:
        Logits [B, M, h, w].
    """
    near, inside = _widened(masks).sigmoid(), masks.sigmoid()  # the mask and the ring; the mask
    weights = torch.stack((inside, near * (1 - inside)), 1).flatten(1, 2).flatten(2)
    bells = _bell(weights @ colours.coarse.transpose(1, 2))  # [B, 2 * M, 10]
    own, other = bells.unflatten(1, (2, -1)).unbind(1)
    likelier = ((own - other) @ colours.fine).clamp(-SUREST, SUREST)  # [B, M, h * w]
    whole = F.interpolate(masks, scale_factor=2, mode='bilinear', align_corners=False)
    ring = F.interpolate(near, scale_factor=2)
    return torch.addcmul(whole, likelier.view_as(whole), ring, value=COLOUR)


def _widened(masks: torch.Tensor) -> torch.Tensor:
    """Give the largest logit of the (2 `REACH` + 1)² pixels around each; [B, M, h, w]."""
    lowest = torch.finfo(masks.dtype).min
    for step in STEPS:  # shifts: a pooling of this size takes four times as long
        wide = F.pad(masks, (step, step), value=lowest)
        masks = torch.maximum(masks, torch.maximum(wide[..., 2 * step:], wide[..., :-2 * step]))
    for step in STEPS:
        high = F.pad(masks, (0, 0, step, step), value=lowest)
        masks = torch.maximum(masks, torch.maximum(high[..., 2 * step:, :],
                                                   high[..., :-2 * step, :]))
    return masks


def _monomials(colours: torch.Tensor) -> torch.Tensor:
    """Give 1, r, g, b, rr, rg, rb, gg, gb, bb of colours [B, 3, P]; [B, 10, P]."""
    red, green, blue = colours.unbind(1)
    return torch.stack((torch.ones_like(red), red, green, blue, red * red, red * green,
                        red * blue, green * green, green * blue, blue * blue), 1)


def _bell(moments: torch.Tensor) -> torch.Tensor:
    """Turn sums of weighed monomials [..., 10] into a normal log-density over them, [..., 10]."""
    mass = moments[..., :1] + NONE
    r, g, b, rr, rg, rb, gg, gb, bb = (moments[..., 1:] / mass).unbind(-1)
    rr, gg, bb = rr - r * r + SPREAD, gg - g * g + SPREAD, bb - b * b + SPREAD
    rg, rb, gb = rg - r * g, rb - r * b, gb - g * b
    # The inverse of a symmetric 3 x 3 by its minors: no runtime lacks products and sums.
    i_rr, i_gg, i_bb = gg * bb - gb * gb, rr * bb - rb * rb, rr * gg - rg * rg
    i_rg, i_rb, i_gb = rb * gb - rg * bb, rg * gb - rb * gg, rg * rb - rr * gb
    volume = (rr * i_rr + rg * i_rg + rb * i_rb).clamp_min(SPREAD ** 3)
    inverse = torch.stack((i_rr, i_rg, i_rb, i_gg, i_gb, i_bb), -1) / volume[..., None]
    i_rr, i_rg, i_rb, i_gg, i_gb, i_bb = inverse.unbind(-1)
    to_r, to_g, to_b = (i_rr * r + i_rg * g + i_rb * b, i_rg * r + i_gg * g + i_gb * b,
                        i_rb * r + i_gb * g + i_bb * b)
    level = -(to_r * r + to_g * g + to_b * b + volume.log()) / 2
    return torch.stack((level, to_r, to_g, to_b, -i_rr / 2, -i_rg, -i_rb, -i_gg / 2, -i_gb,
                        -i_bb / 2), -1)
