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
Dataset folders to training batches.

A batch is a pure function of (seed, step): a run that was stopped sees the same batches when it
goes on, and workers may make them in any order. One image brings several of its sentences, since
the backbone then runs once for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from ivm_ros.data.augment import AugmentConfig, jitter, random_box
from ivm_ros.data.instances import instance_arrays
from ivm_ros.data.scenes import Scenes
from ivm_ros.data.shards import DatasetError, decode_image, decode_sample, Row
from ivm_ros.image import Letterbox, letterbox_of, resize, Size, to_canvas, valid
from ivm_ros.sample import Sample

LONGEST = 48  # tokens of a sentence, as many as the sentence encoder reads


@dataclass(frozen=True)
class Arrays:
    """
    One batch before the sentences are encoded.

    Attributes:
        images (np.ndarray): uint8 [I, h, w, 3], RGB.
        sentences (tuple[str, ...]): B sentences.
        sources (tuple[str, ...]): B names of where they come from, see `Row`.
        image_index (np.ndarray): int64 [B].
        forgotten (np.ndarray): bool [B, `LONGEST`], see `Batch`.
        target (np.ndarray): float32 [B, h/2, w/2] in [0, 1].
        robot (np.ndarray): float32 [I, h/2, w/2] in [0, 1].
        robot_known (np.ndarray): float32 [I].
        valid (np.ndarray): float32 [I, h/2, w/2], 0 on padding.
        found (np.ndarray): float32 [B].
        weight (np.ndarray): float32 [B].
        human (np.ndarray): float32 [B].
        labels (np.ndarray): uint8 [I, h, w], see `Batch` for this and what follows.
        heat (np.ndarray): float32 [I, h/8, w/8] in [0, 1].
        owners (np.ndarray): int64 [I, h/8, w/8].
        names (np.ndarray): float32 [I, 256, W].
        roles (np.ndarray): float32 [B, 3, 256].
        labelled (np.ndarray): float32 [I].
    """

    images: np.ndarray
    sentences: tuple[str, ...]
    sources: tuple[str, ...]
    image_index: np.ndarray
    forgotten: np.ndarray
    target: np.ndarray
    robot: np.ndarray
    robot_known: np.ndarray
    valid: np.ndarray
    found: np.ndarray
    weight: np.ndarray
    human: np.ndarray
    labels: np.ndarray
    heat: np.ndarray
    owners: np.ndarray
    names: np.ndarray
    roles: np.ndarray
    labelled: np.ndarray


