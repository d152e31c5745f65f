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
What the recorder of the demo remembers of a run. Knows no ROS.

Frames are told apart by the number that the camera gave them, so what is missing here and was not
dropped on purpose got lost on the way, wherever that was.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ivm_ros.files import write_json

SHOT_WIDTH = 320  # pixels of the pictures that are kept
HALF = 128  # of 255: the mask covers the pixel


@dataclass
class FrameRecord:
    """
    What is known of one frame.

    Attributes:
        number (int): Given by the camera, from 0.
        latency_ms (float | None): From the image's publication to the masked picture's arrival;
            None as long as the masked picture has not arrived.
        outcome (str): What the node says it did, as in `~/frame_info`; '' if it said nothing.
        instruction (str): That it did it for.
        found (float | None): The node's probability that what is named is in view.
        iou (float | None): Of mask and truth; None where one of them is missing.
    """

    number: int
    latency_ms: float | None = None
    outcome: str = ''
    instruction: str = ''
    found: float | None = None
    iou: float | None = None


@dataclass
class Shot:
    """Small pictures of one frame, each `SHOT_WIDTH` wide; None as long as one is missing."""

    raw: np.ndarray | None = None
    masked: np.ndarray | None = None
    mask: np.ndarray | None = None
    robot: np.ndarray | None = None

    @property
    def whole(self) -> bool:
        """All pictures are there."""
        return all(picture is not None for picture in vars(self).values())


class Recording:
    """
    Collects what arrives, in any order.

    Args:
        keep_every: Keep pictures of every so many frames.

    Attributes:
        camera (dict[str, str]): What the camera said last on its topic `~/sent`.
        node (dict[str, str]): What `ivm_node` said last on `/diagnostics`.
        shots (dict[int, Shot]): Pictures by number of the frame.
    """

    def __init__(self, keep_every: int = 2) -> None:
        self._keep_every = keep_every
        self._frames: dict[int, FrameRecord] = {}
        self._truths: dict[int, np.ndarray] = {}
        self._masks: dict[int, np.ndarray] = {}
        self.camera: dict[str, str] = {}
        self.node: dict[str, str] = {}
        self.shots: dict[int, Shot] = {}

    @property
    def sent(self) -> int:
        """Frames that the camera says it has sent so far."""
        return int(self.camera.get('sent', 0))

    @property
    def done(self) -> bool:
        """The camera says that it sends no more."""
        return self.camera.get('done') == 'True'

    @property
    def arrived(self) -> int:
        """Frames whose masked picture has arrived."""
        return sum(frame.latency_ms is not None for frame in self._frames.values())

    def frame(self, number: int) -> FrameRecord:
        """Return the record of a frame, to be filled in."""
        return self._frames.setdefault(number, FrameRecord(number))

    def keep(self, number: int, name: str, picture: np.ndarray) -> None:
        """Keep a picture of a frame, made small, as a field of its `Shot`."""
        if number % self._keep_every == 0:
            size = SHOT_WIDTH, round(SHOT_WIDTH * picture.shape[0] / picture.shape[1])
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            setattr(self.shots.setdefault(number, Shot()), name, small)

    def compare(self, number: int, *, mask: np.ndarray | None = None,
                truth: np.ndarray | None = None) -> None:
        """
        Take the mask uint8 [H, W] or the truth bool [h, w] of a frame; with both, compare them.

        The mask is brought to the size of the truth, and covers what it gives a half or more.
        """
        if mask is not None:
            self._masks[number] = mask
        if truth is not None:
            self._truths[number] = truth
        self._masks = {key: plane for key, plane in self._masks.items() if key > number - 20}
        if number in self._masks and number in self._truths:
            self.frame(number).iou = iou(self._masks.pop(number), self._truths.pop(number))

    def save(self, path: Path) -> None:
        """Write all but the pictures as JSON."""
        frames = [asdict(self._frames[number]) for number in sorted(self._frames)]
        facts: dict[str, Any] = {'camera': self.camera, 'node': self.node, 'frames': frames}
        write_json(path, facts)


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of a mask uint8 [H, W] and a truth bool [h, w]; 1 if both empty."""
    height, width = truth.shape
    covered = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) >= HALF
    union = int((covered | truth).sum())
    return float((covered & truth).sum() / union) if union else 1.0
