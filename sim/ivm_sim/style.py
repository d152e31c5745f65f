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
"""What a family of scenes has in common: how many things, which ones, how they look."""

from collections.abc import Callable
from dataclasses import dataclass

from ivm_sim.meshes import Mesh

FEWEST, MOST = 4, 20


@dataclass(frozen=True)
class Style:
    """
    A family of scenes.

    Attributes:
        meshes (tuple[Mesh, ...]): Household meshes that may lie among the other things.
        count (tuple[int, int]): Fewest and most things.
        unseen (bool): Textures, lamps and cameras that training never shows.
        shown (Callable[[str, str], bool] | None): Tells whether a kind may be shown in a colour;
            None: all may.
    """

    meshes: tuple[Mesh, ...] = ()
    count: tuple[int, int] = (FEWEST, MOST)
    unseen: bool = False
    shown: Callable[[str, str], bool] | None = None
