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
Sends frames one at a time and times their way back, for `ivm bench`.

Each argument is a namespace whose image and masked/image are used. Prints `{}` when all of them
are there; then, for each line on stdin, sends one frame to each and prints one JSON object:
milliseconds from just before publishing to the reply in hand, by namespace.
"""

import json
import sys
import time

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import to_msg

PATIENCE = 20.0
"""Seconds to wait for a reply; 600 times what one takes."""


class Probe(Node):
    """
    Times round trips.

    Args:
        places: Namespaces, relative to the node's own.
    """

    def __init__(self, places: list[str]) -> None:
        super().__init__('bench_probe')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._answered = 0
        self._publishers_of, self._subscriptions_of = {}, {}
        for place in places:
            self._publishers_of[place] = self.create_publisher(Image, f'{place}/image', 5)
            self._subscriptions_of[place] = self.create_subscription(
                Image, f'{place}/masked/image', self._on_reply, 5)
        pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
        self._frame = to_msg(pixels, Header(frame_id='bench'))

    def wait(self) -> None:
        """Return when every namespace listens and answers."""
        while not all(publisher.get_subscription_count() for publisher
                      in self._publishers_of.values()) or not all(
                self.count_publishers(subscription.topic_name) for subscription
                in self._subscriptions_of.values()):
            self._executor.spin_once(0.1)

    def round(self) -> dict[str, float]:
        """
        Send one frame to each namespace, one after the other.

        Raises:
            TimeoutError: No reply came.
        """
        return {place: self._round_trip(place) for place in self._publishers_of}

    def _round_trip(self, place: str) -> float:
        stamp = time.time_ns()
        self._frame.header.stamp.sec = stamp // 10**9
        self._frame.header.stamp.nanosec = stamp % 10**9
        start = time.perf_counter()
        self._publishers_of[place].publish(self._frame)
        while self._answered != stamp:
            self._executor.spin_once(PATIENCE)
            if time.perf_counter() - start > PATIENCE:
                raise TimeoutError(f'{place}: no reply within {PATIENCE:.0f} s')
        return (time.perf_counter() - start) * 1e3

    def _on_reply(self, message: Image) -> None:
        stamp = message.header.stamp
        self._answered = stamp.sec * 10**9 + stamp.nanosec


def main() -> None:
    """Answer lines on stdin until it ends."""
    try:
        rclpy.init()
        probe = Probe(rclpy.utilities.remove_ros_args(sys.argv)[1:])
        probe.wait()
        print('{}', flush=True)
        for _ in sys.stdin:
            print(json.dumps(probe.round()), flush=True)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
