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
Annotation mistakes with a rate and a seed, for the study of noisy labels.

What grounding models do to a label: take another thing, most often one that looks alike; forget
one of two; draw a box, too much, too little, or everything. Which mistakes there are and how
large they are is our choice: the paper does not measure its experts.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Annotated

import cv2
import numpy as np

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.shards import ROBOT

LEFT = .45  # share of its area that an eroded mask keeps, about
SPILLED = 2.2  # times its area that a spilled mask has, about


@dataclass(frozen=True)
class Noise:
    """How many of 1 labels have which mistake; the rest is true."""

    wrong: Annotated[float, Range(0, 1), Doc('Some other thing instead.')] = 0.0
    decoy: Annotated[float, Range(0, 1), Doc('A thing that looks alike instead.')] = 0.0
    missing: Annotated[float, Range(0, 1), Doc('One of several targets is forgotten.')] = 0.0
    box: Annotated[float, Range(0, 1), Doc('A filled box around each target.')] = 0.0
    spill: Annotated[float, Range(0, 1), Doc('Too much: about twice the area.')] = 0.0
    erosion: Annotated[float, Range(0, 1), Doc('Too little: about half the area.')] = 0.0
    everything: Annotated[float, Range(0, 1), Doc('All things in the picture.')] = 0.0

    def __post_init__(self) -> None:
        """Check that no more than all labels are wrong."""
        check(self)
        if self.total > 1 + 1e-9:
            raise ConfigError(f'Noise: wanted rates that sum to at most 1, got {self.total:.3f}')

    @property
    def total(self) -> float:
        """Share of labels that have a mistake, where each can be made."""
        return sum(astuple(self))

    def scaled(self, factor: float) -> 'Noise':
        """Give the same mixture, this many times as frequent."""
        return Noise(*(factor * rate for rate in astuple(self)))


STRONG = Noise(wrong=.10, decoy=.28, missing=.08, box=.06, spill=.06, erosion=.08, everything=.04)
LEVELS = {'weak': STRONG.scaled(1 / 3), 'medium': STRONG.scaled(2 / 3), 'strong': STRONG}
"""Mostly plausible mistakes: a look-alike in two of five."""


def spoil(mask: np.ndarray, labels: np.ndarray, targets: Sequence[int], alike: Sequence[int],
          noise: Noise, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """
    Make a label as an unreliable annotator might.

    Args:
        mask: The true one, uint8 [H, W], 255 inside.
        labels: uint8 [H, W], id of the thing that a pixel shows; 0 and `ROBOT` are none.
        targets: Ids of what is meant.
        alike: Ids of what it is singled out from, targets included.
        noise: Rates.
        rng: Source of randomness.

    Returns:
        A mask uint8 [H, W], and the name of the mistake or 'true'. Where a mistake cannot be made
        (nothing alike, a single target), the next likely one is: a decoy for a forgotten target,
        another thing for a decoy. With nothing to draw on, the label stays true.
    """
    kind = str(rng.choice([*(item.name for item in fields(noise)), 'true'],
                          p=[*astuple(noise), max(0.0, 1 - noise.total)]))
    meant = set(targets)
    others = sorted({int(label) for label in np.unique(labels)} - meant - {0, ROBOT})
    if kind == 'missing' and len(meant) < 2:
        kind = 'decoy'
    if kind == 'decoy' and not set(alike) & set(others):
        kind = 'wrong'
    if kind == 'missing':
        kept = rng.permutation(sorted(meant))[1:]
        return _where(labels, kept), kind
    if kind in ('decoy', 'wrong') and others:
        choice = sorted(set(alike) & set(others)) if kind == 'decoy' else others
        return _where(labels, [int(rng.choice(choice))]), kind
    if kind == 'everything' and others:
        return _where(labels, [*others, *meant]), kind
    change = {'box': _boxes, 'spill': _spilled, 'erosion': _eroded}.get(kind)
    if change is None or not mask.any():
        return mask, 'true'
    return change(mask), kind


def _where(labels: np.ndarray, which: Sequence[int] | np.ndarray) -> np.ndarray:
    """Give the mask of some things, uint8 [H, W]."""
    return np.where(np.isin(labels, which), 255, 0).astype(np.uint8)


def _boxes(mask: np.ndarray) -> np.ndarray:
    """Fill the box around each part of a mask."""
    boxed = np.zeros_like(mask)
    count, _, stats, _ = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))
    for left, top, width, height, _ in stats[1:count]:
        boxed[top:top + height, left:left + width] = 255
    return boxed


def _spilled(mask: np.ndarray) -> np.ndarray:
    """Widen a mask until it has `SPILLED` times its area."""
    return _until(mask, True, SPILLED)


def _eroded(mask: np.ndarray) -> np.ndarray:
    """Narrow a mask until it has `LEFT` of its area; never to nothing."""
    return _until(mask, False, LEFT)


def _until(mask: np.ndarray, wider: bool, share: float) -> np.ndarray:
    """Widen or narrow by a pixel a turn until the area is that share of what it was, or past."""
    square = np.ones((3, 3), np.uint8)
    first = area = np.count_nonzero(mask > 127)
    while area < share * first if wider else area > share * first:
        changed = cv2.dilate(mask, square) if wider else cv2.erode(mask, square)
        after = np.count_nonzero(changed > 127)
        if after in (0, area):
            break
        mask, area = changed, after
    return mask
