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
Attention among words and things, with a bias where geometry says how two of them lie.

Pre-normalised transformer blocks (Vaswani et al. 2017) with a learned bias on the logits, as
relation networks for detection have it (arXiv 1711.11575).
"""

import torch
from torch import nn
import torch.nn.functional as F  # noqa: N812 (the field's own name)


def gelu() -> nn.GELU:
    """Build a GELU by its tanh form, which on a CPU takes a third of the exact one's time."""
    return nn.GELU(approximate='tanh')


class Block(nn.Module):
    """
    Self-attention and a two-layer perceptron, both residual.

    Args:
        dim: Width of the tokens.
        heads: Attention heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), gelu(),
                                 nn.Linear(2 * dim, dim))

    def forward(self, tokens: torch.Tensor, bias: torch.Tensor, count: int) -> torch.Tensor:
        """
        Update tokens.

        Args:
            tokens: [B, N, D].
            bias: [B, H, N, N], added to the logits.
            count: How many of the first tokens are wanted; the others are only looked at.

        Returns:
            [B, count, D].
        """
        joined = self.query_key_value(self.norm(tokens)).unflatten(-1, (3, self.heads, -1))
        query, key, value = joined.permute(2, 0, 3, 1, 4)  # each [B, H, N, D/H]
        mixed = _attend(query[:, :, :count], key, value, bias[:, :, :count].to(query.dtype))
        tokens = tokens[:, :count] + self.out(mixed.transpose(1, 2).flatten(2))
        updated: torch.Tensor = tokens + self.mlp(tokens)
        return updated


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor
            ) -> torch.Tensor:
    """Mix values [B, H, N, C] by how queries [B, H, M, C] meet keys; [B, H, M, C]."""
    if torch.compiler.is_exporting():  # the fused form's strides trip the exporter to ONNX
        logits = query @ key.transpose(2, 3) / query.shape[3] ** 0.5 + bias
        return logits.softmax(3) @ value
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
