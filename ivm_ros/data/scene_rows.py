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
"""A picture with labelled things and sentences about them, as rows of a dataset."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ivm_ros.data.shards import encode_image, encode_mask, ROBOT, Row, TRAINING_SEEDS
from ivm_ros.language.sentence import Sentence
from ivm_ros.language.things import Thing


def scene_rows(seed: int, index: int, image: np.ndarray, labels: np.ndarray,
               things: Sequence[Thing], sentences: Sequence[Sentence], source: str, annotator: str,
               more: Mapping[str, Any]) -> list[Row]:
    """
    Encode a picture and its sentences.

    Args:
        seed: Of the dataset; from 900000 on, its split is 'eval'.
        index: Of the scene.
        image: uint8 [H, W, 3] RGB.
        labels: uint8 [H, W], ids of things, `ROBOT` or 0.
        things: What is visible.
        sentences: With the ids they mean.
        source: Where the picture comes from.
        annotator: What made the masks.
        more: Further entries of the rows' `extra`.
    """
    picture, plane, robot = encode_image(image), encode_mask(labels), _mask(labels, (ROBOT,))
    # Several sentences often mean the same things, and encoding is what takes long here.
    masks = {targets: _mask(labels, targets)
             for targets in {sentence.targets for sentence in sentences}}
    names = {thing.id: [word for word in (thing.colour, thing.kind) if word] for thing in things}
    rows = []
    for number, sentence in enumerate(sentences):
        extra = {**more, 'objects': len(things), 'needs': sentence.needs,
                 'detail': sentence.detail,
                 'targets': [' '.join(names[target]) for target in sentence.targets],
                 'things': {str(label): words for label, words in names.items()},
                 'alike': list(sentence.alike), 'anchors': list(sentence.anchors)}
        rows.append(Row(
            f'{seed}-{index:07d}-{number}', picture, sentence.text, sentence.kind,
            masks[sentence.targets], robot, bool(sentence.targets), source, annotator,
            split='eval' if seed >= TRAINING_SEEDS else 'train', extra=extra, labels=plane))
    return rows


def _mask(labels: np.ndarray, ids: tuple[int, ...]) -> bytes:
    """PNG of the pixels with one of some ids."""
    inside = np.zeros(256, np.uint8)
    inside[list(ids)] = 255
    return encode_mask(inside[labels])
