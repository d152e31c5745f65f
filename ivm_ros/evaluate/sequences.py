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
"""Sequences with true masks and true motion, as `ivm-sim sequences` writes them."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np

from ivm_ros.data.shards import (DatasetError, decode_image, decode_mask, read_info, read_shard,
                                 shard_paths)
from ivm_ros.sample import Mask


@dataclass(frozen=True)
class Video:
    """
    One sequence.

    Attributes:
        kind (str): What moves in it.
        instruction (str): The sentence.
        rate (float): Frames a second.
        images (list[np.ndarray]): Each uint8 [H, W, 3].
        truths (list[Mask]): The true masks.
        flow (np.ndarray): float32 [T, h, w, 2], (x, y) from some pixels to where the same point
            was in the frame before; NaN where it was out of sight.
        stride (int): Pixels from one of those to the next, the first at half of that.
    """

    kind: str
    instruction: str
    rate: float
    images: list[np.ndarray]
    truths: list[Mask]
    flow: np.ndarray
    stride: int


def sequence_paths(folder: Path) -> list[Path]:
    """
    List the shards of a folder of sequences, one a sequence.

    Raises:
        DatasetError: It holds none, or is an ordinary dataset.
    """
    if read_info(folder).get('layout') != 'sequences':
        raise DatasetError(f'{folder} holds single pictures: wanted a folder of "ivm-sim '
                           f'sequences"')
    return shard_paths(folder)


def read_video(path: Path, shrink: int = 1) -> Video:
    """
    Read one sequence.

    Args:
        path: Its shard.
        shrink: Take pictures at this fraction of their size: 1, or a divisor of the stride.

    Raises:
        DatasetError: It lacks its motion or a mask, or is torn.
    """
    info = read_info(path.parent)
    motion = path.with_name(path.name.replace('shard-', 'motion-')).with_suffix('.npz')
    if not motion.is_file():
        raise DatasetError(f'{path} has no {motion.name} beside it: delete it and run "ivm-sim '
                           f'sequences" again, which makes what is missing')
    rows = read_shard(path)
    truths = [Mask(_plane(row.mask, shrink), _plane(row.robot_mask, shrink),
                   float(bool(row.found))) for row in rows]
    try:
        with np.load(motion, allow_pickle=False) as arrays:
            flow = arrays['flow'].astype(np.float32) / shrink
    except (OSError, ValueError, KeyError, EOFError, MemoryError, BadZipFile) as error:
        raise DatasetError(f'{motion} is torn ({error}): delete it and run "ivm-sim sequences" '
                           'again, which makes what is missing') from error
    return Video(rows[0].kind, rows[0].instruction, float(info['rate']),
                 [_small(decode_image(row.image), shrink) for row in rows], truths, flow,
                 int(info['stride']) // shrink)


def _small(picture: np.ndarray, shrink: int) -> np.ndarray:
    size = picture.shape[1] // shrink, picture.shape[0] // shrink
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if shrink > 1 else picture


def _plane(data: bytes | None, shrink: int) -> np.ndarray:
    if data is None:
        raise DatasetError('a frame has no mask: wanted a folder of "ivm-sim sequences"')
    return (_small(decode_mask(data), shrink) > 127).astype(np.float32)
