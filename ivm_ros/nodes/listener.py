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
"""A subscription to a camera that finds its QoS by itself and counts what got lost."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.nodes.outputs import image_qos
from ivm_ros.nodes.stats import Gaps

Message: TypeAlias = Image | CompressedImage

ROOM = 64 * 2**20
"""Bytes that may wait in DDS for this node: two pictures of 4K, or ten of 1080p."""


class Listener:
    """
    Listen to an image topic.

    Args:
        node: Owns the subscription.
        config: Reliability and depth.
        kind: Image or CompressedImage.
        topic: Where.
        arrived: Called by the executor with each message and how many went missing before it.
    """

    def __init__(self, node: Node, config: NodeConfig, kind: type, topic: str,
                 arrived: Callable[[Message, int], None]) -> None:
        self._node, self._config, self._arrived = node, config, arrived
        self._gaps = Gaps()
        self._refused = False
        self._depth, self._largest = config.depth, 0
        self._reliability = 'best_effort' if config.reliability == 'best_effort' else 'reliable'
        self._subscribe = partial(
            node.create_subscription, kind, topic, self._on_message,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_refused))
        self._subscription: Subscription = self._subscribe(
            image_qos(self._reliability, self._depth))

    @property
    def topic(self) -> str:
        """Full name of the topic."""
        name: str = self._subscription.topic_name
        return name

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def look(self) -> tuple[int, bool]:
        """
        Look after the subscription.

        Returns:
            How many publish on its topic, and whether losses can be counted.
        """
        depth = min(self._depth, max(1, ROOM // max(1, self._largest)))
        if self._refused and self._config.reliability == 'auto':
            self._refused, self._reliability = False, 'best_effort'
            self._again(depth, 'the camera offers best effort only, listening so')
        elif depth < self._depth:
            self._again(depth, f'pictures of {self._largest / 2**20:.0f} MiB, of which {depth} '
                               f'instead of {self._depth} may wait')
        publishers: int = self._node.count_publishers(self.topic)
        self._gaps.mixed = publishers > 1
        return publishers, self._gaps.counts

    def _again(self, depth: int, why: str) -> None:
        """Subscribe anew."""
        self._node.get_logger().info(f'{self.topic}: {why}')
        self._node.destroy_subscription(self._subscription)
        self._depth = depth
        self._subscription = self._subscribe(image_qos(self._reliability, depth))

    def _on_refused(self, event: Any) -> None:
        self._refused = True
        if self._config.reliability != 'auto':
            self._node.get_logger().warning(
                f'a camera on {self.topic} offers no QoS that this node accepts, no frame will '
                f'come: set reliability to auto')

    def _on_message(self, message: Message, info: Any) -> None:
        self._largest = max(self._largest, len(message.data))
        source = info.get('publisher_gid')  # only since Kilted
        self._arrived(message, self._gaps.add(source and bytes(source['data']),
                                              info.get('publication_sequence_number')))
