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
Episodes as bags (rosbag2, MCAP) with the topics that a robot would have; needs no ROS.

| topic | type | holds |
|---|---|---|
| `/front/image_raw/compressed`, `/wrist/...` | `sensor_msgs/CompressedImage` | JPEGs |
| `/end_effector/pose`, `/end_effector/target_pose` | `geometry_msgs/PoseStamped` | `proprio` |
| `/joint_states` | `sensor_msgs/JointState` | the gripper's opening |
| `/servo/delta_twist_cmds` | `geometry_msgs/TwistStamped` | actions a second: m/s, rad/s |
| `/gripper/command` | `std_msgs/Float32` | -1 (closed) to 1 (open) |
| `/instruction` | `std_msgs/String` | the sentence, once |
| `/episode` | `std_msgs/String` | JSON: task, clutter, seed, success, what no robot knows |
| `/front/labels/compressed` | `sensor_msgs/CompressedImage` | PNGs of the truth |
"""

from collections import defaultdict
from collections.abc import Iterator
import json
from pathlib import Path
import shutil
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from ivm_ros.data.shards import DatasetError
from ivm_sim.episodes import Episode

VIEWS = {'front': '/front/image_raw/compressed', 'wrist': '/wrist/image_raw/compressed',
         'labels': '/front/labels/compressed'}
POSES = {'/end_effector/pose': slice(0, 7), '/end_effector/target_pose': slice(8, 15)}
JOINTS, OPENING = '/joint_states', 7
TWIST, GRIPPER = '/servo/delta_twist_cmds', '/gripper/command'
INSTRUCTION, ABOUT = '/instruction', '/episode'
TYPES = {**dict.fromkeys(VIEWS.values(), 'sensor_msgs/msg/CompressedImage'),
         **dict.fromkeys(POSES, 'geometry_msgs/msg/PoseStamped'),
         JOINTS: 'sensor_msgs/msg/JointState', TWIST: 'geometry_msgs/msg/TwistStamped',
         GRIPPER: 'std_msgs/msg/Float32', INSTRUCTION: 'std_msgs/msg/String',
         ABOUT: 'std_msgs/msg/String'}
FIRST = 10**9  # ns: tools take a stamp of zero for a missing one
STORE = get_typestore(Stores.ROS2_JAZZY)  # the same messages in later releases


def write_bag(path: Path, episode: Episode, rate: int) -> None:
    """
    Write an episode as a bag, whole or not at all.

    Args:
        path: Folder to write; one that is there is replaced.
        episode: With or without pictures.
        rate: Steps a second.
    """
    part = path.with_name(f'.{path.name}.part')
    for folder in (part, path):
        shutil.rmtree(folder, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer(part, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        links: dict[str, Any] = {}
        for topic, stamp, message in _messages(episode, rate):
            kind = TYPES[topic]
            if topic not in links:
                links[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(links[topic], stamp, STORE.serialize_cdr(message, kind))
    _name_after(part, path)
    part.rename(path)


def read_bag(path: Path) -> Episode:
    """
    Read an episode that `write_bag` wrote.

    Raises:
        DatasetError: Not a bag, or not one of an episode.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    try:
        with AnyReader([path], default_typestore=STORE) as bag:
            for link, _, raw in bag.messages():
                found[link.topic].append(bag.deserialize(raw, link.msgtype))
    except (AnyReaderError, OSError) as error:
        raise DatasetError(f'{path}: not a readable bag: {error}') from error
    counts = {len(found[topic]) for topic in (*POSES, JOINTS, TWIST, GRIPPER)}
    if len(counts) != 1 or not found[ABOUT]:
        topics = ', '.join(sorted(filter(found.get, found))) or 'none'
        raise DatasetError(f'{path}: wanted the bag of one episode, with as many poses as actions '
                           f'and {ABOUT}; got topics: {topics}')
    about = json.loads(found[ABOUT][0].data)
    place, asked = (np.array([_numbers(message.pose) for message in found[topic]])
                    for topic in POSES)
    opening = np.array([message.position for message in found[JOINTS]])
    twists = np.array([_six(message.twist) for message in found[TWIST]]) / about['rate']
    grip = np.array([[message.data] for message in found[GRIPPER]])
    pictures: dict[str, Any] = {
        name: tuple(message.data.tobytes() for message in found[topic])
        for name, topic in VIEWS.items()}
    return Episode(about['seed'], about['task'], about['clutter'], found[INSTRUCTION][0].data,
                   about['success'], np.hstack((place, opening, asked)).astype(np.float32),
                   np.hstack((twists, grip)).astype(np.float32), **pictures,
                   targets=tuple(about['targets']))


