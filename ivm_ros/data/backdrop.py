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
"""What composites are pasted on: parts of photographs, and textures."""

from collections.abc import Sequence

import cv2
import numpy as np

Rng = np.random.Generator


def backdrop(rng: Rng, photographs: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Draw a photograph's part or a texture, and often a table before it; uint8 [H, W, 3]."""
    back = _surface(rng, photographs, size)
    if rng.random() < .5:
        edge = int(size[0] * rng.uniform(.05, .4))
        back[edge:] = _surface(rng, photographs, (size[0] - edge, size[1]))
    return back


def _surface(rng: Rng, photographs: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    height, width = size
    if len(photographs) and rng.random() < .6:
        photograph = photographs[int(rng.integers(len(photographs)))]
        share = rng.uniform(.3, 1.0)
        rows, columns = (max(8, int(side * share)) for side in photograph.shape[:2])
        top = int(rng.integers(photograph.shape[0] - rows + 1))
        left = int(rng.integers(photograph.shape[1] - columns + 1))
        return cv2.resize(photograph[top:top + rows, left:left + columns], (width, height),
                          interpolation=cv2.INTER_AREA)
    low, high = rng.uniform(30, 245, 3), rng.uniform(30, 245, 3)
    if rng.random() < .6:  # two tones of one colour
        high = low * rng.uniform(.8, 1.25)
    blend = _pattern(rng, size)[..., None]
    return (low * (1 - blend) + high * blend).clip(0, 255).astype(np.uint8)


def _pattern(rng: Rng, size: tuple[int, int]) -> np.ndarray:
    """Draw clouds, grain, stripes or checks; float [H, W] in [0, 1]."""
    down, right = np.mgrid[:size[0], :size[1]].astype(np.float32)
    cells = [int(n) for n in rng.integers(2, 40, 2)]
    noise = cv2.resize(rng.random(cells).astype(np.float32), size[::-1],
                       interpolation=cv2.INTER_CUBIC).clip(0, 1)
    sort, angle = rng.random(), rng.uniform(0, np.pi)
    along = (down * np.sin(angle) + right * np.cos(angle)) / rng.uniform(4, 30)
    if sort < .4:
        return noise
    if sort < .65:  # wood: a wave that noise bends
        return .5 + .5 * np.sin(along + 6 * noise)
    if sort < .8:
        return (np.sin(along) > 0) * .8 + .2 * noise
    across = (right * np.sin(angle) - down * np.cos(angle)) / rng.uniform(6, 30)
    return ((np.sin(along) > 0) ^ (np.sin(across) > 0)) * .8 + .2 * noise
