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
"""Random weights for IVM-V1.0: the same files, read by the same code, without a download."""

from dataclasses import asdict
import json
from pathlib import Path
from typing import Any

import torch

from ivm_ros.models.ivm_v1_decoder import V1Config
from ivm_ros.models.letters import letters
from ivm_ros.models.pretrained import quiet, seeded

SIZES = V1Config(rank=4, alpha=8, projection=24, depth=2, heads=2, mlp=48)
WIDTH, CHANNELS, CANVAS = 64, 32, 64
"""Of the miniature."""


def write_random(folder: Path, seed: int = 0, tiny: bool = True) -> None:
    """
    Write a folder of random weights for the setting `weights`.

    Args:
        folder: Gets ivm/, llava/, sam/.
        seed: Of the weights; the caller's random numbers are left as they are.
        tiny: A miniature; else the true size, 15 GB of files in bfloat16.
    """
    from transformers import LlavaForConditionalGeneration, SamModel, SamVisionModel

    from ivm_ros.models.ivm_v1_net import V1Net

    eye, square = (14, 28) if tiny else (14, 336)
    _write_processor(folder / 'llava', eye, square)
    sizes, languages, sights = SIZES if tiny else V1Config(), *configs(tiny)
    with seeded(seed, torch.float32 if tiny else torch.bfloat16):
        llava = LlavaForConditionalGeneration(languages)
        llava.save_pretrained(folder / 'llava')
        SamModel(sights).save_pretrained(folder / 'sam')
        net = V1Net(llava.model, SamVisionModel(sights.vision_config), sizes)
        arrays = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        with torch.no_grad():
            for name, value in arrays.items():
                if '.lora_B' in name:  # nought at first: it would not show whether it is there
                    value.normal_(0, .3 if tiny else .01)
            arrays['decoder.hyper.2.weight'].mul_(50)  # masks that are not grey all over
        trained = {theirs: arrays[ours].detach().float().clone()
                   for theirs, ours in net.names.items()}
    (folder / 'ivm').mkdir(parents=True, exist_ok=True)
    torch.save(trained, folder / 'ivm' / 'IVM-V1.0.bin')
    (folder / 'ivm' / 'IVM-V1.0.json').write_text(json.dumps(asdict(sizes)))


def configs(tiny: bool) -> tuple[Any, Any]:
    """Give the configurations of LLaVA and SAM: in miniature, or LLaVA-1.5-7B and ViT-H."""
    from transformers import (CLIPVisionConfig, LlamaConfig, LlavaConfig, SamConfig,
                              SamVisionConfig)

    if not tiny:
        return LlavaConfig(image_token_index=4), SamConfig(vision_config=SamVisionConfig(
            hidden_size=1280, num_hidden_layers=32, num_attention_heads=16, mlp_dim=5120,
            global_attn_indexes=[7, 15, 23, 31]))
    llava = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
            image_size=28, patch_size=14, projection_dim=32),
        text_config=LlamaConfig(
            hidden_size=WIDTH, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, vocab_size=len(letters()), initializer_range=.3),
        image_token_index=4)
    sam = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=32, output_channels=CHANNELS, num_hidden_layers=2, num_attention_heads=2,
            image_size=CANVAS, patch_size=16, mlp_dim=64, window_size=2, global_attn_indexes=[1],
            num_pos_feats=CHANNELS // 2),
        prompt_encoder_config={'hidden_size': CHANNELS, 'image_size': CANVAS},
        mask_decoder_config={'hidden_size': CHANNELS, 'mlp_dim': 64, 'num_attention_heads': 2,
                             'iou_head_hidden_dim': CHANNELS})
    return llava, sam


def _write_processor(folder: Path, patch: int, side: int) -> None:
    from transformers import CLIPImageProcessor, LlavaProcessor

    with quiet():
        LlavaProcessor(
            CLIPImageProcessor(size={'shortest_edge': side},
                               crop_size={'height': side, 'width': side}),
            letters(padding_side='left', additional_special_tokens=['<image>']), patch_size=patch,
            vision_feature_select_strategy='default', num_additional_image_tokens=1
        ).save_pretrained(folder)
