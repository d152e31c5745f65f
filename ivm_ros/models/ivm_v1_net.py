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
"""The networks of IVM-V1.0 together, and how they are made of weights on disk."""

from collections.abc import Sequence
import json
import logging
from pathlib import Path
from typing import Any

from PIL import Image
import torch
from torch import nn

from ivm_ros.config import ConfigError, from_dict
from ivm_ros.models.ivm_v1_decoder import MaskDecoder, V1Config
from ivm_ros.models.ivm_v1_weights import fill, released_names
from ivm_ros.models.pretrained import dtype_of, load_pretrained, need, WeightsError
from ivm_ros.models.settings import MaskerConfig

TARGETS = r'language_model\.layers\.\d+\.self_attn\.(q_proj|v_proj)'
"""What LoRA is put on; the vision tower has layers of these names too, which stay as they are."""

SAM_OTHER = ('prompt_encoder.', 'mask_decoder.', 'shared_image_embedding.')
"""Parts of SAM that the decoder takes the place of."""


class V1Net(nn.Module):
    """
    Language model with LoRA, image encoder, projection, decoder.

    Args:
        llava: `LlavaModel`, which gets LoRA.
        sam: `SamVisionModel`.
        config: Other sizes.
    """

    def __init__(self, llava: Any, sam: Any, config: V1Config) -> None:
        super().__init__()
        self.config = config
        dim, width = sam.config.output_channels, llava.config.text_config.hidden_size
        self.llava: Any = with_lora(llava, config)
        self.sam: Any = sam
        self.projection = nn.Sequential(nn.Linear(width, config.projection), nn.GELU(),
                                        nn.Linear(config.projection, dim))
        self.decoder = MaskDecoder(dim, config)

    @property
    def names(self) -> dict[str, str]:
        """Released names of arrays to ours."""
        return released_names(self.llava.config.text_config.num_hidden_layers, self.config)


def with_lora(llava: Any, config: V1Config) -> Any:
    """Put LoRA on the language model of a `LlavaModel`, in place, in float32; return it."""
    # peft loads it where it is installed; it warns of kernels that only 4 bits on a CPU use.
    logging.getLogger('bitsandbytes').setLevel(logging.ERROR)
    peft = need('peft', 'generator ivm_v1')
    llava = peft.inject_adapter_in_model(peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, target_modules=TARGETS), llava)
    for name, value in llava.named_parameters():
        if '.lora_' in name:  # trained in float32, and small
            value.data = value.data.float()
    return llava


def read_sentences(llava: Any, processor: Any, pictures: Sequence[Image.Image], prompt: str,
                   instructions: Sequence[str], index: torch.Tensor
                   ) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Read N sentences, each about the one of I pictures that `index` says.

    Args:
        llava: `LlavaModel`.
        processor: `LlavaProcessor`.
        pictures: I of them.
        prompt: <image> is where the picture stands, {} behind it where the sentence does.
        instructions: N of them.
        index: int64 [N], on the device of the model.

    Returns:
        The last layer's states [N, T, D], and int64 [N], how many of T are no padding.
    """
    pixels = processor.image_processor(images=list(pictures), return_tensors='pt')
    pixels = pixels['pixel_values'].to(index.device, llava.vision_tower.dtype)
    seen = torch.stack(list(llava.get_image_features(pixel_values=pixels).pooler_output))
    token = processor.image_token
    before, after = prompt.split('<image>')
    prompts = [before + token * seen.shape[1] + after.format(text.replace(token, ' '))
               for text in instructions]
    # Padded on the right, where a causal model does not see it: states are those of a
    # sentence alone, whatever else is in the batch.
    text = processor.tokenizer(prompts, return_tensors='pt', padding=True,
                               padding_side='right').to(index.device)
    ids, real = text['input_ids'], text['attention_mask']
    states = llava.get_input_embeddings()(ids)  # [N, T, D]
    states[ids == llava.config.image_token_id] = seen[index].flatten(0, 1).to(states.dtype)
    states = llava.language_model(inputs_embeds=states, attention_mask=real,
                                  use_cache=False).last_hidden_state
    return states, real.sum(1)


def load_net(llava: Path, sam: Path, trained: Path, config: MaskerConfig, device: torch.device
             ) -> tuple[V1Net, str]:
    """
    Make the network of what lies on disk.

    Args:
        llava: Folder of LLaVA.
        sam: Folder of SAM.
        trained: What the authors trained. A .json of its name beside it states sizes that are
            not the release's.
        config: Precision.
        device: Where to.

    Returns:
        The network, and what was read of `trained`.

    Raises:
        WeightsError: Anything is missing, torn or of another model.
    """
    from transformers import SamVisionModel

    sizes = _sizes(trained.with_suffix('.json'))
    language = load_llava(llava, config, device)
    eyes = load_pretrained(SamVisionModel, sam, SAM_OTHER, dtype=dtype_of(config, device))
    net = V1Net(language, eyes, sizes)
    report = fill(net, trained, net.names)
    return net.eval().requires_grad_(False).to(device), report


def load_llava(folder: Path, config: MaskerConfig, device: torch.device) -> Any:
    """
    Load a `LlavaModel`: LLaVA without the head that chooses words.

    Raises:
        WeightsError: Missing, torn or of another model.
    """
    from transformers import LlavaForConditionalGeneration

    return load_pretrained(LlavaForConditionalGeneration, folder, **_numbers(config, device)).model


def _sizes(path: Path) -> V1Config:
    try:
        return from_dict(V1Config, json.loads(path.read_text())) if path.is_file() else V1Config()
    except (ConfigError, ValueError, TypeError) as error:
        raise WeightsError(f'{path}: {error}') from error


def _numbers(config: MaskerConfig, device: torch.device) -> dict[str, Any]:
    """Say how the language model is to be loaded: in which numbers, and where to."""
    if config.precision not in ('int8', 'int4'):
        named = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
        return {'dtype': named.get(config.precision, dtype_of(config, device))}
    from transformers import BitsAndBytesConfig

    for package in ('bitsandbytes', 'accelerate'):
        need(package, f'precision {config.precision}')
    compute = dtype_of(config, device)
    place = torch.cuda.current_device() if device.type == 'cuda' else device
    return {'dtype': compute, 'device_map': {'': place},
            'quantization_config': BitsAndBytesConfig(
                load_in_8bit=config.precision == 'int8', load_in_4bit=config.precision == 'int4',
                bnb_4bit_quant_type='nf4', bnb_4bit_compute_dtype=compute,
                llm_int8_skip_modules=['model.vision_tower', 'model.multi_modal_projector',
                                       'lm_head'])}
