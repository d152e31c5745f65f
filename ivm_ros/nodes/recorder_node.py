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
`ivm_recorder`: episodes as bags, from `~/start` to `~/stop`, with just what retraining needs.

It listens, and hands over; `ivm_ros.recording` decides what is kept and writes it. Both services
are std_srvs/Trigger, and their answers name the bag.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Annotated, Any, Literal

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ivm_ros.config import check, Doc, Range
from ivm_ros.episode_bag import BagError, leftovers, load_rosbags
from ivm_ros.nodes.convert import to_compressed, to_rgb
from ivm_ros.nodes.outputs import image_qos
from ivm_ros.nodes.params import Parameters
from ivm_ros.nodes.recorder_health import recorder_status
from ivm_ros.nodes.run import run
from ivm_ros.recording import Entry, RecorderConfig, Recording, TEXT
from ivm_ros.terminal import printable

RAW, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'


@dataclass(frozen=True)
class ListenConfig:
    """How the recorder listens and reports."""

    reliability: Annotated[Literal['auto', 'reliable', 'best_effort'], Doc(
        'QoS of the image subscriptions: auto asks for reliable and takes best effort where a '
        'camera offers no more.')] = 'auto'
    depth: Annotated[int, Range(1, 100), Doc('QoS history depth of image topics.')] = 10
    diagnostics_period: Annotated[float, Range(0.1, 60.0), Doc(
        'Seconds between two messages on /diagnostics.')] = 1.0

    def __post_init__(self) -> None:
        """Refuse wrong types, ranges and choices."""
        check(self)


class CameraTopic:
    """
    One topic of pictures, heard as bytes.

    Args:
        node: Owns the subscription.
        topic: Its name; pictures are CompressedImage where it ends in /compressed.
        config: QoS.
        take: Called with the topic's full name, its type and the bytes of each picture.
    """

    def __init__(self, node: Node, topic: str, config: ListenConfig,
                 take: Callable[[str, str, bytes], None]) -> None:
        self._node, self._given, self._config, self._take = node, topic, config, take
        self._refused = False
        self._heard = self._subscribe(
            'best_effort' if config.reliability == 'best_effort' else 'reliable')
        self.name = self._heard.topic_name

    def look(self) -> None:
        """Listen to a best-effort camera as it offers."""
        if self._refused and self._config.reliability == 'auto':
            self._refused = False
            self._node.destroy_subscription(self._heard)
            self._heard = self._subscribe('best_effort')
        elif self._refused:
            self._node.get_logger().warning(
                f'a camera on {self.name} offers best effort only, no picture will come: set '
                'reliability to auto', once=True)

    def _subscribe(self, reliability: str) -> Subscription:
        kind = CompressedImage if self._given.endswith('/compressed') else Image
        return self._node.create_subscription(
            kind, self._given, self._on_bytes, image_qos(reliability, self._config.depth),
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_refused))

    def _on_refused(self, event: Any) -> None:
        self._refused = True

    def _on_bytes(self, data: bytes) -> None:
        self._take(self.name, COMPRESSED if self._given.endswith('/compressed') else RAW, data)


