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
Margins: what is added to logits when a mask is painted, and what they are scaled by.

Losses judge pixels and choices one by one; what counts is the overlap of the whole. Which pixel
is worth showing at 0.5, and which thing, is settled on validation data by the mean IoU. Then all
logits are scaled so that shares of the mask mean what they say, which moves nothing across 0.5:
temperature scaling (arXiv 1706.04599). Nothing of what was learnt moves.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.data.loader import Batches
from ivm_ros.data.scenes import Scenes
from ivm_ros.models.compact import at_least_one, CompactNet, likeliest, paint, redraw
from ivm_ros.models.proposals import Proposals
from ivm_ros.models.text import TextEncoder
from ivm_ros.sample import Batch
from ivm_ros.train.batch import to_batch
from ivm_ros.train.validate import iou

PIXELS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.9)
THINGS = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0)
SHARPNESS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5)
BINS = 15  # of the calibration error, of which the lowest is left out: nearly all pixels are in it


class Seen(NamedTuple):
    """
    One batch as the network sees it.

    Attributes:
        batch (Batch): Images, sentences, truth.
        proposals (Proposals): Of its images.
        meant (torch.Tensor): [B, K], logits.
    """

    batch: Batch
    proposals: Proposals
    meant: torch.Tensor


@torch.inference_mode()
def tune_margins(net: CompactNet, encoder: TextEncoder, scenes: Scenes, images: int = 8,
                 sentences: int = 6) -> dict[str, float]:
    """
    Set `net.margins` to what gives the best mean IoU on some scenes, and calibrate the masks.

    Args:
        net: Trained; its margins are overwritten.
        encoder: Of its sentences.
        scenes: Labelled images that it was not trained on.
        images: In a batch.
        sentences: Of an image, at most.

    Returns:
        `pixels` and `things`, the margins, `iou`, what they give, `sharpness` and `ece_shown`, the
        calibration error of pixels above the lowest bin.
    """
    batches = Batches(scenes, (net.config.height, net.config.width), min(images, len(scenes)),
                      sentences, None, seed=0)
    scores: dict[tuple[float, float], list[torch.Tensor]] = {}
    for seen in _look(net, encoder, batches):
        for margins, logits in _all_painted(seen):
            scores.setdefault(margins, []).append(
                iou(logits > 0, seen.batch.target > 0.5)[seen.batch.found > 0.5])
    means = {margins: float(torch.cat(overlaps).mean()) for margins, overlaps in scores.items()}
    best = max(means, key=lambda margins: means[margins])
    errors = _errors(net, encoder, batches, best)
    sharpness = min(errors, key=lambda value: errors[value])
    net.margins.copy_(torch.tensor((*best, sharpness)))
    return {'pixels': best[0], 'things': best[1], 'iou': means[best], 'sharpness': sharpness,
            'ece_shown': errors[sharpness]}


def _look(net: CompactNet, encoder: TextEncoder, batches: Batches) -> Iterator[Seen]:
    for step in range(len(batches)):
        batch = to_batch(batches[step], encoder)
        proposals = net.proposer(batch.images, net.backbone(batch.images))
        heard = net.chooser.listen(batch.tokens, batch.token_mask)
        choice = net.chooser(proposals, heard, batch.image_index)
        yield Seen(batch, proposals, at_least_one(choice))


def _all_painted(seen: Seen) -> Iterator[tuple[tuple[float, float], torch.Tensor]]:
    """Give what `paint` gives for all margins, up to sharpness; what takes long is done once."""
    index, most = seen.batch.image_index, max(THINGS) - min(PIXELS)
    masks, allowed = likeliest(seen.proposals, seen.meant + most, index)
    anew, certain = redraw(masks, allowed, seen.batch.images[index])
    few = anew.shape[1]
    first = torch.where(certain, F.avg_pool2d(anew, 2), masks[:, :few])
    masks = torch.cat((first, masks[:, few:]), 1)  # at the stride of the labels
    by_shift: dict[float, list[tuple[float, float]]] = {}
    for margins in product(PIXELS, THINGS):
        by_shift.setdefault(round(margins[1] - margins[0], 6), []).append(margins)
    for shift, group in by_shift.items():
        least = torch.minimum(masks, allowed + (shift - most)).amax(1)
        yield from ((margins, least + margins[0]) for margins in group)


def _paint(seen: Seen, margins: tuple[float, ...]) -> torch.Tensor:
    logits = paint(seen.proposals, seen.meant, seen.batch.image_index, torch.tensor(margins),
                   seen.batch.images)
    return F.avg_pool2d(logits, 2)


def _errors(net: CompactNet, encoder: TextEncoder, batches: Batches, margins: tuple[float, float]
            ) -> dict[float, float]:
    """Give the calibration error of shown pixels at every sharpness."""
    bins = {sharpness: torch.zeros(3, BINS) for sharpness in SHARPNESS}
    for seen in _look(net, encoder, batches):
        here = seen.batch.found > 0.5
        logits, truth = _paint(seen, (*margins, 1.0))[here], seen.batch.target[here].flatten()
        for sharpness, counts in bins.items():
            share = (logits * sharpness).sigmoid().flatten()
            place = (share * BINS).long().clamp_max(BINS - 1)
            for row, values in zip(counts, (torch.ones_like(share), share, truth)):
                row.index_add_(0, place, values)
    return {sharpness: float((counts[1, 1:] - counts[2, 1:]).abs().sum() / counts[0, 1:].sum())
            for sharpness, counts in bins.items()}
