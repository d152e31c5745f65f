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
What a clone sees while it learns: pictures as they are, or masked as they will be in use.

Masked training follows the paper's: every front picture is masked beforehand, the wrist's never;
threshold and dilation are drawn anew each time. Policies that only ever saw perfect masks break on
slightly wrong ones, so the generator's kind of errors are drawn too (`MaskNoise`).
"""

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np

from ivm_ros.config import check, Doc, Range
from ivm_ros.deploy import apply, DeployConfig
from ivm_ros.sample import Mask
from ivm_sim.truth import Truth

Rng = np.random.Generator


@dataclass(frozen=True)
class MaskNoise:
    """Errors of masks that a policy is to bear (rates and ranges are our choice)."""

    threshold: Annotated[tuple[float, float], Doc(
        "Range of the threshold (the paper's).")] = (.4, .9)
    dilation: Annotated[tuple[float, float], Doc(
        'Range of the dilation, fraction of the height.')] = (.0, .05)
    wider: Annotated[int, Range(0, 16), Doc(
        'Masks are up to so many pixels wider or narrower, at 96 pixels.')] = 4
    extra: Annotated[float, Range(0, 1), Doc('Share with another thing kept.')] = .2
    missing: Annotated[float, Range(0, 1), Doc('Share with one thing missing.')] = .1
    piece: Annotated[float, Range(0, 1), Doc('Share with a piece missing.')] = .3

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


@dataclass(frozen=True)
class Shade:
    """How pictures vary for all policies alike (our choice)."""

    shift: Annotated[int, Range(0, 16), Doc('Pixels that a picture is moved by, at most.')] = 1
    gain: Annotated[float, Range(0, 1), Doc('Brightness varies by this factor.')] = .12
    balance: Annotated[float, Range(0, 1), Doc('Each colour varies by this factor.')] = .05

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def shaded(image: np.ndarray, config: Shade, rng: Rng) -> np.ndarray:
    """Vary light and place of a picture uint8 [S, S, 3]."""
    gain = 1 + rng.uniform(-config.gain, config.gain)
    tones = gain * (1 + rng.uniform(-config.balance, config.balance, 3))
    table = np.clip(np.arange(256)[:, None] * tones, 0, 255).astype(np.uint8)[None]
    image = cv2.LUT(image, table)
    down, right = (int(v) for v in rng.integers(-config.shift, config.shift + 1, 2))
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return cv2.warpAffine(image, move, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def noisy(mask: Mask, truth: Truth, noise: MaskNoise, rng: Rng) -> Mask:
    """Spoil a mask as a generator might."""
    target = mask.target.copy()
    scale = target.shape[0] / 96
    if rng.random() < noise.extra:
        others = [label for label in np.unique(truth.labels)
                  if 0 < label < 255 and label not in truth.targets]
        if others:
            target[truth.labels == rng.choice(others)] = 1
    if rng.random() < noise.missing:
        target[truth.labels == rng.choice(truth.targets)] = 0
    if rng.random() < noise.piece and target.any():
        rows, columns = np.nonzero(target > .5)
        if len(rows):
            place = int(rng.integers(len(rows)))
            cv2.circle(target, (int(columns[place]), int(rows[place])),
                       int(rng.uniform(2, 6) * scale), 0, -1)
    width = round(float(rng.integers(-noise.wider, noise.wider + 1)) * scale)
    if width:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(width) + 1,) * 2)
        # Narrower by half as much: small things would vanish.
        target = (cv2.dilate(target, kernel) if width > 0 else
                  cv2.erode(target, kernel[::2, ::2] if abs(width) > 1 else kernel))
    return Mask(target, mask.robot, 1.0)


def masked(image: np.ndarray, mask: Mask, noise: MaskNoise, config: DeployConfig, rng: Rng
           ) -> np.ndarray:
    """Show a picture through a mask with threshold and dilation drawn anew."""
    drawn = DeployConfig(
        method=config.method, color=config.color, threshold=float(rng.uniform(*noise.threshold)),
        dilation=float(rng.uniform(*noise.dilation)), feather=config.feather, blur=config.blur,
        keep_robot=config.keep_robot)
    shown: np.ndarray = apply(image, mask, drawn).image
    return shown
