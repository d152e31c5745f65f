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
Masks between keyframes: a generator that is slow, or spared, under a stream that is not.

Keyframes are masked by a generator; to the frames between them, masks are carried. A keyframe's
mask that comes late is brought forward to the newest frame. Where a new mask meets the carried
one, a blend with hysteresis keeps their edge from flickering; nothing is ever blended, carried or
brought forward across another instruction or a cut.

    >>> tracker.see(image, 'pick up the red mug', time.monotonic())
    >>> keyframe = tracker.ask()
    >>> if keyframe is not None:
    ...     tracker.take(keyframe, masker(keyframe.image, keyframe.instruction))  # now or later
    >>> tracker.tracked  # None until there is a mask
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import cv2
import numpy as np

from ivm_ros.config import check, Doc, Live, Range
from ivm_ros.flow import Carried, FlowCarrier
from ivm_ros.sample import Mask

MIDDLE = .5
"""Mask value and probability that count as seen; the shipped weights are tuned to it."""
BELOW = float(np.nextafter(np.float32(MIDDLE), np.float32(0)))


@dataclass(frozen=True)
class TrackConfig:
    """When a new mask is asked for, and how it follows the one before."""

    track: Annotated[bool, Live(), Doc(
        'Mask some frames only, in a thread of its own, and carry masks to the others '
        '(track_by): the stream goes on at the rate of the camera however slow the model is.'
    )] = False
    track_by: Annotated[Literal['flow', 'sam2', 'edgetam'], Doc(
        'What carries masks: optical flow (a few ms on a CPU), or the memory of SAM 2 or EdgeTAM, '
        'which need a GPU to keep up with a camera (docs/results/video.md).')] = 'flow'
    track_weights: Annotated[str, Doc(
        'Folder with sam2/ or edgetam/; empty: what "ivm download sam2" or "ivm download '
        'edgetam" fetched.')] = ''
    track_interval: Annotated[int, Range(1, 10000), Live(), Doc(
        'Frames from one keyframe to the next; more come by where the model is slower.')] = 5
    track_scene_change: Annotated[float, Range(0.0, 1.0), Live(), Doc(
        'Share of the picture that the flow loses from one frame to the next, from which on it is '
        'another scene: the mask is dropped and a keyframe asked for.')] = 0.4
    track_confidence: Annotated[float, Range(0.0, 1.0), Live(), Doc(
        'A keyframe is asked for at once when less is left: the share of the target that is '
        'still followed, times how sure the model is that it is in view or not.')] = 0.6
    track_smoothing: Annotated[float, Range(0.0, 0.95), Live(), Doc(
        'Weight of the carried mask where a new one comes; 0 takes the new one as it is.')] = 0.3
    track_enter: Annotated[float, Range(0.5, 1.0), Live(), Doc(
        'Mask value from which a pixel that was outside is inside.')] = 0.6
    track_leave: Annotated[float, Range(0.0, 0.5), Live(), Doc(
        'Mask value below which a pixel that was inside is outside.')] = 0.4
    track_oldest: Annotated[float, Range(0.05, 3600.0), Live(), Doc(
        'Seconds after which the mask of a keyframe is not carried any further; more than the '
        'model takes for one.')] = 5.0
    track_height: Annotated[int, Range(24, 1080), Doc(
        'Height of the small grey picture that flow is computed on, pixels.')] = 96

    def __post_init__(self) -> None:
        """Refuse wrong types and ranges."""
        check(self)


class Carrier(Protocol):
    """Brings masks from frame to frame; `ivm_ros.carriers` makes those that there are."""

    def advance(self, image: np.ndarray) -> float:
        """Go on to uint8 [H, W, 3]; return the share of the picture that was not followed."""

    def mark(self) -> int:
        """Remember the newest frame; return what it is known by."""

    def forget(self, key: int) -> None:
        """Remember a frame no longer."""

    def carry(self, key: int, planes: Sequence[np.ndarray]) -> Carried:
        """Bring planes, each float32 [H, W], from a marked frame to the newest."""


@dataclass(frozen=True)
class Keyframe:
    """
    A frame that a mask is wanted of.

    Attributes:
        image (np.ndarray): uint8 [H, W, 3].
        instruction (str): What to mask it by.
        time (float): When it was seen, s.
        frame (int): Its number in the stream.
        key (int): What the carrier knows it by.
    """

    image: np.ndarray
    instruction: str
    time: float
    frame: int
    key: int


@dataclass(frozen=True)
class Tracked:
    """
    The mask of the newest frame.

    Attributes:
        mask (Mask): Carried to it.
        age (float): Seconds since the keyframe that it came from.
        frames (int): Frames since then; 0: the mask is of this very frame.
        confidence (float): In [0, 1], see `TrackConfig.track_confidence`.
    """

    mask: Mask
    age: float
    frames: int
    confidence: float


@dataclass(frozen=True)
class _Base:
    """What is carried: planes in the frame of a mark, and the keyframe behind them."""

    key: int
    planes: tuple[np.ndarray, ...]
    found: float
    share: float
    origin: Keyframe


