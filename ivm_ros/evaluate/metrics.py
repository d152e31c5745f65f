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
How good one soft mask is: overlap, outline, and whether its numbers mean what they say.

Overlap is intersection over union. The outline is judged by the F measure of DAVIS (Perazzi et al.
2016): how much of either outline lies within a tolerance of the other. Calibration is the expected
calibration error over pixels in 15 bins of equal width (arXiv 1706.04599).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

THRESHOLDS = tuple(round(.1 * step, 1) for step in range(1, 10))
BINS = 15
TOLERANCE = .008  # of the picture's diagonal, as DAVIS has it


@dataclass(frozen=True)
class Fit:
    """
    How one soft mask fits the truth.

    Attributes:
        ious (tuple[float, ...]): IoU at each of `THRESHOLDS`.
        both (int): Pixels in the intersection at 0.5.
        either (int): Pixels in the union at 0.5.
        box (float): IoU of the boxes around what is inside at 0.5; 0 where one is empty.
        boundary (float): F measure of the outline at 0.5.
        bins (np.ndarray): float64 [3, `BINS`]: pixels, sum of the mask, pixels truly inside.
    """

    ious: tuple[float, ...]
    both: int
    either: int
    box: float
    boundary: float
    bins: np.ndarray


def iou(seen: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two bool [H, W]; NaN when both are empty."""
    either = np.count_nonzero(seen | truth)
    return np.count_nonzero(seen & truth) / either if either else float('nan')


def fit_of(mask: np.ndarray, truth: np.ndarray) -> Fit:
    """Compare a soft mask float32 [H, W] in [0, 1] with the truth, bool [H, W]."""
    seen = mask > .5
    return Fit(tuple(iou(mask > threshold, truth) for threshold in THRESHOLDS),
               int(np.count_nonzero(seen & truth)), int(np.count_nonzero(seen | truth)),
               box_iou(seen, truth), boundary_f(seen, truth), bins_of(mask, truth))


def box_iou(seen: np.ndarray, truth: np.ndarray) -> float:
    """
    Give the IoU of the boxes around two bool [H, W]; 1 when both are empty, 0 when one is.

    The box of a mask is around all of it: one far pixel counts.
    """
    boxes = [cv2.boundingRect(mask.astype(np.uint8)) for mask in (seen, truth)]
    (left, top, width, height), (x, y, across, down) = boxes
    if not width * height or not across * down:
        return float(width * height == across * down)
    both = max(0, min(left + width, x + across) - max(left, x)) * max(
        0, min(top + height, y + down) - max(top, y))
    return both / (width * height + across * down - both)


def boundary_f(seen: np.ndarray, truth: np.ndarray) -> float:
    """F measure of the outlines of two bool [H, W]; 1 when both are empty, 0 when one is."""
    if not seen.any() and not truth.any():
        return 1.0
    if not seen.any() or not truth.any():
        return 0.0
    reach = max(1, round(TOLERANCE * float(np.hypot(*seen.shape))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    outlines = [_outline(mask) for mask in (seen, truth)]
    near = [cv2.dilate(outline, disc) > 0 for outline in outlines]
    precision = float((near[1] & (outlines[0] > 0)).sum() / (outlines[0] > 0).sum())
    recall = float((near[0] & (outlines[1] > 0)).sum() / (outlines[1] > 0).sum())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that touch what is not; those at the picture's border too."""
    inside = np.pad(mask.astype(np.uint8), 1)
    return (inside - cv2.erode(inside, np.ones((3, 3), np.uint8)))[1:-1, 1:-1]


def bins_of(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Count pixels, sum the mask and count truth in bins of the mask; float64 [3, `BINS`]."""
    place = np.minimum((mask * BINS).astype(int), BINS - 1).ravel()
    return np.stack([np.bincount(place, weights, BINS)[:BINS].astype(float)
                     for weights in (None, mask.ravel(), truth.ravel())])


def calibration_error(bins: np.ndarray, shown: bool = False) -> float:
    """
    Give the expected calibration error of summed `bins_of`.

    Args:
        bins: float64 [3, `BINS`].
        shown: Without the lowest bin, in which nearly all pixels of a picture are: with it the
            error is small whatever the rest is like.
    """
    count, total, inside = bins[:, 1:] if shown else bins
    whole = count.sum()
    return float(np.abs(total - inside).sum() / whole) if whole else 0.0


def summary(fits: Sequence[Fit]) -> dict[str, float]:
    """Give the figures of some fits beside their mean IoU."""
    means = np.nanmean([fit.ious for fit in fits], 0)
    best = int(means.argmax())
    bins = np.sum([fit.bins for fit in fits], 0)
    return {'ciou': sum(fit.both for fit in fits) / max(1, sum(fit.either for fit in fits)),
            'box50': float(np.mean([fit.box > .5 for fit in fits])),
            'boundary_f': float(np.mean([fit.boundary for fit in fits])),
            'ece': calibration_error(bins), 'ece_shown': calibration_error(bins, shown=True),
            'best_threshold': THRESHOLDS[best], 'best_threshold_iou': float(means[best])}
