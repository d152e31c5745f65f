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
Sets that say where something is, read as they are released: RefCOCO, ReasonSeg, our shards.

RefCOCO (REFER): `refs(unc).p` and `instances.json`, pictures of COCO. ReasonSeg (LISA): folders
`train`, `val`, `test` with a JSON file beside each picture, whose polygons are 'target' or
'ignore'; what is ignored counts neither for nor against a mask. The first of its sentences is
asked, as LISA's own validation does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ivm_ros.data.coco import Refer
from ivm_ros.data.labelled import check_outline, item_of, LostPictureError
from ivm_ros.data.shards import DatasetError, decode_sample, read_rows
from ivm_ros.evaluate.sources import Source
from ivm_ros.files import MALFORMED, parse_json

PARTITIONS = {'refcoco': ('unc', 'google'), 'refcoco+': ('unc',), 'refcocog': ('umd', 'google')}
COCO_FOLDERS = ('images/mscoco/images/train2014', 'images/train2014', 'train2014', 'images')
REASON_SPLITS = ('train', 'val', 'test')
PICTURES = ('.jpg', '.jpeg', '.png')


@dataclass(frozen=True)
class Case:
    """
    A picture and what some sentences mean in it.

    Attributes:
        split (str): Of the set.
        name (str): What the picture is called there.
        image (np.ndarray): uint8 [H, W, 3] RGB.
        sentences (tuple[str, ...]): N sentences.
        truths (tuple[np.ndarray, ...]): bool [H, W], what each means.
        counts (np.ndarray | None): bool [H, W], pixels that are judged; None: all.
    """

    split: str
    name: str
    image: np.ndarray
    sentences: tuple[str, ...]
    truths: tuple[np.ndarray, ...]
    counts: np.ndarray | None = None


def refer_cases(dataset: str, source: Source) -> Iterator[Case]:
    """
    Read RefCOCO, RefCOCO+ or RefCOCOg.

    Args:
        dataset: 'refcoco', 'refcoco+' or 'refcocog'.
        source: The folder of that set, or the one above it ('refer_seg').

    Raises:
        DatasetError: It is not that set, or a file of it is broken.
    """
    names = [source.partition] if source.partition else PARTITIONS[dataset]
    wanted = [f'{folder}refs({name}).p' for folder in ('', f'{dataset}/') for name in names]
    refs = next((path for name in wanted if (path := source.root / name).is_file()), None)
    if refs is None or not (refs.parent / 'instances.json').is_file():
        raise source.refuse(dataset, [*wanted, 'instances.json beside it'])
    above = [f'{refs.parent.relative_to(source.root)}/../{name}' for name in COCO_FOLDERS]
    folder = source.folder_of_images(*COCO_FOLDERS, *above)
    whole = Refer(refs, refs.parent / 'instances.json', str(folder))
    for split in source.wanted(whole.splits):
        part = whole.only(split)
        for index in range(min(len(part), source.items or len(part))):
            try:
                item = item_of(part, index)
            except LostPictureError as error:
                source.lose(part.name_of(index), str(error))
                continue
            if (image := source.decoded(item.name, item.image)) is None:
                continue
            if any(label.mask.shape != image.shape[:2] for label in item.labels):
                source.lose(item.name, f'the picture is {image.shape[:2]}, its masks are not')
                continue
            pairs = [(text, label.mask > 127) for label in item.labels
                     for text in label.instructions if text.strip()]
            if pairs:
                yield _case(split, item.name, image, pairs)


