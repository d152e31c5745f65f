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
The one door: an image and a sentence go in, a soft mask comes out.

    >>> masker = Masker()
    >>> mask = masker(image, 'pick up the red mug')
    >>> mask.target.shape == image.shape[:2]
"""

from collections.abc import Sequence
import sys
from typing import Any, overload, TYPE_CHECKING

import numpy as np

from ivm_ros.image import check_image, ImageError
from ivm_ros.models.device import choose_device, choose_threads
from ivm_ros.models.errors import (
    CheckpointError, DeviceError, MemoryFullError, OnnxError, TextEncoderError)
from ivm_ros.models.generator import Generator
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.sample import InstructionError, Mask

if TYPE_CHECKING:
    from ivm_ros.models.memory import Careful

__all__ = ['CheckpointError', 'DeviceError', 'ImageError', 'InstructionError', 'Masker',
           'MaskerConfig', 'MemoryFullError', 'OnnxError', 'TextEncoderError',
           'check_instruction']

LONGEST = 2000
"""Characters of an instruction; the encoder reads the first 48 word pieces of it."""


class Masker:
    """
    Masks images by sentences with the compact generator's promoted or shipped weights, or others.

    Sets the number of threads of torch for the whole process (see `MaskerConfig.threads`). With
    `runtime` onnx nothing imports torch.

    Args:
        config: What masks are made with.

    Raises:
        CheckpointError: The weights are missing, damaged or of another shape.
        TextEncoderError: The sentence encoder is missing or another one.
        DeviceError: CUDA is asked for and absent.
        OnnxError: ONNX Runtime is asked for and absent, or the graph is of other weights.
        MemoryFullError: The GPU does not hold the weights (see `MaskerConfig.on_out_of_memory`).
    """

    def __init__(self, config: MaskerConfig = MaskerConfig()) -> None:
        self.threads = choose_threads(config.threads)
        self._careful: Careful | None = None
        if config.runtime == 'onnx':
            from ivm_ros.models.onnx_generator import OnnxGenerator

            self._generator: Generator = OnnxGenerator(config, self.threads)
            return
        import torch

        from ivm_ros.models.registry import make_generator

        torch.set_num_threads(self.threads)
        self._careful = make_generator(config, choose_device(config.device), self.threads)
        self._generator = self._careful

    @property
    def generator(self) -> Generator:
        """The generator in use; another one after CUDA memory ran out and `cpu` is the rule."""
        return self._careful.generator if self._careful is not None else self._generator

    @property
    def info(self) -> dict[str, Any]:
        """What a bug report needs: generator, weights, provenance, device, threads."""
        torch = sys.modules.get('torch')
        return {**self._generator.info, 'threads': self.threads,
                'torch': torch.__version__ if torch is not None else 'not loaded'}

    @overload
    def __call__(self, image: np.ndarray, instruction: str) -> Mask: ...

    @overload
    def __call__(self, image: Sequence[np.ndarray],
                 instruction: str | Sequence[str]) -> list[Mask]: ...

    def __call__(self, image: np.ndarray | Sequence[np.ndarray],
                 instruction: str | Sequence[str]) -> Mask | list[Mask]:
        """
        Mask one image, or a list of images in one batch.

        Args:
            image: uint8 [H, W, 3] RGB, sides 32 to 4096; or a list of them.
            instruction: A sentence; for a list of images one for all, or as many as images.

        Returns:
            A mask of the image's size; a list of them for a list.

        Raises:
            ImageError: Wrong type, shape or size of an image.
            InstructionError: Empty or too long a sentence, or not as many as images.
        """
        if isinstance(image, np.ndarray):
            if not isinstance(instruction, str):
                raise InstructionError('one image takes one instruction, got a list of them')
            return self._generate([image], [instruction])[0]
        images = list(image)
        sentences = [instruction] * len(images) if isinstance(instruction, str) else [*instruction]
        if len(sentences) != len(images):
            raise InstructionError(f'wanted one instruction, or as many as images '
                                   f'({len(images)}), got {len(sentences)}')
        return self._generate(images, sentences) if images else []

    def _generate(self, images: list[np.ndarray], instructions: list[str]) -> list[Mask]:
        for image in images:
            check_image(image)
        return self._generator.generate(images, [check_instruction(text) for text in instructions])


def check_instruction(text: str) -> str:
    """
    Strip an instruction and refuse an empty or endless one.

    Raises:
        InstructionError: Says what was wanted and what came.
    """
    if not isinstance(text, str):
        raise InstructionError(f'instruction: wanted text, got {type(text).__name__}')
    stripped = ' '.join(text.split())
    if not stripped:
        raise InstructionError('instruction: wanted a sentence such as "pick up the red mug", '
                               'got an empty one')
    if len(stripped) > LONGEST:
        raise InstructionError(f'instruction: wanted at most {LONGEST} characters, got '
                               f'{len(stripped)}: {stripped[:40]!r}...')
    return stripped
