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
"""From decoded arrays to the tensors of a training step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ivm_ros.data.loader import Arrays
from ivm_ros.data.shards import DatasetError, TRAINING_SEEDS
from ivm_ros.language.naming import names_for
from ivm_ros.models.pixels import normalise
from ivm_ros.models.text import TextEncoder
from ivm_ros.sample import Batch


def to_batch(arrays: Arrays, encoder: TextEncoder) -> Batch:
    """Encode the sentences and move everything to the encoder's device."""
    tokens, mask = encoder(arrays.sentences)
    device = encoder.device
    planes = {name: torch.from_numpy(getattr(arrays, name)).to(device)
              for name in ('image_index', 'target', 'robot', 'valid', 'found', 'weight',
                           'human', 'labels', 'heat', 'owners', 'names', 'roles', 'labelled')}
    forgotten = torch.from_numpy(arrays.forgotten[:, :mask.shape[1]]).to(device)
    return Batch(normalise(arrays.images, device), tokens, mask, forgotten, **planes)


def vocabulary_of(infos: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """List the words that fit the things of some datasets, from their `dataset.json`."""
    return tuple(dict.fromkeys(name for info in infos for word in info.get('words', ())
                               for name in names_for(word)))


def check_training_data(infos: Sequence[dict[str, Any]], folders: Sequence[Path]) -> None:
    """
    Refuse datasets that are for evaluation only.

    Raises:
        DatasetError: A dataset was made with an evaluation seed, or holds what is held out.
    """
    for info, folder in zip(infos, folders):
        if int(info.get('seed', 0)) >= TRAINING_SEEDS:
            raise DatasetError(f'{folder} was made with seed {info["seed"]}: seeds from '
                               f'{TRAINING_SEEDS} on are for evaluation only, never for training')
        if info.get('evaluation') or info.get('look') == 'unseen' or any(
                info.get('holdout', {}).values()):
            raise DatasetError(f'{folder} holds what is held out of training: it is for '
                               'evaluation only')
