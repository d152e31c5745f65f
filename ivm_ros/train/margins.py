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
Margins: what is added to logits when a mask is painted, chosen after training.

Losses judge pixels and choices one by one; what counts is the overlap of the whole. Which pixel
is worth showing at 0.5, and which thing, is settled on validation data by the mean IoU, as
temperature scaling settles confidence (arXiv 1706.04599); nothing of what was learnt moves.
"""

from itertools import product

import torch

from ivm_ros.data.loader import Batches, Scenes
from ivm_ros.models.compact import at_least_one, CompactNet, paint
from ivm_ros.models.text import TextEncoder
from ivm_ros.train.batch import to_batch
from ivm_ros.train.validate import iou

PIXELS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.9)
THINGS = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0)


@torch.inference_mode()
def tune_margins(net: CompactNet, encoder: TextEncoder, scenes: Scenes, images: int = 8,
                 sentences: int = 6) -> dict[str, float]:
    """
    Set `net.margins` to what gives the best mean IoU on some scenes.

    Args:
        net: Trained; its margins are overwritten.
        encoder: Of its sentences.
        scenes: Labelled images that it was not trained on.
        images: In a batch.
        sentences: Of an image, at most.

    Returns:
        `pixels` and `things`, the margins, and `iou`, what they give.
    """
    batches = Batches(scenes, (net.config.height, net.config.width), min(images, len(scenes)),
                      sentences, None, seed=0)
    scores: dict[tuple[float, float], list[torch.Tensor]] = {}
    for step in range(len(scenes) // min(images, len(scenes))):
        batch = to_batch(batches[step], encoder)
        proposals = net.proposer(batch.images, net.backbone(batch.images))
        heard = net.chooser.listen(batch.tokens, batch.token_mask)
        choice = net.chooser(proposals, heard, batch.image_index)
        for margins in product(PIXELS, THINGS):
            target = paint(proposals, at_least_one(choice), batch.image_index,
                           torch.tensor(margins))
            overlap = iou(target > 0, batch.target > 0.5)[batch.found > 0.5]
            scores.setdefault(margins, []).append(overlap)
    means = {margins: float(torch.cat(overlaps).mean()) for margins, overlaps in scores.items()}
    best = max(means, key=lambda margins: means[margins])
    net.margins.copy_(torch.tensor(best))
    return {'pixels': best[0], 'things': best[1], 'iou': means[best]}
