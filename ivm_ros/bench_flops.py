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
What a mask costs in arithmetic with the generator of the paper.

Counted as ours is (`models.flops`), on tensors without contents, so that 7 billion parameters fit
anywhere.
"""

from collections.abc import Sequence

import torch
from torch import nn

from ivm_ros.models.flops import count

PICTURE_TOKENS = 576  # of CLIP ViT-L/14 at 336 pixels, in LLaVA-1.5
PROMPT_TOKENS = 40  # "USER: ... ASSISTANT:" around a sentence of a dozen words (our choice)


def eyes(layers: int = 24) -> nn.Module:
    """Make CLIP ViT-L/14, with so many of its layers."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    return CLIPVisionModel(CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=layers,
        num_attention_heads=16, image_size=336, patch_size=14))


def language(layers: int = 32) -> nn.Module:
    """Make the language model of LLaVA-1.5 7B, with so many of its layers."""
    from transformers import LlamaConfig, LlamaModel

    return LlamaModel(LlamaConfig(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=layers,
        num_attention_heads=32, vocab_size=32064, use_cache=False))


def encoder(layers: int = 32, wide: Sequence[int] = (7, 15, 23, 31)) -> nn.Module:
    """Make SAM's ViT-H, with so many of its layers, of which some look at the whole picture."""
    from transformers import SamVisionConfig
    from transformers.models.sam.modeling_sam import SamVisionEncoder

    return SamVisionEncoder(SamVisionConfig(
        hidden_size=1280, num_hidden_layers=layers, num_attention_heads=16,
        global_attn_indexes=[*wide], mlp_dim=5120))


def clip_picture() -> torch.Tensor:
    """Give a picture for `eyes`."""
    return torch.zeros(1, 3, 336, 336)


def sam_picture() -> torch.Tensor:
    """Give a picture for `encoder`."""
    return torch.zeros(1, 3, 1024, 1024)


def prompt() -> dict[str, torch.Tensor]:
    """Give what `language` reads: a picture and a sentence, and a ready mask of its attention."""
    tokens = PICTURE_TOKENS + PROMPT_TOKENS
    return {'inputs_embeds': torch.zeros(1, tokens, 4096),
            'attention_mask': torch.zeros(1, 1, tokens, tokens)}


def paper_gflops() -> dict[str, float]:
    """
    Count the generator that the authors released, part by part, for one picture and sentence.

    Its last part, the mask decoder of SAM, is left out: it has 3.5 of 7,700 million parameters.
    """
    with torch.device('meta'):
        projector = nn.Sequential(nn.Linear(1024, 4096), nn.GELU(), nn.Linear(4096, 4096))
        return {
            'CLIP ViT-L/14': count(eyes(), clip_picture())
            + count(projector, torch.zeros(1, PICTURE_TOKENS, 1024)),
            'LLaVA-1.5 7B': count(language(), **prompt()),
            'SAM ViT-H': count(encoder(), sam_picture())}
