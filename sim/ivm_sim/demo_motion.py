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
What moves in the demo: the arm swings, and a few things wander to and fro on the table.

Everything is a function of time and repeats after `LOOP` seconds, so a run of that length can be
shown as an endless animation. Things keep clear of each other; the hand passes above them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ivm_sim import layout
from ivm_sim.mj import mujoco
from ivm_sim.parts import rotation, turn
from ivm_sim.robot import HAND, JOINTS, reach
from ivm_sim.scene import Scene

LOOP = 20.0
"""Seconds after which all motion repeats."""
SHORTEST, LONGEST = .03, .12  # of a thing's way, metres
GAP = .012  # metres between things that pass each other
HEADINGS = 16
SWING = np.array([.11, .09, .05])  # of the tip, metres
FADES = (1.0, .75, .5, .3)  # tried in this order until the arm reaches every point
STEPS = 40  # of a loop, at which reach is tried


@dataclass(frozen=True)
class Swing:
    """
    The arm's tip on a closed curve that begins where it was drawn.

    Attributes:
        base (np.ndarray): float64 [3], where the arm stands.
        heading (float): Turn of its base about z.
        tip (np.ndarray): float64 [3], between the fingers, at time 0.
        tilt (float): Of the hand, from straight down.
        twist (float): Of the hand, about its own axis, at time 0.
        size (np.ndarray): float64 [3], half width, half depth and half height of the curve.
    """

    base: np.ndarray
    heading: float
    tip: np.ndarray
    tilt: float
    twist: float
    size: np.ndarray

    def at(self, time: float) -> tuple[float, ...] | None:
        """Joint angles in the order of `JOINTS`; None where the arm cannot reach."""
        phase = 2 * np.pi * time / LOOP
        curve = np.array([np.sin(2 * phase), np.sin(3 * phase), 1 - np.cos(phase)])
        pose = reach(self.base, self.heading, self.tip + self.size * curve, self.tilt,
                     self.twist + .35 * np.sin(phase))
        return pose.joints if pose is not None else None


@dataclass(frozen=True)
class Drift:
    """
    A thing on its way to and fro, with what lies in or on it.

    Attributes:
        things (tuple[int, ...]): Ids of the thing and of what it carries.
        way (np.ndarray): float64 [2], metres from where it stands to where it turns back.
        angle (float): How far it turns on the way, radians.
        rounds (int): To and fro, in one loop.
    """

    things: tuple[int, ...]
    way: np.ndarray
    angle: float
    rounds: int

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Shift [3] in metres and rotation [3, 3] about the thing's own foot."""
        share = (1 - np.cos(2 * np.pi * self.rounds * time / LOOP)) / 2
        return np.array([*(share * self.way), 0]), rotation(turn((0, 0, 1), share * self.angle))


@dataclass(frozen=True)
class Grip:
    """Id of the thing in the hand, and its place [3] and rotation [3, 3] seen from the hand."""

    thing: int
    place: np.ndarray
    matrix: np.ndarray


@dataclass(frozen=True)
class Motion:
    """All that moves in a scene."""

    swing: Swing
    drifts: tuple[Drift, ...]
    grip: Grip | None

    @property
    def things(self) -> set[int]:
        """Ids of the things that move."""
        held = {self.grip.thing} if self.grip is not None else set()
        return held.union(*(drift.things for drift in self.drifts))

    def apply(self, scene: Scene, time: float) -> None:
        """Bring everything to where it is `time` seconds after the start."""
        joints = self.swing.at(time)
        if joints is not None:
            set_arm(scene, joints)
        if self.grip is not None:
            place, matrix = _hand(scene)
            _set_pose(scene, self.grip.thing, place + matrix @ self.grip.place,
                      matrix @ self.grip.matrix)
        for drift in self.drifts:
            shift, spin = drift.at(time)
            foot = scene.poses[drift.things[0] - 1].position
            for thing in drift.things:
                pose = scene.poses[thing - 1]
                _set_pose(scene, thing, spin @ (pose.position - foot) + foot + shift,
                          spin @ pose.matrix)
        mujoco.mj_kinematics(scene.model, scene.data)
        mujoco.mj_comPos(scene.model, scene.data)
        mujoco.mj_camlight(scene.model, scene.data)


