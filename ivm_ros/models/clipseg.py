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
CLIPSeg: a noun phrase in, a soft mask out (arXiv 2112.10003); the grammar gives the phrases.

Weights: `CIDAS/clipseg-rd64-refined` (0.6 GB; Apache-2.0), 150.7 M parameters: 0.6 GB of memory in
float32, 0.3 GB in bfloat16. It knows no relations: 'the cup left of the pan' is 'cup' to it. The
union of what is acted on and where it goes becomes the target.
"""

import numpy as np
import torch
from torch.nn import functional

from ivm_ros.models.clipseg_random import write_random
from ivm_ros.models.phrases import PhraseGenerator
from ivm_ros.models.pretrained import (
    dtype_of, find_part, load_pretrained, load_processor, Part)
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.sample import Mask

__all__ = ['PARTS', 'ClipsegGenerator', 'make', 'write_random']

PARTS = {'clipseg': Part('CIDAS/clipseg-rd64-refined', licence='Apache-2.0', gigabytes=.6)}


def make(config: MaskerConfig, device: torch.device, threads: int) -> 'ClipsegGenerator':
    """
    Make the generator of weights on disk.

    Raises:
        WeightsError: Missing, torn or of another model.
    """
    from transformers import CLIPSegForImageSegmentation

    folder = find_part('clipseg', 'clipseg', PARTS['clipseg'], config.weights)
    net = load_pretrained(CLIPSegForImageSegmentation, folder, dtype=dtype_of(config, device))
    return ClipsegGenerator(net.to(device), load_processor(folder), folder)


class ClipsegGenerator(PhraseGenerator):
    """CLIPSeg; `found` is the highest value of the mask (our choice)."""

    name = 'clipseg'

    def _segment(self, images: list[np.ndarray], asked: list[tuple[int, str]]
                 ) -> list[torch.Tensor]:
        """Give logits float32 [352, 352] of each (which picture, phrase) pair."""
        net = self.net
        pixels = self._processor.image_processor(images=images, return_tensors='pt')
        seen = net.clip.get_image_features(
            pixel_values=pixels['pixel_values'].to(net.device, net.dtype),
            output_hidden_states=True).hidden_states
        index = torch.tensor([place for place, _ in asked], device=net.device)
        text = self._processor.tokenizer([phrase for _, phrase in asked], padding=True,
                                         truncation=True, return_tensors='pt').to(net.device)
        meant = net.clip.get_text_features(**text).pooler_output
        layers = [seen[layer + 1][index] for layer in net.extract_layers]
        logits: torch.Tensor = net.decoder(layers, meant).logits
        return [*logits.reshape(len(asked), *logits.shape[-2:]).float()]

    def _unite(self, said: list[torch.Tensor], image: np.ndarray) -> Mask:
        """Unite the planes [352, 352] of one sentence, at the size of its picture."""
        size = (image.shape[0], image.shape[1])
        target = functional.interpolate(torch.stack(said).amax(0)[None, None], size,
                                        mode='bilinear')[0, 0].sigmoid()
        return Mask(target.cpu().numpy(), np.zeros(size, np.float32), float(target.max()))
