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
Where the camera stands, and where a point of the table appears in its picture.

Azimuth, elevation and roll in radians; distances in metres; pixels are (row, column).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

Rng = np.random.Generator
ABOVE, NEAR = .10, .12  # shares of views (our choice)


@dataclass(frozen=True)
class View:
    """
    A pinhole camera that looks at a point.

    Attributes:
        target (tuple[float, float, float]): The point in the middle of the picture.
        azimuth (float): Direction from the table's middle to the camera, about z.
        elevation (float): Angle above the table's plane.
        distance (float): From the target to the camera.
        fovy (float): Vertical field of view.
        roll (float): Turn about the viewing axis.
    """

    target: tuple[float, float, float]
    azimuth: float
    elevation: float
    distance: float
    fovy: float
    roll: float = 0.0

    @cached_property
    def axes(self) -> np.ndarray:
        """Columns right, up, back of the camera in the world, float64 [3, 3]."""
        a, e, r = self.azimuth, self.elevation, self.roll
        back = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
        right = np.array([-np.sin(a), np.cos(a), 0.0])
        up = np.cross(back, right)
        return np.stack([np.cos(r) * right + np.sin(r) * up,
                         np.cos(r) * up - np.sin(r) * right, back], 1)

    @cached_property
    def position(self) -> np.ndarray:
        """Place of the camera in the world, float64 [3]."""
        return np.asarray(self.target) + self.distance * self.axes[:, 2]

    def project(self, points: np.ndarray, height: int, width: int) -> np.ndarray:
        """Pixels (row, column) [n, 2] of world points [n, 3] in a height x width picture."""
        local = (points - self.position) @ self.axes
        focal = height / 2 / np.tan(self.fovy / 2) / np.maximum(-local[:, 2], 1e-3)
        return np.stack([height / 2 - focal * local[:, 1], width / 2 + focal * local[:, 0]], 1)


def draw_view(rng: Rng, spread: float, unseen: bool = False) -> View:
    """
    Draw a view that fills the picture with a work area of half width `spread` metres.

    Some look straight down, and some from near, as a camera at the wrist does. The robot may stand
    on any side, most often on the opposite one (`layout.draw_arm`).

    Args:
        rng: Source of randomness.
        spread: Half width of the work area.
        unseen: Use a lens that training never has, longer or wider.
    """
    sort = rng.random()
    above, near = sort < ABOVE, ABOVE < sort < ABOVE + NEAR
    elevation = np.deg2rad(rng.uniform(72, 88) if above else rng.uniform(24, 72))
    fovy = np.deg2rad(rng.uniform(32, 58))
    if unseen:
        fovy = np.deg2rad(rng.uniform(18, 28) if rng.random() < .5 else rng.uniform(64, 80))
    shown = spread * rng.uniform(1.0, 1.4)  # half the height of a 4:3 picture is .75 of this
    if near:
        shown *= rng.uniform(.45, .75)
    distance = shown * .75 / np.tan(fovy / 2) * (1 + .1 * np.cos(elevation))
    x, y = rng.uniform(-.04, .04, 2) + near * rng.uniform(-.5, .5, 2) * spread
    target = float(x), float(y), float(rng.uniform(0, .06))
    return View(target, float(np.deg2rad(rng.uniform(-50, 50))),
                float(elevation), float(max(distance, .2 if near else .45)), float(fovy),
                float(np.deg2rad(np.clip(rng.normal(0, 2), -5, 5))))
