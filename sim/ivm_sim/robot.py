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
The arm: six hinges, capsules, a hand with two sliding fingers.

Angles in radians, lengths in metres. Lengths are our choice, near those of a small table-top arm.
"""

from dataclasses import dataclass

import numpy as np

from ivm_sim.mj import mujoco
from ivm_sim.parts import Point, rotation, turn

SHOULDER, UPPER, FORE, HAND = .16, .36, .34, .17
OPEN = .052  # a finger's longest way from the middle
JOINTS = ('arm_yaw', 'arm_shoulder', 'arm_elbow', 'arm_roll', 'arm_wrist', 'arm_twist')
FINGERS = ('finger_left', 'finger_right')


@dataclass(frozen=True)
class ArmPose:
    """
    Joint angles that bring the tip to a place.

    Attributes:
        joints (tuple[float, ...]): Six angles, in the order of `JOINTS`.
        tip (np.ndarray): float64 [3], the point between the finger tips, in the world.
        finger_axis (float): Angle in the world's xy plane along which the fingers close.
        lean (float): How far that axis is from level, sine of the angle.
    """

    joints: tuple[float, ...]
    tip: np.ndarray
    finger_axis: float
    lean: float


def add_arm(spec: mujoco.MjSpec) -> None:
    """Add the arm to a model under construction; every body's name starts with 'robot'."""
    base = spec.worldbody.add_body(name='robot_base')
    _cylinder(base, (.075, .03), (0, 0, .03), 'joint')
    yaw = _link(base, 'robot_yaw', (0, 0, 0), 'arm_yaw', (0, 0, 1))
    _capsule(yaw, .056, .06, SHOULDER, 'link')
    upper = _link(yaw, 'robot_upper', (0, 0, SHOULDER), 'arm_shoulder', (0, 1, 0))
    _cross(upper, .052, .075)
    _capsule(upper, .042, 0, UPPER, 'link')
    fore = _link(upper, 'robot_fore', (0, 0, UPPER), 'arm_elbow', (0, 1, 0))
    _cross(fore, .044, .062)
    roll = _link(fore, 'robot_roll', (0, 0, 0), 'arm_roll', (0, 0, 1))
    _capsule(roll, .034, 0, FORE, 'link')
    wrist = _link(roll, 'robot_wrist', (0, 0, FORE), 'arm_wrist', (0, 1, 0))
    _cross(wrist, .034, .045)
    add_hand(_link(wrist, 'robot_hand', (0, 0, 0), 'arm_twist', (0, 0, 1)))


def add_hand(hand: mujoco.MjsBody) -> None:
    """Give a body a wrist and two fingers along its z; they close along its y."""
    _capsule(hand, .028, .01, HAND * .4, 'link')
    _box(hand, (.022, .062, .016), (0, 0, HAND * .5), 'joint')
    for name, side in zip(FINGERS, (1, -1)):
        finger = hand.add_body(name=f'robot_{name}', pos=(0, 0, HAND * .5))
        finger.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, side, 0),
                         range=(0, OPEN))
        _box(finger, (.011, .006, .048), (0, side * .006, .055), 'finger')


def reach(base: np.ndarray, heading: float, tip: np.ndarray, tilt: float,
          twist: float) -> ArmPose | None:
    """
    Solve the joints for a tip position (two links in a plane), or return None out of reach.

    Args:
        base (np.ndarray): float [3], where the arm stands.
        heading (float): Turn of the base about z.
        tip (np.ndarray): float [3], wanted point between the finger tips.
        tilt (float): Angle between the hand and straight down, outwards.
        twist (float): Turn of the hand about its own axis.
    """
    delta = tip - base
    yaw = float(np.arctan2(delta[1], delta[0]))
    reach_xy = np.hypot(delta[0], delta[1]) - HAND * np.sin(tilt)
    height = delta[2] + HAND * np.cos(tilt) - SHOULDER
    distance = np.hypot(reach_xy, height)
    if not abs(UPPER - FORE) + .05 < distance < UPPER + FORE - .005:
        return None
    bend = np.arccos((distance ** 2 - UPPER ** 2 - FORE ** 2) / (2 * UPPER * FORE))
    aim = np.arctan2(reach_xy, height)
    shoulder = aim - np.arctan2(FORE * np.sin(bend), UPPER + FORE * np.cos(bend))
    wrist = np.pi - tilt - shoulder - bend
    joints = (yaw - heading, shoulder, bend, 0.0, wrist, twist)
    frame = rotation(turn((0, 0, 1), yaw)) @ rotation(turn((0, 1, 0), np.pi - tilt))
    axis = frame @ rotation(turn((0, 0, 1), twist)) @ np.array([0, 1, 0])
    return ArmPose(tuple(float(angle) for angle in joints), np.asarray(tip, float),
                   float(np.arctan2(axis[1], axis[0])), float(axis[2]))


def _link(parent: mujoco.MjsBody, name: str, pos: Point, joint: str,
          axis: Point) -> mujoco.MjsBody:
    body = parent.add_body(name=name, pos=pos)
    body.add_joint(name=joint, type=mujoco.mjtJoint.mjJNT_HINGE, axis=axis)
    return body


def _capsule(body: mujoco.MjsBody, radius: float, low: float, high: float, paint: str) -> None:
    body.add_geom(name=f'{body.name}_{paint}', type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                  size=(radius, 0, 0), fromto=(0, 0, low, 0, 0, high))


def _cross(body: mujoco.MjsBody, radius: float, half: float) -> None:
    body.add_geom(name=f'{body.name}_joint', type=mujoco.mjtGeom.mjGEOM_CYLINDER,
                  size=(radius, 0, 0), fromto=(0, -half, 0, 0, half, 0))


def _cylinder(body: mujoco.MjsBody, size: Point, pos: Point, paint: str) -> None:
    body.add_geom(name=f'{body.name}_{paint}', type=mujoco.mjtGeom.mjGEOM_CYLINDER,
                  size=(*size, 0), pos=pos)


def _box(body: mujoco.MjsBody, size: Point, pos: Point, paint: str) -> None:
    body.add_geom(name=f'{body.name}_{paint}', type=mujoco.mjtGeom.mjGEOM_BOX, size=size, pos=pos)
