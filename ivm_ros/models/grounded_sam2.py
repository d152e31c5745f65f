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
Grounding DINO finds boxes of what the grammar's phrases name, SAM 2.1 masks what is in them.

Weights: `IDEA-Research/grounding-dino-tiny` (0.7 GB; Apache-2.0; arXiv 2303.05499), 172.3 M
parameters, and `facebook/sam2.1-hiera-large` (0.9 GB; Apache-2.0; arXiv 2408.00714), 216.9 M:
1.6 GB of memory in float32; 1.1 GB on CUDA where `half` is on, as SAM alone is halved then. Sharp
outlines, several things of a name, no relations: 'the cup left of the pan' is 'cup' to it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from typing_extensions import Self

from ivm_ros.models.checkpoint_info import file_hash
from ivm_ros.models.grounded_sam2_random import write_random
from ivm_ros.models.once import Once
from ivm_ros.models.phrases import phrases_of
from ivm_ros.models.pretrained import (check_files, dtype_of, find_part, load_pretrained,
                                       load_processor, Part)
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.sample import Mask

__all__ = ['PARTS', 'GroundedSam2', 'make', 'write_random']

PARTS = {
    'dino': Part('IDEA-Research/grounding-dino-tiny', licence='Apache-2.0', gigabytes=.7),
    'sam2': Part('facebook/sam2.1-hiera-large', licence='Apache-2.0', gigabytes=.9)}
SURE = .35  # score of a box from which on it counts, as the authors of Grounding DINO have it
MOST = 16  # boxes of a sentence: each is masked
WORDS = 256  # tokens that Grounding DINO reads


def make(config: MaskerConfig, device: torch.device, threads: int) -> 'GroundedSam2':
    """
    Make the generator of weights on disk.

    Raises:
        WeightsError: Missing, torn or of another model.
    """
    from transformers import Sam2Model

    return GroundedSam2.load(Sam2Model, PARTS, config, device)


class GroundedSam2:
    """
    Boxes by Grounding DINO, masks by SAM 2.1.

    Args:
        dino, sam: `GroundingDinoForObjectDetection`, `Sam2Model` or its like, on their device.
        reader, looker, folder: Their processors; where `dino` is from.
    """

    name, has_robot = 'grounded_sam2', False

    @classmethod
    def load(cls, kind: Any, parts: dict[str, Part], config: MaskerConfig, device: torch.device
             ) -> Self:
        """Load Grounding DINO and a class of transformers that has the interface of SAM 2."""
        from transformers import GroundingDinoForObjectDetection as Dino

        dino, sam = (find_part(cls.name, *part, config.weights) for part in parts.items())
        net = load_pretrained(kind, sam, dtype=dtype_of(config, device)).to(device)
        return cls(load_pretrained(Dino, dino).to(device), net, load_processor(dino),
                   load_processor(sam), dino)

    def __init__(self, dino: Any, sam: Any, reader: Any, looker: Any, folder: Path) -> None:
        self.dino, self.sam, self._reader, self._looker = dino, sam, reader, looker
        self._folder, self._hash = folder, file_hash(check_files(folder)[0])
        self._once = dino.model.backbone = Once(dino.model.backbone)

    @property
    def info(self) -> dict[str, Any]:
        """Name, weights, hash, device."""
        return {'generator': self.name, 'weights': str(self._folder), 'sha256': self._hash,
                'device': str(self.sam.device), 'runtime': 'torch', 'provenance': {},
                'quality': {}}

    @torch.inference_mode()
    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> list[Mask]:
        """
        Mask each uint8 [H, W, 3] image by the sentence of the same place.

        An image that is there several times (the same array) is encoded once by each model.
        `found` is the best box's score, stretched so that `SURE` becomes a half (our choice).
        """
        once = {id(image): image for image in images}
        index = [[*once].index(id(image)) for image in images]
        found = self._find(list(once.values()), instructions, index)
        pixels = self._looker(images=list(once.values()), return_tensors='pt')['pixel_values']
        seen = self.sam.get_image_embeddings(pixels.to(self.sam.device, self.sam.dtype))
        return [self._mask([level[place:place + 1] for level in seen], boxes, best, image)
                for place, (boxes, best), image in zip(index, found, images)]

    def _find(self, images: list[np.ndarray], instructions: Sequence[str], index: list[int]
              ) -> list[tuple[torch.Tensor, float]]:
        """Give boxes float32 [B, 4] (x, y, x, y in [0, 1]) and the best score, a sentence each."""
        found = {}
        # Pictures of one size at a time: beside a larger one they would get margins, which shift
        # the windows of the backbone and with them the boxes.
        for size in {image.shape for image in images}:
            mine = [place for place, image in enumerate(images) if image.shape == size]
            asked = [number for number, place in enumerate(index) if place in mine]
            pixels = self._reader.image_processor(images=[images[place] for place in mine],
                                                  return_tensors='pt').to(self.dino.device)
            text = self._reader.tokenizer(
                ['. '.join(phrases_of(instructions[number])).lower() + '.' for number in asked],
                padding=True, truncation=True, max_length=WORDS, return_tensors='pt',
                return_token_type_ids=True).to(self.dino.device)
            rows = torch.tensor([mine.index(index[number]) for number in asked])
            with self._once.rows(rows):
                said = self.dino(**text, **{name: value[rows] for name, value in pixels.items()})
            scores = said.logits.sigmoid().amax(2)  # [N, 900], of the best token
            middles, sides = said.pred_boxes.split(2, 2)
            boxes = torch.cat((middles - sides / 2, middles + sides / 2), 2)
            for row, number in enumerate(asked):
                best, chosen = scores[row].topk(min(MOST, scores.shape[1]))
                found[number] = boxes[row, chosen[best > SURE]], float(best[0])
        return [found[number] for number in range(len(index))]

    def _mask(self, seen: list[torch.Tensor], boxes: torch.Tensor, best: float,
              image: np.ndarray) -> Mask:
        """Unite the masks of the boxes of one sentence."""
        target = np.zeros(size := image.shape[:2], np.float32)
        if len(boxes):
            side = self.sam.prompt_encoder.input_image_size
            logits = self.sam(image_embeddings=seen, input_boxes=(boxes * side)[None],
                              multimask_output=False).pred_masks[0, :, 0].float()
            planes = functional.interpolate(logits[None], size, mode='bilinear')[0]
            target = planes.amax(0).sigmoid().cpu().numpy()
        found = float(np.interp(best, (0, SURE, 1), (0, .5, 1)))
        return Mask(target, np.zeros_like(target), found)
