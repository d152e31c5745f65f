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
The policy's end of `ivm bench soak`: how many pictures came out of a node, and how late.

The argument is the node's name. Prints `{}` when the node speaks on /diagnostics and its pictures
can be heard; then, for each line on stdin, one JSON object about the time since the line before:
pictures, the median and 99th percentile of their age, ms, and what the node counted so far.
"""

import json
import sys
from threading import Lock, Thread
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image


class Watch(Node):
    """
    Takes pictures and notes their age; for cameras that stamp with the system's time.

    Args:
        name: Of the node that publishes masked/image.
    """

    def __init__(self, name: str) -> None:
        super().__init__('soak_watch')
        self._name = f'{name}: stream'  # behind the namespace
        self._lock = Lock()
        self._ages: list[float] = []
        self.counts: dict[str, int] = {}
        self.pictures = self.create_subscription(Image, 'masked/image', self._on_image, 15)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def report(self) -> dict[str, Any]:
        """Sum up the time since the last report."""
        with self._lock:
            ages, self._ages = self._ages, []
        median, high = np.percentile(ages, (50, 99)) if ages else (0.0, 0.0)
        return {'pictures': len(ages), 'latency_ms_median': round(float(median), 2),
                'latency_ms_p99': round(float(high), 2), 'counts': self.counts}

    def _on_image(self, message: Image) -> None:
        stamp = message.header.stamp
        with self._lock:
            self._ages.append(1e3 * (time.time() - stamp.sec - 1e-9 * stamp.nanosec))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(self._name):
                self.counts = {pair.key.removeprefix('frames_'): int(pair.value)
                               for pair in status.values
                               if pair.key.startswith('frames_') and pair.value.isdigit()}


def spin(node: Node) -> None:
    """Serve ROS until it ends."""
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


def main() -> None:
    """Answer lines on stdin until it ends."""
    try:
        rclpy.init()
        watch = Watch(rclpy.utilities.remove_ros_args(sys.argv)[1])
        Thread(target=spin, args=(watch,), daemon=True).start()
        while not watch.counts or not watch.count_publishers(watch.pictures.topic_name):
            time.sleep(0.1)
        print('{}', flush=True)
        for _ in sys.stdin:
            print(json.dumps(watch.report()), flush=True)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
