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
What a camera does to a picture and a simulator does not.

Light, colour, noise, blur by lens and by motion, compression, scale; in training only.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import cv2
import numpy as np

from ivm_ros.config import check, Doc, Range
from ivm_ros.image import GRID, Letterbox


@dataclass(frozen=True)
class AugmentConfig:
    """How images are varied in training (ranges are our choice)."""

    gain: Annotated[float, Range(0, 1), Doc('Brightness varies by this factor.')] = 0.35
    balance: Annotated[float, Range(0, 1), Doc('Each colour channel varies by this.')] = 0.1
    gamma: Annotated[float, Range(0, 1), Doc('Exponent varies by this factor.')] = 0.2
    noise: Annotated[float, Range(0, 64), Doc('Largest deviation of pixel noise.')] = 8.0
    blur: Annotated[float, Range(0, 1), Doc('Share of images that are blurred.')] = 0.25
    motion: Annotated[float, Range(0, 1), Doc('Share of images blurred by motion.')] = 0.12
    jpeg: Annotated[float, Range(0, 1), Doc('Share of images compressed strongly.')] = 0.25
    smallest: Annotated[float, Range(0.3, 1), Doc('Images shrink to this at least.')] = 0.8
    shrink: Annotated[float, Range(0, 1), Doc('Share of images that are shrunk.')] = 0.25

    forget: Annotated[float, Range(0, 1), Doc(
        'Share of words of which only what they may name is heard.')] = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def jitter(image: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Vary light, colour, sharpness and noise of uint8 [H, W, 3]; places stay."""
    levels = np.linspace(0, 1, 256)[:, None]
    gain = 1 + rng.uniform(-config.gain, config.gain)
    balance = 1 + rng.uniform(-config.balance, config.balance, 3)
    curve = levels ** (1 + rng.uniform(-config.gamma, config.gamma)) * gain * balance
    table = (curve.clip(0, 1) * 255).round().astype(np.uint8)[None]  # [1, 256, 3]
    image = cv2.LUT(image, table)
    if rng.random() < config.blur:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.1))
    if rng.random() < config.motion:
        image = moved(image, rng)
    deviation = rng.uniform(0, config.noise) * (rng.random() < 0.5)
    if deviation:
        # Eight times cheaper than a normal draw a pixel, and as good: a random cut of one noise.
        noise = rng.normal(0, deviation, (64, *image.shape[1:])).astype(np.float32)
        rows = rng.integers(0, 64, image.shape[0])
        image = (image + noise[rows]).clip(0, 255).astype(np.uint8)
    if rng.random() < config.jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 85))]
        decoded = cv2.imdecode(cv2.imencode('.jpg', image, quality)[1], cv2.IMREAD_COLOR)
        if decoded is not None:
            image = decoded.astype(np.uint8)
    return image


def moved(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur uint8 [H, W, 3] along a short straight way, as a camera does that moves."""
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle, half = (length - 1) / 2, length / 2
    way = half * np.array([np.cos(angle), np.sin(angle)])
    start, end = (tuple(int(side) for side in np.rint(middle + sign * way)) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum()).astype(np.uint8)


def random_box(box: Letterbox, config: AugmentConfig, rng: np.random.Generator) -> Letterbox:
    """Shrink the picture on its canvas and move it, so that sizes and borders vary."""
    if rng.random() >= config.shrink:
        return box
    scale = rng.uniform(config.smallest, 1)
    content = [max(GRID, GRID * round(side * scale / GRID)) for side in box.content]
    offset = [int(rng.integers(0, (room - side) // GRID + 1)) * GRID
              for room, side in zip(box.canvas, content)]
    return replace(box, content=(content[0], content[1]), offset=(offset[0], offset[1]))
