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
"""Scores of masks along a sequence: overlap with the truth, and change that is not motion."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ivm_ros.evaluate.metrics import iou
from ivm_ros.evaluate.sequences import Video
from ivm_ros.sample import Mask

DIGITS = 5  # of what is reported


@dataclass
class Tally:
    """What one way to mask came to: sums over frames."""

    ious: list[float] = field(default_factory=list)
    robot: list[float] = field(default_factory=list)
    changed: float = 0.0
    area: float = 0.0
    frames: int = 0
    empty: int = 0
    keyframes: int = 0

    def add(self, other: 'Tally') -> None:
        """Add another sequence."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def figures(self) -> dict[str, Any]:
        """Give means; None of nothing."""
        return {'iou': _mean(self.ious), 'robot_iou': _mean(self.robot),
                'flicker': round(self.changed / self.area, DIGITS) if self.area else None,
                'frames': self.frames, 'without_mask': self.empty, 'keyframes': self.keyframes}


def _mean(values: list[float]) -> float | None:
    return round(float(np.nanmean(values)), DIGITS) if values else None


class Score:
    """Scores masks frame by frame; those before frame `first` do not count."""

    def __init__(self, video: Video, first: int) -> None:
        self._video, self._first = video, first
        self._before: np.ndarray | None = None
        self.tally = Tally()

    def add(self, frame: int, mask: Mask | None, keyframe: bool) -> None:
        """Score one frame; None: there is no mask of it."""
        tally, truth = self.tally, self._video.truths[frame]
        seen = None if mask is None else mask.target >= .5
        if frame >= self._first:
            tally.frames += 1
            tally.keyframes += keyframe
            tally.empty += mask is None
            if truth.target.any():
                tally.ious.append(0.0 if seen is None else iou(seen, truth.target > .5))
            if truth.robot.any():
                tally.robot.append(0.0 if mask is None
                                   else iou(mask.robot >= .5, truth.robot > .5))
            if seen is not None and self._before is not None:
                changed, area = unexplained(self._before, seen, truth.target,
                                            self._video.flow[frame], self._video.stride)
                tally.changed, tally.area = tally.changed + changed, tally.area + area
        self._before = seen


def unexplained(before: np.ndarray, now: np.ndarray, truth: np.ndarray, flow: np.ndarray,
                stride: int) -> tuple[float, float]:
    """
    Measure how much a mask changed that motion does not explain.

    Args:
        before: bool [H, W], the mask of the frame before.
        now: bool [H, W], of this one.
        truth: float32 [H, W], the true mask of this one.
        flow: float32 [h, w, 2], true motion, see `Video.flow`.
        stride: Of it.

    Returns:
        Pixels, of those whose motion is known, that changed although the point they show did
        not, and pixels of the true mask among the same.
    """
    half = stride // 2
    known = ~np.isnan(flow[..., 0])
    rows, columns = np.mgrid[half:now.shape[0]:stride, half:now.shape[1]:stride]
    there = np.nan_to_num(flow) + np.dstack([columns, rows]).astype(np.float32)
    x, y = cv2.split(there)
    carried = cv2.remap(before.astype(np.float32), x, y, cv2.INTER_LINEAR) >= .5
    here = now[half::stride, half::stride]
    return (float(np.count_nonzero((carried != here) & known)),
            float(np.count_nonzero((truth[half::stride, half::stride] > .5) & known)))
