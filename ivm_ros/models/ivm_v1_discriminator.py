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
The paper's discriminator: a language model sees the masked picture and says who made the mask.

What is known (arXiv 2405.19783, its figure of the two stages, and the authors' code, repository
2toinf/IVM): the picture is shown where the mask is, white elsewhere; the prompt asks whether the
instruction can be followed by what is left; the last hidden state goes through Mlp(4096, 1024, 1)
to a logit; human labels are 1, machine labels 0. It learns by `train.dwsl.judge_loss`, and its
language model by LoRA. A bug in the authors' code made theirs ignore the mask; ours sees it.

What is not known, and our choice: the paper's equations and learning rates; what stands around the
prompt (USER and ASSISTANT, as in the generator's); which state is the last one (that of the
prompt's last token, in the last layer); the nonlinearity (GELU, as in the generator's projection);
the shape of the picture (square, as the generator's); whether the generator's LoRA is shared
(whoever makes it chooses, by which model is passed in).

Never trained at its true size here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
import torch
from torch import nn

from ivm_ros.models.ivm_v1_net import read_sentences

QUESTION = 'Can you follow instruction above based on the given image?'
PROMPT = f'USER: <image>\n{{}} {QUESTION} \n ASSISTANT:'
HIDDEN = 1024
WHITE = 255


class V1Discriminator(nn.Module):
    """
    Judges masks by a language model; its head has 4 M weights for LLaVA-1.5-7B.

    Args:
        llava: `LlavaModel`, such as `V1Net.llava`, which has LoRA; on its device. Parameters that
            want no gradient stay as they are.
        processor: `LlavaProcessor` of the same folder.
    """

    def __init__(self, llava: Any, processor: Any) -> None:
        super().__init__()
        self.llava: Any = llava
        self.head = head_of(llava.config.text_config.hidden_size).to(llava.device)
        self._processor = processor

    def forward(self, images: Sequence[np.ndarray], instructions: Sequence[str],
                masks: Sequence[np.ndarray]) -> torch.Tensor:
        """
        Judge N masks.

        Args:
            images: uint8 [H, W, 3] RGB, of any sizes.
            instructions: A sentence each.
            masks: float [H, W] in [0, 1] each, of the picture's size.

        Returns:
            Logits float32 [N]; above zero: more like a person's than a machine's.

        Raises:
            ValueError: A mask is of another size than its picture.
        """
        logits: torch.Tensor = self.head(self.look(images, instructions, masks))
        return logits.squeeze(1)

    def look(self, images: Sequence[np.ndarray], instructions: Sequence[str],
             masks: Sequence[np.ndarray]) -> torch.Tensor:
        """
        Give what the head judges, float32 [N, D]; arguments as of `forward`.

        Where the head alone learns it is the same in every step, and can be kept.
        """
        side = self._processor.image_processor.crop_size['height']
        squares = [Image.fromarray(shown(image, mask)).resize((side, side))
                   for image, mask in zip(images, masks, strict=True)]
        index = torch.arange(len(squares), device=self.llava.device)
        states, length = read_sentences(self.llava, self._processor, squares, PROMPT,
                                        instructions, index)
        return states[index, length - 1].float()


def head_of(width: int) -> nn.Sequential:
    """Make what turns a state [N, width] into a logit [N, 1], in float32."""
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 1))


def shown(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """
    Give image x M + white x (1 - M).

    Args:
        image: uint8 [H, W, 3].
        mask: float [H, W] in [0, 1], M.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: The mask is of another size.
    """
    if mask.shape != image.shape[:2]:
        raise ValueError(f'wanted a mask of {image.shape[:2]}, as the picture, got {mask.shape}')
    part = mask.astype(np.float32)[..., None]
    return np.rint(image * part + WHITE * (1 - part)).astype(np.uint8)
