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
Puts a mask between an environment's camera and the policy that looks through it.

    env = MaskedCamera(gymnasium.make('ivm_sim:IvmTabletop-v0'), Masker())

Works on any gymnasium environment with a picture uint8 [H, W, 3] in its observation.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium import spaces
import numpy as np

from ivm_ros.config import ConfigError
from ivm_ros.deploy import apply, DeployConfig
from ivm_ros.sample import Mask

MaskSource = Callable[[np.ndarray, str], Mask]


class MaskedCamera(gymnasium.ObservationWrapper[Any, Any, Any]):
    """
    Shows a policy only what the instruction needs.

    Args:
        env: An environment that is not vectorised.
        masker: (picture, sentence) -> mask: a `Masker`, or `TruthMasker` of our environment.
        config: How the mask is shown.
        key: Entry of a Dict observation that holds the picture; '' where the observation is it.
        instruction: The sentence; empty: the observation's entry `instruction`.

    Attributes:
        mask (Mask | None): The last one.
        shown (np.ndarray | None): The last picture that the policy saw.

    Raises:
        ConfigError: The observation has no such picture, or no instruction.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], masker: MaskSource,
                 config: DeployConfig = DeployConfig(), key: str = 'front',
                 instruction: str = '') -> None:
        super().__init__(env)
        self._masker, self._config = masker, config
        self._key, self._instruction = key, instruction
        self._last: Mask | None = None
        self.mask: Mask | None = None
        self.shown: np.ndarray | None = None
        picture = self._picture_space()
        if not instruction and not (isinstance(env.observation_space, spaces.Dict)
                                    and 'instruction' in env.observation_space.spaces):
            raise ConfigError('MaskedCamera: the observation has no "instruction"; give one with '
                              'instruction=...')
        width, height = config.output_size
        size = (height, width) if width else picture.shape[:2]
        masked = spaces.Box(0, 255, (*size, 3), np.uint8)
        self.observation_space = masked
        if isinstance(env.observation_space, spaces.Dict):
            self.observation_space = spaces.Dict({**env.observation_space.spaces, key: masked})

    def _picture_space(self) -> spaces.Box:
        space: Any = self.env.observation_space
        if self._key:
            known = list(getattr(space, 'spaces', {}))
            if self._key not in known:
                raise ConfigError(f'MaskedCamera: the observation has no {self._key!r}; it has '
                                  f'{", ".join(known) or "no names: use key=" + repr("")}')
            space = space[self._key]
        if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or (
                len(space.shape) != 3 or space.shape[2] != 3):
            raise ConfigError(f'MaskedCamera: wanted a picture uint8 [H, W, 3], got {space}')
        return space

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Forget the mask that is held, and reset."""
        self._last = self.mask = None
        return super().reset(**settings)

    def observation(self, observation: Any) -> Any:
        """Mask the picture of an observation."""
        image = observation[self._key] if self._key else observation
        text = self._instruction or observation['instruction']
        self.mask = mask = self._masker(image, text)
        self.shown = shown = apply(image, mask, self._config, self._last).image
        if mask.found >= self._config.found_threshold:
            self._last = mask
        return {**observation, self._key: shown} if self._key else shown


class TruthMasker:
    """
    Masks by what the simulator knows, whatever picture and sentence say.

    Args:
        env: Ours, or wrappers around it.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._env: Any = env.unwrapped

    def __call__(self, image: np.ndarray, instruction: str) -> Mask:
        """Give the true mask of the front camera now; found where any of it is in view."""
        truth = self._env.truth()
        return Mask(truth.target.astype(np.float32), truth.robot.astype(np.float32),
                    float(truth.target.any()))
