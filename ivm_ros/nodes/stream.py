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
"""The live part of `ivm_node`: from activate to deactivate it turns messages into messages."""

from collections.abc import Callable
from functools import partial
import time
from typing import Any, TypeAlias

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ivm_ros.deploy import DeployConfig
from ivm_ros.nodes.camera import image_size
from ivm_ros.nodes.masking import Frame, FrameMasker
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.nodes.outputs import image_qos, Outputs
from ivm_ros.nodes.params import Parameters
from ivm_ros.nodes.stats import Gaps, Stats
from ivm_ros.nodes.worker import NewestFirst
from ivm_ros.tracker import TrackConfig

GRACE = 1.0
"""Seconds that the frame at work has to finish when the stream ends."""

QUIET = 10.0
"""Seconds until the same warning is logged again."""

Message: TypeAlias = Image | CompressedImage


class Stream:
    """
    Subscriptions, the worker thread and what it does to each frame.

    Args:
        node: Owns the subscriptions.
        settings: NodeConfig, DeployConfig and TrackConfig, read anew for each frame.
        masker: What becomes of a message.
        outputs: Where it goes.
        stats: Counts it.
        stop: Called with the reason, in the worker thread, when the model failed and `on_fault`
            is stop.

    Attributes:
        problem (str): What is wrong with the last frame, '' for nothing.
        broken (str): How the model failed at the last frame, '' where it did not.
    """

    def __init__(self, node: Node, settings: Parameters, masker: FrameMasker, outputs: Outputs,
                 stats: Stats, stop: Callable[[str], None]) -> None:
        self._node, self._settings, self._stats = node, settings, stats
        self._masker, self._outputs, self._stop = masker, outputs, stop
        config = settings.get(NodeConfig)
        self._gaps = Gaps()
        self._info: CameraInfo | None = None
        self._refused = self._closed = False
        self._fault = self.problem = self.broken = ''
        self._worker = NewestFirst(self._process, partial(stats.count, 'stale'))
        self._frames = self._subscribe(
            'best_effort' if config.reliability == 'best_effort' else 'reliable')
        # Best effort hears every camera, and these messages are too small to get lost.
        self._infos = node.create_subscription(
            CameraInfo, 'camera_info', self._on_info, image_qos('best_effort', config.depth))

    @property
    def topic(self) -> str:
        """Full name of the camera's topic."""
        return self._frames.topic_name

    def close(self) -> None:
        """Unsubscribe, let the frame at work finish if it can, forget the waiting one."""
        for subscription in (self._frames, self._infos):
            self._node.destroy_subscription(subscription)
        ended = self._worker.stop(GRACE)
        self._closed = True  # what comes late is not published any more
        if not (self._masker.close(GRACE / 2) and ended):
            self._node.get_logger().warning(
                'the model did not come back in time: the frame at work is left behind')

    def look(self) -> tuple[int, bool]:
        """
        Look after the camera subscription.

        Returns:
            How many publish on its topic, and whether losses can be counted.
        """
        if self._refused and self._settings.get(NodeConfig).reliability == 'auto':
            self._refused = False
            self._node.get_logger().info(
                f'{self.topic}: the camera offers best effort only, listening so')
            self._node.destroy_subscription(self._frames)
            self._frames = self._subscribe('best_effort')
        publishers = self._node.count_publishers(self.topic)
        self._gaps.mixed = publishers > 1
        return publishers, self._gaps.counts

    def _subscribe(self, reliability: str) -> Subscription:
        config = self._settings.get(NodeConfig)
        kind, topic = ((CompressedImage, 'image/compressed') if config.compressed_input
                       else (Image, 'image'))
        return self._node.create_subscription(
            kind, topic, self._on_frame, image_qos(reliability, config.depth),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_refused))

    def _on_refused(self, event: Any) -> None:
        self._refused = True
        if self._settings.get(NodeConfig).reliability != 'auto':
            self._node.get_logger().warning(
                f'a camera on {self.topic} offers no QoS that this node accepts, no frame will '
                f'come: set reliability to auto')

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_frame(self, message: Message, info: Any) -> None:
        source = info.get('publisher_gid')  # only since Kilted
        if not self._stats.started:
            size = f'{message.width} x {message.height} {message.encoding}' if isinstance(
                message, Image) else message.format
            self._node.get_logger().info(f'first frame from {self.topic}: {size}')
        self._stats.arrived(self._gaps.add(source and bytes(source['data']),
                                           info.get('publication_sequence_number')))
        self._worker.put((message, time.monotonic()))

    def _process(self, item: tuple[Message, float]) -> None:
        message, arrived = item
        wanted = self._outputs.wanted()
        if not wanted:
            self._stats.count('unwatched')
            return
        config, deploy = self._settings.get(NodeConfig), self._settings.get(DeployConfig)
        try:
            frame = self._masker(message, config, deploy, wanted.show,
                                 self._settings.get(TrackConfig))
            if self._closed:
                return
            self._outputs.pictures(frame, message.header, config, self._info)
            latency_ms = 1e3 * (time.monotonic() - arrived)
            self._outputs.masks(frame, message.header, config)
            self._outputs.reports(frame, message.header, config, deploy, latency_ms)
        except Exception as error:  # noqa: BLE001 - this thread has to outlive every frame
            if self._node.context.ok():  # else ROS is shutting down under us
                self._say(f'frame dropped: {type(error).__name__}: {error}')
                self._stats.count('faults')
                self._stats.left('dropped', 0.0)
            return
        self._note(frame, deploy, latency_ms)

    def _note(self, frame: Frame, deploy: DeployConfig, latency_ms: float) -> None:
        """Count and, where something is wrong, say what became of a frame."""
        mask = frame.mask
        self._stats.left(frame.outcome, latency_ms,
                         None if mask is None else mask.found >= deploy.found_threshold)
        if frame.fault:
            self._stats.count('faults')
            self._say(f'frame {frame.outcome}, not masked: {frame.reason}')
        else:
            self._fault = ''
        for remark in frame.remarks:
            self._node.get_logger().warning(remark, throttle_duration_sec=QUIET)
        if self.broken and frame.mask is not None:
            self._node.get_logger().info('the model is back')
        self.problem = '' if frame.broken else self._fault
        self.broken = f'frames are {frame.outcome}, not masked: {frame.reason}' * frame.broken
        if frame.broken and self._settings.get(NodeConfig).on_fault == 'stop':
            self._stop(frame.reason)
        if self._info is not None and frame.image is not None:
            size = image_size(self._info)
            if size not in ((0, 0), frame.image.shape[:2]):
                self.problem = (f'camera_info is for {size[1]} x {size[0]}, the image has '
                                f'{frame.image.shape[1]} x {frame.image.shape[0]}')
                self._node.get_logger().warning(self.problem, throttle_duration_sec=QUIET)

    def _say(self, text: str) -> None:
        """Log a new fault at once and a lasting one now and then."""
        if text != self._fault:
            self._fault = text
            self._node.get_logger().warning(text)
        else:
            self._node.get_logger().warning(text, throttle_duration_sec=QUIET)
