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
"""Which generators there are, and what a user can set about them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ivm_ros.config import check, ConfigError, Doc, nearest, Range

GENERATORS = {
    'compact': 'ivm_ros.models.compact_generator',
    'ivm_v1': 'ivm_ros.models.ivm_v1',
    'clipseg': 'ivm_ros.models.clipseg',
    'grounded_sam2': 'ivm_ros.models.grounded_sam2',
    'grounded_edgetam': 'ivm_ros.models.grounded_edgetam',
    'sam3': 'ivm_ros.models.sam3',
    'sam3_lite': 'ivm_ros.models.sam3_lite',
}
"""Name to module; `ivm_ros.models.registry` says what a module holds."""

CARRIERS = {
    'sam2': 'ivm_ros.models.sam2_carrier',
    'edgetam': 'ivm_ros.models.edgetam_carrier',
}
"""The same of what carries masks from frame to frame by a memory (`memory_carrier`)."""

Precision = Literal['auto', 'float32', 'bfloat16', 'float16', 'int8', 'int4']


@dataclass(frozen=True)
class MaskerConfig:
    """What masks are made with."""

    weights: Annotated[str, Doc(
        'Checkpoint (.safetensors) of the compact generator, or folder of those of a large one; '
        'empty: the promoted or shipped ones, or what "ivm download" fetched.')] = ''
    text_encoder: Annotated[str, Doc('Folder of the sentence encoder; empty to search.')] = ''
    device: Annotated[Literal['auto', 'cpu', 'cuda'], Doc('Where the network runs.')] = 'auto'
    threads: Annotated[int, Range(0, 256), Doc(
        'CPU threads; 0 chooses: one on up to four cores, where more fight the camera driver.'
    )] = 0
    half: Annotated[bool, Doc('Half precision on CUDA.')] = True
    runtime: Annotated[Literal['torch', 'onnx'], Doc(
        'What computes the compact network: PyTorch, or ONNX Runtime (faster on CPUs).')] = 'torch'
    graph: Annotated[str, Doc(
        'ONNX file of "ivm export"; empty: made once and kept in a cache.')] = ''
    generator: Annotated[str, Doc(
        f'Which model makes the masks: {", ".join(GENERATORS)} (docs/generators.md).')] = 'compact'
    precision: Annotated[Precision, Doc(
        'Numbers of the language model of ivm_v1; auto: bfloat16 on CUDA where half is on, else '
        'float32. int8 and int4 need the package bitsandbytes.')] = 'auto'
    robot_plane: Annotated[Literal['compact', 'phrase', 'none'], Doc(
        'Where generators without a plane of the robot take it from: the compact one, the phrase '
        '"robot arm and gripper" (one mask more a picture), or nowhere.')] = 'compact'
    on_out_of_memory: Annotated[Literal['split', 'cpu', 'fail'], Doc(
        'When CUDA memory runs out: split the batch, go on on the CPU, or fail; what fails is a '
        'fault (on_fault of the node).')] = 'split'

    def __post_init__(self) -> None:
        """Check types, choices, and that there is such a generator."""
        check(self)
        if self.generator not in GENERATORS:
            raise ConfigError(
                f'generator: wanted one of {", ".join(GENERATORS)}, got {self.generator!r}'
                f'{nearest(self.generator, GENERATORS)}')
        if self.runtime == 'onnx' and self.generator != 'compact':
            raise ConfigError(f'runtime: onnx computes the compact generator only, got generator '
                              f'{self.generator!r}; leave runtime at torch')
