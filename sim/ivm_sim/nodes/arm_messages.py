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
What goes between arm and policy as messages, and back, exactly.

An action is one `sensor_msgs/JointState` named x y z rx ry rz gripper: a standard message that is
whole or absent, and carries the stamp of the picture that it answers.
"""

from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

ACTION = ('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper')
JOINTS = 'joint_states'
POSE, TARGET = 'end_effector/pose', 'end_effector/target_pose'
STATE = {POSE: PoseStamped, TARGET: PoseStamped, JOINTS: JointState}
"""Topics of `proprio` with their types."""


class ActionError(ValueError):
    """A message is no action; says what was wanted and what came."""


def header_at(nanoseconds: int, frame: str) -> Header:
    """Give a header."""
    second, rest = divmod(nanoseconds, 10**9)
    return Header(stamp=Time(sec=second, nanosec=rest), frame_id=frame)


def stamp_of(message: Any) -> int:
    """Return the stamp of a message with a header, nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def state_messages(proprio: np.ndarray, nanoseconds: int) -> dict[str, Any]:
    """Turn proprio float32 [15] (see `TabletopEnv`) into a message for each topic of `STATE`."""
    numbers = proprio.astype(float).tolist()
    world = header_at(nanoseconds, 'world')
    return {POSE: PoseStamped(header=world, pose=_pose(numbers[:7])),
            JOINTS: JointState(header=world, name=['gripper_opening'], position=numbers[7:8]),
            TARGET: PoseStamped(header=world, pose=_pose(numbers[8:]))}


def proprio_of(messages: dict[str, Any]) -> np.ndarray:
    """Turn the messages of `state_messages` back into float32 [15]."""
    return np.array([*_numbers(messages[POSE].pose), *messages[JOINTS].position,
                     *_numbers(messages[TARGET].pose)], np.float32)


def action_message(action: np.ndarray, nanoseconds: int) -> JointState:
    """Turn an action float32 [7] into a message that answers the picture of that time."""
    return JointState(header=header_at(nanoseconds, 'world'), name=list(ACTION),
                      position=action.astype(float).tolist())


def action_of(message: JointState) -> np.ndarray:
    """
    Turn a message into an action, float32 [7].

    Raises:
        ActionError: Other names, another length, or not finite.
    """
    action = np.array(message.position, np.float32)
    if tuple(message.name) != ACTION or action.shape != (len(ACTION),):
        raise ActionError(f'wanted positions named {" ".join(ACTION)}, got {len(action)} named '
                          f'{" ".join(message.name) or "nothing"}')
    if not np.isfinite(action).all():
        raise ActionError(f'wanted finite numbers, got {action.tolist()}')
    return action


def _pose(numbers: list[float]) -> Pose:
    x, y, z, turn_w, turn_x, turn_y, turn_z = numbers
    return Pose(position=Point(x=x, y=y, z=z),
                orientation=Quaternion(w=turn_w, x=turn_x, y=turn_y, z=turn_z))


def _numbers(pose: Pose) -> list[float]:
    place, turn = pose.position, pose.orientation
    return [place.x, place.y, place.z, turn.w, turn.x, turn.y, turn.z]
