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
"""How episodes over topics came out, and what became of each action. Knows no ROS."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass
class Outcome:
    """
    One episode.

    Attributes:
        seed (int): It was reset with.
        instruction (str): The sentence.
        steps (int): Done so far.
        success (bool | None): None while it runs, or where it was skipped.
        proprio (list[float]): Of its last observation.
    """

    seed: int
    instruction: str
    steps: int = 0
    success: bool | None = None
    proprio: tuple[float, ...] = ()


class Score:
    """
    Counts.

    Attributes:
        sent (int): Observations.
        answered (int): Of them, those for which an action came, however late.
        on_time (int): Steps with the action for their own observation.
        late (int): Steps with one for an earlier observation.
        repeated (int): Steps without a new action: the pose asked for last was kept.
        twice (int): Actions for an observation that was answered already, or is none.
        refused (int): Messages that are no action.
        clipped (int): Actions that went beyond the range of the environment.
        gripper (float): Last command, 1 (open) at first.
    """

    def __init__(self) -> None:
        self.sent = self.answered = self.on_time = self.late = self.repeated = 0
        self.twice = self.refused = self._clipped = self._clipped_now = 0
        self.gripper = 1.0
        self._open: set[int] = set()
        self._episodes: list[Outcome] = []

    def begin(self, seed: int, instruction: str) -> None:
        """Begin an episode."""
        self._episodes.append(Outcome(seed, instruction))
        self._clipped += self._clipped_now
        self._clipped_now, self.gripper = 0, 1.0
        self._open.clear()

    def send(self, stamp: int) -> None:
        """Note an observation that was sent."""
        self.sent += 1
        self._open.add(stamp)

    def receive(self, stamp: int) -> bool:
        """Note an action; return whether it answers an observation of this episode anew."""
        if stamp not in self._open:
            self.twice += 1
            return False
        self._open.discard(stamp)
        self.answered += 1
        return True

    def use(self, late: bool, gripper: float) -> None:
        """Note a step with an action."""
        self.late += late
        self.on_time += not late
        self.gripper = gripper

    def repeat(self) -> None:
        """Note a step without a new action."""
        self.repeated += 1

    def step(self, proprio: np.ndarray, clipped: int) -> None:
        """Note what a step led to; `clipped` counts within the episode."""
        self._episodes[-1].steps += 1
        self._episodes[-1].proprio = tuple(map(float, proprio))
        self._clipped_now = clipped

    def end(self, success: bool) -> None:
        """Note how the episode ended."""
        self._episodes[-1].success = success

    def facts(self) -> dict[str, Any]:
        """Give all of it for JSON."""
        return {'won': sum(episode.success is True for episode in self._episodes),
                'episodes': [asdict(episode) for episode in self._episodes],
                'actions': {'sent': self.sent, 'on_time': self.on_time, 'late': self.late,
                            'repeated': self.repeated, 'lost': self.sent - self.answered,
                            'twice': self.twice, 'refused': self.refused,
                            'clipped': self._clipped + self._clipped_now}}
