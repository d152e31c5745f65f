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
Datasets: folders of Parquet shards that Hugging Face `datasets` and DuckDB read as they are.

A folder holds `shard-00000.parquet`, ... and `dataset.json`, which says how it was made.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from ivm_ros.files import parse_json, read_json, replace_file, write_json
from ivm_ros.picture_files import decode, PictureFileError
from ivm_ros.sample import Sample

PICTURE = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
SCHEMA = pa.schema([
    ('id', pa.string()), ('image', PICTURE), ('instruction', pa.string()), ('kind', pa.string()),
    ('mask', PICTURE), ('robot_mask', PICTURE), ('found', pa.bool_()), ('source', pa.string()),
    ('annotator', pa.string()), ('is_human', pa.bool_()), ('score', pa.float32()),
    ('split', pa.string()), ('extra', pa.string()), ('labels', PICTURE)])
PICTURES = ('image', 'mask', 'robot_mask', 'labels')
OPTIONAL = ('labels',)  # a shard may lack these columns

TRAINING_SEEDS = 900_000
"""Datasets made with this seed or a greater one are for evaluation only (our choice)."""

ROBOT = 255
"""Label of the robot's pixels."""


class DatasetError(ValueError):
    """A dataset or one of its shards cannot be read; the message names the file and the cure."""


class MaskError(DatasetError):
    """A picture that is to be a mask does not say what is inside; the message tells the cure."""


@dataclass(frozen=True)
class Row:
    """
    One row of a shard. Pictures are encoded files, so that reading the other columns is cheap.

    Attributes:
        id (str): Unique; rows about one image share the part before the last '-' and adjoin.
        image (bytes): JPEG or PNG, RGB.
        instruction (str): The sentence.
        kind (str): Kind of sentence.
        mask (bytes | None): 8-bit PNG, 255 = target; None = not labelled yet.
        robot_mask (bytes | None): 8-bit PNG, 255 = robot.
        found (bool | None): The target is in view.
        source (str): Where the image comes from.
        annotator (str): Who or what made the mask.
        is_human (bool): A person made the mask.
        score (float): Confidence in the label, [0, 1].
        split (str): 'train', 'validation' or 'eval'.
        extra (dict): Anything else, kept as JSON. About `labels`: 'things', {id: words that name
            it}; 'alike', ids of the targets and what they are singled out from; 'anchors', ids of
            what only says where a target is.
        labels (bytes | None): 8-bit PNG, id of the thing that a pixel shows; for training.
    """

    id: str
    image: bytes
    instruction: str
    kind: str
    mask: bytes | None
    robot_mask: bytes | None
    found: bool | None
    source: str
    annotator: str
    is_human: bool = False
    score: float = 1.0
    split: str = 'train'
    extra: dict[str, Any] = field(default_factory=dict)
    labels: bytes | None = None

    @property
    def image_id(self) -> str:
        """Rows with the same image_id are about the same image."""
        return self.id.rpartition('-')[0] or self.id


