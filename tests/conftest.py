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
"""What every test runs under: one thread, and ROS traffic that no other process can hear."""

from collections.abc import Callable
from contextlib import suppress
import os
from pathlib import Path
import tempfile

import numpy as np
import pytest

from ivm_ros.processes import reserve_domain

# Mesa's LLVM and Triton's do not live in one process when Mesa's comes first: Triton, which torch
# loads late and only in part of what it does, then dies of a segmentation fault.
with suppress(ImportError):
    import triton  # noqa: F401

# Set before anything imports torch or rclpy, and inherited by every process a test starts.
for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ[name] = '1'
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['HF_HUB_OFFLINE'] = '1'
os.environ.pop('ROS_NAMESPACE', None)
# Weights that the user has promoted are not those that are tested.
os.environ['XDG_DATA_HOME'] = os.path.join(tempfile.gettempdir(), 'ivm_ros-tests-have-none')


DOMAIN, _DOMAIN_LOCK = reserve_domain()
os.environ['ROS_DOMAIN_ID'] = str(DOMAIN)


@pytest.fixture(scope='session')
def toy_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dataset of 24 pictures of coloured squares, four sentences each, one absent."""
    from ivm_ros.data.shards import encode_image, encode_mask, Row, write_info, write_shard

    colours = {'red': (220, 30, 30), 'green': (30, 200, 40), 'blue': (30, 40, 220),
               'yellow': (230, 220, 30)}
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        image = np.full((96, 128, 3), 128, np.uint8)
        labels = np.zeros((96, 128), np.uint8)
        for label, colour in enumerate(list(colours)[:3], 1):
            row, column = rng.integers(0, 72), rng.integers(0, 104)
            image[row:row + 24, column:column + 24] = colours[colour]
            labels[row:row + 24, column:column + 24] = label
        robot = np.zeros((96, 128), bool)
        robot[:20, 50:60] = True
        image[robot] = 10
        labels[robot] = 0
        things = {str(label): [colour, 'block'] for label, colour in enumerate(colours, 1)}
        for label, colour in enumerate(colours, 1):
            mask = labels == label
            rows.append(Row(f'1-{number:07d}-{label}', encode_image(image),
                            f'pick up the {colour} block', 'plain' if mask.any() else 'absent',
                            encode_mask(mask), encode_mask(robot), bool(mask.any()), 'toy',
                            'toy', extra={'things': things, 'alike': [label], 'anchors': []},
                            labels=encode_mask(labels)))
    folder = tmp_path_factory.mktemp('toy')
    for shard in range(2):
        write_shard(folder / f'shard-{shard:05d}.parquet', rows[shard * 48:(shard + 1) * 48])
    write_info(folder, {'seed': 1, 'words': ['block', *colours]})
    return folder


@pytest.fixture(scope='session')
def shape() -> Callable[[str, int], np.ndarray]:
    """Give a function that draws an ellipse or a box of a colour, uint8 [80, 80, 4] RGBA."""
    import cv2

    rgb = {'red': (200, 20, 20), 'yellow': (240, 210, 20), 'green': (20, 140, 40),
           'blue': (30, 60, 200), 'white': (240, 240, 240), 'black': (15, 15, 15)}

    def draw(colour: str, number: int) -> np.ndarray:
        image = np.zeros((80, 80, 4), np.uint8)
        if number % 2:
            cv2.ellipse(image, (40, 40), (26, 16 + number), 0, 0, 360, (*rgb[colour], 255), -1)
        else:
            cv2.rectangle(image, (12, 20), (68, 72 - number), (*rgb[colour], 255), -1)
        return image

    return draw


@pytest.fixture(scope='session')
def cutout_folder(shape: Callable[[str, int], np.ndarray],
                  tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write cut-outs of ten nouns; melon, peach and razor are held out of training."""
    import cv2

    folder = tmp_path_factory.mktemp('cutouts')
    colours = {'apple': 'red', 'banana': 'yellow', 'duck': 'yellow', 'cup': 'white',
               'hammer': 'black', 'key': 'green', 'cube': 'blue', 'melon': 'green',
               'peach': 'red', 'razor': 'blue'}
    for number, (noun, colour) in enumerate(colours.items()):
        cv2.imwrite(str(folder / f'{noun}.png'),
                    cv2.cvtColor(shape(colour, number), cv2.COLOR_RGBA2BGRA))
    return folder
