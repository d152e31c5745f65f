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
`ivm_node` with one generator more, `faulty`, which does what its sentence says. For tests alone.

    PYTHONPATH=tests/ros python -m faulty_node --ros-args -p generator:=faulty

A sentence of its own kind: "hang FILE" until that file is there, "lose" the GPU, "fill" its
memory. Any other sentence masks the left half. It gets in as every generator does, by a line in
`GENERATORS`, which only this program writes.
"""

from pathlib import Path
import time
import weakref

import numpy as np
import torch

from ivm_ros.models.settings import GENERATORS
from ivm_ros.nodes.ivm_node import main
from ivm_ros.sample import Mask


def make(config, device, threads):
    """Make the generator."""
    made = Faulty()
    weakref.finalize(made, print, 'faulty: the model is freed', flush=True)
    return made


class Faulty:
    """Masks, or fails as it is told to."""

    has_robot = True

    @property
    def info(self) -> dict:
        """As every generator has it."""
        return {'generator': 'faulty', 'weights': 'none', 'sha256': '', 'device': 'cpu',
                'runtime': 'numpy', 'provenance': {}, 'quality': {}}

    def generate(self, images, instructions):
        """Mask each picture by its sentence."""
        return [self._mask(image, text) for image, text in zip(images, instructions)]

    def _mask(self, image: np.ndarray, text: str) -> Mask:
        word, _, rest = text.partition(' ')
        if word == 'hang':
            while not Path(rest).exists():
                time.sleep(0.005)
        if word == 'lose':  # PyTorch's words when a GPU falls off the bus
            raise RuntimeError('CUDA error: unspecified launch failure')
        if word == 'fill':
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')
        target = np.zeros(image.shape[:2], np.float32)
        target[:, :image.shape[1] // 2] = 1
        return Mask(target, np.zeros_like(target), 1.0)


if __name__ == '__main__':
    GENERATORS['faulty'] = 'faulty_node'
    main()
