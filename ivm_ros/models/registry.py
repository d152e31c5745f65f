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
From the name of a generator to the generator, with what every large one needs around it.

`GENERATORS` (in `ivm_ros.models.settings`) names a module, imported when it is asked for, with
`make(config, device, threads)`; large ones also have `PARTS`, their weights, and
`write_random(folder, seed, tiny)`, which writes random ones in their place.
"""

from dataclasses import replace
from importlib import import_module
from types import ModuleType

import torch

from ivm_ros.models.generator import Generator
from ivm_ros.models.memory import Careful
from ivm_ros.models.pretrained import Part
from ivm_ros.models.robot_plane import WithRobot
from ivm_ros.models.settings import CARRIERS, GENERATORS, MaskerConfig


def module_of(name: str) -> ModuleType:
    """Import the module of a generator or a carrier."""
    return import_module({**GENERATORS, **CARRIERS}[name])


def parts_of(name: str) -> dict[str, Part]:
    """List the weights that one of them takes from elsewhere; none for one that ships."""
    return getattr(module_of(name), 'PARTS', {})


def make_generator(config: MaskerConfig, device: torch.device, threads: int) -> Careful:
    """
    Make the generator that is asked for.

    Raises:
        CheckpointError, TextEncoderError, OnnxError: As its parts do.
        MemoryFullError: The memory of the device does not hold it, and no rule helps.
    """
    def on(place: torch.device) -> Generator:
        made: Generator = module_of(config.generator).make(config, place, threads)
        if made.has_robot or config.robot_plane == 'none':
            return made
        if config.robot_plane == 'phrase':
            return WithRobot(made)
        small = replace(config, generator='compact', weights='')
        return WithRobot(made, module_of('compact').make(small, place, threads))

    return Careful(on, device, config.on_out_of_memory)
