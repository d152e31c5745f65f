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

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from typing_extensions import Self

from ivm_ros.models.last_used import LastUsed, LISTENED
from ivm_ros.models.phrases import PhraseGenerator
from ivm_ros.models.pretrained import (
    dtype_of, find_part, load_pretrained, load_processor, Part)
from ivm_ros.models.sam3_random import write_random
from ivm_ros.models.settings import MaskerConfig
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

    return Sam3.load(Sam3Model, PARTS['sam3'], config, device)


class Sam3(PhraseGenerator):
    """SAM 3; a phrase is read once; `found` is the score of the surest thing (our choice)."""

    name = 'sam3'

    def __init__(self, net: Any, processor: Any, folder: Path) -> None:
        super().__init__(net, processor, folder)
        self._heard = LastUsed[str, tuple[torch.Tensor, torch.Tensor]](LISTENED)

    @classmethod
    def load(cls, model: Any, part: Part, config: MaskerConfig, device: torch.device) -> Self:
        """Make it of weights on disk, a model of transformers."""
        folder = find_part(cls.name, cls.name, part, config.weights)
        net = load_pretrained(model, folder, VIDEO, dtype=dtype_of(config, device))
        return cls(net.to(device), load_processor(folder), folder)

    def _segment(self, images: list[np.ndarray], asked: list[tuple[int, str]]
                 ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Give scores [Q] and masks [Q, h, w] in [0, 1] of each (which picture, phrase) pair."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        net = self.net
        pixels = self._processor.image_processor(images=images, return_tensors='pt')
        seen = net.get_vision_features(pixels['pixel_values'].to(net.device, net.dtype))
        index = torch.tensor([place for place, _ in asked], device=net.device)
        words, marks = zip(*(self._heard.get(phrase, self._read) for _, phrase in asked))
        said = net(vision_embeds=type(seen)(
            fpn_hidden_states=tuple(level[index] for level in seen.fpn_hidden_states),
            fpn_position_encoding=tuple(level[index] for level in seen.fpn_position_encoding)),
            text_embeds=BaseModelOutputWithPooling(pooler_output=torch.stack(words)),
            attention_mask=torch.stack(marks))
        scores = said.pred_logits.float().sigmoid() * said.presence_logits.float().sigmoid()
        return [*zip(scores, said.pred_masks.float().sigmoid())]

    def _read(self, phrase: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the states [T, D] of a phrase's tokens and which of them there are, [T]."""
        # Always as many tokens, so that a phrase is the same beside longer ones.
        text = self._processor.tokenizer(
            phrase, padding='max_length', truncation=True, max_length=WORDS,
            return_tensors='pt').to(self.net.device)
        said = self.net.get_text_features(text['input_ids'], text['attention_mask'])
        return said.pooler_output[0], text['attention_mask'][0]

    def _unite(self, said: list[tuple[torch.Tensor, torch.Tensor]], image: np.ndarray) -> Mask:
        """Unite what is sure enough of all phrases of a sentence."""
        scores, planes = (torch.cat(part) for part in zip(*said))
        size = (image.shape[0], image.shape[1])
        target = np.zeros(size, np.float32)
        best, chosen = scores.topk(min(MOST, len(scores)))
        sure = planes[chosen[best > SURE]]
        if len(sure):
            target = functional.interpolate(sure[None], size, mode='bilinear')[0].amax(
                0).cpu().numpy()
        return Mask(target, np.zeros(size, np.float32), float(best[0]))
