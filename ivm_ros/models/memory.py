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
"""What happens when the memory of a GPU runs out: less at once, the CPU, or a clear failure."""

from collections.abc import Callable, Sequence
import gc
import logging
from typing import Any, Literal

import numpy as np
import torch

from ivm_ros.models.errors import MemoryFullError
from ivm_ros.models.generator import Generator
from ivm_ros.sample import Mask

ADVICE = ('choose a smaller precision or generator, free the GPU, or set on_out_of_memory to '
          'split or cpu')


class Careful:
    """
    A generator that survives a full GPU by a rule.

    Args:
        make: Makes the generator on a device.
        device: Where it is to run.
        rule: 'split' halves the batch down to one picture, 'cpu' goes on on the CPU for good,
            'fail' gives up.

    Attributes:
        generator (Generator): The one in use.
        trouble (str): What was done about a full memory, '' where it never ran out.

    Raises:
        MemoryFullError: Even the weights do not fit, and the rule is not 'cpu'.
    """

    def __init__(self, make: Callable[[torch.device], Generator], device: torch.device,
                 rule: Literal['split', 'cpu', 'fail']) -> None:
        self._make, self._rule, self._device, self.trouble = make, rule, device, ''
        self.generator: Generator
        try:
            self.generator = make(device)
            return
        except torch.OutOfMemoryError as error:
            if rule != 'cpu' or device.type == 'cpu':
                raise MemoryFullError(f'the weights do not fit into the memory of {device} '
                                      f'({_short(error)}); {ADVICE}') from error
        self._to_cpu('the weights do not fit')

    @property
    def has_robot(self) -> bool:
        """As the generator says."""
        return self.generator.has_robot

    @property
    def info(self) -> dict[str, Any]:
        """What the generator says, and `trouble` where there was some."""
        return {**self.generator.info, **({'trouble': self.trouble} if self.trouble else {})}

    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> list[Mask]:
        """
        Mask as the generator does, whatever that takes.

        Raises:
            MemoryFullError: Not even one picture fits, and the rule is not 'cpu'.
        """
        try:
            return self.generator.generate(images, instructions)
        except torch.OutOfMemoryError as error:
            problem = _short(error)
        _free()  # here, where the error holds its tensors no more
        if self._rule == 'cpu' and self._device.type != 'cpu':
            self._to_cpu(problem)
            return self.generator.generate(images, instructions)
        if self._rule == 'split' and len(images) > 1:
            half = len(images) // 2
            self._say(f'CUDA memory is full ({problem}): {len(images)} pictures are masked as '
                      f'{half} and {len(images) - half}')
            return [*self.generate(images[:half], instructions[:half]),
                    *self.generate(images[half:], instructions[half:])]
        raise MemoryFullError(f'memory of {self._device} is full with {len(images)} picture(s) '
                              f'({problem}); {ADVICE}')

    def _to_cpu(self, problem: str) -> None:
        self._say(f'CUDA memory is full ({problem}): masks are made on the CPU from now on, which '
                  'is slow')
        if hasattr(self, 'generator'):
            del self.generator
        _free()
        self._device = torch.device('cpu')
        self.generator = self._make(self._device)

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            logging.getLogger('ivm_ros').warning(trouble)
        self.trouble = trouble


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _short(error: torch.OutOfMemoryError) -> str:
    """Give the first sentence; the rest is for developers of PyTorch."""
    return str(error).strip().split('. ')[0].removeprefix('CUDA out of memory')[:120] or 'full'
