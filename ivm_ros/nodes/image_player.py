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
A camera made of files: a folder of pictures, a video or a bag, published at a steady rate.

Every frame is stamped with the time it is sent. The middleware numbers what is published, so a
subscriber can count losses; `numbered` writes the number into frame_id for all to see.
"""

from collections.abc import Iterator
from dataclasses import dataclass
import math
from pathlib import Path
import signal
import sys
import time
from typing import Annotated, Any, Literal

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.nodes.camera import camera_info_for, image_size
from ivm_ros.nodes.convert import to_compressed, to_msg
from ivm_ros.nodes.outputs import heard, image_qos
from ivm_ros.nodes.params import Parameters
from ivm_ros.nodes.run import end_with_help
from ivm_ros.nodes.sources import open_source, Shot, SourceError

PATIENCE = Duration(seconds=5)  # at the end, until subscribers have got everything
FOLDER_RATE = 10.0
"""Pictures of a folder per second where no rate is given."""


@dataclass(frozen=True)
class PlayerConfig:
    """What is played, and how."""

    path: Annotated[str, Doc(
        'Folder of pictures, one picture, video file, or bag (mcap, sqlite3, ROS 1).')] = ''
    topic: Annotated[str, Doc('Image topic of the bag; empty = its only one.')] = ''
    rate: Annotated[float, Range(0.0, 1000.0), Doc(
        'Frames per second; 0 = as recorded, for a folder 10.')] = 0.0
    loop: Annotated[bool, Doc('Start again at the end.')] = True
    count: Annotated[int, Range(0, None), Doc('Stop after so many frames; 0 = no limit.')] = 0
    wait_for: Annotated[int, Range(0, 100), Doc(
        'Send nothing until so many subscribe.')] = 0
    size: Annotated[tuple[int, int], Range(0, 8192), Doc(
        'Width and height that pictures are brought to; 0 0 leaves them.')] = (0, 0)
    encoding: Annotated[Literal['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8'], Doc(
        'Encoding of the topic image.')] = 'rgb8'
    jpeg_quality: Annotated[int, Range(1, 100), Doc('Quality of image/compressed.')] = 90
    frame_id: Annotated[str, Doc('frame_id of every header.')] = 'camera'
    numbered: Annotated[bool, Doc(
        'Append the number of the frame to frame_id, as in camera/17.')] = False
    camera_info_file: Annotated[str, Doc(
        'Calibration as camera_calibration writes it (YAML); empty = the one in the bag, else '
        'an ideal camera of fov.')] = ''
    fov: Annotated[float, Range(1.0, 170.0), Doc(
        'Horizontal field of view of the ideal camera, degrees.')] = 60.0
    reliability: Annotated[Literal['reliable', 'best_effort'], Doc(
        'QoS that the images are offered with.')] = 'reliable'
    depth: Annotated[int, Range(1, 100), Doc('QoS history depth.')] = 10

    def __post_init__(self) -> None:
        """Refuse wrong types, ranges and choices."""
        check(self)
        if len(self.size) != 2 or (0 in self.size) != (self.size == (0, 0)):
            raise ConfigError(f'PlayerConfig.size: wanted (width, height) or (0, 0), got '
                              f'{self.size!r}')


class ImagePlayer(Node):
    """
    Publishes `image`, `image/compressed` and `camera_info`, each only while somebody listens.

    Raises:
        ConfigError, SourceError, rclpy ParameterException: Nothing to play, or a wrong setting.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('image_player', **kwargs)
        settings = Parameters(self, [PlayerConfig], lambda: 'it is read at start only')
        for line in settings.unknown(self):
            self.get_logger().warning(line)
        self.config = settings.get(PlayerConfig)
        self._source = open_source(self.config.path, self.config.topic, self.config.size,
                                   self.get_logger().warning)
        qos = image_qos(self.config.reliability, self.config.depth)
        self._image = self.create_publisher(Image, 'image', qos)
        self._compressed = self.create_publisher(CompressedImage, 'image/compressed', qos)
        self._info = self.create_publisher(CameraInfo, 'camera_info', qos)
        self._calibration: CameraInfo | None = None
        if self.config.camera_info_file:
            self._calibration = read_calibration(self.config.camera_info_file)
        elif self._source.camera_info is not None:
            self._calibration = deserialize_message(self._source.camera_info, CameraInfo)
        self.sent = self.late = 0

    def play(self) -> None:
        """Publish until the end, the count or the shutdown; serve parameters meanwhile."""
        while self._listeners() < self.config.wait_for:
            rclpy.spin_once(self, timeout_sec=0.05)
        begin = None
        try:
            for due, shot in self._schedule():
                begin = self._wait(begin, due)
                self._publish(shot.image)
            for publisher in (self._image, self._compressed):
                publisher.wait_for_all_acked(PATIENCE)
        finally:  # also when interrupted
            print(f'image_player: sent {self.sent} frames, {self.late} later than planned',
                  flush=True)

    def _wait(self, begin: float | None, due: float) -> float:
        """Serve ROS until `due` seconds after `begin`; return when the playing began."""
        now = time.monotonic()
        if begin is None:
            return now - due
        if now > begin + due + 0.005:
            self.late += 1
            return now - due  # no burst to catch up: a camera has none
        while (left := begin + due - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)
        return begin

    def _listeners(self) -> int:
        return self._image.get_subscription_count() + self._compressed.get_subscription_count()

    def _schedule(self) -> Iterator[tuple[float, Shot]]:
        """Give each picture with the seconds from the start when it is due."""
        number, due, begin = 0, 0.0, 0.0
        while True:
            start, first = number, None
            for shot in self._source.shots():
                if self.config.rate or shot.time is None:
                    due = number / (self.config.rate or FOLDER_RATE)
                else:
                    first = shot.time if first is None else first
                    due = begin + shot.time - first
                yield due, shot
                number += 1
                if number == self.config.count:
                    return
            if number == start:
                raise SourceError(f'{self.config.path}: wanted pictures, none could be read')
            if not self.config.loop:
                return
            begin = due + due / max(number - 1, 1)

    def _publish(self, image: np.ndarray) -> None:
        number = f'/{self.sent}' if self.config.numbered else ''
        header = Header(stamp=self.get_clock().now().to_msg(),
                        frame_id=f'{self.config.frame_id}{number}')
        if heard(self._image):
            self._image.publish(to_msg(image, header, self.config.encoding))
        if heard(self._compressed):
            self._compressed.publish(to_compressed(image, header, self.config.jpeg_quality))
        if heard(self._info):
            self._info.publish(self._camera_info(image, header))
        self.sent += 1

    def _camera_info(self, image: np.ndarray, header: Header) -> CameraInfo:
        size = image.shape[0], image.shape[1]
        if self._calibration is None:
            return ideal_camera(size, self.config.fov, header)
        source = image_size(self._calibration)
        return camera_info_for(self._calibration, header, source, (0, 0, *source),
                               (0, 0, *size), size)


