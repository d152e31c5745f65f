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
The paper's own model, IVM-V1.0: LLaVA-1.5-7B with LoRA, SAM ViT-H's encoder, a mask decoder.

Weights: `llava-hf/llava-1.5-7b-hf` (14.1 GB; Llama 2 Community Licence), `facebook/sam-vit-huge`
(2.6 GB; Apache-2.0), `2toINF/IVM` (`IVM-V1.0.bin`, 66.5 MB; Apache-2.0, as the authors' code is).
Memory of the weights alone: 15 GB in bfloat16, 9 GB in int8, 6 GB in int4, 30 GB in float32 on a
CPU. One pass a sentence, no words are generated.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
import torch
from torch.nn import functional

from ivm_ros.models.checkpoint_info import file_hash
from ivm_ros.models.ivm_v1_net import load_net, read_sentences, V1Net
from ivm_ros.models.ivm_v1_random import write_random
from ivm_ros.models.pixels import normalise
from ivm_ros.models.pretrained import find_part, load_processor, Part
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.sample import Mask

__all__ = ['PARTS', 'V1Generator', 'make', 'write_random']

FILE = 'IVM-V1.0.bin'
PARTS = {
    'ivm': Part('2toINF/IVM', (FILE,), FILE, 'Apache-2.0', .07),
    'llava': Part('llava-hf/llava-1.5-7b-hf', licence='Llama 2 Community Licence', gigabytes=14.1),
    'sam': Part('facebook/sam-vit-huge', licence='Apache-2.0', gigabytes=2.6)}
PROMPT = 'USER: <image>\n{} \n ASSISTANT:'
"""As in the authors' code, blanks included."""


def make(config: MaskerConfig, device: torch.device, threads: int) -> 'V1Generator':
    """
    Make the generator of weights on disk.

    Raises:
        WeightsError: Missing, torn or of another model.
    """
    folders = {name: find_part('ivm_v1', name, part, config.weights)
               for name, part in PARTS.items()}
    processor = load_processor(folders['llava'])
    net, report = load_net(folders['llava'], folders['sam'], folders['ivm'] / FILE, config, device)
    return V1Generator(net, processor, folders['ivm'] / FILE,
                       {'keys': report, 'precision': config.precision})


class V1Generator:
    """
    The paper's generator.

    Args:
        net: Networks, on their device.
        processor: `LlavaProcessor`: tokenizer, and pictures as LLaVA's vision tower wants them.
        path: What the authors trained.
        facts: For `info`.
    """

    has_robot = False

    def __init__(self, net: V1Net, processor: Any, path: Path, facts: dict[str, Any]) -> None:
        self.net, self._processor, self._path, self._facts = net, processor, path, facts
        self._hash = file_hash(path)
        self.device = net.decoder.frequencies.device

    @property
    def info(self) -> dict[str, Any]:
        """Name, weights, hash, which arrays were read, device."""
        return {'generator': 'ivm_v1', 'weights': str(self._path), 'sha256': self._hash,
                'device': str(self.device), 'runtime': 'torch', 'provenance': {}, 'quality': {},
                **self._facts}

    @torch.inference_mode()
    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> list[Mask]:
        """
        Mask each uint8 [H, W, 3] image by the sentence of the same place, in one batch.

        An image that is there several times (the same array) is encoded once. `found` is the
        highest value of the mask (our choice: the authors keep the picture where it is low).
        """
        once = {id(image): image for image in images}
        places = {key: place for place, key in enumerate(once)}
        index = torch.tensor([places[id(image)] for image in images], device=self.device)
        side = self.net.sam.config.image_size
        # Square, as the authors do, whatever becomes of the aspect; LLaVA sees the same square.
        squares = [Image.fromarray(image).resize((side, side)) for image in once.values()]
        conditions = self.condition(squares, instructions, index)
        logits = self.net.decoder(self.encode(squares)[index], conditions)
        logits = functional.interpolate(logits, (side, side), mode='bilinear')
        return [self._mask(plane[None], image) for plane, image in zip(logits, images)]

    def encode(self, squares: Sequence[Image.Image]) -> torch.Tensor:
        """Encode pictures by SAM, float32 [I, 256, 64, 64]."""
        pixels = normalise(np.stack([np.asarray(square) for square in squares]), self.device)
        return self.net.sam(pixels.to(self.net.sam.dtype)).last_hidden_state.float()

    def condition(self, squares: Sequence[Image.Image], instructions: Sequence[str],
                  index: torch.Tensor) -> torch.Tensor:
        """
        Read N sentences, each about the one of I pictures that `index` (int64 [N]) says.

        The state before the prompt's last token becomes the condition, float32 [N, 1, 256].
        """
        states, length = read_sentences(self.net.llava, self._processor, squares, PROMPT,
                                        instructions, index)
        chosen = states[torch.arange(len(states), device=self.device), length - 2]
        return self.net.projection(chosen[:, None].float())

    def _mask(self, logits: torch.Tensor, image: np.ndarray) -> Mask:
        """Bring logits [1, 1, S, S] to the size of the picture."""
        size = (image.shape[0], image.shape[1])
        target = functional.interpolate(logits, size, mode='bilinear')[0, 0].sigmoid()
        return Mask(target.cpu().numpy(), np.zeros(size, np.float32), float(target.max()))
