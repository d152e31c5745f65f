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

import math

import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

COLOUR = 0.6  # weight of the logarithm of the ratio of likelihoods
SUREST = 6.0  # of that logarithm at most, so that no colour overrules a mask that is sure
STEPS = (1, 2, 1)  # add up to the width of the ring, pixels of the mask
REACH = sum(STEPS)
SPREAD = 0.03  # least variance of a colour, of values of deviation one
NONE = 1e-3  # mass of an empty mask
LOWEST = -5.0  # logit below which a pixel's colour does not count
SEEN = -7.0  # logit below which a pixel shows nothing of a thing


def refine(masks: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """
    Draw masks anew at twice their resolution.

    Args:
        masks: [B, M, h/2, w/2], logits.
        images: [B, 3, h, w], normalised.

    Returns:
        Logits [B, M, h, w].
    """
    likelier, near = _evidence(masks, coarse_colours(images), _monomials(images))
    whole = F.interpolate(masks, scale_factor=2, mode='bilinear', align_corners=False)
    ring = F.interpolate(near, scale_factor=2)
    return torch.addcmul(whole, likelier.view_as(whole), ring, value=COLOUR)


def refine_part(mask: torch.Tensor, image: torch.Tensor, lowest: float = SEEN
                ) -> tuple[tuple[slice, slice], torch.Tensor]:
    """
    Draw one mask anew where it is: what `refine` gives, for less work.

    Args:
        mask: [h/2, w/2], logits.
        image: [3, h, w], normalised.
        lowest: At most `LOWEST`: outside of the part no logit is higher.

    Returns:
        Rows and columns of the canvas, outside of which all logits are below `lowest`, and the
        logits within, [rows, columns]; none of either where that is everywhere.
    """
    high = mask > lowest
    rows, columns = _span(high.any(1)), _span(high.any(0))
    fine = slice(2 * rows.start, 2 * rows.stop), slice(2 * columns.start, 2 * columns.stop)
    part = mask[rows, columns]
    if part.numel():
        part = refine(part[None, None], image[(slice(None), *fine)].contiguous()[None])[0, 0]
    return fine, part


def _span(high: torch.Tensor) -> slice:
    """Give the places from the first to the last that is True, and `REACH` more; bool [N]."""
    where = torch.nonzero(high).flatten().tolist()
    end = min(len(high), where[-1] + 1 + REACH) if where else 0
    return slice(max(0, where[0] - REACH) if where else 0, end)


@torch.no_grad()
def hint(masks: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """
    Tell what colours would add to masks, at the masks' own resolution, for training.

    So a network learns to draw what colours cannot say. It has no gradient: what counts is that
    both together are right, not that the colours agree.

    Args:
        masks: [B, M, h/2, w/2], logits.
        images: [B, 3, h, w], normalised.

    Returns:
        To be added to the logits, [B, M, h/2, w/2].
    """
    colours = coarse_colours(images)
    likelier, near = _evidence(masks, colours, colours)
    return COLOUR * likelier.view_as(masks) * near


def coarse_colours(images: torch.Tensor) -> torch.Tensor:
    """Monomials of the means of 2 x 2 pixels; [I, 3, h, w] -> [I, 10, h/2 * w/2]."""
    halves = images[..., ::2, :] + images[..., 1::2, :]
    return _monomials((halves[..., ::2] + halves[..., 1::2]) / 4)


def _share(logits: torch.Tensor) -> torch.Tensor:
    """Turn logits into how much of a pixel belongs, nothing of it at `LOWEST` and below."""
    return F.relu(logits.sigmoid() - 1 / (1 + math.exp(-LOWEST)))


def _evidence(masks: torch.Tensor, coarse: torch.Tensor, pixels: torch.Tensor
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """Tell how much likelier the colours of pixels [B, 10, P] are inside, [B, M, P]; and where."""
    near, inside = _share(_widened(masks)), _share(masks)  # the mask and the ring; the mask
    weights = torch.stack((inside, near * (1 - inside)), 1).flatten(1, 2).flatten(2)
    bells = _bell(weights @ coarse.transpose(1, 2))  # [B, 2 * M, 10]
    own, other = bells.unflatten(1, (2, -1)).unbind(1)
    return ((own - other) @ pixels).clamp(-SUREST, SUREST), near


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
    """Give 1, r, g, b, rr, rg, rb, gg, gb, bb of colours [B, 3, h, w]; [B, 10, h * w]."""
    red, green, blue = colours.flatten(2).unbind(1)
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
