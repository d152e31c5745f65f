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
"""The robot's plane for generators that have none: `keep_robot` needs one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ivm_ros.models.generator import Generator
from ivm_ros.sample import Mask

PHRASE = 'robot arm and gripper'


class WithRobot:
    """
    A generator with a plane of the robot from elsewhere.

    Args:
        generator: Gives the targets.
        other: Gives the plane; None: the generator itself, asked for `PHRASE`.
    """

    has_robot = True

    def __init__(self, generator: Generator, other: Generator | None = None) -> None:
        self.generator, self.other = generator, other

    @property
    def info(self) -> dict[str, Any]:
        """What the generator says, and where the plane is from."""
        source = PHRASE if self.other is None else f'{self.other.info["weights"]}'
        return {**self.generator.info, 'robot_plane': source}

    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> list[Mask]:
        """Mask as the generator does; each picture's robot is looked for once."""
        once = list({id(image): image for image in images}.values())
        phrases = [PHRASE] * len(once)
        if self.other is None:
            # In one batch, so that no picture is encoded twice.
            masks = self.generator.generate([*images, *once], [*instructions, *phrases])
            masks, robots = masks[:len(images)], [mask.target for mask in masks[len(images):]]
        else:
            masks = self.generator.generate(images, instructions)
            robots = [mask.robot for mask in self.other.generate(once, phrases)]
        planes = {id(image): robot for image, robot in zip(once, robots)}
        return [replace(mask, robot=planes[id(image)]) for mask, image in zip(masks, images)]
