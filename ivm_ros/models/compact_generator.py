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
"""The compact generator behind the `Generator` protocol: pixels in, masks out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ivm_ros.image import from_canvas, letterbox_of, to_canvas
from ivm_ros.models.checkpoint import Checkpoint, load_checkpoint
from ivm_ros.models.chooser import Heard
from ivm_ros.models.errors import TextEncoderError
from ivm_ros.models.installed import weights_path
from ivm_ros.models.last_used import LastUsed, LISTENED
from ivm_ros.models.pixels import normalise
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.models.text import TextEncoder
from ivm_ros.models.text_files import NAME
from ivm_ros.sample import Mask


def make(config: MaskerConfig, device: torch.device, threads: int) -> 'CompactGenerator':
    """
    Make the compact generator.

    Raises:
        CheckpointError, TextEncoderError: As its parts do.
    """
    checkpoint = load_checkpoint(weights_path(config.weights))
    return CompactGenerator(checkpoint, TextEncoder(config.text_encoder, device), config.half)


class CompactGenerator:
    """
    The compact generator.

    Args:
        checkpoint: Weights.
        encoder: The sentence encoder, the same file as in training.
        half: float16 on CUDA; the CPU always computes in float32.

    Raises:
        TextEncoderError: The encoder is not the one the weights were trained with.
    """

    has_robot = True

    def __init__(self, checkpoint: Checkpoint, encoder: TextEncoder, half: bool = True) -> None:
        wanted = checkpoint.info.get('text_encoder', {}).get('sha256', '')
        if wanted != encoder.hash:
            raise TextEncoderError(
                f'{encoder.folder} is not the sentence encoder of {checkpoint.path.name}: wanted '
                f'{NAME} with sha256 {wanted[:12]}..., got {encoder.hash[:12]}...')
        self._checkpoint, self._encoder = checkpoint, encoder
        self.half = half and encoder.device.type == 'cuda'
        self.net = checkpoint.net.to(encoder.device).to(memory_format=torch.channels_last)
        self.canvas = (self.net.config.height, self.net.config.width)
        self._heard = LastUsed[tuple[str, ...], Heard](LISTENED)

    @property
    def info(self) -> dict[str, Any]:
        """Name, weights, hash, canvas, encoder, provenance and measured quality."""
        return {'generator': 'compact', 'weights': str(self._checkpoint.path),
                'sha256': self._checkpoint.hash, 'canvas': list(self.canvas),
                'text_encoder': str(self._encoder.folder), 'device': str(self._encoder.device),
                'half': self.half, 'runtime': 'torch',
                'provenance': self._checkpoint.info.get('provenance', {}),
                'quality': self._checkpoint.info.get('quality', {})}

    @torch.inference_mode()
    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> list[Mask]:
        """
        Mask each uint8 [H, W, 3] image by the sentence of the same place, in one batch.

        An image that is there several times (the same array) is looked at once.
        """
        once = {id(image): image for image in images}
        boxes = {key: letterbox_of((image.shape[0], image.shape[1]), self.canvas)
                 for key, image in once.items()}
        pixels = np.stack([to_canvas(image, boxes[key]) for key, image in once.items()])
        places = {key: place for place, key in enumerate(once)}
        index = torch.tensor([places[id(image)] for image in images], device=self._encoder.device)
        planes, found = self._predict(normalise(pixels, self._encoder.device), instructions, index)
        return [Mask(from_canvas(target, boxes[id(image)]), from_canvas(robot, boxes[id(image)]),
                     score) for (target, robot), image, score in zip(planes, images, found)]

    def _predict(self, pixels: torch.Tensor, instructions: Sequence[str], index: torch.Tensor
                 ) -> tuple[np.ndarray, list[float]]:
        """
        Look at pictures and listen to sentences.

        Args:
            pixels: [I, 3, h, w].
            instructions: N sentences.
            index: int64 [N], which picture each sentence is about.

        Returns:
            Target and robot float32 [N, 2, h, w] and found, [N], all in [0, 1].
        """
        with torch.autocast('cuda', torch.float16, enabled=self.half):
            prediction = self.net.look(pixels, self._heard.get(tuple(instructions), self._listen),
                                       index)
        planes = torch.stack((prediction.target, prediction.robot[index]), 1).float().sigmoid()
        return planes.cpu().numpy(), prediction.found.float().sigmoid().tolist()

    def _listen(self, instructions: tuple[str, ...]) -> Heard:
        """Listen to sentences, each once."""
        once = list(dict.fromkeys(instructions))
        heard = self.net.chooser.listen(*self._encoder(once))
        if len(once) < len(instructions):
            places = [once.index(text) for text in instructions]
            heard = Heard(*(part[places] for part in heard))
        return heard
