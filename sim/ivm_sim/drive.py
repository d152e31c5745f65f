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

import numpy as np

from ivm_sim.mj import mujoco
from ivm_sim.robot import FINGERS, JOINTS, OPEN, reach

BASE = np.array([-.44, 0.0, 0.0])
HOME = np.array([-.06, 0.0, .24])  # where an episode begins
LOW, HIGH = np.array([-.22, -.30, .014]), np.array([.24, .30, .40])  # where the tip may be
KP, FINGER_KP, FINGER_FORCE = 400.0, 400.0, 8.0
DAMPING, ITERATIONS = .02, 12
SITE = 'tip'


def add_drives(spec: mujoco.MjSpec) -> None:
    """Give the arm of `robot.add_arm` its tip, position drives, and fingers that touch."""
    spec.body('robot_base').pos = BASE
    spec.body('robot_hand').add_site(name=SITE, pos=(0, 0, .17))
    for body in spec.bodies:
        if body.name.startswith('robot'):
            body.gravcomp = 1
            for geom in body.geoms:
                finger = 'finger' in body.name
                geom.contype = geom.conaffinity = int(finger)
                geom.friction, geom.condim = (1.5, .02, .001), 4
    for name in JOINTS:
        joint = spec.joint(name)
        joint.armature = .05
        drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.set_to_position(kp=KP, dampratio=1)
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
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self._scratch = mujoco.MjData(model)
        self._joints = [model.joint(name).qposadr[0] for name in JOINTS]
        self._dofs = [model.joint(name).dofadr[0] for name in JOINTS]
        self._fingers = [model.joint(name).qposadr[0] for name in FINGERS]
        self._site = model.site(SITE).id
        self.position, self.quat = HOME.copy(), np.array([1.0, 0, 0, 0])
        model.dof_damping[self._dofs] = 1.0  # a spec's field for this changed its type in MuJoCo 4

    def home(self, data: mujoco.MjData) -> None:
        """Put the arm where an episode begins, at rest, fingers open."""
        pose = reach(BASE, 0.0, HOME, 0.0, 0.0)
        if pose is None:
            raise ValueError(f'home {HOME.tolist()} is out of reach')
        data.qpos[self._joints], data.qpos[self._fingers] = pose.joints, OPEN
        data.ctrl[:6], data.ctrl[6:8] = pose.joints, OPEN
        mujoco.mj_kinematics(self.model, data)
        self.position, self.quat = self.pose(data)

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

    def _solve(self, data: mujoco.MjData) -> np.ndarray:
        model, scratch = self.model, self._scratch
        scratch.qpos[:] = data.qpos
        scratch.qpos[self._joints] = data.ctrl[:6]
        jacobian, error = np.empty((6, model.nv)), np.empty(6)
        current, inverse, away = np.empty(4), np.empty(4), np.empty(4)
        for _ in range(ITERATIONS):
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
