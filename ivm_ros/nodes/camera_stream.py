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
"""One camera of `ivm_node`, from activate to deactivate: its messages in, its messages out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import time

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ivm_ros.deploy import DeployConfig
from ivm_ros.nodes.camera import image_size
from ivm_ros.nodes.camera_settings import CameraSettings
from ivm_ros.nodes.depth import DepthMasker
from ivm_ros.nodes.listener import Listener, Message
from ivm_ros.nodes.masking import Frame, FrameMasker, Job
from ivm_ros.nodes.model import SharedModel
from ivm_ros.nodes.outputs import image_qos, Outputs
from ivm_ros.nodes.stats import Pace, Stats
from ivm_ros.sample import Mask
from ivm_ros.terminal import printable

QUIET = 10.0
"""Seconds until the same warning is logged again."""


@dataclass(frozen=True)
class Arrival:
    """A message, and when it came by the steady clock, s."""

    message: Message
    time: float


class CameraStream:
    """
    Subscriptions, outputs and counts of a camera, and what `hold` and tracking remember of it.

    Args:
        node: Owns the subscriptions.
        settings: What holds for this camera, read anew for each frame.
        model: Masks its pictures, in the thread of keyframes.
        outputs: Where frames go.
        waiting: Takes each frame that is to be masked; called by the executor.
        stop: Called with the reason when the model failed and `on_fault` is stop.

    Attributes:
        stats (Stats): Counts what becomes of its frames.
        problem (str): What is wrong with the last frame, '' for nothing.
        broken (str): How the model failed at the last frame, '' where it did not.
    """

    def __init__(self, node: Node, settings: CameraSettings, model: SharedModel, outputs: Outputs,
                 waiting: Callable[['CameraStream', Arrival], None],
                 stop: Callable[[str], None]) -> None:
        self.name, self.settings, self.outputs = settings.name, settings, outputs
        self._node, self._waiting, self._stop = node, waiting, stop
        self.stats = Stats()
        self._frames = FrameMasker(model, model.carrier)
        self._pace = Pace()
        self._info: CameraInfo | None = None
        self._closed = False
        self._fault = self.problem = self.broken = ''
        self._warned: dict[str, float] = {}
        config, _ = settings.now
        here = f'{self.name}/' if self.name else ''
        kind, topic = ((CompressedImage, 'image/compressed') if config.compressed_input
                       else (Image, 'image'))
        self._images = Listener(node, config, kind, here + topic, self._on_frame)
        # Best effort hears every camera, and these messages are too small to get lost.
        self._infos = node.create_subscription(
            CameraInfo, f'{here}camera_info', self._on_info,
            image_qos('best_effort', config.depth))
        self._depth: DepthMasker | None = None
        self._depths: Listener | None = None
        if outputs.depth is not None:
            self._depth = DepthMasker(outputs.depth.publish, lambda: settings.now[0].depth_slop,
                                      partial(self._warn, 'depth'))
            self._depths = Listener(node, config, Image, f'{here}depth', self._depth.arrived)

    @property
    def topic(self) -> str:
        """Full name of the camera's topic."""
        return self._images.topic

    @property
    def masks(self) -> bool:
        """Its frames are to be masked; else they pass on as they came."""
        return self.settings.now[0].enabled

    @property
    def facts(self) -> dict[str, str]:
        """What diagnostics show about keyframes and depth, where there are any."""
        return {**self._frames.facts, **(self._depth.facts if self._depth is not None else {})}

    def unsubscribe(self) -> None:
        """Let no further message in."""
        self._node.destroy_subscription(self._infos)
        for listener in (self._images, self._depths):
            if listener is not None:
                listener.close()

    def close(self, timeout: float) -> bool:
        """Publish nothing more, end the thread of keyframes; False if that takes too long."""
        self._closed = True
        return self._frames.close(timeout)

    def look(self) -> tuple[int, bool]:
        """Look after the subscriptions; as `Listener.look` for that of the pictures."""
        if self._depths is not None:
            self._depths.look()
        return self._images.look()

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_frame(self, message: Message, lost: int) -> None:
        if not self.stats.started:
            size = f'{message.width} x {message.height} {message.encoding}' if isinstance(
                message, Image) else message.format
            self._node.get_logger().info(f'first frame from {self.topic}: {printable(size)}')
        self.stats.arrived(lost)
        now = time.monotonic()
        if not self._pace.allows(now, self.settings.now[0].max_rate):
            self.stats.count('skipped')
            return
        arrival = Arrival(message, now)
        # What is not masked waits for no model. A single camera's frames keep their order.
        if self.masks or not self.name or self.begin(arrival) is not None:
            self._waiting(self, arrival)

    def begin(self, arrival: Arrival) -> Job | None:
        """
        Take on a frame.

        Returns:
            What the model is to mask for `finish`; None where the frame is done with.
        """
        wanted = self.outputs.wanted()
        if not wanted:
            self.stats.count('unwatched')
            return None
        config, deploy = self.settings.now
        try:
            begun = self._frames.begin(arrival.message, config, deploy, wanted.show,
                                       self.settings.track)
            if isinstance(begun, Job):
                return begun
            self._send(begun, Job(arrival.message, config, deploy), arrival)
        except Exception as error:  # noqa: BLE001 - this thread has to outlive every frame
            self._drop(error)
        return None

    def finish(self, job: Job, arrival: Arrival, made: Mask | Exception) -> None:
        """Send what the model's mask, or its error, makes of a frame."""
        try:
            self._send(self._frames.finish(job, made), job, arrival)
        except Exception as error:  # noqa: BLE001 - this thread has to outlive every frame
            self._drop(error)

    def _send(self, frame: Frame, job: Job, arrival: Arrival) -> None:
        if self._closed:
            return
        header, config, deploy = job.message.header, job.node, job.deploy
        self.outputs.pictures(frame, header, config, self._info)
        latency_ms = 1e3 * (time.monotonic() - arrival.time)
        if self._depth is not None:
            self._depth.shown(frame, header)
        self.outputs.masks(frame, header, config)
        self.outputs.reports(frame, header, config, deploy, latency_ms)
        self._note(frame, deploy, latency_ms)

    def _drop(self, error: Exception) -> None:
        if self._node.context.ok():  # else ROS is shutting down under us
            self._say(f'frame dropped: {type(error).__name__}: {error}')
            self.stats.count('faults')
            self.stats.left('dropped', 0.0)

    def _note(self, frame: Frame, deploy: DeployConfig, latency_ms: float) -> None:
        """Count and, where something is wrong, say what became of a frame."""
        mask = frame.mask
        self.stats.left(frame.outcome, latency_ms,
                        None if mask is None else mask.found >= deploy.found_threshold)
        if frame.fault:
            self.stats.count('faults')
            self._say(f'frame {frame.outcome}, not masked: {frame.reason}')
        else:
            self._fault = ''
        for remark in frame.remarks:
            self._warn('remark', remark)
        if self.broken and frame.mask is not None:
            self._node.get_logger().info(self._named('the model is back'))
        self.problem = '' if frame.broken else self._fault
        self.broken = f'frames are {frame.outcome}, not masked: {frame.reason}' * frame.broken
        if frame.broken and self.settings.now[0].on_fault == 'stop':
            self._stop(frame.reason)
        if self._info is not None and frame.image is not None:
            size = image_size(self._info)
            if size not in ((0, 0), frame.image.shape[:2]):
                self.problem = (f'camera_info is for {size[1]} x {size[0]}, the image has '
                                f'{frame.image.shape[1]} x {frame.image.shape[0]}')
                self._warn('camera_info', self.problem)

    def _say(self, text: str) -> None:
        """Log a new fault at once and a lasting one now and then."""
        if text != self._fault:
            self._fault = text
            self._warned.pop('fault', None)
        self._warn('fault', text)

    def _warn(self, kind: str, text: str) -> None:
        """Log now and then; not by the logger's own throttle, which all cameras would share."""
        text = printable(text)  # a message may have had a hand in it
        now = time.monotonic()
        if now >= self._warned.get(kind, -QUIET) + QUIET:
            self._warned[kind] = now
            self._node.get_logger().warning(self._named(text))

    def _named(self, text: str) -> str:
        return f'{self.name}: {text}' if self.name else text
