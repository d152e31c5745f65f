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
Several cameras, and what comes back of their pictures, for `ivm bench cameras`.

Arguments: the name of the node, ticks, rate in Hz, width, height, and the names of the cameras.
Prints `{}` when each camera is heard and answers; then, for each line on stdin, sends a picture
of every camera at every tick and prints one JSON object: what became of them.
"""

from collections.abc import Sequence
import json
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import stamp_ns, to_msg

COUNTS = ('frames_in', 'frames_out', 'frames_stale', 'frames_lost', 'frames_faulty')
BATCH = ('batches', 'frames')
QUIET = 10.0
"""Seconds without a picture after which no more are waited for."""


class Eyes(Node):
    """
    Cameras of one process, and their policy.

    Args:
        name: Of the node that masks.
        cameras: Their names.
        size: (height, width) of the pictures.
    """

    def __init__(self, name: str, cameras: Sequence[str], size: tuple[int, int]) -> None:
        super().__init__('bench_eyes')
        self._name, self._cameras = name, cameras
        self._eyes = {camera: self.create_publisher(Image, f'{camera}/image', 10)
                      for camera in cameras}
        self._ears = [self.create_subscription(
            Image, f'{camera}/masked/image',
            lambda message, camera=camera: self._on_reply(camera, message), 30)
            for camera in cameras]
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        rng = np.random.default_rng(0)
        # Noise of some structure; speed does not depend much on what is shown.
        self._pixels = [np.kron(rng.integers(0, 256, (size[0] // 16, size[1] // 16, 3), np.uint8),
                                np.ones((16, 16, 1), np.uint8)) for _ in range(8)]
        self._sent: dict[tuple[str, int], float] = {}
        self._ms: list[float] = []
        self._last = 0.0
        self._statuses: dict[str, dict[str, str]] = {}
        self._heard = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def wait(self) -> None:
        """Return when every camera is heard, answers, and stands on /diagnostics."""
        while (not all(eye.get_subscription_count() for eye in self._eyes.values())
               or not all(self.count_publishers(ear.topic_name) for ear in self._ears)
               or len(self._statuses) <= len(self._cameras)):
            self._executor.spin_once(0.1)

    def run(self, ticks: int, rate: float) -> dict[str, Any]:
        """
        Send a picture of every camera at every tick.

        Returns:
            `sent`, `back` (pictures that came back), `ms` (from publishing to the reply: median
            and 99th percentile), and the node's own counts, summed over cameras.
        """
        before = self._counts()
        self._sent.clear()
        self._ms.clear()
        begin = time.monotonic()
        for tick in range(ticks):
            while (left := begin + tick / rate - time.monotonic()) > 0:
                self._executor.spin_once(left)
            stamp = time.time_ns()
            for number, camera in enumerate(self._cameras):
                header = Header(frame_id=camera)
                header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
                pixels = self._pixels[(tick + number) % len(self._pixels)]
                self._sent[camera, stamp] = time.perf_counter()
                self._eyes[camera].publish(to_msg(pixels, header))
        self._last = time.monotonic()
        while self._sent and time.monotonic() < self._last + QUIET:
            self._executor.spin_once(0.1)
        after = self._counts()
        counts = {name: after[name] - before[name] for name in after}
        median, high = np.percentile(self._ms, (50, 99)) if self._ms else (np.nan, np.nan)
        return {'sent': ticks * len(self._cameras), 'back': len(self._ms),
                'ms': [float(median), float(high)], **counts}

    def _on_reply(self, camera: str, message: Image) -> None:
        sent = self._sent.pop((camera, stamp_ns(message.header)), None)
        if sent is not None:
            self._ms.append((time.perf_counter() - sent) * 1e3)
            self._last = time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        mine = {status.name.rpartition(': ')[2]: {pair.key: pair.value for pair in status.values}
                for status in message.status
                if status.name.rpartition(': ')[0].endswith(self._name)}
        if mine:
            self._statuses = mine
            self._heard += 1

    def _counts(self) -> dict[str, int]:
        """Return counts that are newer than this call, summed over cameras."""
        heard = self._heard
        while self._heard < heard + 2:
            self._executor.spin_once(0.1)
        # Losses are 'not counted' by middlewares that do not number messages.
        sums = {name: sum(int(self._statuses[camera][name]) for camera in self._cameras
                          if self._statuses[camera][name].isdigit()) for name in COUNTS}
        return {**sums, **{f'batch_{name}': int(self._statuses['batch'][name])
                           for name in BATCH}}


def main() -> None:
    """Answer lines on stdin until it ends."""
    try:
        rclpy.init()
        name, ticks, rate, width, height, *cameras = rclpy.utilities.remove_ros_args(sys.argv)[1:]
        eyes = Eyes(name, cameras, (int(height), int(width)))
        eyes.wait()
        print('{}', flush=True)
        for _ in sys.stdin:
            print(json.dumps(eyes.run(int(ticks), float(rate))), flush=True)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
