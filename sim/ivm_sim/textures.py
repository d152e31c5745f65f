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
"""Procedural textures for table, floor and walls, drawn from a random generator."""

import cv2
import numpy as np

SIDE = 128
Rng = np.random.Generator


def surfaces(rng: Rng, count: int, unseen: bool = False) -> list[np.ndarray]:
    """
    Draw `count` pictures uint8 [128, 128, 3] that tile; every sort of pattern comes in turn.

    `unseen`: other sorts of pattern, which training never shows.
    """
    patterns = ((_marble, _dots, _bricks, _plaid, _zigzag) if unseen else
                (_plain, _checker, _wood, _cloud, _stripes, _speckle, _tiles, _cloth))
    return [patterns[i % len(patterns)](rng) for i in range(count)]


def metal(rng: Rng) -> np.ndarray:
    """Bands of light and dark, uint8 [128, 128, 3], as a room mirrored in metal looks."""
    rows = np.linspace(0, 1, SIDE)
    value = .62 + .26 * np.sin(rows * 2 * np.pi * 1.5 + 1.0) + .12 * np.sin(rows * 23)
    value = np.clip(value[:, None] + rng.normal(0, .015, (SIDE, SIDE)), .2, 1)
    return _picture(value, np.ones(3), np.ones(3))


def _picture(blend: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Mix two colours by blend [H, W] in [0, 1]; with both white it is the grey value itself."""
    if np.array_equal(low, high):
        return (np.clip(blend[..., None] * low, 0, 1) * 255).astype(np.uint8)
    blend = np.clip(blend, 0, 1)[..., None]
    return ((low * (1 - blend) + high * blend) * 255).astype(np.uint8)


def _pair(rng: Rng, contrast: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw two light, weakly coloured tones; the geom's own colour tints them further."""
    base = rng.uniform(.55, 1.0) * (1 - rng.uniform(0, .35) * rng.random(3))
    return base, np.clip(base * (1 + rng.choice([-1, 1]) * contrast), .12, 1)


def _smooth(rng: Rng, cells: tuple[int, int]) -> np.ndarray:
    """Noise [128, 128] in [0, 1] with that many blobs per side."""
    coarse = rng.random((cells[0], cells[1])).astype(np.float32)
    coarse = np.pad(coarse, ((0, 1), (0, 1)), mode='wrap')
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def _plain(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, .06)
    return _picture(_smooth(rng, (32, 32)), low, high)


def _checker(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.2, .6))
    cell = SIDE // int(rng.choice([2, 4, 8]))
    y, x = np.indices((SIDE, SIDE)) // cell
    return _picture(((x + y) % 2).astype(float), low, high)


def _wood(rng: Rng) -> np.ndarray:
    grain = _smooth(rng, (4, 2)) * rng.uniform(2, 5) + np.indices((SIDE, SIDE))[0] / SIDE * 6
    blend = .5 + .5 * np.sin(grain * 2 * np.pi) * .7 + .3 * (_smooth(rng, (64, 4)) - .5)
    low = np.array([.55, .36, .20]) * rng.uniform(.6, 1.5)
    return _picture(blend, low, np.clip(low * rng.uniform(1.15, 1.5), 0, 1))


def _cloud(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.15, .4))
    return _picture(.6 * _smooth(rng, (4, 4)) + .4 * _smooth(rng, (12, 12)), low, high)


def _stripes(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.15, .5))
    phase = np.indices((SIDE, SIDE))[1] / SIDE * 2 * np.pi * int(rng.integers(2, 9))
    return _picture((np.sin(phase) > rng.uniform(-.6, .6)).astype(float), low, high)


def _speckle(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.2, .5))
    return _picture((rng.random((SIDE, SIDE)) < rng.uniform(.03, .3)).astype(float), low, high)


def _tiles(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.2, .5))
    cell = SIDE // int(rng.choice([2, 4]))
    y, x = np.indices((SIDE, SIDE)) % cell
    shade = .15 * np.kron(rng.random((SIDE // cell, SIDE // cell)), np.ones((cell, cell)))
    return _picture(np.where((x < 3) | (y < 3), 1.0, shade), low, high)


def _cloth(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.1, .3))
    y, x = np.indices((SIDE, SIDE))
    count = int(rng.integers(2, 6)) * 2 * np.pi / SIDE
    return _picture(.5 + .25 * (np.sin(x * count) > 0) - .25 * (np.sin(y * count) > 0), low, high)


# --- sorts that training never shows -----------------------------------------------------------

def _marble(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.2, .5))
    veins = np.abs(_smooth(rng, (6, 6)) - .5) + .5 * np.abs(_smooth(rng, (17, 17)) - .5)
    return _picture(1 - np.clip(veins * 8, 0, 1), low, high)


def _dots(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.25, .6))
    cell = SIDE // int(rng.choice([4, 8]))
    y, x = np.indices((SIDE, SIDE)) % cell - cell / 2
    return _picture((np.hypot(x, y) < cell * rng.uniform(.2, .35)).astype(float), low, high)


def _bricks(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.25, .55))
    y, x = np.indices((SIDE, SIDE))
    row = y // 16
    joint = (y % 16 < 2) | ((x + 16 * (row % 2)) % 32 < 2)
    return _picture(np.where(joint, 1.0, .3 * _smooth(rng, (8, 8))), low, high)


def _plaid(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.2, .5))
    y, x = np.indices((SIDE, SIDE))
    cell, band = SIDE // int(rng.choice([2, 4])), rng.uniform(.2, .45)
    return _picture(.5 * (x % cell < band * cell) + .5 * (y % cell < band * cell), low, high)


def _zigzag(rng: Rng) -> np.ndarray:
    low, high = _pair(rng, rng.uniform(.2, .5))
    y, x = np.indices((SIDE, SIDE))
    cell = SIDE // int(rng.choice([4, 8]))
    return _picture(((y + np.abs(x % cell - cell // 2)) // (cell // 2) % 2).astype(float), low,
                    high)
