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
"""Everything `ivm_node` publishes about frames: pictures, masks, camera_info, frame_info."""

from dataclasses import dataclass
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ivm_ros.deploy import DeployConfig
from ivm_ros.draw import draw_debug
from ivm_ros.nodes.camera import camera_info_for
from ivm_ros.nodes.convert import to_compressed, to_msg
from ivm_ros.nodes.masking import Frame
from ivm_ros.nodes.node_config import NodeConfig


@dataclass(frozen=True)
class Wanted:
    """Which kinds of output somebody subscribes to."""

    picture: bool
    masks: bool
    report: bool
    depth: bool

    @property
    def show(self) -> bool:
        """The deployed picture, or what became of it, is needed."""
        return self.picture or self.report or self.depth

    def __bool__(self) -> bool:
        """Anything at all."""
        return self.show or self.masks


class Outputs:
    """
    The publishers of a camera; each serves only its subscribers.

    Args:
        node: Owns the publishers.
        config: Reliability, depth and which topics there are.
        camera: Its name, which stands before its topics; '' for the only one.
        depth_input: It has a depth image too.
    """

    def __init__(self, node: Node, config: NodeConfig, camera: str = '',
                 depth_input: bool = False) -> None:
        qos = image_qos(config.output_reliability, config.depth)
        self._node, self._camera = node, camera
        self._all: list[Publisher] = []
        here = f'{camera}/' if camera else ''
        self.image = self._add(Image, f'{here}masked/image', qos)
        self.compressed = (self._add(CompressedImage, f'{here}masked/image/compressed', qos)
                           if config.compressed_output else None)
        self.camera_info = self._add(CameraInfo, f'{here}masked/camera_info', qos)
        self.depth = self._add(Image, f'{here}masked/depth', qos) if depth_input else None
        self.mask = self._add(Image, f'{here}mask', qos)
        self.robot_mask = self._add(Image, f'{here}robot_mask', qos)
        self.frame_info = self._add(DiagnosticArray, f'~/{here}frame_info', qos)
        self.debug_image = self._add(Image, f'~/{here}debug_image', qos)

    def _add(self, kind: type, topic: str, qos: QoSProfile) -> Publisher:
        self._all.append(self._node.create_publisher(kind, topic, qos))
        return self._all[-1]

    def destroy(self) -> None:
        """Take the topics off the graph."""
        for publisher in self._all:
            self._node.destroy_publisher(publisher)
        self._all.clear()

    def wanted(self) -> Wanted:
        """Look which outputs have subscribers now."""
        return Wanted(
            picture=heard(self.image) or heard(self.compressed) or heard(self.camera_info),
            masks=heard(self.mask) or heard(self.robot_mask),
            report=heard(self.frame_info) or heard(self.debug_image), depth=heard(self.depth))

    def pictures(self, frame: Frame, header: Header, config: NodeConfig,
                 info: CameraInfo | None) -> None:
        """Publish what the policy sees, the picture before its camera_info."""
        if heard(self.image):
            if isinstance(frame.original, Image):
                self.image.publish(frame.original)
            elif frame.picture is not None:
                self.image.publish(to_msg(frame.picture[0], header))
        if self.compressed is not None and heard(self.compressed):
            if isinstance(frame.original, CompressedImage):
                self.compressed.publish(frame.original)
            elif frame.picture is not None:
                self.compressed.publish(to_compressed(frame.picture[0], header,
                                                      config.jpeg_quality))
        if info is not None and heard(self.camera_info) and frame.outcome != 'dropped':
            self.camera_info.publish(self._info(frame, header, info))

    def _info(self, frame: Frame, header: Header, info: CameraInfo) -> CameraInfo:
        if frame.picture is None:  # an unreadable frame that is passed on as it came
            return camera_info_for(info, header, (0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0))
        picture, roi, content = frame.picture
        source = frame.image.shape if frame.image is not None else roi[2:]
        return camera_info_for(info, header, (source[0], source[1]), roi, content,
                               (picture.shape[0], picture.shape[1]))

    def masks(self, frame: Frame, header: Header, config: NodeConfig) -> None:
        """Publish the soft masks, the size of the camera's picture."""
        if frame.mask is None:
            return
        for publisher, plane in ((self.mask, frame.mask.target),
                                 (self.robot_mask, frame.mask.robot)):
            if heard(publisher):
                if config.mask_encoding == 'mono8':
                    plane = cv2.convertScaleAbs(plane, alpha=255)
                publisher.publish(to_msg(np.asarray(plane), header, config.mask_encoding))

    def reports(self, frame: Frame, header: Header, node: NodeConfig, deploy: DeployConfig,
                latency_ms: float) -> None:
        """Publish `~/frame_info` and `~/debug_image`."""
        if heard(self.frame_info):
            self.frame_info.publish(frame_info(frame, header, node, deploy, latency_ms,
                                               self._camera or 'frame'))
        if heard(self.debug_image) and frame.image is not None:
            score = f'  found {frame.mask.found:.2f}' if frame.mask is not None else ''
            why = f' ({frame.reason})' if frame.reason else ''
            lines = [node.instruction, f'{frame.outcome}{why}{score}  {latency_ms:.0f} ms']
            self.debug_image.publish(to_msg(draw_debug(frame.image, frame.mask, lines), header))


def heard(publisher: Publisher | None) -> bool:
    """Return whether anybody subscribes."""
    return publisher is not None and publisher.get_subscription_count() > 0


def image_qos(reliability: str, depth: int) -> QoSProfile:
    """Give the QoS of image topics: volatile, the last few."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy[reliability.upper()])


def frame_info(frame: Frame, header: Header, node: NodeConfig, deploy: DeployConfig,
               latency_ms: float, what: str = 'frame') -> DiagnosticArray:
    """Say what became of one frame: one status for `what`, the header is the image's."""
    found = frame.mask is not None and frame.mask.found >= deploy.found_threshold
    values: dict[str, Any] = {
        'outcome': frame.outcome, 'reason': frame.reason, 'instruction': node.instruction,
        'found': str(found).lower() if frame.mask is not None else '',
        'found_score': f'{frame.mask.found:.4f}' if frame.mask is not None else '',
        'method': deploy.method, 'latency_ms': f'{latency_ms:.2f}',
        'keyframe_age_ms': ('' if frame.keyframe_age is None
                            else f'{1e3 * frame.keyframe_age:.1f}'),
        'remarks': '; '.join(frame.remarks)}
    status = DiagnosticStatus(
        level=DiagnosticStatus.WARN if frame.fault else DiagnosticStatus.OK,
        name=f'ivm_node: {what}', hardware_id=header.frame_id,
        message=frame.reason or frame.outcome,
        values=[KeyValue(key=key, value=value) for key, value in values.items()])
    return DiagnosticArray(header=header, status=[status])
