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
The depth image of an RGB-D camera, masked by the mask of the picture of the same stamp.

What the picture does not show has no depth: 0 in 16UC1, NaN in 32FC1, as REP 118 writes what was
not measured. Size and header stay; a crop is not cut out.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import ConvertError, stamp_ns, to_msg
from ivm_ros.nodes.masking import Frame
from ivm_ros.pixel_formats import to_depth

KEPT = 10
"""Depth images and masks that wait for each other: a third of a second at 30 Hz."""

SHOWN = 128
"""Weight from which a pixel keeps its depth: the picture shows it by half at least."""

NO_DEPTH = {'16UC1': 0, '32FC1': np.nan}


@dataclass(frozen=True)
class _Shown:
    """
    What a picture shows.

    Attributes:
        time (int): Its stamp, ns.
        outcome (str): Of its frame.
        weight (np.ndarray | None): As of `Frame`.
    """

    time: int
    outcome: str
    weight: np.ndarray | None


class DepthMasker:
    """
    Bring depth images and masks together, whichever comes first; from several threads.

    Args:
        publish: Takes each masked depth image.
        slop: Gives how far stamps may lie apart, s.
        complain: Takes a sentence about a depth image that cannot be masked.
    """

    def __init__(self, publish: Callable[[Image], None], slop: Callable[[], float],
                 complain: Callable[[str], None]) -> None:
        self._publish, self._slop, self._complain = publish, slop, complain
        self._lock = Lock()
        self._images: deque[Image] = deque()
        self._shown: deque[_Shown] = deque(maxlen=KEPT)
        self._counts: Counter[str] = Counter()

    @property
    def facts(self) -> dict[str, str]:
        """What diagnostics show: depth images in, out, without picture, lost and so on."""
        with self._lock:
            return {f'depth_{name}': str(self._counts[name])
                    for name in ('in', 'out', 'unmatched', 'dropped', 'lost', 'faulty')}

    def arrived(self, message: Image, lost: int) -> None:
        """Take a depth image; `lost` went missing before it."""
        time, slop = stamp_ns(message.header), self._slop_ns()
        with self._lock:
            self._counts.update({'in': 1, 'lost': lost})
            if self._images and stamp_ns(self._images[-1].header) > time:  # the clock went back
                self._counts['unmatched'] += len(self._images)
                self._images.clear()
            match = min(self._shown, key=lambda one: abs(one.time - time), default=None)
            if match is None or abs(match.time - time) > slop:
                # Pictures come in order: one of this stamp was left out, or is still to come.
                if self._shown and self._shown[-1].time > time:
                    self._counts['unmatched'] += 1
                else:
                    self._images.append(message)
                if len(self._images) > KEPT:
                    self._images.popleft()
                    self._counts['unmatched'] += 1
                return
        self._finish(message, match)

    def shown(self, frame: Frame, header: Header) -> None:
        """Take what became of the picture of a header."""
        shown, slop = _Shown(stamp_ns(header), frame.outcome, frame.weight), self._slop_ns()
        message = None
        with self._lock:
            self._shown.append(shown)
            while self._images and stamp_ns(self._images[0].header) < shown.time - slop:
                self._images.popleft()
                self._counts['unmatched'] += 1
            if self._images and stamp_ns(self._images[0].header) <= shown.time + slop:
                message = self._images.popleft()
        if message is not None:
            self._finish(message, shown)

    def _slop_ns(self) -> int:
        return round(1e9 * self._slop())

    def _finish(self, message: Image, shown: _Shown) -> None:
        try:
            masked = mask_depth(message, shown.outcome, shown.weight)
        except ConvertError as error:
            self._complain(f'depth image dropped: {error}')
            masked, outcome = None, 'faulty'
        else:
            outcome = 'dropped' if masked is None else 'out'
        if masked is not None:
            self._publish(masked)
        with self._lock:
            self._counts[outcome] += 1


def mask_depth(message: Image, outcome: str, weight: np.ndarray | None) -> Image | None:
    """
    Take the depth from what a picture does not show.

    Args:
        message: 16UC1 or 32FC1, the size of the picture.
        outcome: Of the picture's frame.
        weight: uint8 [H, W], 255 where the picture shows the camera's; None: no mask was applied.

    Returns:
        The message itself where the picture passed on unmasked; None where the picture was
        dropped, or an old one was shown.

    Raises:
        ConvertError: Another encoding or size.
    """
    if weight is None:
        if outcome == 'passed':
            return message
        if outcome != 'blank':
            return None
        weight = np.zeros((message.height, message.width), np.uint8)
    depth = to_depth(message)
    if depth.shape != weight.shape:
        raise ConvertError(f'depth image {depth.shape[1]} x {depth.shape[0]}: wanted the size of '
                           f'its picture, {weight.shape[1]} x {weight.shape[0]} (depth that is '
                           f'registered to the picture)')
    seen = depth.copy()
    seen[weight < SHOWN] = NO_DEPTH[message.encoding]
    return to_msg(seen, message.header, message.encoding)
