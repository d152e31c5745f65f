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
What moves in a sequence for `ivm eval video`: camera, arm and things, or a hand in the way.

Everything is a function of time alone, so frames can be drawn in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ivm_ros.data.shards import ROBOT
from ivm_ros.language.sentence import Sentence
from ivm_ros.language.speaker import Speaker
from ivm_sim import layout
from ivm_sim.demo_motion import Motion, plan_motion, set_arm
from ivm_sim.demo_scene import readable
from ivm_sim.mj import mujoco
from ivm_sim.robot import reach
from ivm_sim.scene import Scene
from ivm_sim.sight import see
from ivm_sim.view import View

Rng = np.random.Generator
KINDS = ('camera', 'arm', 'both', 'occlusion')
"""The camera moves; arm and things do; all do; a hand passes between camera and target."""
SENTENCES = ('attribute', 'pair', 'held', 'all')  # kinds whose truth survives motion
SMALL = 120, 160  # pixels of the pictures that plans are made with
ELEVATION = np.deg2rad(28), np.deg2rad(62)
FEWEST_CLEAR = 5
ROBOT_SHARE = .02, .25  # of the picture
TARGET_SHARE = .005  # of the picture, each target at least, in the first frame
LIGHT = 70, 200  # mean of the picture, of 255
CHECKS = 12  # moments at which targets are looked for
STAYS = .4  # share of a target's pixels that has to remain in view
HIDDEN, SHOWN = .5, .9  # shares of the target that an occlusion has to leave and to show
SPEED = 2.5  # of arm and things, relative to the demo's
MOVERS = 4
SWAY = np.array([.24, .10, .10, .05, .035, .035])
"""Of the camera: azimuth, elevation, distance (share), roll, target x and y; rad and metres."""
PERIODS = 2.5, 5.0  # s


class Move(Protocol):
    """Something that changes a scene as time goes by."""

    def apply(self, scene: Scene, time: float) -> None:
        """Bring it to where it is `time` seconds after the start."""


@dataclass(frozen=True)
class Sway:
    """
    A camera that begins at a view and wanders about it.

    Attributes:
        view (View): At time 0.
        size (np.ndarray): float64 [6], how far each of `SWAY` goes.
        rate (np.ndarray): float64 [6], rad/s.
        phase (np.ndarray): float64 [6], rad.
    """

    view: View
    size: np.ndarray
    rate: np.ndarray
    phase: np.ndarray

    def apply(self, scene: Scene, time: float) -> None:
        """Move the camera."""
        shift = self.size * (np.sin(self.rate * time + self.phase) - np.sin(self.phase))
        turn, lift, back, roll, x, y = (float(value) for value in shift)
        view = self.view
        scene.look(replace(
            view, azimuth=view.azimuth + turn, elevation=view.elevation + lift,
            distance=view.distance * (1 + back), roll=view.roll + roll,
            target=(view.target[0] + x, view.target[1] + y, view.target[2])))
        settle(scene)


@dataclass(frozen=True)
class Living:
    """The demo's motion of arm and things, faster."""

    motion: Motion

    def apply(self, scene: Scene, time: float) -> None:
        """Move arm and things."""
        self.motion.apply(scene, SPEED * time)


@dataclass(frozen=True)
class Sweep:
    """
    A hand that goes to and fro across the line of sight to a target.

    Attributes:
        base (np.ndarray): float64 [3], where the arm stands.
        heading (float): Turn of its base about z.
        middle (np.ndarray): float64 [3], where the tip crosses the line.
        way (np.ndarray): float64 [3], from there to where it turns back.
        tilt (float): Of the hand, from straight down.
        twist (float): Of the hand, about its own axis.
        period (float): Of one turn to and fro, s.
    """

    base: np.ndarray
    heading: float
    middle: np.ndarray
    way: np.ndarray
    tilt: float
    twist: float
    period: float

    def at(self, time: float) -> tuple[float, ...] | None:
        """Joint angles; None where the arm cannot reach."""
        tip = self.middle + self.way * np.cos(2 * np.pi * time / self.period)
        pose = reach(self.base, self.heading, tip, self.tilt, self.twist)
        return pose.joints if pose is not None else None

    def apply(self, scene: Scene, time: float) -> None:
        """Move the arm."""
        joints = self.at(time)
        if joints is not None:
            set_arm(scene, joints)
        settle(scene)


