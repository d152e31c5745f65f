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
"""Where `image_player` takes its pictures from: a folder, a video or a bag. No rclpy in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Any

import cv2
import numpy as np

from ivm_ros.image import resize
from ivm_ros.nodes.convert import ConvertError, to_rgb
from ivm_ros.picture_files import PictureFileError, read_picture

PICTURES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff', '.ppm')
CACHED = 64
"""Pictures of a folder that are kept decoded, so that a loop costs no decoding."""


class SourceError(ValueError):
    """There is nothing to play; says what was wanted and what came."""


@dataclass(frozen=True)
class Shot:
    """
    One picture to play.

    Attributes:
        image (np.ndarray): uint8 [H, W, 3], RGB.
        time (float | None): Seconds in the recording, None for a picture of a folder.
    """

    image: np.ndarray
    time: float | None = None


@dataclass(frozen=True)
class Source:
    """
    Pictures, as often as asked for.

    Attributes:
        shots (Callable): Starts from the beginning; gives an iterator of `Shot`.
        camera_info (Any): Raw CDR bytes of the recorded sensor_msgs/CameraInfo, None without.
    """

    shots: Callable[[], Iterator[Shot]]
    camera_info: bytes | None = None


def open_source(path: str, topic: str = '', size: tuple[int, int] = (0, 0),
                warn: Callable[[str], object] = print) -> Source:
    """
    Open what stands at a path.

    Args:
        path: Folder of pictures, one picture, video file, or bag (folder or .mcap, .db3, .bag).
        topic: Image topic of a bag, '' for the only one.
        size: (width, height) that pictures are brought to, (0, 0) leaves them.
        warn: Called with a sentence for each picture that is left out.

    Raises:
        SourceError: Nothing to play there.
    """
    place = Path(path).expanduser()
    if not path or not place.exists():
        raise SourceError(f'path: wanted a folder of pictures, a video or a bag, got {path!r}, '
                          f'which {"is empty" if not path else "does not exist"}')
    if (place / 'metadata.yaml').exists() or place.suffix in ('.mcap', '.db3', '.bag'):
        return _bag(place, topic, size, warn)
    if place.is_dir() or place.suffix.lower() in PICTURES:
        return _folder(place, size, warn)
    return _video(place, size)


def _fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return image if size == (0, 0) else resize(image, (size[1], size[0]))


def _folder(place: Path, size: tuple[int, int], warn: Callable[[str], object]) -> Source:
    files = [place] if place.is_file() else sorted(
        (file for file in place.iterdir() if file.suffix.lower() in PICTURES), key=_natural)
    if not files:
        raise SourceError(f'{place}: wanted pictures ({" ".join(PICTURES)}), found none')
    cache: dict[Path, np.ndarray] = {}

    def shots() -> Iterator[Shot]:
        for file in files:
            image = cache.get(file)
            if image is None:
                try:
                    pixels = read_picture(file)
                except PictureFileError as error:
                    warn(f'{error}, left out')
                    continue
                image = _fit(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), size)
                if len(cache) < CACHED:
                    cache[file] = image
            yield Shot(image)

    return Source(shots)


def _natural(file: Path) -> list[Any]:
    """Sort key in which picture 10 follows picture 9."""
    return [(not part.isdigit(), int(part) if part.isdigit() else part)
            for part in re.split(r'(\d+)', file.name) if part]


def _video(place: Path, size: tuple[int, int]) -> Source:
    capture = cv2.VideoCapture(str(place))
    readable = capture.isOpened() and capture.grab()
    rate = capture.get(cv2.CAP_PROP_FPS) or 30.0
    capture.release()
    if not readable:
        raise SourceError(f'{place}: wanted a video that OpenCV reads, got something else')

    def shots() -> Iterator[Shot]:
        video = cv2.VideoCapture(str(place))
        try:
            number = 0
            while True:
                good, pixels = video.read()
                if not good:
                    return
                yield Shot(_fit(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), size), number / rate)
                number += 1
        finally:
            video.release()

    return Source(shots)


def _bag(place: Path, topic: str, size: tuple[int, int], warn: Callable[[str], object]) -> Source:
    try:
        from rosbags.highlevel import AnyReader, AnyReaderError
        from rosbags.typesys import get_typestore, Stores
    except ImportError as error:
        raise SourceError(f'{place}: reading bags needs "pip install rosbags"') from error

    def reader() -> Any:
        # Bags in sqlite3 often carry no message definitions: ROS 2's own are taken.
        return AnyReader([place], default_typestore=get_typestore(Stores.ROS2_JAZZY))

    try:
        with reader() as bag:
            chosen = _image_topic(place, bag.topics, topic)
            infos = [link for link in bag.connections
                     if link.msgtype == 'sensor_msgs/msg/CameraInfo' and bag.is2
                     and link.topic == f'{_base(chosen).rsplit("/", 1)[0]}/camera_info']
            info = next((raw for _, _, raw in bag.messages(infos)), None) if infos else None
    except AnyReaderError as error:
        raise SourceError(f'{place}: not a readable bag: {error}') from error

    def shots() -> Iterator[Shot]:
        with reader() as bag:
            links = [link for link in bag.connections if link.topic == chosen]
            for link, stamp, raw in bag.messages(links):
                try:
                    image = to_rgb(bag.deserialize(raw, link.msgtype))
                except ConvertError as error:
                    warn(f'{place} {chosen}: {error}; left out')
                    continue
                yield Shot(_fit(image, size), stamp * 1e-9)

    return Source(shots, bytes(info) if info is not None else None)


def _base(topic: str) -> str:
    return topic.removesuffix('/compressed')


def _image_topic(place: Path, topics: dict[str, Any], wanted: str) -> str:
    """Choose the image topic of a bag: the wanted one or the only one."""
    known = [name for name, about in topics.items() if about.msgtype in
             ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')]
    if wanted in known:
        return wanted
    cameras = {_base(name) for name in known}
    if wanted or len(cameras) != 1:
        raise SourceError(f'{place}: wanted topic {wanted or "(the only image topic)"}, the bag '
                          f'has image topics {", ".join(known) or "none"}; set topic')
    return min(known, key=len)
