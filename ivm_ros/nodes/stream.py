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

from collections.abc import Callable, Mapping
from functools import partial
import time

from rclpy.node import Node

from ivm_ros.nodes.batches import Batches
from ivm_ros.nodes.camera_settings import CameraSettings
from ivm_ros.nodes.camera_stream import Arrival, CameraStream
from ivm_ros.nodes.convert import stamp_ns
from ivm_ros.nodes.masking import Job
from ivm_ros.nodes.model import mask_each, SharedModel
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.nodes.outputs import Outputs
from ivm_ros.nodes.params import Parameters
from ivm_ros.nodes.stats import BatchStats
from ivm_ros.nodes.sync import Synchroniser

GRACE = 0.5
"""Seconds that the frames at work have to finish when the stream ends."""


class Stream:
    """
    The cameras, and the thread that masks their frames together.

    Args:
        node: Owns the subscriptions.
        settings: NodeConfig of the node.
        model: Masks the pictures of all cameras.
        cameras: What holds for each camera, and where its frames go.
        stop: Called with the reason, in the worker thread, when the model failed and `on_fault`
            is stop.
    """

    def __init__(self, node: Node, settings: Parameters, model: SharedModel,
                 cameras: Mapping[CameraSettings, Outputs], stop: Callable[[str], None]) -> None:
        self._node, self._settings, self._model = node, settings, model
        self.batches = BatchStats()
        self.cameras: dict[str, CameraStream] = {}
        self._sync: Synchroniser[Arrival] = Synchroniser(partial(self._count, 'unsynced'))
        self._worker: Batches[Arrival] = Batches(
            self._process, partial(self._count, 'stale'),
            lambda: self._config.batch_window / 1e3, self._masked)
        for camera, outputs in cameras.items():
            self.cameras[camera.name] = CameraStream(node, camera, model, outputs, self._wait,
                                                     stop)

    @property
    def _config(self) -> NodeConfig:
        return self._settings.get(NodeConfig)

    def close(self) -> None:
        """Unsubscribe, let the frames at work finish if they can, forget the waiting ones."""
        for camera in self.cameras.values():
            camera.unsubscribe()
        ended = [self._worker.stop(GRACE)]
        patience = GRACE / 2 / len(self.cameras)
        ended += [camera.close(patience) for camera in self.cameras.values()]
        if not all(ended) and self._node.context.ok():
            self._node.get_logger().warning(
                'the model did not come back in time: the frame at work is left behind')

    def _count(self, what: str, name: str) -> None:
        self.cameras[name].stats.count(what)

    def _masked(self) -> list[str]:
        """List the cameras whose frames are to be masked."""
        return [name for name, camera in self.cameras.items() if camera.masks or not name]

    def _wait(self, camera: CameraStream, arrival: Arrival) -> None:
        """Let a frame wait for its batch, alone or, where sets are asked for, with its set."""
        slop, name = self._config.sync_slop, camera.name
        if not slop or not name:
            self._worker.put({name: arrival})
            return
        frames = self._sync.add(name, stamp_ns(arrival.message.header), arrival, self._masked(),
                                round(1e9 * slop))
        if frames is not None:
            self._worker.put(frames)

    def _process(self, frames: dict[str, Arrival]) -> None:
        """Mask and send a frame of each camera that has one; each deals with its own errors."""
        jobs: list[tuple[CameraStream, Arrival, Job]] = []
        for name, arrival in frames.items():
            camera = self.cameras[name]
            if (job := camera.begin(arrival)) is not None:
                jobs.append((camera, arrival, job))
        if not jobs:
            return
        begin = time.monotonic()
        masks = mask_each(self._model, [job.image for *_, job in jobs],
                          [job.node.instruction for *_, job in jobs])
        self.batches.add(len(jobs), time.monotonic() - begin)
        for (camera, arrival, job), made in zip(jobs, masks):
            camera.finish(job, arrival, made)
