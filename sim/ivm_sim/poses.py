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
From expert actions to wanted poses and back.

A wanted pose is absolute: where the hand should be at the end of a step. That is what the expert
means, whatever lag or noise there was, and a small net learns it where it fails to learn shifts.
"""

import numpy as np

PLACE, QUAT, ASKED, ASKED_QUAT = slice(0, 3), slice(3, 7), slice(8, 11), slice(11, 15)


def finger_angle(quat: np.ndarray) -> np.ndarray:
    """Direction about z in which the fingers close, rad; quaternions wxyz [..., 4] -> [...]."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    return np.arctan2(1 - 2 * (x * x + z * z), 2 * (x * y - w * z))


def wanted_of(proprio: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """
    Turn actions into wanted poses.

    Args:
        proprio: float32 [T, 15].
        actions: float32 [T, 7], turns about z only.

    Returns:
        float32 [T, 6], see `net.WANTED`.
    """
    place = proprio[:, ASKED] + actions[:, :3]
    angle = 2 * (finger_angle(proprio[:, ASKED_QUAT]) + actions[:, 5])
    return np.column_stack([place, np.cos(angle), np.sin(angle), actions[:, 6]]).astype(np.float32)


def action_of(wanted: np.ndarray, proprio: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """
    Turn a wanted pose [6] into the action [7] that asks for it, within the limits [7].

    Half turns of the hand are one to a gripper: it turns the shorter way.
    """
    action = np.zeros(7, np.float32)
    action[:3] = wanted[:3] - proprio[ASKED]
    angle = np.arctan2(wanted[4], wanted[3]) / 2 - finger_angle(proprio[ASKED_QUAT])
    action[5] = (angle + np.pi / 2) % np.pi - np.pi / 2
    action[6] = np.clip(wanted[5], -1, 1)
    # A shift keeps its direction when it is too long.
    action[:3] *= min(1.0, limit[0] / max(float(np.linalg.norm(action[:3])), 1e-9))
    return np.clip(action, -limit, limit)


def chunks_of(wanted: np.ndarray, chunk: int) -> np.ndarray:
    """Windows of the next steps, the last one repeated; [T, 6] -> [T, chunk, 6]."""
    index = np.minimum(np.arange(len(wanted))[:, None] + np.arange(chunk), len(wanted) - 1)
    windows: np.ndarray = wanted[index]
    return windows
