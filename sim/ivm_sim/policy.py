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
"""What acts: the protocol that expert, clones and chance share, and one run of an episode."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np


class Policy(Protocol):
    """Turns observations into actions."""

    def reset(self) -> None:
        """Begin the episode that the environment was just reset to."""
        ...

    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """Give the next action, float32 [7]."""
        ...


class RandomPolicy:
    """
    Acts by chance: small moves, the gripper now open, now closed.

    Args:
        seed: Of its moves.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def reset(self) -> None:
        """Go on."""

    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """Draw an action."""
        return np.append(self._rng.normal(0, (.02, .02, .02, 0, 0, .1)),
                         self._rng.choice([-1, 1])).astype(np.float32)


@dataclass(frozen=True)
class Step:
    """
    One step of an episode.

    Attributes:
        observation (dict): What the policy saw.
        action (np.ndarray): float32 [7], what it asked for.
        success (bool): The episode was won with it.
        last (bool): The episode ended with it.
        info (dict): What came with the observation.
        clipped (int): Actions so far that went beyond the range, this one included.
    """

    observation: dict[str, Any]
    action: np.ndarray
    success: bool
    last: bool
    info: dict[str, Any]
    clipped: int = 0


def run(env: gymnasium.Env[Any, Any], policy: Policy, seed: int,
        noise: float = 0.0) -> Iterator[Step]:
    """
    Run one episode.

    Args:
        env: Where.
        policy: Who acts.
        seed: Of the episode.
        noise: Deviation in metres of what is added to the shift that is carried out, and is not
            part of the step's action: it brings the hand where only corrections are seen
            (arXiv 1703.09327).
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 77]))
    observation, info = env.reset(seed=seed)
    policy.reset()
    while True:
        action = policy.act(observation)
        done = action.copy()
        if noise:
            done[:3] += rng.normal(0, noise, 3).astype(np.float32)
        after, _, success, late, told = env.step(done)
        yield Step(observation, action, bool(success), bool(success or late), info,
                   told.get('clipped', 0))
        if success or late:
            return
        observation, info = after, told
