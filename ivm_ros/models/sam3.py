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
SAM 3: a noun phrase in, a mask of every thing of that name out; the grammar gives the phrases.

Weights: `facebook/sam3` (3.4 GB; SAM License, its page asks to accept it; arXiv 2511.16719),
840.4 M parameters: 3.4 GB of memory in float32, 1.7 GB in bfloat16. Sharp outlines, and a say of
its own on whether a thing is in view; it knows no relations: 'the cup left of the pan' is 'cup'
to it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ivm_ros.models.phrases import phrases_of
from ivm_ros.models.pretrained import (check_files, dtype_of, find_part, load_pretrained,
                                       load_processor, Part)
from ivm_ros.models.sam3_random import write_random
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.models.text import file_hash
from ivm_ros.sample import Mask

__all__ = ['PARTS', 'Sam3', 'make', 'write_random']

PARTS = {'sam3': Part('facebook/sam3', licence='SAM License', gigabytes=3.4)}
VIDEO = ('tracker_model.', 'tracker_neck.')
"""Parts of SAM 3 that follow things through a video."""
SURE = .5  # score of a thing from which on it counts, as in the authors' code
MOST = 32  # things of a phrase
WORDS = 32  # tokens that SAM 3 reads


def make(config: MaskerConfig, device: torch.device, threads: int) -> 'Sam3':
    """
    Make the generator of weights on disk.

    Raises:
        WeightsError: Missing, torn or of another model.
    """
    from transformers import Sam3Model

    folder = find_part('sam3', 'sam3', PARTS['sam3'], config.weights)
    net = load_pretrained(Sam3Model, folder, VIDEO, dtype=dtype_of(config, device))
    return Sam3(net.to(device), load_processor(folder), folder)


class Sam3:
    """
    SAM 3, asked for every phrase by itself.

    Args:
        net: `Sam3Model`, on its device.
        processor: `Sam3Processor`.
        folder: Where they are from.
    """

    has_robot = False

    def __init__(self, net: Any, processor: Any, folder: Path) -> None:
        self.net, self._processor, self._folder = net, processor, folder
        self._hash = file_hash(check_files(folder)[0])

    @property
    def info(self) -> dict[str, Any]:
        """Name, weights, hash, device."""
        return {'generator': 'sam3', 'weights': str(self._folder), 'sha256': self._hash,
                'device': str(self.net.device), 'runtime': 'torch', 'provenance': {},
                'quality': {}}

    @torch.inference_mode()
    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> list[Mask]:
        """
        Mask each uint8 [H, W, 3] image by the sentence of the same place, in one batch.

        An image that is there several times (the same array) is encoded once. `found` is the
        score of the surest thing (our choice).
        """
        once = {id(image): image for image in images}
        places = {key: place for place, key in enumerate(once)}
        asked = [(places[id(image)], phrase) for image, text in zip(images, instructions)
                 for phrase in phrases_of(text)]
        scores, planes = self._segment(list(once.values()), asked)
        masks, start = [], 0
        for image, text in zip(images, instructions):
            end = start + len(phrases_of(text))
            masks.append(self._mask(scores[start:end].flatten(), planes[start:end].flatten(0, 1),
                                    image))
            start = end
        return masks

    def _segment(self, images: list[np.ndarray], asked: list[tuple[int, str]]
                 ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give scores [N, Q] and masks [N, Q, h, w] in [0, 1] of (which picture, phrase) pairs."""
        net = self.net
        pixels = self._processor.image_processor(images=images, return_tensors='pt')
        seen = net.get_vision_features(pixels['pixel_values'].to(net.device, net.dtype))
        index = torch.tensor([place for place, _ in asked], device=net.device)
        # Always as many tokens, so that a phrase is the same beside longer ones.
        text = self._processor.tokenizer(
            [phrase for _, phrase in asked], padding='max_length', truncation=True,
            max_length=WORDS, return_tensors='pt').to(net.device)
        said = net(vision_embeds=type(seen)(
            fpn_hidden_states=tuple(level[index] for level in seen.fpn_hidden_states),
            fpn_position_encoding=tuple(level[index] for level in seen.fpn_position_encoding)),
            input_ids=text['input_ids'], attention_mask=text['attention_mask'])
        scores = said.pred_logits.float().sigmoid() * said.presence_logits.float().sigmoid()
        return scores, said.pred_masks.float().sigmoid()

    def _mask(self, scores: torch.Tensor, planes: torch.Tensor, image: np.ndarray) -> Mask:
        """Unite what is sure enough of scores [Q] and planes [Q, h, w], of all phrases."""
        size = (image.shape[0], image.shape[1])
        target = np.zeros(size, np.float32)
        best, chosen = scores.topk(min(MOST, len(scores)))
        sure = planes[chosen[best > SURE]]
        if len(sure):
            target = functional.interpolate(sure[None], size, mode='bilinear')[0].amax(
                0).cpu().numpy()
        return Mask(target, np.zeros(size, np.float32), float(best[0]))
