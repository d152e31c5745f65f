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
Masks against sets that say where something is: cIoU, gIoU, IoU@0.5, box accuracy at 0.5.

cIoU is the intersection of all samples over the union of all, gIoU the mean of the samples' IoU
(where nothing is meant and nothing shown, 1), both as LISA has them (arXiv 2308.00692). A sample
is one sentence; a mask counts from 0.5 on. A box is the one around all of a mask.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ivm_ros.deploy import apply, DeployConfig
from ivm_ros.evaluate.gallery import Gallery, Shown, strip_of
from ivm_ros.evaluate.grounding import bootstrap
from ivm_ros.evaluate.metrics import box_iou
from ivm_ros.evaluate.segments import Case
from ivm_ros.sample import Mask

Masks = Callable[[list[np.ndarray], list[str]], list[Mask]]


class Tally:
    """Sums up the samples of one split."""

    def __init__(self) -> None:
        self.both, self.either = 0, 0
        self.ious: list[float] = []
        self.boxes: list[float] = []
        self.images: list[str] = []

    def add(self, name: str, seen: np.ndarray, truth: np.ndarray) -> float:
        """Take in one sample of a picture, two bool [H, W]; return its IoU."""
        both, either = int(np.count_nonzero(seen & truth)), int(np.count_nonzero(seen | truth))
        self.both, self.either = self.both + both, self.either + either
        self.ious.append(both / either if either else 1.0)
        self.boxes.append(box_iou(seen, truth))
        self.images.append(name)
        return self.ious[-1]

    def figures(self, seed: int) -> dict[str, Any]:
        """Give the figures; the interval of gIoU is bootstrapped over pictures."""
        ious = np.array(self.ious)
        low, high = bootstrap(ious, np.array(self.images), seed)
        return {'n': len(ious), 'images': len({*self.images}),
                'ciou': self.both / max(1, self.either), 'giou': float(ious.mean()),
                'giou_ci95': [low, high], 'iou50': float((ious > .5).mean()),
                'box50': float((np.array(self.boxes) > .5).mean())}


def measure_segments(cases: Iterable[Case], masker: Masks, deploy: DeployConfig, gallery: Gallery,
                     seed: int) -> dict[str, dict[str, Any]]:
    """
    Mask every case and compare.

    Args:
        cases: Pictures with their sentences and truths.
        masker: Gives masks to pictures and sentences, a `Masker`.
        deploy: How the page shows what is masked.
        gallery: Keeps some.
        seed: Of the bootstrap.

    Returns:
        Figures by split.
    """
    tallies: dict[str, Tally] = defaultdict(Tally)
    show = replace(deploy, method='overlay')
    for case in cases:
        masks = masker([case.image] * len(case.sentences), list(case.sentences))
        counts = np.ones(case.image.shape[:2], bool) if case.counts is None else case.counts
        for sentence, truth, mask in zip(case.sentences, case.truths, masks):
            value = tallies[case.split].add(case.name, (mask.target > .5) & counts,
                                            truth & counts)

            def draw(sentence: str = sentence, truth: np.ndarray = truth, mask: Mask = mask,
                     value: float = value, case: Case = case) -> Shown:
                return Shown(sentence, f'{case.split}, {case.name}: IoU {value:.2f}', strip_of(
                    case.image, mask, apply(case.image, mask, show), truth))

            gallery.add(value, draw)
    return {split: tally.figures(seed) for split, tally in tallies.items()}
