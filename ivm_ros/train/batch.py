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
from ivm_ros.models.text import DIM, TextEncoder
from ivm_ros.sample import Batch


def to_batch(arrays: Arrays, encoder: TextEncoder) -> Batch:
    """Encode the sentences and move everything to the encoder's device."""
    tokens, mask = encoder(arrays.sentences)
    device = encoder.device
    planes = {name: torch.from_numpy(getattr(arrays, name)).to(device)
              for name in ('image_index', 'target', 'robot', 'robot_known', 'valid', 'found',
                           'weight', 'human', 'labels', 'heat', 'owners', 'names', 'roles',
                           'labelled')}
    return Batch(normalise(arrays.images, device), tokens, mask, **planes)


def vocabulary_of(infos: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """List the words that fit the things of some datasets, from their `dataset.json`."""
    return tuple(dict.fromkeys(name for info in infos for word in info.get('words', ())
                               for name in names_for(word)))


def words_of(vocabulary: Sequence[str], encoder: TextEncoder) -> torch.Tensor:
    """Encode words one by one, the mean of the tokens of each; float32 [W, 768]."""
    # The first and the last token only say that a text begins and ends.
    states = [state[1:-1].mean(0) for state in encoder.encode(vocabulary)]
    return torch.stack(states) if states else torch.zeros(0, DIM, device=encoder.device)


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