def settle(scene: Scene) -> None:
    """Let MuJoCo work out where everything is that was moved."""
    mujoco.mj_kinematics(scene.model, scene.data)
    mujoco.mj_comPos(scene.model, scene.data)
    mujoco.mj_camlight(scene.model, scene.data)


def plan(scene: Scene, kind: str, seconds: float, rng: Rng
         ) -> tuple[Sentence, tuple[Move, ...]] | None:
    """
    Draw a scene, a sentence about it and what moves; None if they do not suit.

    Args:
        scene: Is drawn anew.
        kind: One of `KINDS`.
        seconds: Length of the sequence.
        rng: Source of randomness.
    """
    scene.sample(rng)
    if not ELEVATION[0] < scene.view.elevation < ELEVATION[1]:
        return None
    labels = scene.segment(*SMALL)
    things = see(scene, labels)
    if (sum(thing.clear for thing in things) < FEWEST_CLEAR
            or not ROBOT_SHARE[0] < (labels == ROBOT).mean() < ROBOT_SHARE[1]
            or not LIGHT[0] < scene.render(*SMALL).mean() < LIGHT[1]):
        return None
    counts = np.bincount(labels.ravel(), minlength=256)
    for sentence in Speaker(things, rng, slips=0).sentences(12, only=SENTENCES):
        if not readable(sentence) or (
                counts[list(sentence.targets)] < TARGET_SHARE * labels.size).any():
            continue
        moves = _moves(scene, kind, sentence, rng)
        if moves and _suits(scene, kind, sentence, moves, seconds):
            return sentence, moves
    return None


def _moves(scene: Scene, kind: str, sentence: Sentence, rng: Rng) -> tuple[Move, ...]:
    """Give what moves; () where that is nothing worth a sequence."""
    if kind == 'occlusion':
        sweep = _plan_sweep(scene, sentence.targets, rng)
        return (sweep,) if sweep is not None else ()
    moves: list[Move] = []
    if kind != 'camera':
        motion = plan_motion(scene, sentence.targets, MOVERS, rng)
        if motion is None or not motion.things & {*sentence.targets}:
            return ()
        moves.append(Living(motion))
    if kind != 'arm':
        moves.append(Sway(scene.view, SWAY * rng.uniform(.5, 1, 6) * rng.choice([-1, 1], 6),
                          2 * np.pi / rng.uniform(*PERIODS, 6), rng.uniform(0, 2 * np.pi, 6)))
    return tuple(moves)


def _plan_sweep(scene: Scene, targets: Sequence[int], rng: Rng) -> Sweep | None:
    """Find a way of the hand across the line of sight to the first target."""
    if any(state.held for state in scene.objects):
        return None  # what it holds would have to come along
    index = targets[0] - 1
    place = layout.points_of(scene.slots[index], scene.poses[index]).mean(0)
    sight = scene.view.position - place
    base = scene.model.body('robot_base')
    heading = 2 * float(np.arctan2(base.quat[3], base.quat[0]))
    for share in (.15, .2, .25, .3):
        middle = place + share * sight
        way = scene.view.axes[:, 0] * float(rng.uniform(.13, .18)) * rng.choice([-1, 1])
        sweep = Sweep(base.pos.copy(), heading, middle, way, float(rng.uniform(-.3, .3)),
                      float(rng.uniform(-1, 1)), float(rng.uniform(2, 3.5)))
        if middle[2] > .1 and all(
                sweep.at(sweep.period * step / CHECKS) is not None for step in range(CHECKS)):
            return sweep
    return None


def _suits(scene: Scene, kind: str, sentence: Sentence, moves: Sequence[Move],
           seconds: float) -> bool:
    """Tell whether targets stay in view, or come out of it as an occlusion has to."""
    targets = list(sentence.targets)
    seen = []
    for step in range(CHECKS):
        for move in moves:
            move.apply(scene, seconds * step / CHECKS)
        seen.append(np.bincount(scene.segment(*SMALL).ravel(), minlength=256)[targets])
    for move in moves:
        move.apply(scene, 0)
    counts = np.array(seen)
    if kind == 'occlusion':
        first, most = counts[0, 0], counts[:, 0].max()
        return bool(first > SHOWN * most and counts[:, 0].min() < HIDDEN * most)
    return bool((counts >= STAYS * counts[0]).all())
