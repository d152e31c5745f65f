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
"""What a generator has to beat: no mask at all, and colour words in HSV."""

import re

import cv2
import numpy as np

from ivm_ros.sample import Mask

# Hue in OpenCV's half degrees, saturation and value in 0..255: (low, high) of each.
HSV_WORDS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    'red': ((172, 110, 60), (8, 255, 255)), 'orange': ((8, 130, 110), (20, 255, 255)),
    'yellow': ((21, 110, 110), (35, 255, 255)), 'green': ((36, 70, 40), (85, 255, 255)),
    'cyan': ((82, 90, 80), (98, 255, 255)), 'teal': ((82, 90, 40), (98, 255, 200)),
    'blue': ((99, 100, 50), (125, 255, 255)), 'purple': ((126, 60, 40), (150, 255, 255)),
    'pink': ((150, 50, 130), (172, 255, 255)), 'brown': ((5, 70, 30), (20, 220, 140)),
    'white': ((0, 0, 190), (180, 40, 255)), 'black': ((0, 0, 0), (180, 255, 50)),
    'gray': ((0, 0, 60), (180, 40, 180)), 'grey': ((0, 0, 60), (180, 40, 180)),
    'silver': ((0, 0, 110), (180, 40, 225))}


def keep_all(image: np.ndarray, instruction: str) -> Mask:
    """Keep every pixel: what a policy sees without this package."""
    ones = np.ones(image.shape[:2], np.float32)
    return Mask(ones, ones, 1.0)


def hsv_words(image: np.ndarray, instruction: str) -> Mask:
    """
    Keep the pixels of the colours that the sentence names; everything when it names none.

    What a user would script in an hour: HSV ranges, and an opening against speckle.
    """
    words = [word for word in re.findall('[a-z]+', instruction.lower()) if word in HSV_WORDS]
    if not words:
        return keep_all(image, instruction)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    seen: np.ndarray = np.zeros(image.shape[:2], np.uint8)
    for word in words:
        seen = np.maximum(seen, _in_range(hsv, *HSV_WORDS[word]))
    seen = cv2.morphologyEx(seen, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    target = (seen > 0).astype(np.float32)
    return Mask(target, np.zeros_like(target), float(target.any()))


def _in_range(hsv: np.ndarray, low: tuple[int, int, int],
              high: tuple[int, int, int]) -> np.ndarray:
    if low[0] <= high[0]:
        return np.asarray(cv2.inRange(hsv, low, high))
    below = cv2.inRange(hsv, (0, *low[1:]), high)  # red: hue wraps around
    return np.maximum(below, cv2.inRange(hsv, low, (180, *high[1:])))
