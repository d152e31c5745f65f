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
Where things stand: non-overlapping places on the table, things in vessels, a thing in the hand.

Footprints are drawn into a grid of 4 mm cells, which is exact for long thin things where circles
would waste the table.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ivm_sim.model import Slot
from ivm_sim.parts import rotation, turn
from ivm_sim.robot import ArmPose, OPEN, reach

Rng = np.random.Generator
CELL = .004
HALF = 130  # cells from the middle to the border of the grid
TRIES = 40
LEAN = .1  # of the axis that fingers close along, sine
UNEVEN = ('hammer', 'shovel')  # far thinner where the hand would hold them than elsewhere
LOW, LOW_HELD = .16, .28  # m of the hand's tip below which nothing stands under it


@dataclass(frozen=True)
class Pose:
    """Place [3] in metres and rotation [3, 3] of an object; `on` is the index of what holds it."""

    position: np.ndarray
    matrix: np.ndarray
    on: int = -1
    held: bool = False


def points_of(slot: Slot, pose: Pose) -> np.ndarray:
    """Return all outline points [n, 3] of an object in the world."""
    return slot.points @ pose.matrix.T + pose.position


def draw_arm(rng: Rng, azimuth: float) -> tuple[np.ndarray, float, ArmPose]:
    """Draw base place [3], base heading and a pose whose tip is over the table."""
    while True:
        side = azimuth + rng.choice([np.pi, np.pi / 2, -np.pi / 2, 0], p=[.5, .2, .2, .1])
        side += rng.normal(0, .25)
        base = np.array([np.cos(side), np.sin(side), 0]) * rng.uniform(.46, .62)
        tip = np.array([*rng.uniform(-.26, .26, 2), rng.uniform(.04, .32)])
        if rng.random() < .12:
            tip = base * .62 + (0, 0, rng.uniform(.2, .4))
        pose = reach(base, side, tip, rng.normal(0, .22), rng.uniform(-np.pi / 2, np.pi / 2))
        if pose is not None:
            return base, side, pose


def place(rng: Rng, slots: list[Slot], area: tuple[float, float], azimuth: float, arm: ArmPose,
          hold: bool) -> dict[int, Pose]:
    """
    Place as many of the slots as fit, the first ones first.

    Args:
        rng (np.random.Generator): Source of randomness.
        slots (list[Slot]): What to place.
        area (tuple[float, float]): Half width and half depth of the area, seen by the camera.
        azimuth (float): Direction of the camera.
        arm (ArmPose): Where the hand is: things keep away from it when it is low.
        hold (bool): Put one of the slots into the hand.

    Returns:
        dict[int, Pose]: Poses by index of `slots`; what did not fit is missing.
    """
    poses: dict[int, Pose] = {}
    taken = np.zeros((2 * HALF, 2 * HALF), np.uint8)
    if arm.tip[2] < (LOW_HELD if hold else LOW):
        cv2.circle(taken, _cells(arm.tip[None, :2])[0].tolist(), int(.065 / CELL), 1, -1)
    for index, slot in enumerate(slots):
        pose = grasp(slot, arm) if hold else None
        hold = hold and pose is None
        pose = pose or (_nest(rng, slot, slots, poses) if rng.random() < .14 else None)
        pose = pose or _stand(rng, slot, taken, area, azimuth)
        if pose is not None:
            poses[index] = pose
    return poses


def grasp(slot: Slot, arm: ArmPose) -> Pose | None:
    """Return the pose of an object between the fingers; None: it does not fit there."""
    points = slot.points
    width, height = np.ptp(points[:, 1]), np.ptp(points[:, 2])
    if slot.kind in UNEVEN or width > 2 * OPEN - .004 or np.ptp(points[:, 0]) > .21:
        return None
    grip = max(height * .7, height - .038)
    # What is held stands upright: fingers that close aslant would go into its sides.
    if arm.tip[2] < grip + .01 or abs(arm.lean) > LEAN:
        return None
    matrix = rotation(turn((0, 0, 1), arm.finger_axis - np.pi / 2))
    centre = np.array([0, (points[:, 1].max() + points[:, 1].min()) / 2, grip])
    return Pose(arm.tip - matrix @ centre, matrix, held=True)


def opening(slot: Slot) -> float:
    """Return each finger's way from the middle when the hand holds the object, in metres."""
    return float(np.ptp(slot.points[:, 1]) / 2)


def _stand(rng: Rng, slot: Slot, taken: np.ndarray, area: tuple[float, float],
           azimuth: float) -> Pose | None:
    matrix = _upright_or_lying(rng, slot)
    points = slot.points @ matrix.T
    lift = -points[:, 2].min()
    right, back = np.array([-np.sin(azimuth), np.cos(azimuth)]), np.array([np.cos(azimuth),
                                                                           np.sin(azimuth)])
    gap = 2 * int(rng.integers(0, 5)) + 1
    for _ in range(TRIES):
        spot = rng.uniform(-area[0], area[0]) * right + rng.uniform(-area[1], area[1]) * back
        outline = cv2.convexHull(_cells(points[:, :2] + spot))
        print_ = np.zeros_like(taken)
        cv2.fillConvexPoly(print_, outline, 1)
        if not (print_ & taken).any():
            np.maximum(taken, cv2.dilate(print_, np.ones((gap, gap), np.uint8)), out=taken)
            return Pose(np.array([*spot, lift]), matrix)
    return None


def _upright_or_lying(rng: Rng, slot: Slot) -> np.ndarray:
    spin = rotation(turn((0, 0, 1), rng.uniform(-np.pi, np.pi)))
    if slot.stands.lies and rng.random() < .25:
        roll = rotation(turn((0, 0, 1), rng.uniform(-np.pi, np.pi)))
        return spin @ rotation(turn((0, 1, 0), np.pi / 2)) @ roll
    return spin


def _nest(rng: Rng, slot: Slot, slots: list[Slot], poses: dict[int, Pose]) -> Pose | None:
    """Put the object into or onto a free vessel that has room for it."""
    points = slot.points
    radius = np.hypot(points[:, 0], points[:, 1]).max()
    busy = {pose.on for pose in poses.values()}
    for index in rng.permutation(list(poses)) if poses else ():
        kind, pose = slots[index].stands, poses[index]
        room = kind.room * slots[index].scale
        if index in busy or pose.on >= 0 or pose.held or radius > room or not kind.room:
            continue
        floor = kind.floor * slots[index].scale
        if slots[index].kind == 'book':
            floor = float(slots[index].points[:, 2].max())
        shift = rng.uniform(-1, 1, 2) * (room - radius) * .7
        matrix = rotation(turn((0, 0, 1), rng.uniform(-np.pi, np.pi)))
        place_at = pose.position + pose.matrix @ np.array([*shift, floor])
        return Pose(place_at, matrix, on=int(index))
    return None


def _cells(points: np.ndarray) -> np.ndarray:
    """Return the grid cells int32 [n, 2] of points [n, 2] in metres."""
    cells = np.rint(points / CELL) + HALF
    return np.minimum(np.maximum(cells, 0), 2 * HALF - 1).astype(np.int32)