class Batches(Dataset[Arrays]):
    """
    Item `step` is the batch of that step.

    Args:
        scenes: Where images and sentences come from.
        canvas: (h, w) of the generator.
        images: Images in a batch.
        sentences: Sentences an image at most.
        augment: How images are varied; None for none.
        seed: Of order and augmentation.
        share: (rank, size): this process takes every size-th image of the batch from rank on.
        vocabulary: Words of `Arrays.names`.
        balanced: Every second image is one that people labelled.
    """

    def __init__(self, scenes: Scenes, canvas: Size, images: int, sentences: int,
                 augment: AugmentConfig | None, seed: int, share: tuple[int, int] = (0, 1),
                 vocabulary: Sequence[str] = (), balanced: bool = False) -> None:
        if len(scenes) < images:
            raise DatasetError(f'wanted at least {images} images (one batch), got {len(scenes)}')
        self._scenes, self._canvas, self._augment = scenes, canvas, augment
        self._images, self._sentences, self._seed = images, sentences, seed
        self._share, self._vocabulary, self._balanced = share, vocabulary, balanced
        self._epoch = -1
        self._order: list[tuple[int, int]] = []

    def __len__(self) -> int:
        """Count the whole batches of one epoch."""
        return len(self._scenes) // self._images

    def __getitem__(self, step: int) -> Arrays:
        """Make the batch of a step."""
        epoch, place = divmod(step, len(self._scenes) // self._images)
        if epoch != self._epoch:
            order = self._scenes.order(np.random.default_rng([self._seed, 0, epoch]))
            self._order = self._scenes.balanced(order) if self._balanced else order
            self._epoch = epoch
        rank, size = self._share
        places = range(place * self._images + rank, (place + 1) * self._images, size)
        return stack([self._scene(self._scenes.rows(*self._order[index]),
                                  np.random.default_rng([self._seed, 1, epoch, index]))
                      for index in places])

    def _scene(self, rows: list[Row], rng: np.random.Generator) -> Arrays:
        labelled = [row for row in rows if row.mask is not None]
        if not labelled:
            raise DatasetError(f'{rows[0].id}: no sentence of this image has a mask; annotate the '
                               'dataset first')
        count = min(len(labelled), self._sentences)
        rows = [labelled[index] for index in rng.permutation(len(labelled))[:count]]
        image = decode_image(rows[0].image)
        box = letterbox_of((image.shape[0], image.shape[1]), self._canvas)
        if self._augment is not None:
            image, box = jitter(image, self._augment, rng), random_box(box, self._augment, rng)
        forget = self._augment.forget if self._augment else 0.0
        forgotten = rng.random((count, LONGEST)) < forget
        return scene_arrays(image, rows, box, self._vocabulary, forgotten)


def scene_arrays(image: np.ndarray, rows: Sequence[Row], box: Letterbox,
                 vocabulary: Sequence[str] = (), forgotten: np.ndarray | None = None) -> Arrays:
    """Lay one image with its sentences' masks on the canvas."""
    samples = [decode_sample(row) for row in rows]
    masks = [_mask_of(sample, image) for sample in samples]
    robot = samples[0].robot_mask
    inside = _half(np.full(image.shape[:2], 255, np.uint8), box)
    return Arrays(
        images=to_canvas(image, box)[None],
        sentences=tuple(sample.instruction for sample in samples),
        sources=tuple(row.source for row in rows),
        image_index=np.zeros(len(samples), np.int64),
        forgotten=(np.zeros((len(samples), LONGEST), bool) if forgotten is None else forgotten),
        target=np.stack([_half(mask, box) for mask in masks]),
        robot=(np.zeros_like(inside) if robot is None else _half(robot, box))[None],
        robot_known=np.array([robot is not None], np.float32),
        valid=valid(box)[::2, ::2].astype(np.float32)[None],
        found=np.array([mask.any() if sample.found is None else sample.found
                        for sample, mask in zip(samples, masks)], np.float32),
        weight=np.array([sample.weight for sample in samples], np.float32),
        human=np.array([sample.is_human for sample in samples], np.float32),
        **instance_arrays(rows, masks, box, vocabulary))


def _mask_of(sample: Sample, image: np.ndarray) -> np.ndarray:
    """Give the mask of a sample; it must be there and as large as the image."""
    mask = sample.mask
    if mask is None or mask.shape != image.shape[:2]:
        raise DatasetError(f'{sample.id}: wanted a mask of {image.shape[:2]}, got '
                           f'{None if mask is None else mask.shape}')
    return mask


def _half(mask: np.ndarray, box: Letterbox) -> np.ndarray:
    """Lay a uint8 mask on the half-size canvas, float32 in [0, 1]."""
    plane = np.zeros((box.canvas[0] // 2, box.canvas[1] // 2), np.float32)
    size = (box.content[0] // 2, box.content[1] // 2)
    plane[box.window(2)] = resize(mask, size).astype(np.float32) / 255
    return plane


def stack(scenes: Sequence[Arrays]) -> Arrays:
    """Join scenes into one batch."""
    index = [scene.image_index + place for place, scene in enumerate(scenes)]
    joined = {name: np.concatenate([getattr(scene, name) for scene in scenes])
              for name in ('images', 'forgotten', 'target', 'robot', 'robot_known', 'valid',
                           'found', 'weight', 'human', 'labels', 'heat', 'owners', 'names',
                           'roles', 'labelled')}
    sentences = tuple(text for scene in scenes for text in scene.sentences)
    sources = tuple(name for scene in scenes for name in scene.sources)
    return Arrays(sentences=sentences, sources=sources, image_index=np.concatenate(index),
                  **joined)
