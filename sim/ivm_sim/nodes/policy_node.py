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
A cloned policy as a node: pictures, states and a sentence in, actions out.

It does not know whether its pictures are masked: remap `image` to the camera's topic or to
`masked/image`. Pictures and states belong together by their stamps.
"""

from pathlib import Path
import sys
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from ivm_ros.config import ConfigError
from ivm_ros.nodes.convert import to_rgb
from ivm_ros.nodes.params import Parameters
from ivm_sim.nodes.arm_messages import action_message, proprio_of, stamp_of, STATE
from ivm_sim.nodes.loop_config import PolicyConfig

KEPT = 20  # stamps that wait for the rest of their messages
NEW_EPISODE = 5 * 10**9  # ns: after a longer pause, or back in time, it begins anew
QOS = QoSProfile(depth=10)
LASTING = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class PolicyNode(Node):
    """
    Answers each picture with an action of the same stamp.

    Its publisher of `action` comes up when its pictures have a publisher: whoever waits for it
    knows that the chain stands.

    Raises:
        ConfigError, rclpy ParameterException: A setting is refused, or weights cannot be read.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('policy_node', **kwargs)
        settings = Parameters(self, [PolicyConfig], lambda: 'it is read at start only')
        for line in settings.unknown(self):
            self.get_logger().warning(line)
        self._policy = self._load(settings.get(PolicyConfig))
        self._parts: dict[int, dict[str, Any]] = {}
        self._sentence = ''
        self._last = 0
        self._action: Publisher[JointState] | None = None
        kinds = {**STATE, 'image': Image}
        if self._policy.net.config.wrist:
            kinds['wrist/image_raw'] = Image
        self._wanted = frozenset(kinds)
        self._image = [self._listen(topic, kind) for topic, kind in kinds.items()][
            list(kinds).index('image')]
        self.create_subscription(String, 'instruction', self._on_instruction, LASTING)
        self._waiting = self.create_timer(0.1, self._announce)

    def _load(self, config: PolicyConfig) -> Any:
        import numpy as np
        import torch

        from ivm_sim.clones.policy import ClonePolicy

        torch.set_num_threads(config.threads)
        path = Path(config.weights)
        if not path.is_file():
            raise ConfigError(f'weights: wanted a file of "ivm-sim clone", got {config.weights!r}')
        limit = np.array([config.max_shift] * 3 + [config.max_turn] * 3 + [1.0], np.float32)
        policy = ClonePolicy(path, limit)
        trained = policy.info['camera']
        if config.camera and (config.camera == 'raw') != (trained == 'raw'):
            self.get_logger().warning(f'{path.name} was trained on {trained} pictures and is '
                                      f'shown {config.camera} ones')
        return policy

    def _announce(self) -> None:
        if self.count_publishers(self._image.topic_name):
            self.destroy_timer(self._waiting)
            self._action = self.create_publisher(JointState, 'action', QOS)

    def _listen(self, topic: str, kind: type) -> Any:
        return self.create_subscription(
            kind, topic, lambda message: self._take(topic, message), QOS)

    def _on_instruction(self, message: String) -> None:
        self._sentence = message.data
        self._policy.reset()

    def _take(self, topic: str, message: Any) -> None:
        """Keep a message; act when all of its stamp are there."""
        stamp = stamp_of(message)
        parts = self._parts.setdefault(stamp, {})
        parts[topic] = message
        if self._wanted <= parts.keys():
            self._act(stamp, self._parts.pop(stamp))
        while len(self._parts) > KEPT:
            del self._parts[next(iter(self._parts))]

    def _act(self, stamp: int, parts: dict[str, Any]) -> None:
        if self._action is None or not self._sentence:
            return
        if not 0 <= stamp - self._last < NEW_EPISODE:
            self._policy.reset()
            self._parts.clear()
        self._last = stamp
        observation = {'front': to_rgb(parts['image']), 'proprio': proprio_of(parts),
                       'instruction': self._sentence}
        if 'wrist/image_raw' in parts:
            observation['wrist'] = to_rgb(parts['wrist/image_raw'])
        self._action.publish(action_message(self._policy.act(observation), stamp))


def main(args: list[str] | None = None) -> None:
    """Act until Ctrl-C."""
    node = None
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.ALL)
        node = PolicyNode()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ConfigError, ParameterException) as error:
        sys.exit(f'policy_node: {error}')
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