def encode_image(image: np.ndarray) -> bytes:
    """Encode uint8 [H, W, 3] RGB as JPEG, quality 95 with full chroma."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, 95,
             cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


def encode_mask(mask: np.ndarray) -> bytes:
    """Encode bool or uint8 [H, W] (255 = inside) as 8-bit PNG."""
    grey = mask.astype(np.uint8) * 255 if mask.dtype == bool else mask
    return cv2.imencode('.png', grey, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def decode_image(data: bytes) -> np.ndarray:
    """
    Decode JPEG or PNG into uint8 [H, W, 3] RGB.

    Raises:
        DatasetError: No picture, or one that is too large.
    """
    try:
        return cv2.cvtColor(decode(data), cv2.COLOR_BGR2RGB)
    except PictureFileError as error:
        raise DatasetError(f'not a JPEG or PNG picture: {error}; it begins {data[:8]!r}'
                           ) from error


def decode_mask(data: bytes) -> np.ndarray:
    """
    Decode a mask into uint8 [H, W], 255 = inside.

    We write one channel of 8 bits; other writers' colours count by their brightest channel, so
    that pure red is inside, and 16 bits by their upper 8, or as they are where none needs more.

    Raises:
        MaskError: No picture, or one with transparent pixels.
    """
    mask = _pixels(data)
    if mask.ndim == 3:
        if mask.shape[2] == 4 and mask[..., 3].min() < np.iinfo(mask.dtype).max:
            raise MaskError('a mask has transparent pixels, which are neither inside nor outside: '
                            'write it as PNG with one channel of 8 bits')
        mask = mask[..., :3].max(2)
    if mask.dtype == np.uint16:
        mask = np.rint(mask / 257) if mask.max() > 255 else mask
    return mask.astype(np.uint8, copy=False)


def decode_labels(data: bytes) -> np.ndarray:
    """
    Decode ids of things, uint8 [H, W].

    Raises:
        MaskError: Not one channel of 8 bits, whose values are the ids.
    """
    labels = _pixels(data)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise MaskError(f'labels are {labels.dtype} {list(labels.shape)}, and ids of things want '
                        'PNG with one channel of 8 bits, no palette')
    return labels


def _pixels(data: bytes) -> np.ndarray:
    """Decode a picture with all its channels and bits."""
    try:
        return decode(data, cv2.IMREAD_UNCHANGED)
    except PictureFileError as error:
        raise MaskError(f'not a PNG mask: {error}; it begins {data[:8]!r}') from error


def decode_sample(row: Row) -> Sample:
    """
    Decode the pictures of a row.

    Raises:
        DatasetError: One of them is broken, or a mask is of another size than the picture.
    """
    image = decode_image(row.image)
    masks = [None if data is None else decode_mask(data) for data in (row.mask, row.robot_mask)]
    for mask in masks:
        if mask is not None and mask.shape != image.shape[:2]:
            raise MaskError(f'{row.id}: wanted masks of {image.shape[:2]}, as the picture, got '
                            f'{mask.shape}: write that row again')
    return Sample(row.id, image, row.instruction, row.kind, masks[0], masks[1], row.found,
                  is_human=row.is_human)


def write_shard(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as one Parquet file, whole or not at all (atomic rename)."""
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows]
                                     for name in SCHEMA.names}
    for name in PICTURES:
        columns[name] = [None if data is None else {'bytes': data, 'path': None}
                         for data in columns[name]]
    columns['extra'] = [json.dumps(extra, sort_keys=True) for extra in columns['extra']]
    table = pa.table(columns, schema=SCHEMA)
    # Rows about one image repeat its bytes: a dictionary as large as a shard stores them once.
    with replace_file(path) as part:
        pq.write_table(table, part, compression='zstd', use_dictionary=True,
                       dictionary_pagesize_limit=1 << 28)


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Write `dataset.json`: how the dataset was made (command, seed, versions, counts)."""
    write_json(folder / 'dataset.json', info, sort_keys=True)


def read_info(folder: Path) -> dict[str, Any]:
    """
    Read `dataset.json`.

    Raises:
        DatasetError: It is not there, or broken.
    """
    path = folder / 'dataset.json'
    if not path.is_file():
        raise DatasetError(f'{folder} holds no dataset.json: no dataset, or still being written')
    try:
        info = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path} cannot be read ({error}); write the dataset again') from error
    if not isinstance(info, dict):
        raise DatasetError(f'{path}: wanted a JSON object, got {type(info).__name__}')
    return info


def shard_paths(folder: Path) -> list[Path]:
    """List the shards of a dataset folder in order."""
    paths = sorted(Path(folder).glob('*.parquet'))
    if not paths:
        raise DatasetError(f'{folder} holds no *.parquet shard')
    return paths


def open_table(path: Path, columns: Sequence[str], only: bool = False) -> pa.Table:
    """
    Read a Parquet file whole, or `only` some columns of it, of a picture by choice just a part.

    Raises:
        DatasetError: It is torn, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            missing = [name for name in columns if name.partition('.')[0] not in there]
            if missing:
                raise DatasetError(f'{path} lacks the columns {", ".join(missing)}')
            return file.read(columns=list(columns) if only else None)
    except DatasetError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise DatasetError(f'{path} is torn or not Parquet ({error}); delete it and run the '
                           'writer again, which makes only what is missing') from error


def read_shard(path: Path, ids: Collection[str] | None = None) -> list[Row]:
    """
    Read one shard, or of it the rows of some ids.

    Raises:
        DatasetError: It is torn, or not one of ours; names the file.
    """
    table = open_table(path, [name for name in SCHEMA.names if name not in OPTIONAL])
    try:
        return _rows(table, ids)
    except (pa.ArrowException, TypeError, KeyError, AttributeError, ValueError) as error:
        raise DatasetError(f'{path} holds rows that are not as a shard has them '
                           f'({" ".join(repr(error).split())[:300]}); write it again') from error


def _rows(table: pa.Table, ids: Collection[str] | None) -> list[Row]:
    """Make rows of a table, or of those of some ids."""
    if ids is not None:
        table = table.filter(pa.compute.is_in(table['id'], pa.array(sorted(ids), pa.string())))
    columns = {item.name: table[item.name].to_pylist() if item.name in table.column_names
               else [None] * len(table) for item in fields(Row)}
    for name in PICTURES:
        shared: dict[bytes, bytes] = {}  # rows about one image: keep its bytes once
        columns[name] = [picture and shared.setdefault(picture['bytes'], picture['bytes'])
                         for picture in columns[name]]
    columns['extra'] = [parse_json(extra or '{}') for extra in columns['extra']]
    rows = [Row(**dict(zip(columns, values))) for values in zip(*columns.values())]
    for row in rows:
        if not (isinstance(row.image, bytes) and isinstance(row.instruction, str)
                and isinstance(row.id, str) and isinstance(row.extra, dict)):
            raise TypeError(f'row {row.id!r} without a picture, or of other types')
    return rows


def read_rows(folder: Path) -> Iterator[Row]:
    """Read all rows of a dataset folder, shard by shard."""
    for path in shard_paths(folder):
        yield from read_shard(path)
