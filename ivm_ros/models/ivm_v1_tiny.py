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
"""IVM-V1.0 in miniature, with random weights: the same files, read by the same code in seconds."""

from dataclasses import asdict
import json
from pathlib import Path
from typing import Any

import torch

from ivm_ros.models.ivm_v1_decoder import V1Config
from ivm_ros.models.pretrained import quiet

SIZES = V1Config(rank=4, alpha=8, projection=24, depth=2, heads=2, mlp=48)
WIDTH, CHANNELS, CANVAS = 64, 32, 64


def write_tiny(folder: Path, seed: int = 0) -> None:
    """
    Write a folder of random weights for the setting `weights`.

    Args:
        folder: Gets ivm/, llava/, sam/.
        seed: Of the weights; the caller's random numbers are left as they are.
    """
    from transformers import (CLIPVisionConfig, LlamaConfig, LlavaConfig,
                              LlavaForConditionalGeneration, SamConfig, SamModel, SamVisionConfig,
                              SamVisionModel)

    from ivm_ros.models.ivm_v1_net import V1Net

    words = write_processor(folder / 'llava')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        llava = LlavaForConditionalGeneration(LlavaConfig(
            vision_config=CLIPVisionConfig(
                hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
                image_size=28, patch_size=14, projection_dim=32),
            text_config=LlamaConfig(
                hidden_size=WIDTH, intermediate_size=128, num_hidden_layers=2,
                num_attention_heads=2, num_key_value_heads=2, vocab_size=words,
                initializer_range=.3),
            image_token_index=4))
        eyes = SamVisionConfig(
            hidden_size=32, output_channels=CHANNELS, num_hidden_layers=2, num_attention_heads=2,
            image_size=CANVAS, patch_size=16, mlp_dim=64, window_size=2, global_attn_indexes=[1],
            num_pos_feats=CHANNELS // 2)
        sam = SamModel(SamConfig(
            vision_config=eyes,
            prompt_encoder_config={'hidden_size': CHANNELS, 'image_size': CANVAS},
            mask_decoder_config={'hidden_size': CHANNELS, 'mlp_dim': 64, 'num_attention_heads': 2,
                                 'iou_head_hidden_dim': CHANNELS}))
        with quiet():
            llava.save_pretrained(folder / 'llava')
            sam.save_pretrained(folder / 'sam')
        net = V1Net(llava.model, SamVisionModel(eyes), SIZES)
        arrays = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        with torch.no_grad():
            for name, value in arrays.items():
                if '.lora_B' in name:  # nought at first: it would not show whether it is there
                    value.normal_(0, .3)
            arrays['decoder.hyper.2.weight'].mul_(50)  # masks that are not grey all over
        trained = {theirs: arrays[ours].detach().clone() for theirs, ours in net.names.items()}
    (folder / 'ivm').mkdir(parents=True, exist_ok=True)
    torch.save(trained, folder / 'ivm' / 'IVM-V1.0.bin')
    (folder / 'ivm' / 'IVM-V1.0.json').write_text(json.dumps(asdict(SIZES)))


def write_processor(folder: Path) -> int:
    """Write a processor of pictures of 28 pixels; return how many tokens it knows."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    tokenizer = letters(padding_side='left', additional_special_tokens=['<image>'])
    LlavaProcessor(
        CLIPImageProcessor(size={'shortest_edge': 28}, crop_size={'height': 28, 'width': 28}),
        tokenizer, patch_size=14, vision_feature_select_strategy='default',
        num_additional_image_tokens=1).save_pretrained(folder)
    return len(tokenizer)


def letters(**words: Any) -> Any:
    """Make a tokenizer of single letters, `words` as `PreTrainedTokenizerFast` takes them."""
    from tokenizers import models, pre_tokenizers, processors, Tokenizer
    from transformers import PreTrainedTokenizerFast

    special = ['<unk>', '<s>', '</s>', '<pad>', '<image>']
    known = [*special, *(chr(code) for code in range(32, 127)), '\n']
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(known)},
                                           unk_token='<unk>'))
    tokenizer.pre_tokenizer = pre_tokenizers.Split('', 'isolated')
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A </s>' if 'model_max_length' in words else '<s> $A',
        special_tokens=[('<s>', 1), ('</s>', 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token='<unk>', bos_token='<s>', eos_token='</s>',
        pad_token='<pad>', **words)
