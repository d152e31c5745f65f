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
"""What is kept in memory does not grow with a dataset; measured in processes of their own."""

import os
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

from ivm_ros.data.scenes import Scenes
from ivm_ros.data.shards import (
    encode_image, encode_mask, read_info, read_rows, Row, write_info, write_shard)

ROWS, IMAGES = 6, 24


def thing(rng: np.random.Generator) -> list[object]:
    """Say of a thing what the simulator says, and more: lists of numbers that do not compress."""
    return ['red', 'block', [round(float(value), 4) for value in rng.random(40)]]


def dataset(folder: Path, shards: int) -> Path:
    """Write 24 pictures a shard with 6 sentences each, and much that is said of their things."""
    rng = np.random.default_rng(0)
    for shard in range(shards):
        rows = []
        for index in range(shard * IMAGES, (shard + 1) * IMAGES):
            image = encode_image(rng.integers(0, 256, (48, 64, 3), np.uint8))
            things = {str(number): thing(rng) for number in range(1, 13)}
            for number in range(ROWS):
                rows.append(Row(
                    f'0-{index:07d}-{number}', image, f'pick up block {index} {number}', 'plain',
                    encode_mask(np.ones((48, 64), bool)), None, True, 'toy', 'toy',
                    extra={'things': things, 'alike': [number], 'needs': True}))
        write_shard(folder / f'shard-{shard:05d}.parquet', rows)
    write_info(folder, {'seed': 0, 'words': []})
    return folder


def peak(code: str) -> float:
    """Run code in a process; give the most memory of its own that it held, MiB."""
    told = ('import re; from pathlib import Path; print(re.search(r"VmHWM:\\s+(\\d+)", '
            'Path("/proc/self/status").read_text())[1])')
    done = subprocess.run(
        [sys.executable, '-c', f'{code}\n{told}'], capture_output=True, text=True, check=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))})
    return int(done.stdout.split()[-1]) / 1024


@pytest.fixture(scope='module')
def small_and_large(tmp_path_factory) -> tuple[Path, Path]:
    """Write a dataset and one five times as large."""
    return tuple(dataset(tmp_path_factory.mktemp('data') / str(count), count)
                 for count in (4, 20))


def on_disk(folder: Path) -> float:
    """Give the size of a dataset, MiB."""
    return sum(path.stat().st_size for path in folder.glob('*.parquet')) / 2 ** 20


@pytest.mark.slow
def test_training_keeps_shards_in_memory_about_as_large_as_on_the_disk(small_and_large):
    """It reads pictures in any order, so it keeps shards; not what Python makes of them."""
    code = ('from pathlib import Path; from ivm_ros.data.scenes import Scenes; '
            'import numpy as np; scenes = Scenes([Path({!r})])\n'
            'for place in scenes.order(np.random.default_rng(0)): scenes.rows(*place)')
    peaks = [peak(code.format(str(folder))) for folder in small_and_large]
    disk = [on_disk(folder) for folder in small_and_large]
    print('MiB in memory:', peaks, 'on the disk:', disk)
    assert peaks[1] - peaks[0] < 3 * (disk[1] - disk[0]) + 5, (peaks, disk)


@pytest.mark.slow
def test_rows_are_those_of_the_shards(small_and_large):
    scenes = Scenes([small_and_large[0]])
    assert [row for shard in range(4) for group in range(IMAGES)
            for row in scenes.rows(shard, group)] == list(read_rows(small_and_large[0]))


@pytest.mark.slow
def test_counting_what_was_imported_does_not_grow_with_it(small_and_large):
    code = ('from ivm_ros.data.writer import Plan, write_scenes; '
            'write_scenes(Plan({!r}, {}, 0, {}, 1, {{}}, iter), "ivm")')
    peaks = [peak(code.format(str(folder), IMAGES * shards, IMAGES))
             for folder, shards in zip(small_and_large, (4, 20))]
    print('MiB:', peaks)
    assert peaks[1] < peaks[0] + 10, peaks
    info = read_info(small_and_large[1])
    assert info['rows'] == info['found'] == info['needs_more_than_colour'] == 20 * IMAGES * ROWS
    assert info['kinds'] == {'plain': 20 * IMAGES * ROWS}
