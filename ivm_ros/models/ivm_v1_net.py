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

import json
import logging
from pathlib import Path
from typing import Any

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
        # peft loads it where it is installed; it warns of kernels that only 4 bits on a CPU use.
        logging.getLogger('bitsandbytes').setLevel(logging.ERROR)
        peft = need('peft', 'generator ivm_v1')
        self.config = config
        dim, width = sam.config.output_channels, llava.config.text_config.hidden_size
        self.llava: Any = peft.inject_adapter_in_model(peft.LoraConfig(
            r=config.rank, lora_alpha=config.alpha, target_modules=TARGETS), llava)
        self.sam: Any = sam
        self.projection = nn.Sequential(nn.Linear(width, config.projection), nn.GELU(),
                                        nn.Linear(config.projection, dim))
        self.decoder = MaskDecoder(dim, config)
        for name, value in self.llava.named_parameters():
            if '.lora_' in name:  # trained in float32, and small
                value.data = value.data.float()

    @property
    def names(self) -> dict[str, str]:
        """Released names of arrays to ours."""
        return released_names(self.llava.config.text_config.num_hidden_layers, self.config)


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
    from transformers import LlavaForConditionalGeneration, SamVisionModel

    sizes = _sizes(trained.with_suffix('.json'))
    whole = load_pretrained(LlavaForConditionalGeneration, llava, **_numbers(config, device))
    eyes = load_pretrained(SamVisionModel, sam, SAM_OTHER, dtype=dtype_of(config, device))
    net = V1Net(whole.model, eyes, sizes)  # without the head that chooses words
    report = fill(net, trained, net.names)
    return net.eval().requires_grad_(False).to(device), report


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
