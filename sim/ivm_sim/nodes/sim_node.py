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
The simulated arm on its table as a robot: cameras, states and a clock go out, actions come in.

Every message of a step carries the same stamp, in simulated time; an action carries the stamp of
the picture that it answers. So whatever is late or lost on the way is counted, not guessed.
"""

from dataclasses import asdict
import json
import math
import sys
import time
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ivm_ros.nodes.convert import to_msg
from ivm_ros.nodes.params import Parameters
from ivm_sim.loop_score import Score
from ivm_sim.nodes.arm_messages import (
    action_of, ActionError, header_at, stamp_of, STATE, state_messages)
from ivm_sim.nodes.camera_node import camera_info
from ivm_sim.nodes.loop_config import SimConfig
from ivm_sim.nodes.play import play

BETWEEN = 10  # s of simulated time between two episodes: a policy can tell them apart
SETTLE = 0.5  # s, until all know of each other, and of a new instruction
SILENCE = 3.0  # s without any action, after which it is said
QOS = QoSProfile(depth=10)
LASTING = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class SimNode(Node):
    """
    Owns the environment.

    Publishes `front/image_raw`, `wrist/image_raw`, their `camera_info`, the topics of
    `arm_messages.STATE`, `instruction`, `/clock` and `~/episodes`; listens to `action`; serves
    `~/reset` (on to the next episode) and `~/status` (JSON).

    Raises:
        ConfigError, GLError, rclpy ParameterException: A setting that cannot be met.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('sim_node', **kwargs)
        from ivm_sim.env import TabletopEnv  # late: where nothing renders this raises GLError

        settings = Parameters(self, [SimConfig], lambda: 'it is read at start only')
        for line in settings.unknown(self):
            self.get_logger().warning(line)
        self.config = config = settings.get(SimConfig)
        self.env = TabletopEnv(config.task, config.clutter, config.size, config.rate)
        self._cameras = {name: (self.create_publisher(Image, f'{name}/image_raw', QOS),
                                self.create_publisher(CameraInfo, f'{name}/camera_info', QOS))
                         for name in ('front', 'wrist')}
        self._states = {topic: self.create_publisher(kind, topic, QOS)
                        for topic, kind in STATE.items()}
        self._instruction = self.create_publisher(String, 'instruction', LASTING)
        self._clocks = self.create_publisher(Clock, '/clock', QOS)
        self._told = self.create_publisher(DiagnosticArray, '~/episodes', LASTING)
        self.create_subscription(JointState, 'action', self._on_action, QOS)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self.create_service(Trigger, '~/status', self._on_status)
        self.score = Score()
        self._now = 10**9  # of the simulation, ns
        self._action: tuple[int, np.ndarray] | None = None
        self._skip = False
        self._heard = time.monotonic()

    def close(self) -> None:
        """Free the world and its GL contexts."""
        self.env.close()

    def play(self) -> None:
        """Play the episodes; serve meanwhile."""
        images = self._cameras['front'][0]
        self._tell()
        while not (images.get_subscription_count() and self.count_publishers('action')):
            rclpy.spin_once(self, timeout_sec=0.05)
        self._spin(time.monotonic() + SETTLE)
        number = 0
        while not self.config.episodes or number < self.config.episodes:
            self._episode(self.config.seed + number)
            number += 1
        self._told.wait_for_all_acked(rclpy.duration.Duration(seconds=5))

    def _episode(self, seed: int) -> None:
        observation, _ = self.env.reset(seed=seed)
        self._skip, self._action = False, None
        self._now += BETWEEN * 10**9
        self.score.begin(seed, observation['instruction'])
        self._instruction.publish(String(data=observation['instruction']))
        self._spin(time.monotonic() + SETTLE)
        self._heard = due = time.monotonic()
        ended = False
        while not (ended or self._skip):
            self._publish(observation)
            due = max(due, time.monotonic() - 1 / self.config.rate) + 1 / self.config.rate
            action = self._answer(due)
            observation, _, success, late, info = self.env.step(action)
            self._now += 10**9 // self.config.rate
            self.score.step(observation['proprio'], info['clipped'])
            ended = success or late
            if ended:
                self.score.end(bool(success))
        self._tell()

    def _answer(self, due: float) -> np.ndarray:
        """Wait for the action that answers the last picture; what there is when time is up."""
        lockstep = self.config.pace == 'lockstep'
        until = time.monotonic() + self.config.patience if lockstep else due
        while (left := until - time.monotonic()) > 0 and not self._skip:
            if lockstep and self._action is not None and self._action[0] == self._now:
                break
            rclpy.spin_once(self, timeout_sec=left)
        if time.monotonic() - self._heard > SILENCE:
            self.get_logger().warning(
                f'no action for {SILENCE:.0f} s: the arm stands still. Is the policy alive, and '
                'does its image topic get pictures?', throttle_duration_sec=10.0)
        if self._action is None:
            self.score.repeat()
            return np.array([0, 0, 0, 0, 0, 0, self.score.gripper], np.float32)
        stamp, action = self._action
        self._action = None
        self.score.use(late=stamp != self._now, gripper=float(action[6]))
        return action

    def _on_action(self, message: JointState) -> None:
        try:
            action = action_of(message)
        except ActionError as error:
            self.score.refused += 1
            self.get_logger().warning(f'action: {error}', throttle_duration_sec=5.0)
            return
        self._heard = time.monotonic()
        if self.score.receive(stamp_of(message)):
            self._action = stamp_of(message), action

    def _publish(self, observation: dict[str, Any]) -> None:
        stamp = self._now
        self._clocks.publish(Clock(clock=Time(sec=stamp // 10**9, nanosec=stamp % 10**9)))
        for topic, message in state_messages(observation['proprio'], stamp).items():
            self._states[topic].publish(message)
        for name, (image, info) in self._cameras.items():
            header = header_at(stamp, name)
            fovy = math.radians(self.env.arena.model.camera(name).fovy[0])
            info.publish(camera_info(self.config.size, self.config.size, fovy, header))
            image.publish(to_msg(observation[name], header))
        self.score.send(stamp)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._skip = True
        response.success, response.message = True, 'on to the next episode'
        return response

    def _on_status(self, request: Trigger.Request, response: Trigger.Response
                   ) -> Trigger.Response:
        response.success, response.message = True, json.dumps(self.score.facts())
        return response

    def _tell(self) -> None:
        """Say how it goes, to whoever started us and to whoever listens."""
        facts = self.score.facts()
        sys.stdout.write(json.dumps(facts) + '\n')
        sys.stdout.flush()
        self._told.publish(DiagnosticArray(
            header=header_at(self._now, ''), status=[DiagnosticStatus(
                level=DiagnosticStatus.OK, name='sim_node: episodes',
                message=f'{facts["won"]} of {len(facts["episodes"])} won',
                values=[KeyValue(key=key, value=str(value)) for key, value in
                        {**asdict(self.config), **facts['actions']}.items()])]))

    def _spin(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)


def main(args: list[str] | None = None) -> None:
    """Play until the last episode or Ctrl-C."""
    play('sim_node', SimNode, args)


if __name__ == '__main__':
    main()