class Tracker:
    """
    Carries masks along one stream. Not thread-safe: results are handed to the stream's thread.

    Args:
        config: When to ask, how to blend; `use` changes it.
        carrier: Brings masks from frame to frame; None: a `FlowCarrier`, whatever `track_by`.
    """

    def __init__(self, config: TrackConfig = TrackConfig(), carrier: Carrier | None = None
                 ) -> None:
        self._config = config
        self._carrier: Carrier = carrier or FlowCarrier(config.track_height)
        self._image: np.ndarray | None = None
        self._instruction = ''
        self._size = (0, 0)
        self._frame = -1
        self._time = 0.0
        self._base: _Base | None = None
        self._pending: Keyframe | None = None
        self.tracked: Tracked | None = None

    def use(self, config: TrackConfig) -> None:
        """Go on with other settings; what the carrier is made of needs another tracker."""
        self._config = config

    def see(self, image: np.ndarray, instruction: str, time: float) -> None:
        """
        Go on to the next frame.

        Args:
            image: uint8 [H, W, 3].
            instruction: Of this frame; another one than before drops all masks.
            time: When the frame was taken or came, s; never less than before.
        """
        lost = self._carrier.advance(image)
        self._frame, self._time = self._frame + 1, time
        cut = lost > self._config.track_scene_change
        if instruction != self._instruction or image.shape[:2] != self._size or cut:
            self.reset()
        self._instruction, self._size = instruction, (image.shape[0], image.shape[1])
        self._image = image
        self._carry()

    def ask(self) -> Keyframe | None:
        """Give the newest frame to be masked for `take`; None: none is due, or one is at work."""
        if self._image is None or self._pending is not None or not self._due():
            return None
        self._pending = Keyframe(self._image, self._instruction, self._time, self._frame,
                                 self._carrier.mark())
        return self._pending

    def take(self, keyframe: Keyframe, mask: Mask) -> bool:
        """
        Take the mask of a keyframe, and bring it forward to the newest frame.

        Returns:
            False, and nothing is taken, when the keyframe is void: the instruction, the scene or
            the size has changed since.
        """
        if keyframe is not self._pending:
            return False
        self._pending = None
        carried = self._carrier.carry(keyframe.key, (mask.target, mask.robot))
        planes, found, before = carried.planes, mask.found, self.tracked
        if before is not None:
            planes = tuple(
                self._blend(old, new, carried.followed) for old, new in zip(
                    (before.mask.target, before.mask.robot), planes))
            found = float(self._settle(np.array([before.mask.found], np.float32),
                                       np.array([found], np.float32))[0])
        for key in (keyframe.key, self._base.key if self._base is not None else -1):
            self._carrier.forget(key)
        self._base = _Base(self._carrier.mark(), planes, found, carried.share, keyframe)
        self._carry()
        return True

    def fail(self, keyframe: Keyframe) -> bool:
        """Say that a keyframe gets no mask, so that another is asked for; False if it is void."""
        if keyframe is not self._pending:
            return False
        self._carrier.forget(keyframe.key)
        self._pending = None
        return True

    def reset(self) -> None:
        """Forget all masks, and void the keyframe that is waited for."""
        for held in (self._pending, self._base):
            if held is not None:
                self._carrier.forget(held.key)
        self._pending = self._base = self.tracked = None

    def _due(self) -> bool:
        if self.tracked is None or self._base is None:
            return True
        return (self._frame - self._base.origin.frame >= self._config.track_interval
                or self.tracked.confidence < self._config.track_confidence)

    def _carry(self) -> None:
        """Bring what is carried to the newest frame."""
        base, self.tracked = self._base, None
        if base is None:
            return
        age = self._time - base.origin.time
        if age > self._config.track_oldest:
            self._carrier.forget(base.key)
            self._base = None
            return
        carried = self._carrier.carry(base.key, base.planes)
        sure = max(base.found, 1 - base.found)
        target, robot = carried.planes
        self.tracked = Tracked(Mask(target, robot, base.found), age,
                               self._frame - base.origin.frame,
                               base.share * carried.share * sure)

    def _blend(self, old: np.ndarray, new: np.ndarray, followed: np.ndarray) -> np.ndarray:
        """Let a carried plane go over into a new one, float32 [H, W]."""
        settled = self._settle(old, new)
        # Where the flow lost the new one, the old one is all there is.
        return settled if followed.all() else cv2.copyTo(settled, followed, old.copy())

    def _settle(self, old: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Blend, and let nothing change sides of `MIDDLE` that does not do so clearly."""
        config = self._config
        mixed = new + np.float32(config.track_smoothing) * (old - new)
        inside = old >= MIDDLE
        np.copyto(mixed, np.float32(MIDDLE), where=inside & (mixed >= config.track_leave)
                  & (mixed < MIDDLE))
        np.copyto(mixed, np.float32(BELOW), where=~inside & (mixed < config.track_enter)
                  & (mixed >= MIDDLE))
        return mixed
