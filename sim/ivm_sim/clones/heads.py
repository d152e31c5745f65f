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
What turns features into a chunk of wanted poses: at once, or by removing noise.

Both work on poses that are scaled to mean 0 and deviation 1, float32 [B, chunk, `WANTED`], and
share two methods: `loss(features, wanted, generator)` and `foresee(features, generator)`.
"""

import math
from typing import Any, cast

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (the field's own name)

WANTED = 6  # place (m), cosine and sine of twice the angle of the fingers, gripper
LEVELS = 100  # of noise in training (arXiv 2303.04137, as the next)
LOOKS = 10  # steps in which noise is removed
NOISES = 8  # drawn for each picture in training: the eye costs most (our choice)
TIME = 64  # width of the encoding of the level of noise


class ChunkHead(nn.Sequential):
    """
    All poses at once, learnt by their distance (L1, as arXiv 2304.13705).

    Args:
        features: Width of what comes in.
        hidden: Of its layers.
        chunk: Steps that are foreseen.
    """

    def __init__(self, features: int, hidden: int, chunk: int) -> None:
        super().__init__(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden),
                         nn.ReLU(), nn.Linear(hidden, chunk * WANTED))

    def loss(self, features: torch.Tensor, wanted: torch.Tensor,
             generator: torch.Generator | None = None) -> torch.Tensor:
        """Give the mean distance of what is foreseen from what was wanted."""
        return F.l1_loss(self.foresee(features), wanted)

    def foresee(self, features: torch.Tensor, generator: torch.Generator | None = None
                ) -> torch.Tensor:
        """Turn features [B, F] into poses."""
        return cast(torch.Tensor, self(features)).unflatten(1, (-1, WANTED))


class DiffusionHead(nn.Module):
    """
    Removes noise from poses step by step: diffusion policy (arXiv 2303.04137).

    The denoiser convolves along the chunk, modulated by features and level of noise, as the
    paper's; without its halving of the sequence, since a chunk is short (our choice). It guesses
    the poses and not the noise: from noise alone that is the better start (on two modes the mean
    error was .02 instead of .18). Noise is removed by DDIM (arXiv 2010.02502).

    Args:
        features: Width of what comes in.
        hidden: Of its layers.
        chunk: Steps that are foreseen.
    """

    def __init__(self, features: int, hidden: int, chunk: int) -> None:
        super().__init__()
        self.chunk = chunk
        self.condition = nn.Sequential(nn.Linear(features + TIME, hidden), nn.ReLU(),
                                       nn.Linear(hidden, hidden))
        self.enter = nn.Conv1d(WANTED, hidden // 2, 1)
        self.blocks = nn.ModuleList(Block(hidden // 2, hidden) for _ in range(3))
        self.leave = nn.Conv1d(hidden // 2, WANTED, 1)

    def forward(self, noisy: torch.Tensor, level: torch.Tensor, features: torch.Tensor
                ) -> torch.Tensor:
        """Guess the poses below noise, whose levels are int64 [B]."""
        condition = F.relu(self.condition(torch.cat((features, encoded(level)), 1)))
        x = self.enter(noisy.transpose(1, 2))
        for block in self.blocks:
            x = block(x, condition)
        return cast(torch.Tensor, self.leave(x)).transpose(1, 2)

    def loss(self, features: torch.Tensor, wanted: torch.Tensor,
             generator: torch.Generator | None = None) -> torch.Tensor:
        """Give the mean square of the error in guessing poses below noise of any level."""
        features, wanted = (part.repeat_interleave(NOISES, 0) for part in (features, wanted))
        noise = torch.randn(wanted.shape, generator=generator)
        level = torch.randint(LEVELS, (len(wanted),), generator=generator)
        return F.mse_loss(self(_schedule().add_noise(wanted, noise, level), level, features),
                          wanted)

    def foresee(self, features: torch.Tensor, generator: torch.Generator | None = None
                ) -> torch.Tensor:
        """Turn features [B, F] into poses; which of the likely ones, the generator decides."""
        schedule = _schedule()
        schedule.set_timesteps(LOOKS)
        x = torch.randn((len(features), self.chunk, WANTED), generator=generator)
        for level in schedule.timesteps:
            guess = self(x, level.expand(len(x)), features)
            x = schedule.step(guess, level, x).prev_sample
        return x


class Block(nn.Module):
    """
    Two convolutions along the chunk beside a shortcut, modulated between (FiLM).

    Args:
        width: Of what it turns.
        condition: Width of what modulates it.
    """

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv1d(width, width, 5, padding=2) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2))
        self.film = nn.Linear(condition, 2 * width)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Turn [B, width, chunk] into the same."""
        gain, shift = self.film(condition)[..., None].chunk(2, 1)
        inner = F.mish(self.norms[0](self.first(x)) * (1 + gain) + shift)
        return x + F.mish(self.norms[1](self.second(inner)))


def encoded(level: torch.Tensor) -> torch.Tensor:
    """Encode levels int64 [B] by waves, float32 [B, `TIME`] (arXiv 1706.03762, 3.5)."""
    rates = torch.exp(torch.arange(TIME // 2) * (-math.log(1e4) / (TIME // 2)))
    angles = level[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), 1)


def _schedule() -> Any:
    """Give the levels of noise: of a squared cosine, from the cleanest to noise alone."""
    from diffusers import DDIMScheduler  # seconds to import, and only this head needs it

    return DDIMScheduler(LEVELS, beta_schedule='squaredcos_cap_v2', clip_sample=True,
                         clip_sample_range=5.0, timestep_spacing='trailing',
                         prediction_type='sample')


HEADS: dict[str, type[ChunkHead] | type[DiffusionHead]] = {
    'chunk': ChunkHead, 'diffusion': DiffusionHead}
