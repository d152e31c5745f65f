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
"""What the simulated camera sees of each thing."""

from typing import TYPE_CHECKING

import numpy as np

from ivm_ros.language.things import Thing

if TYPE_CHECKING:  # nothing here needs OpenGL
    from ivm_sim.scene import Scene


def see(scene: 'Scene', labels: np.ndarray) -> list[Thing]:
    """List what is visible of a `Scene` in its segmentation uint8 [H, W]."""
    height, width = labels.shape
    counts = np.bincount(labels.ravel(), minlength=256)
    rows = np.bincount(labels.ravel(), np.repeat(np.arange(height), width), 256)
    cols = np.bincount(labels.ravel(), np.tile(np.arange(width), height), 256)
    things = []
    for state in scene.objects:
        count = int(counts[state.id])
        if not count:
            continue
        foot = scene.view.project(np.array([state.position]), height, width)[0, 0] / height
        things.append(Thing(
            state.id, state.kind, state.colour, state.scale, state.held, state.on, count,
            scene.silhouette(state, height, width), (rows[state.id] / count + .5) / height,
            (cols[state.id] / count + .5) / width, float(foot), state.position, width / height,
            height * width))
    return things
