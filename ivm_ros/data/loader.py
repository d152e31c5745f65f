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

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from torch.utils.data import Dataset

from ivm_ros.data.augment import AugmentConfig, jitter, random_box
from ivm_ros.data.instances import instance_arrays
from ivm_ros.data.shards import (
    DatasetError, decode_image, decode_sample, read_shard, Row, shard_paths)
from ivm_ros.image import Letterbox, letterbox_of, resize, Size, to_canvas, valid
from ivm_ros.sample import Sample

LONGEST = 48  # tokens of a sentence, as many as the sentence encoder reads
OPEN_SHARDS = 128
"""Shards kept in memory; a larger dataset is read in blocks of this many."""


@dataclass(frozen=True)
class Arrays:
    """
    One batch before the sentences are encoded.

    Attributes:
        images (np.ndarray): uint8 [I, h, w, 3], RGB.
        sentences (tuple[str, ...]): B sentences.
        image_index (np.ndarray): int64 [B].
        forgotten (np.ndarray): bool [B, `LONGEST`], see `Batch`.
        target (np.ndarray): float32 [B, h/2, w/2] in [0, 1].
        robot (np.ndarray): float32 [I, h/2, w/2] in [0, 1].
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
    image_index: np.ndarray
    forgotten: np.ndarray
    target: np.ndarray
    robot: np.ndarray
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


class Scenes:
    """
    The images of some dataset folders with their sentences, read shard by shard.

    Args:
        folders: Dataset folders; their labelled rows are used.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._shards = [path for folder in folders for path in shard_paths(folder)]
        self._groups = [_image_groups(path) for path in self._shards]
        self._human = [_human_groups(path, groups)
                       for path, groups in zip(self._shards, self._groups)]
        self._open: OrderedDict[int, list[Row]] = OrderedDict()

    def __len__(self) -> int:
        """Count the images."""
        return sum(map(len, self._groups))

    def rows(self, shard: int, group: int) -> list[Row]:
        """Read all rows about one image."""
        if shard not in self._open:
            self._open[shard] = read_shard(self._shards[shard])
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        first, last = self._groups[shard][group]
        return self._open[shard][first:last]

    def need_both_kinds(self, what: str) -> None:
        """
        Check that there are images that people labelled, and others.

        Raises:
            DatasetError: There are only ones of a kind; `what` wanted both.
        """
        human = sum(map(sum, self._human))
        if human in (0, len(self)):
            raise DatasetError(f'{what} wanted images that people labelled (is_human) and others, '
                               f'got {human} and {len(self) - human}')

    def balanced(self, order: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """
        Let images that people labelled and others alternate, as many as there were before.

        The fewer ones come round more often. Pairs are turned in turns, so that each of two
        processes that share a batch gets both.

        Raises:
            DatasetError: There are only ones of a kind.
        """
        self.need_both_kinds('balanced')
        human = [image for image in order if self._human[image[0]][image[1]]]
        machine = [image for image in order if not self._human[image[0]][image[1]]]
        pairs = [(human[place % len(human)], machine[place % len(machine)])
                 for place in range((len(order) + 1) // 2)]
        turned = [image for place, pair in enumerate(pairs)
                  for image in (pair if place % 2 else pair[::-1])]
        return turned[:len(order)]

    def order(self, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Shuffle (shard, group) pairs within blocks of as many shards as stay open."""
        shards = rng.permutation(len(self._shards))
        order: list[tuple[int, int]] = []
        for start in range(0, len(shards), OPEN_SHARDS):
            block = [(int(shard), group) for shard in shards[start:start + OPEN_SHARDS]
                     for group in range(len(self._groups[shard]))]
            order.extend(_alternate([block[index] for index in rng.permutation(len(block))]))
        return order


def _alternate(images: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """
    Let even and odd images of the shards alternate.

    So two processes that share a batch meet the same images in every epoch, and each needs to
    encode its own sentences only.
    """
    even = [image for image in images if image[1] % 2 == 0]
    odd = [image for image in images if image[1] % 2]
    both = min(len(even), len(odd))
    pairs = [image for pair in zip(even, odd) for image in pair]
    return pairs + even[both:] + odd[both:]


def _image_groups(path: Path) -> list[tuple[int, int]]:
    """First and last row of every image in a shard."""
    ids = [name.rpartition('-')[0] or name
           for name in pq.read_table(path, columns=['id'])['id'].to_pylist()]
    starts = [0, *(row for row in range(1, len(ids)) if ids[row] != ids[row - 1])]
    return list(zip(starts, [*starts[1:], len(ids)]))


def _human_groups(path: Path, groups: list[tuple[int, int]]) -> list[bool]:
    """Tell of each image of a shard whether people labelled any of its sentences."""
    human = pq.read_table(path, columns=['is_human'])['is_human'].to_pylist()
    return [any(human[first:last]) for first, last in groups]


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
        image_index=np.zeros(len(samples), np.int64),
        forgotten=(np.zeros((len(samples), LONGEST), bool) if forgotten is None else forgotten),
        target=np.stack([_half(mask, box) for mask in masks]),
        robot=(np.zeros_like(inside) if robot is None else _half(robot, box))[None],
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
              for name in ('images', 'forgotten', 'target', 'robot', 'valid', 'found', 'weight',
                           'human', 'labels', 'heat', 'owners', 'names', 'roles', 'labelled')}
    sentences = tuple(text for scene in scenes for text in scene.sentences)
    return Arrays(sentences=sentences, image_index=np.concatenate(index), **joined)