def ideal_camera(size: tuple[int, int], fov: float, header: Header) -> CameraInfo:
    """Describe a pinhole camera without distortion; `fov` is horizontal, degrees."""
    height, width = size
    focal = width / 2 / math.tan(math.radians(fov) / 2)
    middle = (width - 1) / 2, (height - 1) / 2
    k = [focal, 0.0, middle[0], 0.0, focal, middle[1], 0.0, 0.0, 1.0]
    return CameraInfo(header=header, height=height, width=width, distortion_model='plumb_bob',
                      d=[0.0] * 5, k=k, r=np.eye(3).ravel(),
                      p=[*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0])


def read_calibration(path: str) -> CameraInfo:
    """
    Read a calibration file of camera_calibration.

    Raises:
        SourceError: Not such a file; names what is missing.
    """
    import yaml

    try:
        values = yaml.safe_load(Path(path).expanduser().read_text())
        return CameraInfo(
            width=values['image_width'], height=values['image_height'],
            distortion_model=values['distortion_model'],
            d=[float(value) for value in values['distortion_coefficients']['data']],
            k=[float(value) for value in values['camera_matrix']['data']],
            r=[float(value) for value in values['rectification_matrix']['data']],
            p=[float(value) for value in values['projection_matrix']['data']])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AssertionError) as error:
        raise SourceError(f'camera_info_file {path}: wanted a file of camera_calibration (YAML): '
                          f'{type(error).__name__} {error}') from error


def main(args: list[str] | None = None) -> None:
    """Play until the end or Ctrl-C."""
    end_with_help('image_player', __doc__, args)
    node = None
    try:
        rclpy.init(args=args)
        node = ImagePlayer()
        node.play()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ConfigError, SourceError, ParameterException) as error:
        sys.exit(f'image_player: {error}')
    except Exception:  # rclpy raises its own when Ctrl-C ends ROS under a publish
        if rclpy.ok():
            raise
    finally:
        # Under `ros2 launch` Ctrl-C comes twice: from the terminal, and from launch.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
