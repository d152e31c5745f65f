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
"""`ivm export`: the compact generator's network as an ONNX graph, in float32 or 8 bits."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import torch

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.shards import decode_image, read_rows
from ivm_ros.image import letterbox_of, Size, to_canvas
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.installed import weights_path
from ivm_ros.models.onnx_export import example_inputs, INPUTS, write_graph, write_listener
from ivm_ros.models.onnx_generator import listener_of
from ivm_ros.models.onnx_int8 import quantise
from ivm_ros.models.pixels import normalise
from ivm_ros.models.text import TextEncoder
from ivm_ros.picture_files import PictureFileError, read_picture

PICTURES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')


@dataclass(frozen=True)
class ExportConfig:
    """Write a generator's network as an ONNX graph."""

    out: Annotated[str, Doc('File to write, .onnx.')] = 'compact.onnx'
    weights: Annotated[str, Doc('Checkpoint; empty for the one in use.')] = ''
    format: Annotated[Literal['onnx'], Doc('Format to write.')] = 'onnx'
    quantize: Annotated[Literal['none', 'int8'], Doc(
        'int8: the backbone in 8 bits, by ranges seen on the pictures of --calibration.')] = 'none'
    calibration: Annotated[str, Doc(
        'Folder of pictures like those that it will see, or a dataset.')] = ''
    listener: Annotated[bool, Doc(
        'Also write OUT with .listen.onnx: sentence encoder and what is done once a sentence '
        '(90 MB). With both a node with runtime onnx needs no PyTorch.')] = False
    pictures: Annotated[int, Range(1, 10000), Doc('Pictures to calibrate on, at most.')] = 128

    def __post_init__(self) -> None:
        """Check the name, and that there is what to calibrate on."""
        check(self)
        if Path(self.out).suffix != '.onnx':
            raise ConfigError(f'ExportConfig.out: wanted a name that ends in .onnx, got '
                              f'{self.out!r}')
        if (self.quantize == 'int8') != bool(self.calibration):
            raise ConfigError('ExportConfig.calibration: int8 needs a folder of pictures, and '
                              f'nothing else does; got quantize {self.quantize!r} and '
                              f'calibration {self.calibration!r}')


def export(config: ExportConfig) -> Path:
    """
    Write an ONNX graph; return its path.

    Raises:
        CheckpointError: The weights cannot be used.
        ConfigError: The folder to calibrate on holds no picture.
        DatasetError: It is a dataset that cannot be read.
        OnnxError: The packages that write ONNX are missing.
    """
    path = Path(config.out)
    checkpoint = load_checkpoint(weights_path(config.weights))
    pictures = []
    for picture in pictures_of(Path(config.calibration)) if config.calibration else ():
        pictures.append(picture)
        if len(pictures) == config.pictures:
            break
    if config.calibration and not pictures:
        raise ConfigError(f'ExportConfig.calibration: {config.calibration} holds no picture; '
                          f'wanted a dataset, or a folder of {", ".join(PICTURES)}')
    write_graph(checkpoint, path)
    if config.listener:
        write_listener(checkpoint, TextEncoder(), listener_of(path))
    if pictures:
        sizes = checkpoint.net.config.height, checkpoint.net.config.width
        quantise(path, _feeds(pictures, sizes, [
            value[:1].numpy() for value in example_inputs(checkpoint.net)[1:]]))
    return path


def pictures_of(folder: Path) -> Iterator[np.ndarray]:
    """Give the pictures of a dataset or of a folder, uint8 [H, W, 3] RGB."""
    if (folder / 'dataset.json').is_file():
        last = ''
        for row in read_rows(folder):
            if row.image_id != last:
                last = row.image_id
                yield decode_image(row.image)
        return
    for path in sorted(folder.rglob('*')):
        if path.suffix.lower() in PICTURES:
            with suppress(PictureFileError):
                yield cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2RGB)


def _feeds(pictures: list[np.ndarray], canvas: Size, said: list[np.ndarray]
           ) -> Iterator[dict[str, np.ndarray]]:
    """Give inputs of the graph; the sentence does not reach the backbone, so any will do."""
    for picture in pictures:
        box = letterbox_of((picture.shape[0], picture.shape[1]), canvas)
        pixels = normalise(to_canvas(picture, box)[None], torch.device('cpu')).numpy()
        yield dict(zip(INPUTS, (pixels, *said)))
