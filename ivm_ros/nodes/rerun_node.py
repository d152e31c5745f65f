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
`ivm_rerun`: the node's pictures, masks and what became of each frame, for the viewer of rerun.io.

To a file, or to a viewer that runs. Time in the viewer is the stamp of the picture.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.nodes.convert import ConvertError, to_rgb
from ivm_ros.nodes.outputs import image_qos
from ivm_ros.nodes.params import Parameters
from ivm_ros.nodes.run import run

PICTURES = {'image': '.jpg', 'masked/image': '.jpg', 'mask': '.png', 'robot_mask': '.png'}
"""Topics, and how their pictures are packed: edges of masks are to stay."""
MEDIA = {'.jpg': 'image/jpeg', '.png': 'image/png'}
NUMBERS = ('found_score', 'latency_ms', 'keyframe_age_ms')
"""What of `frame_info` becomes a curve."""


@dataclass(frozen=True)
class RerunConfig:
    """What is logged, and where to."""

    file: Annotated[str, Doc(
        'Recording to write (.rrd), which must not exist; empty: to the viewer at url.')] = ''
    url: Annotated[str, Doc('Address of a viewer that runs; "rerun" starts one there.')] = (
        'rerun+http://127.0.0.1:9876/proxy')
    node: Annotated[str, Doc('Name of the ivm_node whose frame_info is read.')] = 'ivm_node'
    cameras: Annotated[tuple[str, ...], Doc('As the node has it; none for its only one.')] = ()
    jpeg_quality: Annotated[int, Range(1, 100), Doc('Of pictures; masks are kept exactly.')] = 80
    depth: Annotated[int, Range(1, 100), Doc('QoS history depth.')] = 10

    def __post_init__(self) -> None:
        """Refuse wrong types and ranges, and a file that would be overwritten."""
        check(self)
        if self.file and Path(self.file).expanduser().exists():
            raise ConfigError(f'file: {self.file} exists; give another name')


class RerunNode(Node):
    """
    Logs whatever topics of the node somebody publishes.

    Raises:
        ConfigError, rclpy ParameterException: A wrong setting, or rerun-sdk is missing.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('ivm_rerun', **kwargs)
        settings = Parameters(self, [RerunConfig], lambda: 'it is read at start only')
        for line in settings.unknown(self):
            self.get_logger().warning(line)
        self.config = settings.get(RerunConfig)
        self._rerun, self._stream = open_stream(self.config)
        self._said: dict[str, str] = {}
        qos = image_qos('best_effort', self.config.depth)
        for camera in self.config.cameras or ('',):
            here = f'{camera}/' if camera else ''
            for topic in PICTURES:
                self.create_subscription(Image, f'{here}{topic}',
                                         partial(self._picture, f'{here}{topic}', topic), qos)
            self.create_subscription(DiagnosticArray, f'{self.config.node}/{here}frame_info',
                                     partial(self._report, here), qos)
        self.get_logger().info(f'logging to {self.config.file or self.config.url}')

    def close(self) -> None:
        """Write what is not written yet."""
        self._stream.disconnect()

    def _picture(self, path: str, topic: str, message: Image) -> None:
        try:
            pixels = to_rgb(message)
        except ConvertError as error:
            self.get_logger().warning(f'{path}: {error}', throttle_duration_sec=5.0)
            return
        suffix = PICTURES[topic]
        # A mask has three equal channels here; the first is enough.
        shown = pixels[..., 0] if suffix == '.png' else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        _, packed = cv2.imencode(suffix, shown, (
            [cv2.IMWRITE_JPEG_QUALITY, self.config.jpeg_quality] if suffix == '.jpg' else []))
        self._at(message.header)
        self._stream.log(path, self._rerun.EncodedImage(contents=packed.tobytes(),
                                                        media_type=MEDIA[suffix]))

    def _report(self, here: str, message: DiagnosticArray) -> None:
        """Log `frame_info`: numbers as curves, the sentence and the outcome when they change."""
        self._at(message.header)
        values = {pair.key: pair.value for status in message.status for pair in status.values}
        for name in NUMBERS:
            if values.get(name):
                self._stream.log(f'{here}{name}', self._rerun.Scalars(float(values[name])))
        for name, text in (('instruction', values.get('instruction', '')),
                           ('outcome', values.get('reason') or values.get('outcome', ''))):
            if text and self._said.get(f'{here}{name}') != text:
                self._said[f'{here}{name}'] = text
                self._stream.log(f'{here}{name}', self._rerun.TextLog(text))

    def _at(self, header: Header) -> None:
        self._stream.set_time('stamp', timestamp=header.stamp.sec + 1e-9 * header.stamp.nanosec)


def open_stream(config: RerunConfig) -> tuple[Any, Any]:
    """
    Open where to log to, with a layout of raw | mask | masked for each camera.

    Returns:
        The package rerun, and a recording stream of it.

    Raises:
        ConfigError: rerun-sdk is not installed, or the file cannot be written.
    """
    try:
        import rerun
        import rerun.blueprint as blueprint
    except ModuleNotFoundError as error:
        raise ConfigError('the package rerun-sdk is missing; pip install "ivm_ros[rerun]" '
                          'brings it') from error
    stream = rerun.RecordingStream('ivm_ros')
    if config.file:
        path = Path(config.file).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream.save(path)
        except (OSError, RuntimeError) as error:
            raise ConfigError(f'file: {path} cannot be written: {error}') from error
    else:
        stream.connect_grpc(config.url)
    rows: list[Any] = []
    for camera in config.cameras or ('',):
        here = f'{camera}/' if camera else ''
        rows += [blueprint.Horizontal(*(blueprint.Spatial2DView(origin=f'{here}{name}')
                                        for name in ('image', 'mask', 'masked/image'))),
                 blueprint.Horizontal(
                     blueprint.TextLogView(contents=[f'/{here}instruction', f'/{here}outcome']),
                     blueprint.TimeSeriesView(contents=[f'/{here}{name}' for name in NUMBERS]))]
    stream.send_blueprint(blueprint.Vertical(*rows))
    return rerun, stream


def main(args: list[str] | None = None) -> None:
    """Log until Ctrl-C or a shutdown request."""
    run('ivm_rerun', RerunNode, args)


if __name__ == '__main__':
    main()
