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
"""A cloned policy at work."""

from pathlib import Path
from typing import Any
import warnings

import numpy as np
import torch

from ivm_ros.models.text import TextEncoder
from ivm_sim.clones.memory import small
from ivm_sim.clones.train import read, tensor
from ivm_sim.poses import action_of


class ClonePolicy:
    """
    Foresees a chunk of wanted poses, does the first of them, and looks anew.

    Args:
        path: Weights (.safetensors) with their JSON beside them.
        limit: Largest action of the environment, float32 [7].
        camera: What the front camera shows it: 'raw', 'truth' or 'masked'; a warning where it was
            trained on another sort of picture. Empty: not said.
    """

    def __init__(self, path: Path, limit: np.ndarray, camera: str = '') -> None:
        self.net, self.info = read(path)
        self._limit = limit
        self._encoder = TextEncoder()
        self._chunk: list[np.ndarray] = []
        self._noise = torch.Generator()
        trained = self.info['camera']
        if camera and (camera == 'raw') != (trained == 'raw'):
            warnings.warn(f'{path.name} was trained on {trained} pictures and is shown {camera} '
                          'ones', stacklevel=2)

    def reset(self) -> None:
        """Forget what was foreseen; equal episodes get equal noise."""
        self._chunk = []
        self._noise.manual_seed(0)

    @torch.inference_mode()
    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """Give the next action, float32 [7]."""
        config, proprio = self.net.config, observation['proprio']
        if not self._chunk:
            tokens, _ = self._encoder([observation['instruction']])
            wrist = (tensor(small(observation['wrist'], config.size)[None])
                     if config.wrist else None)
            chunk = self.net(tensor(small(observation['front'], config.size)[None]), wrist,
                             torch.from_numpy(proprio)[None], tokens.mean(1), self._noise)
            self._chunk = list(chunk[0, :config.execute].numpy())
        return action_of(self._chunk.pop(0), proprio, self._limit)
