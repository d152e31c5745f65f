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
Listens at both ends of the chain camera -> ivm_node and writes down what became of each frame.

It ends when the camera has sent its last frame and nothing more comes. Its standard output is for
the program that started it: one JSON object twice a second.
"""

from collections.abc import Callable
from dataclasses import dataclass
import json
from pathlib import Path
import sys
import time
from typing import Annotated, Any, Literal

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.config import check, Doc, Range
from ivm_ros.nodes.convert import to_rgb
from ivm_ros.nodes.params import Parameters
from ivm_sim.demo_pictures import save_pictures
from ivm_sim.demo_recording import Recording
from ivm_sim.nodes.play import play

QUIET = 1.5
"""Seconds without a frame after which none is waited for any more, once the camera is done."""
LASTING = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class RecorderConfig:
    """What is written where."""

    out: Annotated[str, Doc('Folder for frames.json and pictures.')] = 'demo'
    keep_every: Annotated[int, Range(1, None), Doc('Keep pictures of every so many frames.')] = 2
    rate: Annotated[float, Range(0.1, 200.0), Doc(
        'Frames per second of the camera, for the speed of the animation.')] = 10.0
    reliability: Annotated[Literal['reliable', 'best_effort'], Doc(
        'QoS of the image subscriptions.')] = 'reliable'
    depth: Annotated[int, Range(1, 100), Doc('QoS history depth.')] = 5

    def __post_init__(self) -> None:
        """Refuse wrong types, ranges and choices."""
        check(self)


class RecorderNode(Node):
    """
    Subscribes to what `camera_node` and `ivm_node` publish; frames have to be numbered.

    Attributes:
        recording (Recording): What came so far.
        finished (bool): No more will come.

    Raises:
        ConfigError, rclpy ParameterException: A setting is refused.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('recorder_node', **kwargs)
        settings = Parameters(self, [RecorderConfig], lambda: 'it is read at start only')
        for line in settings.unknown(self):
            self.get_logger().warning(line)
        self.config = settings.get(RecorderConfig)
        self.recording = Recording(self.config.keep_every)
        self.finished = False
        self._problem = ''
        self._last_frame = self._last_status = time.monotonic()
        self._qos = QoSProfile(
            depth=self.config.depth,
            reliability=ReliabilityPolicy[self.config.reliability.upper()])
        self._others = [self._listen(topic, use) for topic, use in (
            ('masked/image', self._on_masked), ('mask', self._on_mask),
            ('robot_mask', self._on_robot), ('truth/target', self._on_truth))]
        self._others += [
            self.create_subscription(DiagnosticArray, 'ivm_node/frame_info', self._on_info,
                                     self._qos),
            self.create_subscription(DiagnosticArray, 'camera_node/sent', self._on_sent, LASTING)]
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._waiting = self.create_timer(0.05, self._wait_for_others)
        self.create_timer(0.5, self._tell)

    def play(self) -> None:
        """Record until no more will come."""
        while not self.finished:
            rclpy.spin_once(self, timeout_sec=0.5)  # without, no signal is heard in silence

    def close(self) -> None:
        """Write what came, and pictures of it where there are any."""
        folder = Path(self.config.out)
        self.recording.save(folder / 'frames.json')
        save_pictures(self.recording, folder, self.config.rate)

    def _listen(self, topic: str, use: Callable[[int, Image, dict[str, Any]], None]) -> Any:
        def callback(message: Image, info: Any) -> None:  # rclpy gives a dict, typed otherwise
            number = self._number(message.header)
            if number is not None:
                use(number, message, info)
        return self.create_subscription(Image, topic, callback, self._qos)

    def _wait_for_others(self) -> None:
        """
        Subscribe to the camera when all else is connected.

        The camera waits for its subscribers: what it sends first has to get through as well.
        """
        if all(self.count_publishers(other.topic_name) for other in self._others):
            self.destroy_timer(self._waiting)
            self._listen('image', self._on_raw)

    def _number(self, header: Header) -> int | None:
        """Return the number that the camera gave a frame."""
        number = header.frame_id.rpartition('/')[2]
        if not number.isdecimal():
            self.get_logger().warning(
                f'a frame without a number came (frame_id {header.frame_id!r}): start the camera '
                f'with numbered:=true', once=True)
            return None
        return int(number)

    def _on_raw(self, number: int, message: Image, info: dict[str, Any]) -> None:
        self.recording.keep(number, 'raw', to_rgb(message))

    def _on_masked(self, number: int, message: Image, info: dict[str, Any]) -> None:
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        arrival = info.get('received_timestamp') or time.time_ns()
        self.recording.frame(number).latency_ms = (arrival - stamp) * 1e-6
        self.recording.keep(number, 'masked', to_rgb(message))
        self._last_frame = time.monotonic()

    def _on_mask(self, number: int, message: Image, info: dict[str, Any]) -> None:
        mask = _plane(message)
        self.recording.keep(number, 'mask', mask)
        self.recording.compare(number, mask=mask)

    def _on_robot(self, number: int, message: Image, info: dict[str, Any]) -> None:
        self.recording.keep(number, 'robot', _plane(message))

    def _on_truth(self, number: int, message: Image, info: dict[str, Any]) -> None:
        self.recording.compare(number, truth=_plane(message) > 0)

    def _on_info(self, message: DiagnosticArray) -> None:
        number = self._number(message.header)
        if number is None:
            return
        values = _values(message.status[0])
        frame = self.recording.frame(number)
        frame.outcome, frame.instruction = values['outcome'], values['instruction']
        frame.found = float(values['found_score']) if values['found_score'] else None

    def _on_sent(self, message: DiagnosticArray) -> None:
        self.recording.camera = _values(message.status[0])
        self._last_frame = time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith('ivm_node: stream'):  # behind its namespace
                self.recording.node = _values(status)
                self._problem = (status.message if status.level == DiagnosticStatus.ERROR else '')
                self._last_status = time.monotonic()

    def _tell(self) -> None:
        """Say how things are, and look whether all is over."""
        record = self.recording
        # The node's count of what it dropped has to be younger than the last frame.
        still = self._last_status - self._last_frame > QUIET
        self.finished = record.done and (record.arrived >= record.sent or still)
        facts = {'sent': record.sent, 'arrived': record.arrived, 'finished': self.finished,
                 'instruction': record.node.get('instruction', '') if record.arrived else '',
                 'problem': self._problem}
        sys.stdout.write(json.dumps(facts) + '\n')
        sys.stdout.flush()


def _values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def _plane(message: Image) -> np.ndarray:
    """Read a mono8 mask, uint8 [H, W]."""
    return np.ascontiguousarray(to_rgb(message)[..., 0])


def main(args: list[str] | None = None) -> None:
    """Record until the camera is done or Ctrl-C; then write."""
    play('recorder_node', RecorderNode, args)


if __name__ == '__main__':
    main()
