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
"""The protocol that every generator keeps, whatever its size."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ivm_ros.sample import Mask


class Generator(Protocol):
    """Images and sentences to soft masks; stateless but for a cache of encoded sentences."""

    @property
    def has_robot(self) -> bool:
        """Masks have a plane of the robot; without, it is nought everywhere."""
        ...

    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> list[Mask]:
        """
        Mask each image by the sentence of the same place, in one batch.

        Args:
            images: uint8 [H, W, 3] RGB each, sizes may differ.
            instructions: As many sentences, none empty.

        Returns:
            A mask an image, each of its image's size.
        """
        ...

    @property
    def info(self) -> dict[str, Any]:
        """What a bug report needs: name, weights, hash, provenance, device."""
        ...
