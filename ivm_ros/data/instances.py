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
What a dataset's labels say of the things in a picture: where they are, their names, their roles.

A label is the id of the thing that a pixel shows (column `labels`), 1 to 255 where `things` of
`extra` names it; anything else is background. Datasets without labels teach through masks alone.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from ivm_ros.data.shards import decode_labels, Row
from ivm_ros.image import Letterbox
from ivm_ros.language.naming import names_for

LABELS = 256
ROLES = ('target', 'alike', 'anchors')
CELL = 8  # pixels of the canvas in a cell of the heat map
FEWEST = 12  # pixels of the canvas that make a thing worth finding (our choice)


def instance_arrays(rows: Sequence[Row], masks: Sequence[np.ndarray], box: Letterbox,
                    vocabulary: Sequence[str]) -> dict[str, np.ndarray]:
    """
    Tell of the things in one image.

    Args:
        rows: Its B sentences.
        masks: uint8 [H, W], their targets, 255 inside.
        box: Where the image lies on the canvas.
        vocabulary: W words that may name things.

    Returns:
        `labels`, `heat`, `owners`, `names`, `roles`, `labelled` of `loader.Arrays`.
    """
    canvas = np.zeros(box.canvas, np.uint8)
    names = np.zeros((LABELS, len(vocabulary)), np.float32)
    roles = np.zeros((len(rows), len(ROLES), LABELS), np.float32)
    labels = None if rows[0].labels is None else decode_labels(rows[0].labels)
    if labels is not None:
        things = {int(label): words for label, words in rows[0].extra.get('things', {}).items()}
        known = np.zeros(LABELS, np.uint8)
        known[list(things)] = list(things)
        labels = known[labels]
        content = box.content[1], box.content[0]
        canvas[box.window()] = cv2.resize(labels, content, interpolation=cv2.INTER_NEAREST)
        places = {word: place for place, word in enumerate(vocabulary)}
        for label, words in things.items():
            fitting = [name for word in words for name in names_for(word)]
            names[label, [places[name] for name in fitting if name in places]] = 1
        sizes = np.bincount(labels.ravel(), minlength=LABELS)
        for row, mask, role in zip(rows, masks, roles):
            inside = np.bincount(labels[mask > 127], minlength=LABELS)
            role[0] = inside * 2 > sizes
            for plane, key in enumerate(ROLES[1:], 1):
                role[plane, row.extra.get(key, [])] = 1
        roles[:, :, 0] = 0  # nobody means the background
    heat, owners = centres_of(canvas)
    return {'labels': canvas[None], 'heat': heat[None], 'owners': owners[None],
            'names': names[None], 'roles': roles,
            'labelled': np.array([labels is not None], np.float32)}


def centres_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Give the heat map that a generator should see, and whose each cell is.

    Args:
        labels: uint8 [h, w].

    Returns:
        Heat, float32 [h/8, w/8] in [0, 1]: one in the cell of each thing's centre (the visible
        pixel that is nearest to the middle of all of them), falling off with its size around it,
        as CenterNet has it (arXiv 1904.07850). Owners, int64 [h/8, w/8]: the label in the middle
        of a cell, or the thing whose centre lies in it.
    """
    rows, columns = labels.shape[0] // CELL, labels.shape[1] // CELL
    down, right = np.mgrid[:rows, :columns]
    heat = np.zeros((rows, columns), np.float32)
    owners = labels[CELL // 2::CELL, CELL // 2::CELL].astype(np.int64)
    for label in np.unique(labels)[1 if not labels.min() else 0:]:
        y, x = np.nonzero(labels == label)
        if len(y) < FEWEST:
            continue
        nearest = np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2)
        row, column = y[nearest] // CELL, x[nearest] // CELL
        spread = np.clip(np.sqrt(len(y)) / (4 * CELL), 0.4, 1.5)
        away = (down - row) ** 2 + (right - column) ** 2
        np.maximum(heat, np.exp(-away / (2 * spread ** 2)), out=heat)
        owners[row, column] = label
    return heat, owners
