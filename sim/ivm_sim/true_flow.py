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
"""Where what a pixel shows was in the frame before: true optical flow, from geometry."""

from dataclasses import dataclass

import numpy as np

from ivm_sim.scene import Scene
from ivm_sim.view import View

NEAR = .03  # share of the distance that two looks at one point may differ by


@dataclass(frozen=True)
class Moment:
    """
    What is needed to know of a frame for the flow to it and from it.

    Attributes:
        view (View): The camera.
        geoms (np.ndarray): int32 [H, W], what each pixel shows, -1 for nothing.
        depth (np.ndarray): float64 [H, W], how far off, metres along the viewing axis.
        places (np.ndarray): float64 [geoms + 1, 3], where geoms are; the last is the world.
        turns (np.ndarray): float64 [geoms + 1, 3, 3], how they are turned.
    """

    view: View
    geoms: np.ndarray
    depth: np.ndarray
    places: np.ndarray
    turns: np.ndarray


def moment_of(scene: Scene, height: int, width: int) -> Moment:
    """Take down how a scene is now."""
    geoms, depth = scene.surfaces(height, width)
    return Moment(scene.view, geoms, depth,
                  np.concatenate([scene.data.geom_xpos, np.zeros((1, 3))]),
                  np.concatenate([scene.data.geom_xmat.reshape(-1, 3, 3), np.eye(3)[None]]))


def flow_back(now: Moment, before: Moment, stride: int) -> np.ndarray:
    """
    Give the way from each pixel now to where the same point was before.

    Args:
        now: A frame.
        before: An earlier frame of the same size.
        stride: Pixels from one place that is looked at to the next; the first is at stride / 2.

    Returns:
        float32 [h, w, 2], (x, y) in pixels; NaN where the point was hidden or outside.
    """
    height, width = now.geoms.shape
    start = stride // 2
    geoms, depth = now.geoms[start::stride, start::stride], now.depth[start::stride, start::stride]
    rows, columns = np.mgrid[start:height:stride, start:width:stride] + .5
    focal = height / 2 / np.tan(now.view.fovy / 2)
    local = np.stack([(columns - width / 2) * depth / focal,
                      (height / 2 - rows) * depth / focal, -depth], -1)
    world = local @ now.view.axes.T + now.view.position
    inside = np.einsum('...ji,...j->...i', now.turns[geoms], world - now.places[geoms])
    world = np.einsum('...ij,...j->...i', before.turns[geoms], inside) + before.places[geoms]
    pixels = before.view.project(world.reshape(-1, 3), height, width).reshape(*geoms.shape, 2)
    far = -((world - before.view.position) @ before.view.axes)[..., 2]
    row, column = (np.floor(pixels[..., axis]).astype(int) for axis in (0, 1))
    seen = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    seen &= before.geoms[row, column] == geoms
    seen &= np.abs(before.depth[row, column] - far) < NEAR * far
    flow = np.stack([pixels[..., 1] - columns, pixels[..., 0] - rows], -1)
    return np.where(seen[..., None], flow, np.nan).astype(np.float32)
