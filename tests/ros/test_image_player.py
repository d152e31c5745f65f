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
"""A folder, a video or a bag as a camera: what is read, and what a subscriber gets."""

from pathlib import Path
import time

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import to_compressed, to_msg, to_rgb
from ivm_ros.nodes.image_player import ideal_camera, read_calibration
from ivm_ros.nodes.sources import open_source, SourceError

PLAYER = 'ivm_ros.nodes.image_player'
COLORS = [(250, 10, 20), (10, 250, 20), (20, 10, 250)]


def plain(color: tuple[int, int, int], size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Make a picture of one colour."""
    return np.full((*size, 3), color, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write three pictures, numbered so that sorting by letters would turn them around."""
    place = tmp_path / 'pictures'
    place.mkdir()
    for name, color in zip(('a1.png', 'a2.png', 'a10.png'), COLORS):
        cv2.imwrite(str(place / name), plain(color)[..., ::-1])
    (place / 'notes.txt').write_text('no picture')
    return place


def write_bag(place: Path, storage: str, messages: list, topics: dict[str, str]) -> Path:
    """Write messages (topic, seconds, message) as a bag."""
    rosbag2 = pytest.importorskip('rosbags.rosbag2', reason='reading bags needs rosbags')
    from rosbags.typesys import get_typestore, Stores

    store = get_typestore(Stores.ROS2_JAZZY)
    plugin = rosbag2.StoragePlugin[storage]
    with rosbag2.Writer(place, version=9, storage_plugin=plugin) as writer:
        links = {name: writer.add_connection(name, kind, typestore=store)
                 for name, kind in topics.items()}
        for topic, seconds, message in messages:
            writer.write(links[topic], round(seconds * 1e9), serialize_message(message))
    return place


def colors(path: Path, **options) -> list[tuple[int, ...]]:
    """Return the colour in the middle of every picture of a source."""
    return [tuple(int(value) for value in shot.image[shot.image.shape[0] // 2,
                                                     shot.image.shape[1] // 2])
            for shot in open_source(str(path), **options).shots()]


def near(found: list, wanted: list, tolerance: int) -> bool:
    """Compare lists of colours."""
    return len(found) == len(wanted) and bool(
        (np.abs(np.subtract(found, wanted)) <= tolerance).all())


def test_folder_in_natural_order_and_brought_to_size(folder):
    """Picture 10 comes after 2, what is no picture is left out, sizes are as asked for."""
    assert colors(folder) == COLORS
    shots = list(open_source(str(folder), size=(32, 24)).shots())
    assert [shot.image.shape for shot in shots] == [(24, 32, 3)] * 3
    assert colors(folder / 'a2.png') == [COLORS[1]]


def test_unreadable_picture_is_left_out_and_said(folder):
    """A broken file does not end the show."""
    (folder / 'a3.png').write_bytes(b'broken')
    said = []
    source = open_source(str(folder), warn=said.append)
    assert len(list(source.shots())) == 3
    assert 'a3.png: 6 bytes are no JPEG, PNG' in said[0] and said[0].endswith(', left out')


def test_video(tmp_path):
    """Frames come in order with their times; a second round starts anew."""
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 20.0, (64, 48))
    assert writer.isOpened()
    for color in COLORS:
        writer.write(plain(color)[..., ::-1])
    writer.release()
    assert near(colors(path), COLORS, 12)
    source = open_source(str(path))
    assert [round(shot.time, 3) for shot in source.shots()] == [0.0, 0.05, 0.1]
    assert len(list(source.shots())) == 3


@pytest.mark.parametrize('storage', ['MCAP', 'SQLITE3'])
@pytest.mark.parametrize('packed', [False, True])
def test_bag(tmp_path, storage, packed):
    """Images of a bag, plain or compressed, with their times and the recorded camera_info."""
    topic = '/cam/image_raw/compressed' if packed else '/cam/image_raw'
    kind = 'CompressedImage' if packed else 'Image'
    frames = [(topic, 10 + 0.5 * number,
               to_compressed(plain(color), Header(), 98) if packed else
               to_msg(plain(color), Header(), 'bgr8')) for number, color in enumerate(COLORS)]
    info = ('/cam/camera_info', 9.9, ideal_camera((48, 64), 77.0, Header()))
    bag = write_bag(tmp_path / 'bag', storage, [info, *frames], {
        topic: f'sensor_msgs/msg/{kind}', '/cam/camera_info': 'sensor_msgs/msg/CameraInfo'})
    source = open_source(str(bag))
    assert near(colors(bag), COLORS, 4 if packed else 0)
    times = [shot.time for shot in source.shots()]
    assert np.diff(times).tolist() == pytest.approx([0.5, 0.5])
    assert source.camera_info is not None
    single = next(bag.glob('*.mcap' if storage == 'MCAP' else '*.db3'))
    assert near(colors(single), COLORS, 4)  # a lone file of a bag is played as well


def test_bag_with_two_cameras_wants_a_topic(tmp_path):
    """Which camera is meant is asked, with the choice; a bad frame in it is left out."""
    good, bad = to_msg(plain(COLORS[0]), Header()), Image(encoding='rgb8', width=3, height=3)
    bag = write_bag(tmp_path / 'bag', 'MCAP', [('/a', 1, good), ('/b', 2, good), ('/b', 3, bad)],
                    dict.fromkeys(('/a', '/b'), 'sensor_msgs/msg/Image'))
    with pytest.raises(SourceError, match='the bag has image topics /a, /b; set topic'):
        open_source(str(bag))
    with pytest.raises(SourceError, match='wanted topic /c, the bag has image topics /a, /b'):
        open_source(str(bag), '/c')
    said = []
    assert colors(bag, topic='/b', warn=said.append) == [COLORS[0]]
    assert 'wanted a step of at least 9 bytes, got 0' in said[0]


@pytest.mark.parametrize(('make', 'words'), [
    (lambda place: '', "got '', which is empty"),
    (lambda place: str(place / 'none'), 'which does not exist'),
    (lambda place: str(place), 'wanted pictures (.png'),
    (lambda place: (place / 'x.mp4').write_text('no film') and str(place / 'x.mp4'),
     'wanted a video that OpenCV reads'),
    (lambda place: (place / 'x.mcap').write_text('no bag') and str(place / 'x.mcap'),
     'not a readable bag'),
])
def test_nothing_to_play_is_said(tmp_path, make, words):
    """What cannot be played is refused with what was wanted and what came."""
    with pytest.raises(SourceError) as caught:
        open_source(make(tmp_path))
    assert words in str(caught.value)


def test_ideal_camera_and_calibration_file(tmp_path):
    """90 degrees over 640 pixels is f = 320; a calibration file of ROS is read as written."""
    info = ideal_camera((480, 640), 90.0, Header())
    assert info.k.tolist() == pytest.approx([320, 0, 319.5, 0, 320, 239.5, 0, 0, 1])
    path = tmp_path / 'camera.yaml'
    path.write_text("""
image_width: 640
image_height: 480
camera_name: eye
distortion_model: plumb_bob
camera_matrix: {rows: 3, cols: 3, data: [500, 0, 320, 0, 501, 240, 0, 0, 1]}
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, 0, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [500, 0, 320, 0, 0, 501, 240, 0, 0, 0, 1, 0]}
""")
    read = read_calibration(str(path))
    assert (read.width, read.k[4], read.d[0], read.p[5]) == (640, 501, 0.1, 501)
    path.write_text('image_width: 640')
    with pytest.raises(SourceError, match=r"camera_calibration.*'image_height'"):
        read_calibration(str(path))


@pytest.mark.slow
def test_plays_a_folder_at_a_rate(graph, folder):
    """Frames arrive in order, numbered, stamped, at the rate, with camera_info, then it ends."""
    program = graph.start(PLAYER, path=str(folder), rate=20.0, count=40, numbered=True,
                          wait_for=1, size=[32, 24], encoding='bgr8', frame_id='eye')
    infos = graph.listen(CameraInfo, 'camera_info')
    packed = graph.listen(CompressedImage, 'image/compressed')
    box = graph.listen(Image, 'image')
    assert program.process.wait(60) == 0
    graph.until(lambda: len(box) >= 35, 'the last frames')
    numbers = [int(message.header.frame_id.removeprefix('eye/')) for message in box.messages]
    assert numbers == list(range(numbers[0], 40))
    for number, message in zip(numbers, box.messages):
        assert message.encoding == 'bgr8'
        assert to_rgb(message)[0, 0].tolist() == list(COLORS[number % 3])
    stamps = np.array([message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
                       for message in box.messages])
    assert np.median(np.diff(stamps)) == pytest.approx(0.05, rel=0.2)
    assert abs(stamps[-1] - time.time()) < 60
    info = infos.wait()
    assert (info.width, info.height) == (32, 24)
    assert near([tuple(to_rgb(packed.wait())[0, 0])], [COLORS[int(
        packed.wait().header.frame_id[4:]) % 3]], 30)
    assert 'sent 40 frames' in program.text()


@pytest.mark.slow
def test_bag_at_its_own_pace_with_its_camera_info(graph, tmp_path):
    """Without a rate a bag plays as recorded; its camera_info follows the size asked for."""
    frames = [('/image', 5 + 0.3 * number, to_msg(plain(color), Header()))
              for number, color in enumerate(COLORS)]
    bag = write_bag(tmp_path / 'bag', 'MCAP',
                    [('/camera_info', 5, ideal_camera((48, 64), 90.0, Header())), *frames],
                    {'/image': 'sensor_msgs/msg/Image',
                     '/camera_info': 'sensor_msgs/msg/CameraInfo'})
    program = graph.start(PLAYER, path=str(bag), loop=False, wait_for=1, size=[32, 24])
    infos, box = graph.listen(CameraInfo, 'camera_info'), graph.listen(Image, 'image')
    assert program.process.wait(60) == 0
    graph.until(lambda: len(box) == 3, 'three frames')
    stamps = [message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
              for message in box.messages]
    assert np.diff(stamps).tolist() == pytest.approx([0.3, 0.3], abs=0.15)
    assert infos.wait().k[0] == pytest.approx(16)  # 32 px of 90 degrees


@pytest.mark.slow
def test_player_says_what_is_missing(graph):
    """Without a path the player ends with one line."""
    program = graph.start(PLAYER)
    assert program.process.wait(60) == 1
    assert program.text().strip().endswith(
        "image_player: path: wanted a folder of pictures, a video or a bag, got '', which is "
        'empty')
