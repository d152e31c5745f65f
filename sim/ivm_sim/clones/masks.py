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
What the shipped weights say of demonstrations, kept beside them.

Masking takes far longer than reading, and every front picture is masked beforehand as in the
paper; so a shard's masks are written once and read by all later trainings with these weights.
"""

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ivm_ros.files import replace_file
from ivm_ros.masker import Masker
from ivm_sim.episodes import Episode

BATCH = 8


def masks_of(shard: Path, episodes: Sequence[Episode], masker: Masker) -> np.ndarray:
    """
    Give the masks of a shard's front pictures; make them where they are not kept yet.

    Args:
        shard: File that the episodes are from.
        episodes: All of it, with pictures.
        masker: Its weights name the file that keeps the masks.

    Returns:
        uint8 [N, 2, S, S], target and robot in 1/255, N the episodes' steps.
    """
    path = shard.with_suffix(f'.{masker.info["sha256"][:12]}.npz')
    count = sum(len(episode.actions) for episode in episodes)
    kept = _read(path)
    if kept is not None and len(kept) == count:
        return kept
    masks = np.concatenate([_masked(episode, masker) for episode in episodes])
    with replace_file(path) as part, part.open('wb') as file:
        np.savez_compressed(file, masks=masks)
    return masks


def _read(path: Path) -> np.ndarray | None:
    """Read kept masks; None where there are none, or torn ones."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            masks: np.ndarray = kept['masks']
    except (FileNotFoundError, BadZipFile, KeyError, ValueError, EOFError):
        return None
    return masks


def _masked(episode: Episode, masker: Masker) -> np.ndarray:
    """Mask an episode's front pictures, uint8 [T, 2, S, S]."""
    pictures = list(episode.pictures('front'))
    planes: list[np.ndarray] = []
    for start in range(0, len(pictures), BATCH):
        part = pictures[start:start + BATCH]
        planes += [np.stack((mask.target, mask.robot))
                   for mask in masker(part, [episode.instruction] * len(part))]
    return np.round(np.stack(planes) * 255).astype(np.uint8)
