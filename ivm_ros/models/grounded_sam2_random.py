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
"""Random weights for Grounding DINO and SAM 2.1: the same files, read by the same code."""

from pathlib import Path
from typing import Any

import torch

from ivm_ros.models.letters import bert_letters
from ivm_ros.models.pretrained import seeded

VOCABULARY = 2200


def write_random(folder: Path, seed: int = 0, tiny: bool = True) -> None:
    """
    Write random weights for the setting `weights`.

    Args:
        folder: Gets dino/, sam2/.
        seed: Of the weights; the caller's random numbers are left as they are.
        tiny: A miniature; else the true size, 1.6 GB.
    """
    from transformers import Sam2ImageProcessor, Sam2Model, Sam2Processor

    side = 128 if tiny else 1024
    with seeded(seed):
        write_dino(folder / 'dino', tiny)
        Sam2Model(sam_config(tiny)).save_pretrained(folder / 'sam2')
        Sam2Processor(Sam2ImageProcessor(size={'height': side, 'width': side})
                      ).save_pretrained(folder / 'sam2')


def write_dino(folder: Path, tiny: bool) -> None:
    """Write a Grounding DINO, and what prepares pictures and phrases for it."""
    from transformers import (GroundingDinoForObjectDetection, GroundingDinoImageProcessor,
                              GroundingDinoProcessor)

    short, long = (96, 144) if tiny else (800, 1333)
    dino: Any = GroundingDinoForObjectDetection(dino_config(tiny))
    if tiny:
        _liven(dino)
    dino.save_pretrained(folder)
    GroundingDinoProcessor(
        GroundingDinoImageProcessor(size={'shortest_edge': short, 'longest_edge': long}),
        bert_letters()).save_pretrained(folder)


def _liven(dino: Any) -> None:
    """Make boxes differ from each other and between sentences: as initialised they do not."""
    with torch.no_grad():
        for name, value in dino.named_parameters():
            if 'bbox_embed' in name and name.endswith('weight'):
                value.normal_(0, .3)


def dino_config(tiny: bool) -> Any:
    """Give the configuration of a miniature, or of `IDEA-Research/grounding-dino-tiny`."""
    from transformers import BertConfig, GroundingDinoConfig, SwinConfig

    if not tiny:
        return GroundingDinoConfig()
    levels: dict[str, Any] = {'out_indices': [2, 3, 4]}
    return GroundingDinoConfig(
        backbone_config=SwinConfig(image_size=64, embed_dim=8, depths=[1, 1, 1, 1],
                                   num_heads=[1, 1, 2, 2], window_size=2, **levels),
        text_config=BertConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2,
                               num_attention_heads=2, intermediate_size=64,
                               initializer_range=.3),
        d_model=32, num_queries=8, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=64,
        decoder_ffn_dim=64, encoder_attention_heads=2, decoder_attention_heads=2)


def sam_config(tiny: bool) -> Any:
    """Give the configuration of a miniature, or of `facebook/sam2.1-hiera-large`."""
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2VisionConfig

    if not tiny:
        return Sam2Config(vision_config=Sam2VisionConfig(
            backbone_config=Sam2HieraDetConfig(
                hidden_size=144, num_attention_heads=2, blocks_per_stage=[2, 6, 36, 4],
                embed_dim_per_stage=[144, 288, 576, 1152],
                num_attention_heads_per_stage=[2, 4, 8, 16], window_size_per_stage=[8, 4, 16, 8],
                global_attention_blocks=[23, 33, 43]),
            backbone_channel_list=[1152, 576, 288, 144]))
    return Sam2Config(
        vision_config=Sam2VisionConfig(
            backbone_config=Sam2HieraDetConfig(
                hidden_size=8, image_size=[128, 128], blocks_per_stage=[1, 2, 1, 1],
                embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2],
                window_size_per_stage=[8, 4, 4, 4], global_attention_blocks=[2],
                initializer_range=.2),
            backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
            backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]], initializer_range=.2),
        prompt_encoder_config={'hidden_size': 32, 'image_size': 128},
        mask_decoder_config={'hidden_size': 32, 'mlp_dim': 64, 'num_attention_heads': 2,
                             'iou_head_hidden_dim': 32},
        initializer_range=.2)
