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
"""Random weights for SAM 3, and for its lite form: the same files, read by the same code."""

from pathlib import Path
from typing import Any

from ivm_ros.models.letters import letters
from ivm_ros.models.pretrained import seeded


def write_random(folder: Path, seed: int = 0, tiny: bool = True) -> None:
    """
    Write random weights to `folder`/sam3, for the setting `weights`.

    Args:
        folder: Gets sam3/.
        seed: Of the weights; the caller's random numbers are left as they are.
        tiny: A miniature; else the true size, 3.4 GB.
    """
    from transformers import Sam3Model

    with seeded(seed):
        _write(Sam3Model(config_of(tiny)), folder / 'sam3', tiny)


def write_random_lite(folder: Path, seed: int = 0, tiny: bool = True) -> None:
    """Write the same of the lite form to `folder`/sam3_lite; its true size is 2.2 GB."""
    from transformers import Sam3LiteTextModel

    with seeded(seed):
        _write(Sam3LiteTextModel(lite_config_of(tiny)), folder / 'sam3_lite', tiny)


def _write(net: Any, folder: Path, tiny: bool) -> None:
    """Write a network, and what prepares pictures and phrases for it."""
    from transformers import Sam3ImageProcessor, Sam3Processor

    side = 112 if tiny else 1008
    if tiny:
        net.detr_decoder.presence_head.layer3.bias.data.fill_(4)  # else nothing is ever there
    net.save_pretrained(folder)
    Sam3Processor(Sam3ImageProcessor(size={'height': side, 'width': side}),
                  letters(model_max_length=32)).save_pretrained(folder)


def config_of(tiny: bool) -> Any:
    """Give the configuration of a miniature, or of `facebook/sam3`."""
    from transformers import CLIPTextConfig, Sam3Config

    return Sam3Config() if not tiny else Sam3Config(**_small(), text_config=CLIPTextConfig(
        **WIDTH, vocab_size=len(letters()), intermediate_size=64, num_hidden_layers=2,
        projection_dim=32, max_position_embeddings=32, bos_token_id=1, eos_token_id=2,
        pad_token_id=3))


def lite_config_of(tiny: bool) -> Any:
    """Give the configuration of a miniature, or of `yonigozlan/sam3-litetext-s0`."""
    from transformers import Sam3LiteTextConfig, Sam3LiteTextTextConfig

    return Sam3LiteTextConfig() if not tiny else Sam3LiteTextConfig(
        **_small(), text_config=Sam3LiteTextTextConfig(
            hidden_size=32, num_attention_heads=2, vocab_size=len(letters()),
            intermediate_size=64, num_hidden_layers=3, projection_dim=32,
            max_position_embeddings=32, repmixer_kernel_size=3, layer_scale_init_value=.5))


WIDTH: dict[str, Any] = {'hidden_size': 32, 'num_attention_heads': 2, 'initializer_range': .2}


def _small() -> dict[str, Any]:
    """Give what the miniatures of both forms have in common."""
    from transformers import Sam3VisionConfig, Sam3ViTConfig

    layers: dict[str, Any] = {**WIDTH, 'num_layers': 1, 'intermediate_size': 64}
    return {
        'vision_config': Sam3VisionConfig(
            backbone_config=Sam3ViTConfig(
                **WIDTH, intermediate_size=64, num_hidden_layers=2, image_size=112,
                window_size=4, global_attn_indexes=[1], pretrain_image_size=56),
            fpn_hidden_size=32, backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
            initializer_range=.2),
        'geometry_encoder_config': layers, 'detr_encoder_config': layers,
        'detr_decoder_config': {**layers, 'num_queries': 8}, 'mask_decoder_config': WIDTH,
        'initializer_range': .2}
