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
Masks carried from frame to frame by dense optical flow, on a small grey picture.

The flow is DIS (Kroeger et al., arXiv 1603.03590), as OpenCV has it, from each frame to the one
before and back. What does not come back to where it started, or shows something else there, is not
followed: it was hidden in the frame before (the check of Sundaram et al., ECCV 2010).

A mask is never resampled twice. Each marked frame keeps one map: where what a pixel shows now was
in that frame. The maps grow by one step a frame, however long a mask is carried.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

FINEST = 1
"""Halvings of the small picture down to which flow is refined; OpenCV's preset stops at 2, where a
mask smears onto what passes before it, as patches are then a quarter of the picture high."""
ITERATIONS = 6  # of each patch; the preset's 12 cost a third more
STRIDE = 4  # small pixels from patch to patch
CHECK_STRIDE = 6  # of the way forth, which only checks: half the time, and the masks are as good
SLACK, LENGTH_SLACK = 2.0, .01
"""Squared error of the way there and back, in small pixels: so much, and this share of both."""
CHANGE = 40  # grey levels of 255 by which a pixel may change on its way
FAINT = 1 / 64  # mask values below this are not carried: whole pictures of them would cost time
ABSENT: Any = None  # OpenCV takes None where its type stubs do not
ONES = np.ones(2, np.float32)
SPECK = np.ones((3, 3), np.uint8)
AROUND = np.ones((5, 5), np.uint8)  # two small pixels around what is carried
STRIP = 24  # small pixels that are fetched at once, from top to bottom


@dataclass(frozen=True)
class Carried:
    """
    Planes brought to the newest frame.

    Attributes:
        planes (tuple[np.ndarray, ...]): float32 [H, W] in [0, 1]; 0 where the flow lost its way.
        followed (np.ndarray): uint8 [H, W], 255 where it did not.
        share (float): Of the first plane's sum in the marked frame, what is left; at most 1.
    """

    planes: tuple[np.ndarray, ...]
    followed: np.ndarray
    share: float


