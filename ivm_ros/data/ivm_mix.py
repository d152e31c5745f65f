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
IVM-Mix-1M as its authors released it (arXiv 2405.19783): JSON lines, pictures and grey masks.

A line has `uuid`, `instruction` (a list of sentences that mean the same), optionally `image` (else
`img_{uuid}.jpg`) and `boxes` relative to the picture padded to a square. The mask is
`mask_{uuid}.jpg`. As the authors' reader does, masks are brightened by 1.5 and stretched to the
full range; one that is all black stays black, where theirs divides by zero.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ivm_ros.data.labelled import Label, Labelled
from ivm_ros.data.shards import DatasetError
from ivm_ros.files import FileError, inside, MALFORMED, parse_json
from ivm_ros.picture_files import PictureFileError, read_picture

BRIGHTER = 1.5
HUMAN = 'Human'  # in the name of the part that people labelled


def normalise_mask(grey: np.ndarray) -> np.ndarray:
    """Brighten and stretch a grey mask uint8 [h, w]; uint8 [h, w], black where it is all black."""
    bright = np.minimum(grey.astype(np.float32) * BRIGHTER, 255)
    low, high = float(bright.min()), float(bright.max())
    if high == low:  # nothing to stretch: all of it, or nothing
        return np.full(grey.shape, 255 if high > 127 else 0, np.uint8)
    return np.round((bright - low) * (255 / (high - low))).astype(np.uint8)


class IvmMix:
    """
    A part of IVM-Mix-1M.

    Args:
        path: Its .jsonl or .json file of lines.
        images: Folder of its pictures; '' for that of the file.
        masks: Folder of its masks; '' for that of the pictures.
        is_human: People made the masks; None: as the name of the part says.

    Raises:
        DatasetError: The file is not of that format.
    """

    def __init__(self, path: Path, images: str = '', masks: str = '',
                 is_human: bool | None = None) -> None:
        self.path = path
        self._images = Path(images) if images else path.parent
        self._masks = Path(masks) if masks else self._images
        self._items = [_item(path, number, line) for number, line in enumerate(
            path.read_text(encoding='utf-8').splitlines(), 1) if line.strip()]
        if not self._items:
            raise DatasetError(f'{path} holds no line')
        # Parts are told apart by name: HumanLabelData, RobotMachineData, VQAMachineData.
        named = HUMAN in path.stem or HUMAN in path.parent.name
        self._is_human = named if is_human is None else is_human

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self._items)

    def __getitem__(self, index: int) -> Labelled:
        """Read one picture and its mask."""
        item = self._items[index]
        uuid = str(item['uuid'])
        try:
            image = inside(self._images, str(item.get('image') or f'img_{uuid}.jpg'))
            mask_path = inside(self._masks, f'mask_{uuid}.jpg')
        except FileError as error:
            raise DatasetError(f'{self.path}: {error}') from error
        for path in (image, mask_path):
            if not path.is_file():
                raise DatasetError(f'{self.path} names {path.name}, and {path.parent} does not '
                                   'hold it')
        try:
            mask = read_picture(mask_path, cv2.IMREAD_GRAYSCALE)
        except PictureFileError as error:
            raise DatasetError(str(error)) from error
        label = Label(tuple(item['instruction']), normalise_mask(mask), 'ivm-mix')
        extra = {'uuid': uuid, **({'boxes': item['boxes']} if item.get('boxes') else {})}
        return Labelled(image.name, image.read_bytes(), (label,), self._is_human,
                        f'ivm-mix/{self.path.stem}', extra)


def _item(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        item = parse_json(line)
        texts = item['instruction']
        if isinstance(texts, str):
            texts = [texts]
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise ValueError('instruction is empty')
        return {**item, 'uuid': item['uuid'], 'instruction': texts}
    except MALFORMED as error:
        raise DatasetError(f'{path}, line {number}: wanted {{"uuid": .., "instruction": [..]}} '
                           f'({error!r})') from error
