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
Counts what comes out of a node, for `ivm bench`.

The argument is the node's name. Prints `{}` when the node speaks on /diagnostics and its pictures
can be heard; then counts until none has come for `QUIET` seconds and prints one JSON object.
"""

import json
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

QUIET = 4.0
"""Seconds without a picture after which the stream has ended; diagnostics come every second."""

PATIENCE = 60.0
"""Seconds to wait for the first picture."""

COUNTS = ('frames_in', 'frames_out', 'frames_stale', 'frames_lost', 'frames_faulty')


class Counter(Node):
    """
    Counts pictures and reads the node's own counts.

    Args:
        name: Of the node that publishes masked/image.
    """

    def __init__(self, name: str) -> None:
        super().__init__('bench_counter')
        self._name = f'{name}: stream'  # behind the namespace
        self._stamps: set[tuple[int, int]] = set()
        self._last = time.monotonic() + PATIENCE
        self._counts: dict[str, int] = {}
        # As many as half a second holds: what is lost here would be blamed on the node.
        self._pictures = self.create_subscription(Image, 'masked/image', self._on_image, 15)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def wait(self) -> dict[str, int]:
        """Return the node's counts when it can be heard."""
        while not self._counts or not self.count_publishers(self._pictures.topic_name):
            self._executor.spin_once(0.1)
        return self._counts

    def count(self, before: dict[str, int]) -> dict[str, int]:
        """Count until the stream has ended; the node's counts are those since `before`."""
        self._last = time.monotonic() + PATIENCE
        while time.monotonic() < self._last + QUIET:
            self._executor.spin_once(0.1)
        return {'out': len(self._stamps),
                **{name: self._counts[name] - before[name] for name in COUNTS}}

    def _on_image(self, message: Image) -> None:
        self._stamps.add((message.header.stamp.sec, message.header.stamp.nanosec))
        self._last = time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(self._name):
                values = {entry.key: entry.value for entry in status.values}
                # Losses are 'not counted' by middlewares that do not number messages.
                self._counts = {name: int(values[name]) if values[name].isdigit() else 0
                                for name in COUNTS}


def main() -> None:
    """Count one stream."""
    try:
        rclpy.init()
        counter = Counter(rclpy.utilities.remove_ros_args(sys.argv)[1])
        before = counter.wait()
        print('{}', flush=True)
        print(json.dumps(counter.count(before)), flush=True)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
