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
"""What holds for one camera of a node: what it has of its own, else what the node has."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from ivm_ros.deploy import DeployConfig
from ivm_ros.nodes.node_config import CameraConfig, NodeConfig
from ivm_ros.nodes.params import Parameters
from ivm_ros.tracker import TrackConfig


class CameraSettings:
    """
    The settings of a camera, read anew for each frame; its instruction is a topic too.

    Args:
        node: Declares its parameters and subscribes.
        settings: NodeConfig, DeployConfig and TrackConfig of the node.
        name: Of the camera, which stands before its parameters and topics; '' for the only one.
        locked: As of `Parameters`.

    Raises:
        ConfigError, rclpy ParameterException: A given value is refused.
    """

    def __init__(self, node: Node, settings: Parameters, name: str = '',
                 locked: Callable[[], str] = lambda: '') -> None:
        self.name = name
        self._settings = settings
        self._own = Parameters(node, [CameraConfig], locked, f'{name}.') if name else None
        self._made: tuple[tuple[Any, ...], tuple[NodeConfig, DeployConfig]] | None = None
        listen_to_instruction(node, name)

    @property
    def _mine(self) -> CameraConfig:
        return self._own.get(CameraConfig) if self._own is not None else CameraConfig()

    @property
    def depth_input(self) -> bool:
        """A depth image is to be masked too."""
        return self._mine.depth_input or self._settings.get(NodeConfig).depth_input

    @property
    def track(self) -> TrackConfig:
        """Whether and how masks are carried between keyframes."""
        return self._settings.get(TrackConfig)

    @property
    def now(self) -> tuple[NodeConfig, DeployConfig]:
        """Settings as they are now; a camera with `mask` off is not `enabled`."""
        node, deploy = self._settings.get(NodeConfig), self._settings.get(DeployConfig)
        if self._own is None:
            return node, deploy
        mine, made = self._mine, self._made
        # Each of them is another object after a change.
        if made is None or any(old is not new for old, new in zip(made[0], (node, deploy, mine))):
            made = self._made = (node, deploy, mine), (
                replace(node, enabled=node.enabled and mine.mask,
                        instruction=mine.instruction if mine.instruction.strip()
                        else node.instruction,
                        max_rate=node.max_rate if mine.max_rate < 0 else mine.max_rate),
                replace(deploy, method=mine.method or deploy.method))
        return made[1]


def listen_to_instruction(node: Node, camera: str) -> None:
    """
    Let the topic `instruction` of a camera, or of the node, set the parameter of that name.

    Two subscriptions: a transient local one alone would not hear volatile publishers. Those are
    what `ros2 topic pub` and `create_publisher(String, 'instruction', 1)` make.
    """
    topic, parameter = (f'{camera}/instruction', f'{camera}.instruction') if camera else (
        'instruction', 'instruction')

    def take(message: String) -> None:
        if message.data != node.get_parameter(parameter).value:
            node.set_parameters([Parameter(parameter, value=message.data)])

    for durability in (DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE):
        node.create_subscription(String, topic, take,
                                 QoSProfile(depth=1, durability=durability))
