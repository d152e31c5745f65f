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
"""Settings of `ivm train`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.augment import AugmentConfig
from ivm_ros.models.compact import CompactConfig
from ivm_ros.train.dwsl import DwslConfig
from ivm_ros.train.losses import LossConfig


CURRENT = 'current'
"""As `init`: the promoted weights, or the shipped ones where there are none."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `ivm train`."""

    data: Annotated[tuple[str, ...], Doc(
        'Dataset folders to train on: A B, or A,B; or on object storage, as s3://bucket/A.')] = ()
    out: Annotated[str, Doc('Folder of the run; an existing one is resumed.')] = 'runs/compact'
    validation: Annotated[tuple[str, ...], Doc('Dataset folders to choose by.')] = ()
    init: Annotated[str, Doc(
        'Checkpoint to start from; "current" for the weights in use, empty for ImageNet.')] = ''
    backbone: Annotated[Literal['imagenet', 'random'], Doc(
        'What the backbone starts from where there is no --init.')] = 'imagenet'
    naming: Annotated[Literal['axes', 'learnt'], Doc(
        'Words and things are compared along principal axes of the encoder, or as training '
        'finds; with --init only whether that stays or moves.')] = 'axes'
    method: Annotated[Literal['plain', 'dwsl'], Doc(
        'All labels alike, or weighed by a discriminator; dwsl wants --init.')] = 'plain'
    balanced: Annotated[bool, Doc(
        'Every second image of a batch is one that people labelled.')] = False
    steps: Annotated[int, Range(1, None), Doc('Optimiser steps.')] = 6000
    minutes: Annotated[float, Range(0, None), Doc(
        'Stop after so many minutes, to go on with the same command; 0 for never.')] = 0.0
    images: Annotated[int, Range(1, None), Doc('Images in a batch.')] = 8
    sentences: Annotated[int, Range(1, None), Doc('Sentences an image.')] = 6
    learning_rate: Annotated[float, Range(0, 1), Doc('Peak rate of the new layers.')] = 1e-3
    backbone_rate: Annotated[float, Range(0, 1), Doc('Rate of the backbone, relative.')] = 0.3
    frozen_blocks: Annotated[int, Range(0, 18), Doc('Backbone blocks that stay.')] = 4
    learns: Annotated[Literal['all', 'choice'], Doc(
        'What training changes: everything, or only what things are and which of them a sentence '
        'means; masks, robot and centres then stay, and a step costs less.')] = 'all'
    warmup: Annotated[int, Range(0, None), Doc('Steps to the peak rate.')] = 200
    weight_decay: Annotated[float, Range(0, 1), Doc('Of AdamW.')] = 0.02
    ema: Annotated[float, Range(0, 1), Doc('Decay of the moving average.')] = 0.998
    seed: Annotated[int, Range(0, None), Doc('Of initial weights, order, augmentation.')] = 0
    device: Annotated[Literal['auto', 'cpu', 'cuda'], Doc('Where to train.')] = 'auto'
    threads: Annotated[int, Range(0, 256), Doc('CPU threads; 0 chooses.')] = 0
    workers: Annotated[int, Range(0, 256), Doc('Loader processes; 0 loads in the loop.')] = 0
    save_every: Annotated[int, Range(1, None), Doc('Steps between checkpoints.')] = 200
    log_every: Annotated[int, Range(1, None), Doc('Steps between log lines.')] = 20
    text_encoder: Annotated[str, Doc('Folder of the sentence encoder; empty to search.')] = ''
    text_precision: Annotated[Literal['float32', 'bfloat16'], Doc(
        'What training sentences are encoded in; names and validation: float32.')] = 'float32'
    text_cache: Annotated[str, Doc(
        'Folder that keeps encoded sentences for other runs; empty for none.')] = ''
    model: Annotated[CompactConfig, Doc('Size of the generator.')] = field(
        default_factory=CompactConfig)
    dwsl: Annotated[DwslConfig, Doc('How labels are weighed.')] = field(
        default_factory=DwslConfig)
    loss: Annotated[LossConfig, Doc('Weights of the loss terms.')] = field(
        default_factory=LossConfig)
    augment: Annotated[AugmentConfig, Doc('How images vary.')] = field(
        default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)
        if self.method == 'dwsl' and not self.init:
            raise ConfigError('TrainConfig.init: method dwsl wanted a checkpoint, through whose '
                              'eyes labels are judged; got none')
