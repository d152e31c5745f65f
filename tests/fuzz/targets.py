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
What is fuzzed: readers of bytes that a stranger wrote, each with examples to start from.

A target takes any bytes and returns, or raises an error that this package names. All else is a
finding. `tests/fuzz/run.py` gives them bytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
import json
from pathlib import Path
import shutil
import tempfile
from types import SimpleNamespace
from typing import Any

from changes import Choices, dumped, edited, patched
import cv2
import numpy as np

from ivm_ros.data.bags import Bag
from ivm_ros.data.coco import Coco, Refer
from ivm_ros.data.frames import picture_of, PictureError
from ivm_ros.data.ivm_mix import IvmMix
from ivm_ros.data.label_studio import LabelStudio
from ivm_ros.data.labelled import rows_of
from ivm_ros.data.labelme import Labelme
from ivm_ros.data.lerobot import LeRobot
from ivm_ros.data.png_folders import PngFolder
from ivm_ros.data.shards import (
    DatasetError, decode_image, decode_labels, decode_mask, decode_sample, encode_image,
    encode_mask, read_shard, Row, write_shard)
from ivm_ros.pixel_formats import ConvertError, LAYOUTS, to_rgb

ROOM = Path('/dev/shm' if Path('/dev/shm').is_dir() else tempfile.gettempdir())


@dataclass(frozen=True)
class Target:
    """
    One thing to fuzz.

    Attributes:
        run (Callable): Takes bytes.
        named (tuple): The errors that it may raise.
        seeds (tuple[bytes, ...]): To start from.
    """

    run: Callable[[bytes], None]
    named: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...] = (b'', bytes(range(64)))


@cache
def folder(name: str) -> Path:
    """Give a folder in memory, one a process and target."""
    return Path(tempfile.mkdtemp(prefix=f'ivm-fuzz-{name}-', dir=ROOM))


def clean() -> None:
    """Delete the folders of this process."""
    for name in ('labels', 'shard', 'checkpoint', 'bag', 'lerobot', 'png'):
        shutil.rmtree(folder(name), ignore_errors=True)


@cache
def picture(kind: str = '.jpg') -> bytes:
    """Encode a small picture."""
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    return cv2.imencode(kind, image)[1].tobytes()


# --- Messages and picture files ---------------------------------------------------------------

def message(data: bytes) -> None:
    """Read an Image message of any encoding, size, step and data."""
    choices = Choices(data)
    encoding = [*LAYOUTS, 'nonsense'][choices.below(len(LAYOUTS) + 1)]
    height, width = (choices.below(40) or choices.below(2**32) for _ in range(2))
    step = choices.below(400) if choices.below(2) else width * 3
    to_rgb(SimpleNamespace(encoding=encoding, height=height, width=width, step=step,
                           is_bigendian=choices.below(3), data=choices.rest()))


def messages() -> tuple[bytes, ...]:
    """Give what `message` reads as a whole message of every encoding."""
    pixels = bytes(range(256)) * 2
    return tuple(bytes([number, 8, 10, 1]) + (40).to_bytes(4, 'little') + b'\0' + pixels
                 for number in range(len(LAYOUTS)))


def picture_file(data: bytes) -> None:
    """Read bytes as a compressed message, a picture, a mask and labels."""
    named = 0
    for read in (lambda: to_rgb(SimpleNamespace(format='jpeg', data=data)),
                 lambda: picture_of(data), lambda: decode_image(data),
                 lambda: decode_mask(data), lambda: decode_labels(data)):
        try:
            read()
        except (ConvertError, PictureError, DatasetError):
            named += 1


# --- Other people's labels --------------------------------------------------------------------

def coco_document() -> dict[str, Any]:
    """Give a COCO file with polygons and both kinds of run lengths."""
    counts = [[5, 10, 1905], '51o1']
    return {'images': [{'id': 1, 'file_name': 'a.jpg', 'height': 40, 'width': 48}],
            'categories': [{'id': 1, 'name': 'cup'}],
            'annotations': [
                {'id': 1, 'image_id': 1, 'category_id': 1, 'iscrowd': 0,
                 'segmentation': [[1, 1, 30, 1, 30, 30]]},
                *({'id': 2 + number, 'image_id': 1, 'category_id': 1,
                   'segmentation': {'counts': some, 'size': [40, 48]}}
                  for number, some in enumerate(counts))]}


def labelme_document() -> dict[str, Any]:
    """Give a file of labelme with every kind of shape."""
    import base64

    small = cv2.imencode('.png', np.eye(9, dtype=np.uint8) * 255)[1].tobytes()
    shapes = [{'label': 'cup', 'points': points, 'shape_type': kind, 'group_id': None,
               'mask': mask} for kind, points, mask in (
                  ('polygon', [[1, 1], [30, 1], [30, 30]], None),
                  ('rectangle', [[3, 3], [9, 20]], None), ('circle', [[20, 20], [25, 20]], None),
                  ('mask', [[2, 2], [10, 10]], base64.b64encode(small).decode()))]
    return {'imagePath': 'a.jpg', 'imageData': None, 'imageHeight': 40, 'imageWidth': 48,
            'shapes': shapes}