class FlowCarrier:
    """
    Follows a stream of pictures of one size, and brings planes from marked frames to the newest.

    Args:
        height: Of the small grey picture that flow is computed on, pixels.
    """

    def __init__(self, height: int = 96) -> None:
        self._height = height
        self._flow, self._check = _flow(STRIDE), _flow(CHECK_STRIDE)
        self._grey: np.ndarray | None = None
        self._size = (0, 0)
        self._maps: dict[int, _Map] = {}
        self._smalls: dict[int, tuple[tuple[np.ndarray, ...], list[np.ndarray]]] = {}
        self._image: np.ndarray | None = None
        self._share_lost = 0.0
        self._next = 0
        self._grid = np.zeros((0, 0, 2), np.float32)
        self._large: np.ndarray | None = None
        self._down = self._across = np.zeros(0, np.intp)

    def advance(self, image: np.ndarray) -> float:
        """
        Go on to the next frame; the array of the newest frame again is no other frame.

        Args:
            image: uint8 [H, W, 3]; of another size than before, all marks are forgotten.

        Returns:
            The share of the picture that the flow did not follow; 0 at first.
        """
        if image is self._image:
            return self._share_lost
        self._image = image
        self._share_lost = self._advance(image)
        return self._share_lost

    def _advance(self, image: np.ndarray) -> float:
        before, now = self._grey, self._small(image)
        self._grey = now
        if before is None or image.shape[:2] != self._size:
            self._size = image.shape[0], image.shape[1]
            self._grid, self._large = _grid((now.shape[0], now.shape[1])), None
            self._down, self._across = (np.arange(large) * small // large for large, small in zip(
                self._size, now.shape))
            self._maps.clear()
            self._smalls.clear()
            return 0.0
        back = self._flow.calc(now, before, ABSENT)
        there = self._grid + back
        follows = self._follows(before, now, back, there)
        for key, old in self._maps.items():
            way = _fetch(old.way, there, replicate=True)
            way += back
            # Nearest: what is lost is not to grow by half a pixel with every frame.
            led = cv2.remap(old.followed, there, ABSENT, cv2.INTER_NEAREST,
                            borderMode=cv2.BORDER_REPLICATE)
            self._maps[key] = _Map(way, cv2.bitwise_and(led, follows))
        return 1.0 - float(cv2.mean(follows)[0]) / 255

    def mark(self) -> int:
        """
        Remember the newest frame; return what `carry` and `forget` know it by.

        Raises:
            ValueError: There is no frame yet.
        """
        if self._grey is None:
            raise ValueError('mark: wanted a frame first, got none; call advance')
        shape = self._grey.shape
        self._maps[self._next] = _Map(np.zeros((*shape, 2), np.float32),
                                      np.full(shape, 255, np.uint8))
        self._next += 1
        return self._next - 1

    def forget(self, key: int) -> None:
        """Remember a marked frame no longer; one that is not remembered is no error."""
        self._maps.pop(key, None)
        self._smalls.pop(key, None)

    def carry(self, key: int, planes: Sequence[np.ndarray]) -> Carried:
        """
        Bring planes from a marked frame to the newest.

        Args:
            key: From `mark`.
            planes: Each float32 [H, W] in [0, 1], of the size of the frames.

        Raises:
            ValueError: The frame is not remembered, or a plane has another size.
        """
        if key not in self._maps:
            raise ValueError(f'carry: no frame is marked {key}; marked are {[*self._maps]}')
        for plane in planes:
            if plane.shape != self._size:
                raise ValueError(f'carry: wanted planes of the size of the frames, '
                                 f'{list(self._size)}, got {list(plane.shape)}')
        way, followed = self._maps[key].way, self._maps[key].followed
        height, width = followed.shape
        if not cv2.countNonZero(way.reshape(height, -1)):
            # Nothing has moved: not a bit of the mask may change.
            return Carried(tuple(planes), np.full(self._size, 255, np.uint8), 1.0)
        smalls = self._shrink(key, planes, (width, height))
        there = self._grid + way
        moved = [cv2.copyTo(_fetch(small, there), followed) for small in smalls]
        whole, left = cv2.sumElems(smalls[0])[0], cv2.sumElems(moved[0])[0]
        share = left / whole if whole else cv2.mean(followed)[0] / 255
        # The nearest, as cv2.resize takes it, in half its time.
        large = followed.take(self._across, 1).take(self._down, 0)
        return Carried(tuple(self._warp(plane, way, where, large)
                             for plane, where in zip(planes, moved)), large, min(1.0, share))

    def _shrink(self, key: int, planes: Sequence[np.ndarray], size: tuple[int, int]
                ) -> list[np.ndarray]:
        """Give planes on the small picture; those of a mark are most often the same again."""
        last = self._smalls.get(key)
        if last is None or [*map(id, planes)] != [*map(id, last[0])]:
            last = tuple(planes), [cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
                                   for plane in planes]
            self._smalls[key] = last
        return last[1]

    def _small(self, image: np.ndarray) -> np.ndarray:
        height = min(self._height, image.shape[0])
        width = max(1, round(image.shape[1] * height / image.shape[0]))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        while grey.shape[0] >= 2 * height and grey.shape[1] >= 2 * width:
            # To a half goes many times faster than to any other size.
            grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2),
                              interpolation=cv2.INTER_AREA)
        return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)

    def _follows(self, before: np.ndarray, now: np.ndarray, back: np.ndarray,
                 there: np.ndarray) -> np.ndarray:
        """Tell which pixels the flow follows, uint8 [h, w], 255 where it does."""
        forth = _fetch(self._check.calc(before, now, ABSENT), there, replicate=True)
        lengths = _squares(back) + _squares(forth)
        fits = cv2.compare(_squares(back + forth), SLACK + LENGTH_SLACK * lengths, cv2.CMP_LE)
        shown = _fetch(before, there, replicate=True)
        alike = cv2.compare(cv2.absdiff(shown, now), np.array([float(CHANGE)]), cv2.CMP_LE)
        height, width = now.shape
        # Half a pixel beyond the border is within what the outermost pixel shows.
        inside = cv2.inRange(there, (-.5, -.5, 0, 0), (width - .5, height - .5, 0, 0))
        fits = cv2.bitwise_and(cv2.bitwise_and(fits, alike), inside)
        # Specks and seams are the flow's own blur at an outline; what was hidden is broader.
        return cv2.morphologyEx(fits, cv2.MORPH_CLOSE, SPECK)

    def _warp(self, plane: np.ndarray, way: np.ndarray, where: np.ndarray,
              followed: np.ndarray) -> np.ndarray:
        """Fetch a plane float32 [H, W] along a map, where it will not be 0."""
        shown = np.zeros_like(plane)
        marked = cv2.dilate(cv2.compare(where, np.array([FAINT]), cv2.CMP_GT), AROUND)
        # In strips: the box of an arm that reaches across the picture is mostly empty.
        for first in range(0, way.shape[0], STRIP):
            left, down, wide, high = cv2.boundingRect(marked[first:first + STRIP])
            if wide:
                top = first + down
                self._warp_box(plane, way, (top, top + high, left, left + wide), followed, shown)
        return shown

    def _warp_box(self, plane: np.ndarray, way: np.ndarray, box: tuple[int, int, int, int],
                  followed: np.ndarray, shown: np.ndarray) -> None:
        """Fetch what lies in a box of small pixels: top, bottom, left, right."""
        edge = way.shape[0], way.shape[0], way.shape[1], way.shape[1]
        # A cell more on each side, so that the field goes on over the border of the box.
        wider = [min(max(0, at + by), most) for at, by, most in zip(box, (-1, 1, -1, 1), edge)]
        scale = self._size[1] / way.shape[1], self._size[0] / way.shape[0]
        by = scale[1], scale[1], scale[0], scale[0]
        top, bottom, left, right = (round(at * times) for at, times in zip(wider, by))
        # Where the scale is no whole number the field shifts by up to half a pixel; the mask does
        # not, and a field is smooth. Resizing is twice as fast as a warp that is exact.
        steps = cv2.resize(way[wider[0]:wider[1], wider[2]:wider[3]] * np.array(scale, np.float32),
                           (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        steps += self._places(left, top, right, bottom)
        high, low, near, far = (round(at * times) for at, times in zip(box, by))
        inside = slice(high, low), slice(near, far)
        moved = _fetch(plane, steps[high - top:low - top, near - left:far - left])
        cv2.copyTo(moved, followed[inside], shown[inside])

    def _places(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """Coordinates (x, y) of the pixels of a box, float32 [h, w, 2]."""
        if self._large is None:
            self._large = _grid(self._size)
        return self._large[top:bottom, left:right]


@dataclass(frozen=True)
class _Map:
    """From the newest frame to a marked one: (x, y) [h, w, 2]; uint8 [h, w], 255 = followed."""

    way: np.ndarray
    followed: np.ndarray


def _fetch(plane: np.ndarray, there: np.ndarray, replicate: bool = False) -> np.ndarray:
    """Look a plane up at places (x, y) [h, w, 2]; outside it is 0, or as at its border."""
    border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
    return cv2.remap(plane, there, ABSENT, cv2.INTER_LINEAR, borderMode=border)


def _flow(stride: int) -> cv2.DISOpticalFlow:
    """Set up DIS with a patch each so many small pixels."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow.setFinestScale(FINEST)
    flow.setGradientDescentIterations(ITERATIONS)
    flow.setPatchStride(stride)
    return flow


def _grid(size: tuple[int, int]) -> np.ndarray:
    """Coordinates (x, y) of the pixels of a picture, float32 [H, W, 2]."""
    return np.dstack(np.meshgrid(np.arange(size[1], dtype=np.float32),
                                 np.arange(size[0], dtype=np.float32)))


def _squares(vectors: np.ndarray) -> np.ndarray:
    """Squared length of vectors [h, w, 2]."""
    squares: np.ndarray = (vectors * vectors) @ ONES
    return squares
