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
A simulated camera that publishes a scene in motion, instructions about it, and the truth.

Every frame is stamped with the time it is sent and, with `numbered`, carries its number in
frame_id, so that whoever gets it, however late or masked, can tell which were lost.
"""

from collections import deque
import math
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from ivm_ros.nodes.convert import to_msg
from ivm_ros.nodes.params import Parameters
from ivm_sim.nodes.camera_config import CameraConfig
from ivm_sim.nodes.play import play

SETTLE = 0.5
"""Seconds between the last subscriber's coming and the first frame: both ends have to know."""
PATIENCE = Duration(seconds=10)  # at the end, until subscribers have got everything


class CameraNode(Node):
    """
    Publishes `image`, `camera_info`, `instruction`, `truth/target`, `truth/robot` and `~/sent`.

    Raises:
        ConfigError, GLError, rclpy ParameterException: A setting that cannot be met.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('camera_node', **kwargs)
        # Imported late: where nothing renders, this raises GLError, and `play` says what to do.
        from ivm_sim.demo_scene import DemoScene

        settings = Parameters(self, [CameraConfig], lambda: 'it is read at start only')
        for line in settings.unknown(self):
            self.get_logger().warning(line)
        self.config = settings.get(CameraConfig)
        self._scene = DemoScene(self.config.seed)
        qos = QoSProfile(depth=self.config.depth,
                         reliability=ReliabilityPolicy[self.config.reliability.upper()])
        lasting = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._image = self.create_publisher(Image, 'image', qos)
        self._info = self.create_publisher(CameraInfo, 'camera_info', qos)
        self._instruction = self.create_publisher(String, 'instruction', lasting)
        self._target = self.create_publisher(Image, 'truth/target', qos)
        self._robot = self.create_publisher(Image, 'truth/robot', qos)
        self._log = self.create_publisher(DiagnosticArray, '~/sent', lasting)
        self._said = -1
        self._render_ms: deque[float] = deque(maxlen=300)
        self.sent = self.late = 0
        for sentence in self._scene.sentences:
            self.get_logger().info(f'in view for: {sentence.text}')

    def play(self) -> None:
        """Publish until the count or the shutdown; serve parameters meanwhile."""
        self._wait()
        begin, logged = time.monotonic(), 0.0
        while not self.config.count or self.sent < self.config.count:
            image, due = self._draw(), self.sent / self.config.rate
            if time.monotonic() - begin > due + 0.005:
                self.late += self.sent > 0
                begin = time.monotonic() - due  # no bursts to catch up: a camera has none
            self._spin(begin + due)
            self._publish(image)
            if time.monotonic() - logged >= 1.0:
                logged = time.monotonic()
                self._report(done=False)
        self._report(done=True)
        for publisher in (self._image, self._target, self._robot, self._log):
            publisher.wait_for_all_acked(PATIENCE)

    def close(self) -> None:
        """Free the GL contexts."""
        self._scene.close()

    def _wait(self) -> None:
        """Send the first instruction, then wait for subscribers, on both ends."""
        self._say(0)
        while self._image.get_subscription_count() < self.config.wait_for:
            rclpy.spin_once(self, timeout_sec=0.05)
        if self.config.wait_for:
            self._spin(time.monotonic() + SETTLE)

    def _spin(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)

    def _draw(self) -> np.ndarray:
        start = time.monotonic()
        self._scene.move(self.sent / self.config.rate)
        image = self._scene.render(self.config.height, self.config.width)
        self._render_ms.append(1e3 * (time.monotonic() - start))
        return image

    def _say(self, sentence: int) -> None:
        """Send an instruction where it is a new one."""
        if sentence != self._said:
            self._said = sentence
            self._instruction.publish(String(data=self._scene.sentences[sentence].text))

    def _publish(self, image: np.ndarray) -> None:
        config = self.config
        if config.change_every:
            self._say(self.sent // config.change_every % len(self._scene.sentences))
        number = f'/{self.sent}' if config.numbered else ''
        header = Header(stamp=self.get_clock().now().to_msg(),
                        frame_id=f'{config.frame_id}{number}')
        self._image.publish(to_msg(image, header))
        self._info.publish(camera_info(config.height, config.width, self._scene.fovy, header))
        if self.sent % config.truth_every == 0:
            self._publish_truth(header)
        self.sent += 1

    def _publish_truth(self, header: Header) -> None:
        """Publish small masks of what the instruction means, where somebody subscribes."""
        publishers = self._target, self._robot
        if not any(publisher.get_subscription_count() for publisher in publishers):
            return
        height = self.config.truth_height
        width = round(height * self.config.width / self.config.height)
        planes = self._scene.truth(self._said, height, width)
        for publisher, plane in zip(publishers, planes, strict=True):
            publisher.publish(to_msg(plane.astype(np.uint8) * 255, header, 'mono8'))

    def _report(self, done: bool) -> None:
        """Say how many frames were sent so far: what got lost can only be told from here."""
        values = {'sent': self.sent, 'late': self.late, 'done': done,
                  'render_ms': f'{np.median(self._render_ms):.1f}'}
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK, name='camera_node: sent',
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._log.publish(message)


def camera_info(height: int, width: int, fovy: float, header: Header) -> CameraInfo:
    """Describe the pinhole camera of the simulation; `fovy` is vertical, radians."""
    focal = height / 2 / math.tan(fovy / 2)
    p = np.array([[focal, 0, (width - 1) / 2, 0], [0, focal, (height - 1) / 2, 0], [0, 0, 1, 0]])
    return CameraInfo(header=header, height=height, width=width, distortion_model='plumb_bob',
                      d=[0.0] * 5, k=p[:, :3].ravel(), r=np.eye(3).ravel(), p=p.ravel())


def main(args: list[str] | None = None) -> None:
    """Publish until the count is reached or Ctrl-C."""
    play('camera_node', CameraNode, args)


if __name__ == '__main__':
    main()
