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
"""Generators that know things by name and no relations, and what of a sentence they are asked."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ivm_ros.language.grammar import GrammarParser
from ivm_ros.models.checkpoint_info import file_hash
from ivm_ros.models.pretrained import check_files
from ivm_ros.sample import Mask


@lru_cache(256)
def phrases_of(instruction: str) -> tuple[str, ...]:
    """List the heads of what a sentence acts on and where that goes."""
    return tuple(dict.fromkeys(phrase.head or phrase.text for phrase in
                               GrammarParser().parse(instruction).phrases if phrase.wanted)
                 ) or (instruction,)


class PhraseGenerator(ABC):
    """
    A model that is asked for every phrase by itself; the union is the target.

    Args:
        net: Of transformers, on its device.
        processor: What prepares pictures and phrases for it.
        folder: Where they are from.
    """

    has_robot = False
    name: ClassVar[str]

    def __init__(self, net: Any, processor: Any, folder: Path) -> None:
        self.net, self._processor, self._folder = net, processor, folder
        self._hash = file_hash(check_files(folder)[0])

    @property
    def info(self) -> dict[str, Any]:
        """Name, weights, hash, device."""
        return {'generator': self.name, 'weights': str(self._folder), 'sha256': self._hash,
                'device': str(self.net.device), 'runtime': 'torch', 'provenance': {},
                'quality': {}}

    @torch.inference_mode()
    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> list[Mask]:
        """
        Mask each uint8 [H, W, 3] image by the sentence of the same place, in one batch.

        An image that is there several times (the same array) is encoded once.
        """
        once = {id(image): image for image in images}
        places = {key: place for place, key in enumerate(once)}
        asked = [(places[id(image)], phrase) for image, text in zip(images, instructions)
                 for phrase in phrases_of(text)]
        said = iter(self._segment(list(once.values()), asked))
        return [self._unite([next(said) for _ in phrases_of(text)], image)
                for image, text in zip(images, instructions)]

    @abstractmethod
    def _segment(self, images: list[np.ndarray], asked: list[tuple[int, str]]) -> Sequence[Any]:
        """Say something of each (which picture, phrase) pair."""

    @abstractmethod
    def _unite(self, said: list[Any], image: np.ndarray) -> Mask:
        """Turn what was said of the phrases of a sentence into a mask of its picture's size."""
