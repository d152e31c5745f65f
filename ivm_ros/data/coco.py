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
COCO's instance files, and referring expressions on them as RefCOCO has them (REFER).

COCO: `instances_*.json` with `images`, `annotations` (polygons or RLE) and `categories`. REFER:
beside such a file, `refs(unc).p` and the like, a pickle of dictionaries, or the same as JSON. The
pickle is read by an unpickler that builds nothing but plain containers.
"""

from collections import defaultdict
from copy import copy
import io
from pathlib import Path
import pickle
from typing import Any

import numpy as np
from typing_extensions import Self

from ivm_ros.data.labelled import (
    asked, check_outline, check_sides, Label, Labelled, picture_inside)
from ivm_ros.data.shards import DatasetError, MaskError
from ivm_ros.files import MALFORMED, MOST_LABELS, read_json


class _Plain(pickle.Unpickler):
    """Builds strings, numbers, lists, tuples, dictionaries and sets, and calls nothing."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse whatever is not built into the format."""
        raise pickle.UnpicklingError(f'it asks for {module}.{name}')


def load_plain(data: bytes) -> Any:
    """
    Read a pickle of plain containers.

    Raises:
        DatasetError: It holds anything else, or is broken.
    """
    try:
        # Strings of Python 2 are bytes to Python 3 unless told.
        return _Plain(io.BytesIO(data), encoding='utf-8').load()
    except Exception as error:  # a broken pickle raises almost anything
        raise DatasetError(f'not a pickle of plain containers: {error}') from error


class Coco:
    """
    Pictures of a COCO instance file, asked for by category.

    One instance of a category is meant by its name, several by the plural.

    Args:
        path: The .json file.
        images: Folder of the pictures.
        is_human: People made the masks; the file does not say.
        sentence: What asks for a category, as of `labelled.asked`.

    Raises:
        DatasetError: The file is not of that format.
    """

    def __init__(self, path: Path, images: str, is_human: bool, sentence: str = '') -> None:
        self.path, self._folder = path, Path(images)
        self._is_human, self._sentence = is_human, sentence
        self._images, self._names, of_image = _read(path)
        self._of_image = {key: found for key, found in of_image.items() if key in self._images}
        self._keys = sorted(self._of_image)
        if not self._keys:
            raise DatasetError(f'{path} annotates no picture')

    def __len__(self) -> int:
        """Count the annotated pictures."""
        return len(self._keys)

    def __getitem__(self, index: int) -> Labelled:
        """Read one picture with a label for every category in it."""
        info = self._images[self._keys[index]]
        groups: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in self._of_image[self._keys[index]]:
            groups[annotation['category_id']].append(annotation)
        labels = []
        for category, members in groups.items():
            name = self._names[category]
            # CVAT calls every mask drawn with the brush a crowd; its own have `attributes`.
            crowd = any(member.get('iscrowd') and 'attributes' not in member
                        for member in members)
            text, kind = asked(name, len(members) > 1 or crowd, self._sentence)
            mask = np.zeros((info['height'], info['width']), np.uint8)
            for member in members:
                mask |= mask_of(member, info)
            labels.append(Label((text,), mask, kind))
        return _labelled(self.path, self._folder, info, labels, self._is_human)


class Refer:
    """
    Referring expressions on a COCO instance file: RefCOCO, RefCOCO+, RefCOCOg.

    Args:
        refs: `refs(unc).p` or the like, or the same list as .json.
        instances: The .json file of instances.
        images: Folder of the pictures.
        split: Only refs of this split ('train', 'val', 'testA', ...); '' for all.
        is_human: People made the masks.

    Raises:
        DatasetError: A file is not of its format.
    """

    def __init__(self, refs: Path, instances: Path, images: str, split: str = '',
                 is_human: bool = True) -> None:
        self.path, self._folder, self._is_human = refs, Path(images), is_human
        self._images, _, of_image = _read(instances)
        try:
            self._annotations = {a['id']: a for found in of_image.values() for a in found}
            self._listed = (read_json(refs, MOST_LABELS) if refs.suffix == '.json' else
                            load_plain(refs.read_bytes()))
            for ref in self._listed:
                ref['split'], ref['sentences'][0]['sent'], self._images[ref['image_id']]
                self._annotations[ref['ann_id']]
        except MALFORMED as error:
            raise DatasetError(f'{refs}: {error}' if isinstance(error, DatasetError) else
                               f'{refs} is no list of refs on {instances} ({error!r})') from error
        self._choose(split)

    @property
    def splits(self) -> list[str]:
        """Names of all splits."""
        return sorted({ref['split'] for ref in self._listed})

    def only(self, split: str) -> Self:
        """
        Give the same files, another split of them; '' for all.

        Raises:
            DatasetError: Nothing is of that split.
        """
        other = copy(self)
        other._choose(split)
        return other

    def name_of(self, index: int) -> str:
        """Name the file of a picture, which need not be there."""
        return str(self._images[self._keys[index]]['file_name'])

    def _choose(self, split: str) -> None:
        self._refs: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for ref in self._listed:
            if split in ('', ref['split']):
                self._refs[ref['image_id']].append(ref)
        self._keys = sorted(self._refs)
        if not self._keys:
            raise DatasetError(f'{self.path} holds no ref of split {split!r}; it has '
                               f'{", ".join(self.splits) or "none"}')

    def __len__(self) -> int:
        """Count the pictures that something refers to."""
        return len(self._keys)

    def __getitem__(self, index: int) -> Labelled:
        """Read one picture with a label for everything that is referred to."""
        info = self._images[self._keys[index]]
        labels = [Label(tuple(str(sentence['sent']) for sentence in ref['sentences']),
                        mask_of(self._annotations[ref['ann_id']], info), 'refer')
                  for ref in self._refs[self._keys[index]]]
        return _labelled(self.path, self._folder, info, labels, self._is_human)