def _messages(episode: Episode, rate: int) -> Iterator[tuple[str, int, Any]]:
    """Give topic, time (ns) and message of all that an episode holds, in the order of time."""
    kinds = STORE.types
    text = kinds['std_msgs/msg/String']
    about = {'seed': episode.seed, 'task': episode.task, 'clutter': episode.clutter,
             'success': episode.success, 'targets': episode.targets, 'rate': rate}
    yield ABOUT, FIRST, text(data=json.dumps(about))
    yield INSTRUCTION, FIRST, text(data=episode.instruction)
    for step, (proprio, action) in enumerate(zip(episode.proprio.astype(float),
                                                 episode.actions.astype(float), strict=True)):
        stamp = FIRST + step * 10**9 // rate
        for name, topic in VIEWS.items():
            if pictures := getattr(episode, name):
                yield topic, stamp, kinds['sensor_msgs/msg/CompressedImage'](
                    header=_header(stamp, 'front' if name == 'labels' else name),
                    format='png' if name == 'labels' else 'jpeg',
                    data=np.frombuffer(pictures[step], np.uint8))
        for topic, part in POSES.items():
            yield topic, stamp, kinds['geometry_msgs/msg/PoseStamped'](
                header=_header(stamp, 'world'), pose=_pose(proprio[part]))
        nothing = np.zeros(0)
        yield JOINTS, stamp, kinds['sensor_msgs/msg/JointState'](
            header=_header(stamp, 'gripper'), name=['gripper_opening'],
            position=proprio[OPENING:OPENING + 1], velocity=nothing, effort=nothing)
        vector = kinds['geometry_msgs/msg/Vector3']
        shift, turn = (vector(*(action[start:start + 3] * rate)) for start in (0, 3))
        yield TWIST, stamp, kinds['geometry_msgs/msg/TwistStamped'](
            header=_header(stamp, 'world'),
            twist=kinds['geometry_msgs/msg/Twist'](linear=shift, angular=turn))
        yield GRIPPER, stamp, kinds['std_msgs/msg/Float32'](data=action[6])


def _header(stamp: int, frame: str) -> Any:
    time = STORE.types['builtin_interfaces/msg/Time'](*divmod(stamp, 10**9))
    return STORE.types['std_msgs/msg/Header'](stamp=time, frame_id=frame)


def _pose(numbers: np.ndarray) -> Any:
    """Make a pose of x, y, z and a quaternion wxyz."""
    kinds = STORE.types
    w, x, y, z = numbers[3:]
    return kinds['geometry_msgs/msg/Pose'](
        position=kinds['geometry_msgs/msg/Point'](*numbers[:3]),
        orientation=kinds['geometry_msgs/msg/Quaternion'](x=x, y=y, z=z, w=w))


def _numbers(pose: Any) -> list[float]:
    """Give x, y, z and the quaternion wxyz of a pose."""
    place, turn = pose.position, pose.orientation
    return [place.x, place.y, place.z, turn.w, turn.x, turn.y, turn.z]


def _six(twist: Any) -> list[float]:
    return [getattr(part, axis) for part in (twist.linear, twist.angular) for axis in 'xyz']


def _name_after(folder: Path, path: Path) -> None:
    """Let the file in a bag, and what its metadata says of it, be named after the bag."""
    (old,) = folder.glob('*.mcap')
    new = old.with_name(f'{path.name}.mcap')
    old.rename(new)
    metadata = folder / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace(old.name, new.name))