def reason_cases(source: Source) -> Iterator[Case]:
    """
    Read ReasonSeg.

    Args:
        source: The folder with `train`, `val`, `test`, or one or two above it.

    Raises:
        DatasetError: It is not that set, or a file of it is broken.
    """
    roots = [source.root / name for name in ('', 'ReasonSeg', 'reason_seg/ReasonSeg')]
    folders = {path.name: path for root in roots if root.is_dir()
               for name in REASON_SPLITS if any((path := root / name).glob('*.json'))}
    if not folders:
        raise source.refuse('ReasonSeg', [
            'val/NAME.json with val/NAME.jpg', 'ReasonSeg/val/NAME.json', 'test/NAME.json'])
    for split in source.wanted(folders):
        paths = sorted(folders[split].glob('*.json'))
        for path in paths[:source.items or len(paths)]:
            told = _told(path)
            picture = next((other for ending in PICTURES
                            if (other := path.with_suffix(ending)).is_file()), None)
            name = f'{split}/{path.stem}.jpg'
            if (image := source.picture(name, picture)) is None:
                continue
            truth, ignored = _painted(path, told['shapes'], (image.shape[0], image.shape[1]))
            yield Case(split, name, image, (told['text'][0],), (truth,), ~ignored)


def _told(path: Path) -> dict[str, Any]:
    """Read one of ReasonSeg's files; some are of Windows' code page."""
    data = path.read_bytes()
    try:
        try:
            told = parse_json(data.decode('utf-8'))
        except UnicodeDecodeError:
            told = parse_json(data.decode('cp1252'))
        if not told['text'][0].strip() or not isinstance(told['shapes'], list):
            raise TypeError('text or shapes')
    except MALFORMED as error:
        raise DatasetError(f'{path} is no file of ReasonSeg: wanted "text", a list of sentences, '
                           f'and "shapes" ({error!r})') from error
    found: dict[str, Any] = told
    return found


def _painted(path: Path, shapes: list[Any], size: tuple[int, int]
             ) -> tuple[np.ndarray, np.ndarray]:
    """
    Paint polygons, the largest first, so that small ones lie on top.

    Returns:
        bool [H, W] of the target and of what is ignored.
    """
    painted = []
    try:
        for shape in shapes:
            label, points = str(shape['label']).lower(), np.array(shape['points'], np.float64)
            if label == 'flag':  # marks the file, not a place
                continue
            check_outline(points.reshape(-1, 2))
            area = np.zeros(size, np.uint8)
            corners = points.reshape(-1, 1, 2).astype(np.int32)
            cv2.fillPoly(area, [corners], (1,))
            cv2.polylines(area, [corners], True, (1,))
            painted.append((area > 0, 'ignore' in label))
    except (KeyError, TypeError, ValueError, cv2.error) as error:
        raise DatasetError(f'{path}: a shape wants "label" and "points", a list of [x, y] '
                           f'({error!r})') from error
    target, ignored = np.zeros(size, bool), np.zeros(size, bool)
    for inside, ignore in sorted(painted, key=lambda item: -np.count_nonzero(item[0])):
        target[inside], ignored[inside] = not ignore, ignore
    return target, ignored


def shard_cases(source: Source) -> Iterator[Case]:
    """
    Read our own datasets: one folder, or a folder of them, one a split.

    Raises:
        DatasetError: There is none, or one is broken.
    """
    folders = {path.parent.name: path.parent for path in sorted(
        [*source.root.glob('dataset.json'), *source.root.glob('*/dataset.json')])}
    if not folders:
        raise source.refuse('a dataset of ours', ['dataset.json', 'SPLIT/dataset.json'])
    for split in source.wanted(folders):
        groups = groupby(read_rows(folders[split]), key=lambda row: row.image_id)
        for name, rows in islice(groups, source.items or None):
            pairs: list[tuple[str, np.ndarray]] = []
            for sample in map(decode_sample, rows):
                image = sample.image
                if sample.mask is None:
                    source.lose(sample.id, 'it has no mask')
                elif (sample.mask > 127).any():
                    pairs.append((sample.instruction, sample.mask > 127))
            if pairs:
                yield _case(split, name, image, pairs)


def _case(split: str, name: str, image: np.ndarray, pairs: list[tuple[str, np.ndarray]]) -> Case:
    return Case(split, name, image, tuple(text for text, _ in pairs),
                tuple(truth for _, truth in pairs))
