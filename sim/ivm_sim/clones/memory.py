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
Demonstrations in memory, and the batches of a clone's training.

All episodes of a training fit into memory: 16,000 steps at 128 px are 0.8 GB, 1.6 with the wrist.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ivm_ros.data.shards import DatasetError, shard_paths
from ivm_ros.deploy import DeployConfig
from ivm_ros.masker import Masker
from ivm_ros.sample import Mask
from ivm_sim.clones.config import Camera
from ivm_sim.clones.masks import masks_of
from ivm_sim.clones.sight import masked, MaskNoise, noisy, Shade, shaded
from ivm_sim.episodes import read_shard
from ivm_sim.poses import chunks_of, wanted_of
from ivm_sim.truth import Truth


@dataclass(frozen=True)
class Demonstrations:
    """
    N steps of demonstrations, N the sum over episodes.

    Attributes:
        front (np.ndarray): uint8 [N, S, S, 3].
        wrist (np.ndarray | None): uint8 [N, S, S, 3], or None where nobody looks.
        truths (list[Truth]): Of the front pictures.
        masks (np.ndarray | None): uint8 [N, 2, S, S], what the weights say of them, or None.
        proprio (np.ndarray): float32 [N, 15].
        chunks (np.ndarray): float32 [N, chunk, 6], wanted poses from each step on.
        sentences (tuple[str, ...]): Different instructions.
        sentence (np.ndarray): int64 [N], which of them.
        episodes (int): How many.
    """

    front: np.ndarray
    wrist: np.ndarray | None
    truths: list[Truth]
    masks: np.ndarray | None
    proprio: np.ndarray
    chunks: np.ndarray
    sentences: tuple[str, ...]
    sentence: np.ndarray
    episodes: int


def load(folders: Sequence[Path], chunk: int, camera: Camera, tasks: Sequence[str] = (),
         wrist: bool = True) -> Demonstrations:
    """
    Read demonstrations; with `camera` 'masked', mask them, or read the masks made before.

    Args:
        folders: Of "ivm-sim demos".
        chunk: Steps that are foreseen.
        camera: What the front camera will show.
        tasks: Only these; none: all.
        wrist: Off: the wrist's pictures are left on disk.

    Raises:
        DatasetError: There are none, or they have no pictures.
    """
    masker = Masker() if camera == 'masked' else None
    episodes, masks = [], []
    for path in (path for folder in folders for path in shard_paths(folder)):
        shard = [episode for episode in read_shard(path) if not tasks or episode.task in tasks]
        if shard and masker and all(episode.front for episode in shard):
            masks.append(masks_of(path, shard, masker))
        episodes += shard
    if not episodes or not all(episode.front for episode in episodes):
        raise DatasetError(f'{", ".join(map(str, folders))}: wanted demonstrations with pictures; '
                           'make some with "ivm-sim demos"')
    sentences = tuple(dict.fromkeys(episode.instruction for episode in episodes))
    place = {text: index for index, text in enumerate(sentences)}
    return Demonstrations(
        np.concatenate([episode.pictures('front') for episode in episodes]),
        np.concatenate([episode.pictures('wrist') for episode in episodes]) if wrist else None,
        [truth for episode in episodes for truth in episode.truths()],
        np.concatenate(masks) if masks else None,
        np.concatenate([episode.proprio for episode in episodes]),
        np.concatenate([chunks_of(wanted_of(episode.proprio, episode.actions), chunk)
                        for episode in episodes]),
        sentences, np.concatenate([np.full(len(episode.actions), place[episode.instruction])
                                   for episode in episodes]), len(episodes))


def view(data: Demonstrations, index: int, camera: Camera, size: int, noise: MaskNoise,
         deploy: DeployConfig, shade: Shade, rng: np.random.Generator) -> np.ndarray:
    """Give the front picture of a step as the policy sees it, varied; uint8 [size, size, 3]."""
    image, truth = data.front[index], data.truths[index]
    if camera != 'raw':
        planes = (data.masks[index].astype(np.float32) / 255
                  if camera == 'masked' and data.masks is not None else
                  np.stack((truth.target, truth.robot)).astype(np.float32))
        mask = noisy(Mask(planes[0], planes[1], 1.0), truth, noise, rng)
        image = masked(image, mask, noise, deploy, rng)
    return small(shaded(image, shade, rng), size)


def small(image: np.ndarray, size: int) -> np.ndarray:
    """Bring a picture to the size that the policy sees, uint8 [size, size, 3]."""
    shrunk: np.ndarray = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return shrunk
