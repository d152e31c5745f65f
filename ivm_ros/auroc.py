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
"""How well a score tells two kinds apart."""

from typing import Any


def auroc(truth: Any, score: Any) -> float | None:
    """
    Give the area under the receiver operating characteristic.

    Args:
        truth (bool [N]): Which are of the kind that should score high; any sequence.
        score (float [N]): Their scores.

    Returns:
        How often one of the kind scores above one that is not, equal scores counting half; None
        where there is but one kind.
    """
    # Not above: it takes seconds to import, and few commands need it.
    from sklearn.metrics import roc_auc_score

    if len({bool(value) for value in truth}) < 2:
        return None
    return float(roc_auc_score(truth, score))