def mask_of(annotation: dict[str, Any], info: dict[str, Any]) -> np.ndarray:
    """
    Decode polygons or RLE; uint8 [height, width], 255 inside.

    Raises:
        MaskError: It is neither, or of another size.
    """
    shape = check_sides(info['height'], info['width'])
    outline = annotation['segmentation']
    if not outline:
        raise MaskError(f'annotation {annotation.get("id")} is a box or points without an '
                        'outline; draw it as polygon or mask, or take it out')
    try:
        inside = (_filled(outline, shape) if isinstance(outline, list) else
                  _unrolled(outline, shape))
    except MaskError as error:
        raise MaskError(f'annotation {annotation.get("id")}: {error}') from error
    except Exception as error:  # pycocotools raises bare ones
        raise MaskError(f'annotation {annotation.get("id")}: neither polygons nor RLE '
                        f'({error!r})') from error
    return inside * np.uint8(255)


def _filled(polygons: list[Any], shape: tuple[int, int]) -> np.ndarray:
    """Fill polygons [x, y, x, y, ...]."""
    from pycocotools import mask as rle

    for polygon in polygons:
        check_outline(np.asarray(polygon, float).reshape(-1, 2))
    filled: np.ndarray = rle.decode(rle.merge(rle.frPyObjects(polygons, *shape)))
    return filled


def _unrolled(coded: dict[str, Any], shape: tuple[int, int]) -> np.ndarray:
    """Unroll run lengths; pycocotools would fill up those that end early with what lay there."""
    counts = coded['counts']
    runs = np.asarray(_counts_of(counts) if isinstance(counts, str | bytes) else counts, np.int64)
    size, pixels = tuple(coded.get('size', shape)), shape[0] * shape[1]
    # Each by itself, too: a sum can run over to the right number, and repeat then ends Python.
    if (size != shape or runs.ndim != 1 or (runs < 0).any() or (runs > pixels).any()
            or runs.sum() != pixels):
        raise MaskError(f'its mask is {size}, of {runs.sum()} pixels, the picture {shape}')
    inside = np.repeat(np.arange(len(runs), dtype=np.uint8) & 1, runs)
    return inside.reshape(shape, order='F')


def _counts_of(text: str | bytes) -> list[int]:
    """Read COCO's run lengths: five bits a letter, from the third on as a step from the last."""
    counts: list[int] = []
    value = shift = 0
    for byte in text.encode('ascii') if isinstance(text, str) else text:
        letter = byte - 48
        if not 0 <= letter < 64 or shift > 40:
            raise MaskError('run lengths that are none')
        value |= (letter & 31) << shift
        shift += 5
        if not letter & 32:  # the last of this number
            value -= (1 << shift) if letter & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts


def _read(path: Path) -> tuple[dict[int, dict[str, Any]], dict[int, str],
                               dict[int, list[dict[str, Any]]]]:
    """Read pictures by id, names of categories by id, and annotations by picture."""
    try:
        told = read_json(path, MOST_LABELS)
        images = {image['id']: image for image in told['images']}
        for image in images.values():
            image['file_name']
            check_sides(image['height'], image['width'])
        names = {category['id']: str(category['name']) for category in told['categories']}
        of_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in told['annotations']:
            annotation['segmentation'], annotation['id'], names[annotation['category_id']]
            of_image[annotation['image_id']].append(annotation)
    except MALFORMED as error:
        raise DatasetError(f'{path} is no COCO instance file ({error!r})') from error
    return images, names, of_image


def _labelled(path: Path, folder: Path, info: dict[str, Any], labels: list[Label],
              is_human: bool) -> Labelled:
    image = picture_inside(folder, str(info['file_name']))
    return Labelled(info['file_name'], image.read_bytes(), tuple(labels), is_human,
                    f'coco/{path.stem}', {'image_id': info['id']})
