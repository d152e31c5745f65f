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
"""A backbone that sees each picture once, inside a model that wants a picture a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class Once(nn.Module):
    """
    Takes the place of the backbone of `GroundingDinoModel`.

    Args:
        backbone: Pixels [N, 3, H, W] and their mask [N, H, W] in; out come a list of (features,
            mask) a level, and a list of positions.
    """

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone
        self.position_embedding = backbone.position_embedding  # the model asks for it
        self._rows: torch.Tensor | None = None

    @contextmanager
    def rows(self, rows: torch.Tensor) -> Iterator[None]:
        """Say which of I pictures each of N rows shows, int64 [N], for the calls inside."""
        self._rows = rows
        try:
            yield
        finally:
            self._rows = None

    def forward(self, pixels: torch.Tensor, mask: torch.Tensor) -> tuple[list[Any], list[Any]]:
        """Encode the first row of each picture and repeat what came out."""
        if self._rows is None:
            raise RuntimeError('call inside rows()')
        rows = self._rows
        firsts = torch.stack([(rows == one).nonzero()[0, 0] for one in range(int(rows.max()) + 1)])
        features, places = self.backbone(pixels[firsts], mask[firsts])
        return ([(value[rows], hidden[rows]) for value, hidden in features],
                [place[rows] for place in places])
