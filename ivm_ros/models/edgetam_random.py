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
"""Random weights for EdgeTAM, with and without its memory: the same files, the same code."""

from pathlib import Path
from typing import Any

from ivm_ros.models.grounded_sam2_random import write_dino
from ivm_ros.models.pretrained import seeded

LEVELS: dict[str, Any] = {'in_chans': 3, 'features_only': True, 'out_indices': [0, 1, 2, 3]}
SMALL: dict[str, Any] = {
    'prompt_encoder_config': {'hidden_size': 128, 'image_size': 128},
    'mask_decoder_config': {'hidden_size': 128, 'mlp_dim': 64, 'num_attention_heads': 2,
                            'iou_head_hidden_dim': 32},
    'initializer_range': .2}


def write_random(folder: Path, seed: int = 0, tiny: bool = True) -> None:
    """
    Write random weights for the setting `weights` of `grounded_edgetam`.

    Args:
        folder: Gets dino/, edgetam/.
        seed: Of the weights; the caller's random numbers are left as they are.
        tiny: A miniature; else the true size, 0.7 GB.
    """
    from transformers import EdgeTamModel

    with seeded(seed):
        write_dino(folder / 'dino', tiny)
        save(EdgeTamModel(image_config(tiny)), folder / 'edgetam', tiny)


def save(net: Any, folder: Path, tiny: bool) -> None:
    """Write a network of the SAM 2 family, and what prepares pictures for it."""
    from transformers import Sam2ImageProcessor, Sam2Processor

    if tiny:
        net.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(4)  # else nothing is there
    net.save_pretrained(folder)
    side = 128 if tiny else 1024
    Sam2Processor(Sam2ImageProcessor(size={'height': side, 'width': side})).save_pretrained(folder)


def image_config(tiny: bool) -> Any:
    """Give the configuration of a miniature, or of `yonigozlan/EdgeTAM-hf` for pictures."""
    from transformers import EdgeTamConfig

    return EdgeTamConfig(vision_config=_vision(tiny), **(SMALL if tiny else {}))


def video_config(tiny: bool) -> Any:
    """Give the configuration of a miniature, or of `yonigozlan/EdgeTAM-hf`, with its memory."""
    from transformers import EdgeTamVideoConfig

    small = {**SMALL, **memory_sizes(), 'memory_attention_mlp_hidden_size': 64,
             'memory_attention_rope_k_sizes': [4, 4], 'perceiver_resampler_num_latents': 16,
             'perceiver_resampler_num_latents_2d': 16,
             'perceiver_resampler_mlp_intermediate_size': 64}
    return EdgeTamVideoConfig(
        vision_config=_vision(tiny), enable_temporal_pos_encoding_for_object_pointers=False,
        enable_occlusion_spatial_embedding=False, **(small if tiny else {}))


def memory_sizes() -> dict[str, Any]:
    """Give what the miniatures of EdgeTAM and SAM 2 have in common: 64 numbers a memory cell."""
    return {'image_size': 128, 'memory_attention_hidden_size': 128,
            'memory_attention_num_layers': 2, 'memory_attention_rope_feat_sizes': [8, 8],
            'memory_encoder_hidden_size': 128, 'mask_downsampler_embed_dim': 128,
            'memory_fuser_embed_dim': 128, 'memory_fuser_intermediate_dim': 64}


def _vision(tiny: bool) -> Any:
    from transformers import EdgeTamVisionConfig, TimmWrapperConfig

    if not tiny:
        return EdgeTamVisionConfig(
            backbone_config=TimmWrapperConfig(architecture='repvit_m1', model_args=LEVELS))
    small = {**LEVELS, 'embed_dim': [8, 16, 32, 64], 'depth': [1, 1, 2, 1]}
    return EdgeTamVisionConfig(
        backbone_config=TimmWrapperConfig(architecture='repvit_m1', model_args=small),
        backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=128, initializer_range=.2,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]])