def labels(data: bytes) -> None:
    """Read edited labels of every layout, and make rows of them."""
    choices, place = Choices(data), folder('labels')
    layout = choices.below(5)
    (place / 'a.jpg').write_bytes(picture())
    if layout == 0:
        (place / 'i.json').write_bytes(dumped(edited(coco_document(), choices)))
        collection: Any = Coco(place / 'i.json', str(place), True)
    elif layout == 1:
        refs = [{'split': 'val', 'image_id': 1, 'ann_id': 1, 'sentences': [{'sent': 'the cup'}]}]
        (place / 'i.json').write_bytes(dumped(edited(coco_document(), choices)))
        (place / 'r.json').write_bytes(dumped(edited(refs, choices)))
        collection = Refer(place / 'r.json', place / 'i.json', str(place))
    elif layout == 2:
        (place / 'me').mkdir(exist_ok=True)
        (place / 'me' / 'a.jpg').write_bytes(picture())
        (place / 'me' / 'x.json').write_bytes(dumped(edited(labelme_document(), choices)))
        collection = Labelme(place / 'me', '', True)
    elif layout == 3:
        item = {'uuid': 'a', 'instruction': ['the cup'], 'image': 'a.jpg', 'boxes': [[0, 0, 1, 1]]}
        (place / 'mask_a.jpg').write_bytes(picture())
        (place / 'm.jsonl').write_bytes(dumped(edited(item, choices)))
        collection = IvmMix(place / 'm.jsonl')
    else:
        result = [{'from_name': 'tag', 'value': {'brushlabels': ['cup']}}]
        tasks = [{'id': 1, 'data': {'image': 'a.jpg'}, 'annotations': [{'result': result}]}]
        (place / 'task-1-annotation-1-by-1-tag-cup-0.png').write_bytes(
            encode_mask(np.eye(40, 48, dtype=bool)))
        (place / 't.json').write_bytes(dumped(edited(tasks, choices)))
        collection = LabelStudio(place, place / 't.json', '', True)
    for _ in rows_of(range(len(collection)), collection, 'train'):
        pass


def png_masks(data: bytes) -> None:
    """Read a folder of PNG masks with patched pictures and tables of names."""
    choices, place = Choices(data), folder('png')
    for name in ('labelmap.txt', 'class_names.txt'):
        (place / name).unlink(missing_ok=True)
    kind = choices.below(3)
    if kind < 2:
        table = (b'cup:1,2,3::\nbackground:0,0,0::\n', b'__ignore__\n_background_\ncup\n')[kind]
        (place / ('labelmap.txt', 'class_names.txt')[kind]).write_bytes(patched(table, choices))
    for name in ('SegmentationClass', 'JPEGImages'):
        (place / name).mkdir(exist_ok=True)
    (place / 'JPEGImages' / 'a.jpg').write_bytes(picture())
    mask = np.zeros((40, 48, 3), np.uint8)
    mask[5:20, 5:20] = (3, 2, 1)
    grey = mask[..., 0] // 2 if choices.below(2) else mask
    (place / 'SegmentationClass' / 'a.png').write_bytes(
        patched(cv2.imencode('.png', grey)[1].tobytes(), choices))
    collection = PngFolder(place, '', True, 'the cup' if kind == 2 else '')
    for _ in rows_of(range(len(collection)), collection, 'train'):
        pass


# --- Datasets, recordings, weights ------------------------------------------------------------

@cache
def shard_file() -> bytes:
    """Write a shard of three rows."""
    mask = encode_mask(np.eye(40, 48, dtype=bool))
    path = folder('shard') / 'seed.parquet'
    write_shard(path, [Row(f'0-{number}', picture(), 'the cup', 'plain', mask, None, True, 'x',
                           'x', extra={'n': number}, labels=mask) for number in range(3)])
    return path.read_bytes()


def shard(data: bytes) -> None:
    """Read a patched shard, and decode its rows."""
    path = folder('shard') / 'shard-0.parquet'
    path.write_bytes(patched(shard_file(), Choices(data)))
    for row in read_shard(path):
        decode_sample(row)


def checkpoint_target() -> Target:
    """Load patched weights with an edited JSON beside them."""
    import torch

    from ivm_ros.models.checkpoint import load_checkpoint, save_checkpoint
    from ivm_ros.models.errors import CheckpointError
    from ivm_ros.models.compact import CompactConfig, CompactNet
    from ivm_ros.models.ivm_v1_weights import read_tensors
    from ivm_ros.models.pretrained import check_files

    place = folder('checkpoint')
    seed, path = place / 'seed.safetensors', place / 'model.safetensors'
    save_checkpoint(seed, CompactNet(CompactConfig(64, 64, 16, 1, 2, 4)), {}, {}, {})
    weights, told = seed.read_bytes(), json.loads(seed.with_suffix('.json').read_text())
    head = 8 + int.from_bytes(weights[:8], 'little')
    torch.save({'a': torch.zeros(3)}, place / 'x.pth')
    pickled = (place / 'x.pth').read_bytes()

    def run(data: bytes) -> None:
        choices = Choices(data)
        way = choices.below(4)
        if way == 0:
            (place / 'x.pth').write_bytes(patched(pickled, choices))
            read_tensors(place / 'x.pth')
        elif way == 1:
            (place / 'x.pth').write_bytes(choices.rest())
            read_tensors(place / 'x.pth')
        else:
            document = edited(told, choices) if way == 2 else told
            path.with_suffix('.json').write_bytes(dumped(document))
            path.write_bytes(patched(weights[:head], choices) + weights[head:]
                             if way == 3 else weights)
            load_checkpoint(path)
            check_files(place)

    return Target(run, (CheckpointError,))


