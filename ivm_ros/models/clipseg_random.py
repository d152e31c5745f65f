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
"""Random weights for CLIPSeg: the same files, read by the same code, without a download."""

from pathlib import Path
from typing import Any

from ivm_ros.models.letters import letters
from ivm_ros.models.pretrained import seeded


def write_random(folder: Path, seed: int = 0, tiny: bool = True) -> None:
    """
    Write random weights to `folder`/clipseg, for the setting `weights`.

    Args:
        folder: Gets clipseg/.
        seed: Of the weights; the caller's random numbers are left as they are.
        tiny: A miniature; else the true size, 0.6 GB.
    """
    from transformers import CLIPImageProcessor, CLIPSegForImageSegmentation, CLIPSegProcessor

    side = 64 if tiny else 352
    with seeded(seed):
        net: Any = CLIPSegForImageSegmentation(config_of(tiny))
        net.decoder.transposed_convolution[-1].weight.data.mul_(.01)  # masks with halves
        net.save_pretrained(folder / 'clipseg')
        CLIPSegProcessor(
            CLIPImageProcessor(size={'height': side, 'width': side}, do_center_crop=False),
            letters(model_max_length=77)).save_pretrained(folder / 'clipseg')


def config_of(tiny: bool) -> Any:
    """Give the configuration of a miniature, or of `CIDAS/clipseg-rd64-refined`."""
    from transformers import CLIPSegConfig

    tokens = {'bos_token_id': 1, 'eos_token_id': 2, 'pad_token_id': 3}
    if not tiny:  # pictures of 352 pixels, on places learnt at 224
        return CLIPSegConfig(text_config=tokens, vision_config={'patch_size': 16},
                             use_complex_transposed_convolution=True)
    size = {'hidden_size': 32, 'intermediate_size': 64, 'num_attention_heads': 2,
            'num_hidden_layers': 3}
    return CLIPSegConfig(
        text_config={**size, **tokens, 'vocab_size': len(letters()), 'initializer_range': .3},
        vision_config={**size, 'image_size': 48, 'patch_size': 16, 'initializer_range': .1},
        projection_dim=32, reduce_dim=16, extract_layers=[0, 1, 2], decoder_num_attention_heads=2,
        decoder_intermediate_size=32, use_complex_transposed_convolution=True)
