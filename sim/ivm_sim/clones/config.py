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
"""Settings of a clone and of its training; nothing here needs torch."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from ivm_ros.config import check, Doc, Range
from ivm_ros.deploy import DeployConfig
from ivm_sim.clones.sight import MaskNoise, Shade

Camera = Literal['raw', 'truth', 'masked']
"""What the front camera shows: all, what the simulator says is needed, what our weights say."""


@dataclass(frozen=True)
class CloneConfig:
    """Size of a cloned policy."""

    size: Annotated[int, Range(32, 256), Doc('Side of the pictures it sees, pixels.')] = 96
    wrist: Annotated[bool, Doc('It has a second eye, on the wrist.')] = False
    head: Annotated[Literal['chunk', 'diffusion'], Doc(
        'How it foresees: all at once, or by removing noise (diffusion policy).')] = 'chunk'
    points: Annotated[int, Range(1, 256), Doc('Points of the spatial softmax.')] = 32
    hidden: Annotated[int, Range(8, 2048), Doc('Width of the head.')] = 256
    chunk: Annotated[int, Range(1, 100), Doc('Steps that are foreseen.')] = 10
    execute: Annotated[int, Range(1, 100), Doc('Steps that are done before it looks anew.')] = 4

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


@dataclass(frozen=True)
class CloneTraining:
    """Clone a policy from demonstrations."""

    data: Annotated[tuple[str, ...], Doc('Folders of "ivm-sim demos".')] = ()
    out: Annotated[str, Doc('Folder of the run; an existing one is resumed.')] = 'runs/clone'
    camera: Annotated[Camera, Doc(
        'What its front camera shows: raw, or masked by the truth or by the shipped weights.'
    )] = 'raw'
    tasks: Annotated[tuple[str, ...], Doc('Only these tasks; none: all.')] = ()
    steps: Annotated[int, Range(1), Doc('Optimiser steps.')] = 6000
    batch: Annotated[int, Range(1), Doc('Steps of episodes in a batch.')] = 64
    learning_rate: Annotated[float, Range(0, 1), Doc('Peak rate.')] = 1e-3
    ema: Annotated[float, Range(0, 1), Doc('Decay of the moving average.')] = 0.998
    seed: Annotated[int, Range(0), Doc('Of initial weights, order, variation.')] = 0
    precision: Annotated[Literal['float32', 'bfloat16'], Doc(
        'Of the convolutions while training; bfloat16 is faster on CPUs that have it.'
    )] = 'float32'
    threads: Annotated[int, Range(1, 256), Doc('CPU threads.')] = 1
    save_every: Annotated[int, Range(1), Doc('Steps between checkpoints.')] = 500
    model: Annotated[CloneConfig, Doc('Size of the policy.')] = field(default_factory=CloneConfig)
    noise: Annotated[MaskNoise, Doc('Errors of masks.')] = field(default_factory=MaskNoise)
    shade: Annotated[Shade, Doc('How pictures vary.')] = field(default_factory=Shade)
    deploy: Annotated[DeployConfig, Doc('How masks are shown.')] = field(
        default_factory=DeployConfig)

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)
