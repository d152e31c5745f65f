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
BERT's encoder from PyTorch's own layers, for the frozen sentence encoder.

`transformers` has it too, but importing that takes 240 MiB in every node
(`docs/results/weights.md`). A test holds that both give the same states.
"""

from pathlib import Path

from safetensors.torch import load_file
import torch
from torch import nn

from ivm_ros.files import read_json
from ivm_ros.models.mapped import keep

LARGEST = 4096
"""States' width at most: what a file claims is made before its arrays are looked at."""

PARTS = {
    'attention.output.dense': 'self_attn.out_proj', 'attention.output.LayerNorm': 'norm1',
    'intermediate.dense': 'linear1', 'output.dense': 'linear2', 'output.LayerNorm': 'norm2'}
"""What PyTorch calls the parts of a layer of BERT's, beside the three that it joins."""


class Bert(nn.Module):
    """
    BERT without its heads (arXiv 1810.04805).

    Args:
        folder: With `config.json` and `model.safetensors` as `transformers` writes them.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        sizes = read_json(folder / 'config.json')
        dim, eps, layers = (sizes[name] for name in ('hidden_size', 'layer_norm_eps',
                                                     'num_hidden_layers'))
        if not (0 < dim <= LARGEST and 0 < layers <= LARGEST // 64
                and 0 < sizes['intermediate_size'] <= 4 * LARGEST):
            raise ValueError(f'{folder}: sizes that no BERT has')
        stored = load_file(folder / 'model.safetensors')
        self.words, self.positions, self.types = (
            nn.Embedding.from_pretrained(stored[f'embeddings.{name}_embeddings.weight'])
            for name in ('word', 'position', 'token_type'))
        self.norm = nn.LayerNorm(dim, eps)
        layer = nn.TransformerEncoderLayer(
            dim, sizes['num_attention_heads'], sizes['intermediate_size'], 0.0,
            sizes['hidden_act'], eps, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        # The file's arrays take the places of those that were made.
        self.norm.load_state_dict({kind: stored[f'embeddings.LayerNorm.{kind}']
                                   for kind in ('weight', 'bias')}, assign=True)
        self.encoder.load_state_dict(_renamed(stored, layers), assign=True)
        keep(self)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Give the last layer's states [B, T, D] of ids int64 [B, T] where mask bool is True."""
        places = self.positions.weight[:ids.shape[1]] + self.types.weight[0]
        states: torch.Tensor = self.encoder(self.norm(self.words(ids) + places),
                                            src_key_padding_mask=~mask)
        return states


def _renamed(stored: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """Give the arrays of the layers by the names that PyTorch's encoder has for them."""
    arrays: dict[str, torch.Tensor] = {}
    for number in range(layers):
        theirs, ours = f'encoder.layer.{number}', f'layers.{number}'
        for kind in ('weight', 'bias'):
            arrays |= {f'{ours}.{mine}.{kind}': stored[f'{theirs}.{name}.{kind}']
                       for name, mine in PARTS.items()}
            arrays[f'{ours}.self_attn.in_proj_{kind}'] = torch.cat([
                stored[f'{theirs}.attention.self.{name}.{kind}']
                for name in ('query', 'key', 'value')])
    return arrays