@cache
def bag_files() -> tuple[bytes, ...]:
    """Write a bag as MCAP and as SQLite, and the metadata of the first."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import get_typestore, Stores

    store = get_typestore(Stores.ROS2_JAZZY)
    kinds, found = store.types, []
    header = kinds['std_msgs/msg/Header'](kinds['builtin_interfaces/msg/Time'](0, 0), 'eye')
    sent = [('/camera', 'sensor_msgs/msg/Image', kinds['sensor_msgs/msg/Image'](
        header, 8, 8, 'rgb8', 0, 24, np.zeros(192, np.uint8))),
        ('/instruction', 'std_msgs/msg/String', kinds['std_msgs/msg/String']('take the cup'))]
    for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
        place = folder('bag') / plugin.name
        shutil.rmtree(place, ignore_errors=True)
        with Writer(place, version=9, storage_plugin=plugin) as writer:
            links = {topic: writer.add_connection(topic, kind, typestore=store)
                     for topic, kind, _ in sent}
            for number in range(4):
                for topic, kind, some in sent:
                    writer.write(links[topic], number + 1, store.serialize_cdr(some, kind))
        found += [next(path.read_bytes() for path in place.iterdir() if path.suffix != '.yaml')]
    return (*found, (folder('bag') / 'MCAP' / 'metadata.yaml').read_bytes())


def bag(data: bytes) -> None:
    """Read patched bags, files and folders, and their pictures."""
    choices = Choices(data)
    mcap, sqlite, metadata = bag_files()
    way, place = choices.below(3), folder('bag')
    if way == 2:
        path = place / 'MCAP'
        (path / 'metadata.yaml').write_bytes(patched(metadata, choices))
    else:
        path = place / ('x.mcap', 'x.db3')[way]
        path.write_bytes(patched((mcap, sqlite)[way], choices))
    for frame in Bag(path, '', 'instruction', '').frames(None, ''):
        try:
            picture_of(frame.message)
        except PictureError:
            continue


def lerobot(data: bytes) -> None:
    """Read a LeRobot folder with an edited description and patched tables."""
    choices, place = Choices(data), folder('lerobot')
    for name in ('meta', 'data/chunk-000'):
        (place / name).mkdir(parents=True, exist_ok=True)
    info = {'codebase_version': 'v3.0', 'fps': 10, 'features': {'front': {'dtype': 'image'}}}
    way = choices.below(3)
    (place / 'meta' / 'info.json').write_bytes(dumped(edited(info, choices) if way == 0 else info))
    tables = lerobot_tables()
    for number, name in enumerate(('meta/tasks.parquet', 'data/chunk-000/file.parquet'), 1):
        table = tables[number - 1]
        (place / name).write_bytes(patched(table, choices) if way == number else table)
    for frame in LeRobot(place, '', '').frames(None, ''):
        try:
            picture_of(frame.message)
        except PictureError:
            continue


@cache
def lerobot_tables() -> tuple[bytes, bytes]:
    """Write the tables of a LeRobot dataset: tasks and rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for table in (pa.table({'task_index': [0], 'task': ['take the cup']}),
                  pa.table({'front': [{'bytes': picture(), 'path': None}] * 3,
                            'episode_index': [0] * 3, 'task_index': [0] * 3,
                            'timestamp': pa.array([0, .1, .2], pa.float32())})):
        stream = pa.BufferOutputStream()
        pq.write_table(table, stream)
        found.append(stream.getvalue().to_pybytes())
    return found[0], found[1]


def targets() -> Iterator[str]:
    """Name the targets."""
    yield from ('message', 'picture', 'labels', 'png', 'shard', 'checkpoint', 'bag', 'lerobot')


def target(name: str) -> Target:
    """Make a target."""
    if name == 'checkpoint':
        return checkpoint_target()
    ways = (*(picture(kind) for kind in ('.jpg', '.png', '.webp', '.bmp', '.tif', '.ppm')),
            encode_image(np.zeros((40, 40, 3), np.uint8)))
    return {'message': Target(message, (ConvertError,), messages()),
            'picture': Target(picture_file, (), ways),
            'labels': Target(labels, (DatasetError,)), 'png': Target(png_masks, (DatasetError,)),
            'shard': Target(shard, (DatasetError,)), 'bag': Target(bag, (DatasetError,)),
            'lerobot': Target(lerobot, (DatasetError,))}[name]
