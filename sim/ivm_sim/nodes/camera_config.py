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
"""What a user can set on `camera_node`; the demo takes its defaults from here."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ivm_ros.config import check, Doc, Range


@dataclass(frozen=True)
class CameraConfig:
    """What is shown, how often and to whom."""

    seed: Annotated[int, Range(900_000), Doc(
        'Scene, from 900000 on: those are in no training data.')] = 900_005
    width: Annotated[int, Range(32, 4096), Doc('Pixels.')] = 640
    height: Annotated[int, Range(32, 4096), Doc('Pixels.')] = 480
    rate: Annotated[float, Range(0.1, 200.0), Doc('Frames per second.')] = 10.0
    count: Annotated[int, Range(0, None), Doc('Stop after so many frames; 0 = no limit.')] = 0
    change_every: Annotated[int, Range(0, None), Doc(
        'Frames until the next of three instructions is sent, in turn; 0 = the first one is '
        'sent once, and yours may replace it.')] = 0
    truth_every: Annotated[int, Range(1, None), Doc(
        'Publish the truth of every so many frames, where somebody subscribes.')] = 3
    truth_height: Annotated[int, Range(32, 4096), Doc(
        'Pixels of the truth, which has the aspect of the picture.')] = 120
    wait_for: Annotated[int, Range(0, 100), Doc('Send nothing until so many subscribe.')] = 0
    frame_id: Annotated[str, Doc('frame_id of every header.')] = 'camera'
    numbered: Annotated[bool, Doc(
        'Append the number of the frame to frame_id, as in camera/17.')] = False
    reliability: Annotated[Literal['reliable', 'best_effort'], Doc(
        'QoS that images and truth are offered with.')] = 'reliable'
    depth: Annotated[int, Range(1, 100), Doc('QoS history depth.')] = 5

    def __post_init__(self) -> None:
        """Refuse wrong types, ranges and choices."""
        check(self)
