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
"""Errors put into masks on purpose, to learn what quality the policy behind them needs."""

from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np

from ivm_ros.config import check, ConfigError, Doc, nearest, Range
from ivm_ros.sample import Mask
from ivm_sim.masked import MaskSource


@dataclass(frozen=True)
class MaskError:
    """What is wrong with a mask (kinds and ranges are our choice)."""

    extra: Annotated[int, Range(0, 16), Doc(
        'So many other things are kept, the same ones all through an episode.')] = 0
    missing: Annotated[float, Range(0, 1), Doc(
        'Each thing that is needed is missing with this probability, anew in each picture.')] = 0.0
    wider: Annotated[int, Range(-16, 16), Doc(
        'Masks are so many pixels wider all around, at 96 pixels; below 0 narrower.')] = 0

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)

    @classmethod
    def parse(cls, text: str) -> 'MaskError':
        """
        Read `none`, or such as `extra=2,wider=4`.

        Raises:
            ConfigError: A name is unknown, or a value is none or beyond its range.
        """
        kinds = {'extra': int, 'missing': float, 'wider': int}
        values: dict[str, Any] = {}
        for part in text.split(',') if text != 'none' else ():
            name, _, value = part.partition('=')
            if name not in kinds:
                raise ConfigError(f'MaskError: no {name!r}{nearest(name, kinds)}; wanted none, or '
                                  'such as extra=2,missing=0.2,wider=4')
            try:
                values[name] = kinds[name](value)
            except ValueError:
                raise ConfigError(f'MaskError.{name}: wanted a number, got {value!r}') from None
        return cls(**values)


class SpoiledMasks:
    """
    Puts errors into the masks of another source.

    Args:
        source: (picture, sentence) -> mask.
        env: Our environment, which knows what is where.
        error: What to put in.
    """

    def __init__(self, source: MaskSource, env: Any, error: MaskError) -> None:
        self._source, self._env, self._error = source, env, error
        self._arena: Any = None

    def __call__(self, image: np.ndarray, instruction: str) -> Mask:
        """Give a mask with the errors in it."""
        mask, truth = self._source(image, instruction), self._env.truth()
        if self._env.arena is not self._arena:
            self._begin()
        target = mask.target.copy()
        target[np.isin(truth.labels, self._kept)] = 1
        for thing in truth.targets:
            if self._rng.random() < self._error.missing:
                target[truth.labels == thing] = 0
        return Mask(widened(target, self._error.wider), mask.robot, mask.found)

    def _begin(self) -> None:
        """Draw for the episode what else is kept; it follows from where things lie."""
        self._arena = arena = self._env.arena
        needed = self._env.assignment.targets
        others = [prop.id for prop in arena.props if prop.id not in needed]
        place = np.concatenate([arena.position(prop.id) for prop in arena.props])
        self._rng = np.random.default_rng(np.frombuffer(place.tobytes(), np.uint32))
        self._kept = self._rng.permutation(others)[:self._error.extra]


def widened(target: np.ndarray, pixels: int) -> np.ndarray:
    """Widen a mask float32 [S, S] by pixels as of a picture of 96; below 0 narrow it."""
    width = round(abs(pixels) * target.shape[0] / 96)
    if not width:
        return target
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1,) * 2)
    return (cv2.dilate if pixels > 0 else cv2.erode)(target, kernel)