def plan_motion(scene: Scene, wanted: Sequence[int], most: int,
                rng: np.random.Generator) -> Motion | None:
    """
    Plan what moves in a scene as it was drawn; None if the arm is in no place to swing.

    Args:
        scene: As drawn.
        wanted: Ids of things, those that should rather move first.
        most: How many may move on the table.
        rng: Source of randomness.
    """
    swing = _plan_swing(scene)
    if swing is None:
        return None
    grip = None
    for state, pose in zip(scene.objects, scene.poses):
        if state.held:
            place, matrix = _hand(scene)
            grip = Grip(state.id, matrix.T @ (pose.position - place), matrix.T @ pose.matrix)
    return Motion(swing, tuple(_plan_drifts(scene, wanted, most, rng)), grip)


def _plan_swing(scene: Scene) -> Swing | None:
    """Find the widest curve that the arm reaches."""
    base = scene.model.body('robot_base')
    heading = 2 * float(np.arctan2(base.quat[3], base.quat[0]))
    place, matrix = _hand(scene)
    _, shoulder, bend, _, wrist, twist = (
        float(scene.data.joint(name).qpos[0]) for name in JOINTS)
    for fade in FADES:
        swing = Swing(base.pos.copy(), heading, place + matrix @ (0, 0, HAND),
                      np.pi - shoulder - bend - wrist, twist, fade * SWING)
        if all(swing.at(LOOP * step / STEPS) is not None for step in range(STEPS)):
            return swing
    return None


def _plan_drifts(scene: Scene, wanted: Sequence[int], most: int,
                 rng: np.random.Generator) -> list[Drift]:
    """Give things a way that touches nothing and stays in the picture."""
    discs = {state.id: _disc(scene, state.id) for state in scene.objects
             if not state.held and not state.on}
    ways = {thing: np.zeros(2) for thing in discs}
    drifts: list[Drift] = []
    for thing in wanted:
        if thing not in discs or len(drifts) == most:
            continue
        others = [other for other in discs if other != thing]
        way = _free_way(scene, discs[thing], [discs[other] for other in others],
                        [ways[other] for other in others], rng)
        if way is not None:
            ways[thing] = way
            riders = (state.id for state in scene.objects if state.on == thing)
            angle = float(rng.choice([-1, 1]) * rng.uniform(.6, 1.6))
            drifts.append(Drift((thing, *riders), way, angle, 2 + len(drifts) % 2))
    return drifts


def _disc(scene: Scene, thing: int) -> tuple[np.ndarray, float]:
    """Return middle [2] and radius of the circle that a thing stays in as it turns, metres."""
    pose = scene.poses[thing - 1]
    points = layout.points_of(scene.slots[thing - 1], pose)
    middle = pose.position[:2]
    return middle, float(np.linalg.norm(points[:, :2] - middle, axis=1).max())


def _free_way(scene: Scene, disc: tuple[np.ndarray, float],
              others: Sequence[tuple[np.ndarray, float]], ways: Sequence[np.ndarray],
              rng: np.random.Generator) -> np.ndarray | None:
    """Find the longest way [2] that crosses none of the others' ways; None if all are short."""
    place, radius = disc
    shares = np.linspace(0, 1, 9)[:, None]
    theirs = np.reshape([other + shares * way for (other, _), way in zip(others, ways)],
                        (-1, 1, 2))
    wanted = np.repeat([radius + other + GAP for _, other in others], len(shares))
    best, longest = None, 0.0
    for angle in rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, HEADINGS, endpoint=False):
        for length in np.arange(SHORTEST, LONGEST + .001, .01):
            way = length * np.array([np.cos(angle), np.sin(angle)])
            distances = np.linalg.norm(theirs - (place + shares * way), axis=-1).min(axis=1)
            if (distances < wanted).any() or not _in_view(scene, place + way, radius):
                break
            if length > longest:
                best, longest = way, float(length)
    return best


def _in_view(scene: Scene, place: np.ndarray, radius: float) -> bool:
    around = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]) * radius + place
    pixels = scene.view.project(np.column_stack([around, np.zeros(4)]), 3, 4)
    return bool(((pixels > .1) & (pixels < (2.9, 3.9))).all())


def _hand(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Place [3] and rotation [3, 3] of the hand."""
    hand = scene.data.body('robot_hand')
    return hand.xpos.copy(), hand.xmat.reshape(3, 3).copy()


def set_arm(scene: Scene, joints: Sequence[float]) -> None:
    """Bring the arm to joint angles in the order of `JOINTS`."""
    for name, angle in zip(JOINTS, joints):
        scene.data.joint(name).qpos = angle
    mujoco.mj_kinematics(scene.model, scene.data)


def _set_pose(scene: Scene, thing: int, position: np.ndarray, matrix: np.ndarray) -> None:
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, matrix.ravel())
    mocap = scene.slots[thing - 1].mocap
    scene.data.mocap_pos[mocap], scene.data.mocap_quat[mocap] = position, quat