class RecorderNode(Node):
    """
    The node; it is idle until `~/start`.

    Raises:
        ConfigError, rclpy ParameterException: A wrong setting.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('ivm_recorder', **kwargs)
        self._settings = Parameters(self, [RecorderConfig, ListenConfig],
                                    lambda: 'it is read at start only')
        for line in self._settings.unknown(self):
            self.get_logger().warning(line)
        config, listen = self._settings.get(RecorderConfig), self._settings.get(ListenConfig)
        self._recording: Recording | None = None
        self._error = self._text = ''
        try:
            load_rosbags()
        except BagError as error:  # the start will fail; it is said now
            self._error = str(error)
            self.get_logger().error(self._error)
        self._running = False  # until somebody was told how the recording ended
        for durability in (DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE):
            # Twice: a transient local subscription alone would not hear volatile publishers.
            heard = self.create_subscription(String, 'instruction', self._on_instruction,
                                             QoSProfile(depth=10, durability=durability))
        self._asked: str = heard.topic_name
        # After the instruction: rclpy serves what came together in this order, and an instruction
        # that came with a picture holds for it.
        self._cameras = [CameraTopic(self, topic, listen, self._on_picture)
                         for topic in config.images]
        self.create_service(Trigger, '~/start', self._on_start)
        self.create_service(Trigger, '~/stop', self._on_stop)
        self._health = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(listen.diagnostics_period, self._tick,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))
        folder = Path(config.folder).expanduser().absolute()
        for part in leftovers(folder):
            self.get_logger().warning(f'{part} is an episode that was cut off: delete it, or mend '
                                      'the .mcap in it by "mcap recover"')
        self.get_logger().info(
            f'ready to record {", ".join(camera.name for camera in self._cameras)} and '
            f'{self._asked} to {folder}: call {self.get_fully_qualified_name()}/start')

    def close(self) -> None:
        """Bring what is being recorded to its end."""
        if self._recording is not None and self._running:
            self._recording.close()
            done = self._recording.wait(30.0)
            # Not by the logger: ROS may have shut down already.
            print(f'ivm_recorder: {self._recording.sentence() if done else "disk too slow"}',
                  flush=True)

    def _on_picture(self, topic: str, kind: str, data: bytes) -> None:
        if self._recording is not None and self._running:
            self._recording.put(Entry(topic, kind, self._now(), data))

    def _on_instruction(self, message: String) -> None:
        if message.data == self._text:
            return
        self._text = message.data
        if self._recording is not None and self._running:
            self._recording.say(self._instruction())

    def _instruction(self) -> Entry:
        return Entry(self._asked, TEXT, self._now(), serialize_message(String(data=self._text)))

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_start(self, request: Trigger.Request, response: Trigger.Response
                  ) -> Trigger.Response:
        last = self._recording
        if last is not None and not last.finished:
            response.message = f'{last.path} is being written: call stop, and wait for its answer'
            return response
        config = self._settings.get(RecorderConfig)
        try:
            self._recording = Recording(config, self._asked, self._instruction()
                                        if self._text.strip() else None, self._encoder(config))
        except BagError as error:
            self._recording, self._running, self._error = None, False, str(error)
            response.message = self._error
            self.get_logger().error(self._error)
            return response
        self._running, self._error = True, ''
        said = f', "{printable(self._text)}"' if self._text.strip() else '; no instruction yet'
        response.success, response.message = True, f'recording to {self._recording.path}{said}'
        self.get_logger().info(response.message)
        return response

    async def _on_stop(self, request: Trigger.Request, response: Trigger.Response
                       ) -> Trigger.Response:
        recording = self._recording
        if recording is None or not self._running:
            last = self._error or (f'the last: {recording.sentence()}' if recording else
                                   'call start')
            response.message = f'nothing is being recorded; {last}'
            return response
        recording.close()
        await self._end_of(recording)
        response.success, response.message = not recording.failure, recording.sentence()
        if self._recording is recording:
            self._conclude(recording)
        return response

    def _end_of(self, recording: Recording) -> 'Future[None]':  # quoted: no generic in Jazzy
        """Wait in a thread: a slow disk must not keep the node from its other work."""
        future: Future[None] = Future()

        def work() -> None:
            recording.wait()
            future.set_result(None)
            if self.executor is not None:
                self.executor.wake()

        Thread(target=work, name='stop', daemon=True).start()
        return future

    def _conclude(self, recording: Recording) -> None:
        """Say in the log how a recording ended, once."""
        if not self._running:
            return
        self._running = False
        if recording.failure:
            self.get_logger().error(recording.failure)
        elif recording.reason:
            self.get_logger().warning(recording.sentence())
        else:
            self.get_logger().info(recording.sentence())

    def _encoder(self, config: RecorderConfig) -> Callable[[Entry], Entry]:
        """Give what turns a picture that came into what is written."""
        def encode(entry: Entry) -> Entry:
            if entry.kind == COMPRESSED or not config.jpeg_quality:
                return entry
            image = deserialize_message(entry.data, Image)
            jpeg = to_compressed(to_rgb(image), image.header, config.jpeg_quality)
            return Entry(f'{entry.topic}/compressed', COMPRESSED, entry.stamp,
                         serialize_message(jpeg))

        return encode

    def _tick(self) -> None:
        for camera in self._cameras:
            camera.look()
        recording = self._recording
        status = recorder_status(
            self.get_name(), recording, self._error, self._text,
            {camera.name: self.count_publishers(camera.name) for camera in self._cameras})
        if recording is not None and recording.finished:
            self._conclude(recording)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._health.publish(message)


def main(args: list[str] | None = None) -> None:
    """Run until Ctrl-C or a shutdown request; what is being recorded becomes a bag."""
    run('ivm_recorder', RecorderNode, args)


if __name__ == '__main__':
    main()
