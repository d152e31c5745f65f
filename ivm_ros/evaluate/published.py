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
What others published on the same sets, to stand beside a result.

Only V*Bench: the paper's tables of POPE, EgoThink and RefCOCO were not at hand, and nothing is
filled in from memory.
"""

from typing import Any

from ivm_ros.evaluate.paired import ALL

VSTAR_ROWS: tuple[tuple[str, float, float, float], ...] = (
    ('GPT-4V', .513, .605, .550),
    ('SEAL', .748, .763, .754),
    ('IVM + GPT-4V', .870, .724, .812),
)
"""Model; accuracy on attributes, on spatial relations, over all (arXiv 2405.19783)."""


def published(dataset: str) -> list[dict[str, Any]]:
    """List rows of 'model' and accuracy by split; none where nothing is known."""
    if dataset != 'vstar':
        return []
    return [{'model': model, 'source': 'arXiv 2405.19783', 'direct_attributes': attributes,
             'relative_position': relations, ALL: overall}
            for model, attributes, relations, overall in VSTAR_ROWS]
