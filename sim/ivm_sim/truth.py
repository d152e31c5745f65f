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
"""What is true of a view of the arena."""

from dataclasses import dataclass

import numpy as np

from ivm_ros.data.shards import ROBOT


@dataclass(frozen=True)
class Truth:
    """
    What is true of a view.

    Attributes:
        labels (np.ndarray): uint8 [S, S], id of the thing in each pixel, `ROBOT`, or 0.
        targets (tuple[int, ...]): Ids of what is acted on and where it goes.
    """

    labels: np.ndarray
    targets: tuple[int, ...]

    @property
    def target(self) -> np.ndarray:
        """What is acted on and where it goes, bool [S, S]."""
        return np.isin(self.labels, self.targets)

    @property
    def robot(self) -> np.ndarray:
        """Arm and gripper, bool [S, S]."""
        return self.labels == ROBOT
