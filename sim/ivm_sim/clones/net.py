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
The cloned policy's network: picture, hand and sentence to a chunk of wanted poses.

A small convolutional net, modulated by the sentence (FiLM, arXiv 1709.07871), spatial softmax
(arXiv 1504.00702), chunks of actions (arXiv 2304.13705). Sizes are our choice: it trains on one
core within two hours.
"""

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_sim.clones.config import CloneConfig
from ivm_sim.clones.heads import HEADS, WANTED

SENTENCE = 768  # width of the sentence encoder
PROPRIO = 15


class Eye(nn.Module):
    """
    A picture and a sentence to points: where in the picture each of some features is.

    Attributes:
        brief (bool): Convolve in bfloat16, all but the last: nearly twice as fast to train on
            CPUs that have it. Points are always found in float32, which 8 bits could not tell.
    """

    def __init__(self, points: int) -> None:
        super().__init__()
        self.brief = False
        widths = (3, 32, 48, 64, points)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 5 if place == 0 else 3, 2 if place < 2 else 1, 2 if place == 0 else 1)
            for place, (a, b) in enumerate(zip(widths, widths[1:])))
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in widths[1:4])
        self.films = nn.ModuleList(nn.Linear(SENTENCE, 2 * width) for width in widths[1:4])
        for film in self.films:
            nn.init.zeros_(film.get_parameter('weight'))
            nn.init.zeros_(film.get_parameter('bias'))

    def forward(self, picture: torch.Tensor, sentence: torch.Tensor) -> torch.Tensor:
        """Turn pictures [B, 3, S, S] and sentences [B, 768] into [B, 3 * points]."""
        x = picture
        with torch.autocast(picture.device.type, torch.bfloat16, enabled=self.brief):
            for conv, norm, film in zip(self.convs, self.norms, self.films):
                gain, shift = film(sentence)[..., None, None].chunk(2, 1)
                x = F.relu(norm(conv(x)) * (1 + gain) + shift)
        return soft_points(self.convs[-1](x.float()))


def soft_points(maps: torch.Tensor) -> torch.Tensor:
    """Give x and y in [-1, 1] and height of each map's peak; [B, P, h, w] -> [B, 3 P]."""
    height, width = maps.shape[2:]
    shares = maps.flatten(2).softmax(2)  # [B, P, h * w]
    x = torch.linspace(-1, 1, width, device=maps.device).repeat(height)
    y = torch.linspace(-1, 1, height, device=maps.device).repeat_interleave(width)
    peak = torch.tanh(maps.flatten(2).amax(2) / 4)
    return torch.cat((shares @ x, shares @ y, peak), 1)


class CloneNet(nn.Module):
    """The policy's network. What it gives is scaled by the buffers to metres and so on."""

    middle: torch.Tensor
    spread: torch.Tensor
    hand_middle: torch.Tensor
    hand_spread: torch.Tensor

    def __init__(self, config: CloneConfig = CloneConfig()) -> None:
        super().__init__()
        self.config = config
        self.front = Eye(config.points)
        self.wrist = Eye(config.points) if config.wrist else None
        eyes = 3 * config.points * (1 + config.wrist)
        self.sentence = nn.Linear(SENTENCE, 32)
        self.head = HEADS[config.head](eyes + PROPRIO + 32, config.hidden, config.chunk)
        self.register_buffer('middle', torch.zeros(WANTED))
        self.register_buffer('spread', torch.ones(WANTED))
        self.register_buffer('hand_middle', torch.zeros(PROPRIO))
        self.register_buffer('hand_spread', torch.ones(PROPRIO))

    def forward(self, front: torch.Tensor, wrist: torch.Tensor | None, proprio: torch.Tensor,
                sentence: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """
        Foresee wanted poses.

        Args:
            front: float32 [B, 3, S, S] in [0, 1].
            wrist: The same, or None where the policy has no second eye.
            proprio: float32 [B, 15].
            sentence: float32 [B, 768].
            generator: Of a diffusion head's noise.

        Returns:
            float32 [B, chunk, `WANTED`].
        """
        features = self._see(front, wrist, proprio, sentence)
        return self.head.foresee(features, generator) * self.spread + self.middle

    def loss(self, front: torch.Tensor, wrist: torch.Tensor | None, proprio: torch.Tensor,
             sentence: torch.Tensor, wanted: torch.Tensor,
             generator: torch.Generator | None = None) -> torch.Tensor:
        """Give what training lowers; `wanted` is float32 [B, chunk, `WANTED`]."""
        features = self._see(front, wrist, proprio, sentence)
        return self.head.loss(features, (wanted - self.middle) / self.spread, generator)

    def _see(self, front: torch.Tensor, wrist: torch.Tensor | None, proprio: torch.Tensor,
             sentence: torch.Tensor) -> torch.Tensor:
        """Join what is seen, felt and said, float32 [B, F]."""
        eyes = [self.front(front * 2 - 1, sentence)]
        if self.wrist is not None and wrist is not None:
            eyes.append(self.wrist(wrist * 2 - 1, sentence))
        hand = (proprio - self.hand_middle) / self.hand_spread
        return torch.cat((*eyes, hand, torch.tanh(self.sentence(sentence))), 1)
