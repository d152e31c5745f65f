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
Moves the arm: from a wanted pose of the hand to joint targets.

Damped least squares on MuJoCo's Jacobian (Buss 2004), so that the hand may take any orientation.
Positions in metres, rotations as quaternions wxyz, in the world.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ivm_sim.mesh_arm import add_ur5e, UR5E_JOINTS
from ivm_sim.mj import mujoco
from ivm_sim.robot import add_arm, FINGERS, JOINTS, OPEN, reach

HOME = np.array([-.06, 0.0, .24])  # where an episode begins
DOWN = np.array([0.0, 0, 1, 0])  # how the hand points then
LOW, HIGH = np.array([-.22, -.30, .014]), np.array([.24, .30, .40])  # where the tip may be
FINGER_KP, FINGER_FORCE = 400.0, 8.0
DAMPING, ITERATIONS, LONG = .02, 12, 50
SITE = 'tip'
PRIMITIVE = 'primitive'


@dataclass(frozen=True)
class ArmModel:
    """
    An arm and how it is driven.

    Attributes:
        add (Callable): Adds it to a model under construction, with the body `robot_base` and the
            hand of `robot.add_hand`.
        joints (tuple[str, ...]): Names of its six joints.
        base (tuple[float, float, float]): Where it stands, metres.
        kp (tuple[float, ...]): Stiffness of each joint's drive, N m / rad.
        near_home (tuple[float, ...]): Angles near those of home, rad; none: solved by `reach`.
    """

    add: Callable[[mujoco.MjSpec], None]
    joints: tuple[str, ...]
    base: tuple[float, float, float]
    kp: tuple[float, ...]
    near_home: tuple[float, ...] = ()


ARMS = {
    PRIMITIVE: ArmModel(add_arm, JOINTS, (-.44, 0, 0), (400.0,) * 6),
    # Farther back than the primitive arm: its wrist needs the room. Stiffness as Menagerie's.
    'ur5e': ArmModel(add_ur5e, UR5E_JOINTS, (-.54, 0, 0), (2000.0,) * 3 + (500.0,) * 3,
                     (2.86, -1.63, 1.82, -1.77, -1.57, 1.29))}


def add_drives(spec: mujoco.MjSpec, arm: ArmModel) -> None:
    """Give an arm its tip, position drives, and fingers that touch."""
    spec.body('robot_base').pos = arm.base
    spec.body('robot_hand').add_site(name=SITE, pos=(0, 0, .17))
    for body in spec.bodies:
        if body.name.startswith('robot'):
            body.gravcomp = 1
            for geom in body.geoms:
                finger = 'finger' in body.name
                geom.contype = geom.conaffinity = int(finger)
                geom.friction, geom.condim = (1.5, .02, .001), 4
    for name, stiffness in zip(arm.joints, arm.kp):
        joint = spec.joint(name)
        joint.armature = .05
        drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.set_to_position(kp=stiffness, dampratio=1)
    for name in FINGERS:
        spec.joint(name).armature = .05
        drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.set_to_position(kp=FINGER_KP, dampratio=1)
        drive.forcelimited, drive.forcerange = True, (-FINGER_FORCE, FINGER_FORCE)


class Drive:
    """
    The wanted pose of the hand, and the joints that reach it.

    Args:
        model: A world with `add_drives`.
        arm: The arm in it.
    """

    def __init__(self, model: mujoco.MjModel, arm: ArmModel) -> None:
        self.model, self._arm = model, arm
        self._scratch = mujoco.MjData(model)
        self._joints = [model.joint(name).qposadr[0] for name in arm.joints]
        self._dofs = [model.joint(name).dofadr[0] for name in arm.joints]
        self._fingers = [model.joint(name).qposadr[0] for name in FINGERS]
        self._site = model.site(SITE).id
        self.position, self.quat = HOME.copy(), np.array([1.0, 0, 0, 0])
        model.dof_damping[self._dofs] = 1.0  # a spec's field for this changed its type in MuJoCo 4

    def home(self, data: mujoco.MjData) -> None:
        """Put the arm where an episode begins, at rest, fingers open."""
        data.ctrl[:6], data.ctrl[6:8] = self._home(data), OPEN
        data.qpos[self._joints], data.qpos[self._fingers] = data.ctrl[:6], OPEN
        mujoco.mj_kinematics(self.model, data)
        self.position, self.quat = self.pose(data)

    def _home(self, data: mujoco.MjData) -> np.ndarray:
        """Joint angles at home, rad [6]."""
        if not self._arm.near_home:
            pose = reach(np.array(self._arm.base), 0.0, HOME, 0.0, 0.0)
            if pose is None:
                raise ValueError(f'home {HOME.tolist()} is out of reach')
            return np.array(pose.joints)
        self.position, self.quat = HOME.copy(), DOWN.copy()
        data.ctrl[:6] = self._arm.near_home
        return self._solve(data, LONG)

    def pose(self, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
        """Where the tip is: position [3] and quaternion [4]."""
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, data.site_xmat[self._site])
        return data.site_xpos[self._site].copy(), quat

    def opening(self, data: mujoco.MjData) -> float:
        """How far the fingers are open, in [0, 1]."""
        return float(np.clip(np.mean(data.qpos[self._fingers]) / OPEN, 0, 1))

    def move(self, data: mujoco.MjData, shift: np.ndarray, turn: np.ndarray,
             gripper: float) -> np.ndarray:
        """
        Move the wanted pose and return the controls that reach it.

        Args:
            data: State of the world, which stays as it is.
            shift: Metres [3], in the world.
            turn: Rotation vector [3] in radians, in the world.
            gripper: -1 closed to 1 open.
        """
        self.position = np.clip(self.position + shift, LOW, HIGH)
        quat, turned = np.empty(4), np.empty(4)
        mujoco.mju_axisAngle2Quat(quat, turn / max(np.linalg.norm(turn), 1e-9),
                                  float(np.linalg.norm(turn)))
        mujoco.mju_mulQuat(turned, quat, self.quat)
        self.quat = turned / np.linalg.norm(turned)
        return np.array([*self._solve(data), *[(gripper + 1) / 2 * OPEN] * 2])

    def _solve(self, data: mujoco.MjData, iterations: int = ITERATIONS) -> np.ndarray:
        """Find joint angles [6] for the wanted pose, from those asked for last."""
        model, scratch = self.model, self._scratch
        scratch.qpos[:] = data.qpos
        scratch.qpos[self._joints] = data.ctrl[:6]
        jacobian, error = np.empty((6, model.nv)), np.empty(6)
        current, inverse, away = np.empty(4), np.empty(4), np.empty(4)
        for _ in range(iterations):
            mujoco.mj_kinematics(model, scratch)
            mujoco.mj_comPos(model, scratch)
            error[:3] = self.position - scratch.site_xpos[self._site]
            mujoco.mju_mat2Quat(current, scratch.site_xmat[self._site])
            mujoco.mju_negQuat(inverse, current)
            mujoco.mju_mulQuat(away, self.quat, inverse)
            mujoco.mju_quat2Vel(error[3:], away, 1.0)
            if np.abs(error).max() < 2e-4:
                break
            mujoco.mj_jacSite(model, scratch, jacobian[:3], jacobian[3:], self._site)
            square = jacobian[:, self._dofs]
            step = square.T @ np.linalg.solve(
                square @ square.T + DAMPING ** 2 * np.eye(6), error)
            scratch.qpos[self._joints] += step
        return scratch.qpos[self._joints].copy()
