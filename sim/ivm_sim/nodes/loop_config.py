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
"""Settings of the nodes of the closed loop. Knows no ROS, so that launch and demo can read it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ivm_ros.config import check, Doc, Range


@dataclass(frozen=True)
class SimConfig:
    """Which episodes are played, and how time goes."""

    task: Annotated[str, Doc('Task, see docs/simulation.md.')] = 'put'
    clutter: Annotated[str, Doc('Clutter: none, few, many, moving, look, all.')] = 'none'
    seed: Annotated[int, Range(0), Doc('The first episode is reset with it.')] = 800_000
    episodes: Annotated[int, Range(0), Doc('Episodes, then it ends; 0 = no limit.')] = 0
    size: Annotated[int, Range(32, 1024), Doc('Side of the pictures in pixels.')] = 128
    rate: Annotated[int, Range(10, 20), Doc('Steps a second: 10 or 20.')] = 10
    pace: Annotated[Literal['realtime', 'lockstep'], Doc(
        'realtime: a step every 1/rate s, whether an action came or not. lockstep: time stands '
        'still until the action for the last picture is there.')] = 'realtime'
    patience: Annotated[float, Range(0.01, 600), Doc(
        'Seconds that lockstep waits for an action.')] = 5.0

    def __post_init__(self) -> None:
        """Refuse wrong types, ranges and choices."""
        check(self)


@dataclass(frozen=True)
class PolicyConfig:
    """Who acts."""

    weights: Annotated[str, Doc('Weights of "ivm-sim clone" (.safetensors).')] = ''
    camera: Annotated[Literal['', 'raw', 'masked', 'truth'], Doc(
        'What its image topic shows; a warning where it was trained on another sort. Empty: not '
        'said.')] = ''
    max_shift: Annotated[float, Range(0.001, 1.0), Doc(
        'Largest shift of the hand in a step, metres: 0.5 / rate in the simulation.')] = 0.05
    max_turn: Annotated[float, Range(0.001, 6.3), Doc(
        'Largest turn of the hand in a step, radians: 5 / rate in the simulation.')] = 0.5
    threads: Annotated[int, Range(1, 256), Doc('CPU threads.')] = 1

    def __post_init__(self) -> None:
        """Refuse wrong types, ranges and choices."""
        check(self)
