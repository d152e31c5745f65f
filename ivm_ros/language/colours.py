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
"""Colours: their words, which of them people confuse, and the colour that pixels have."""

from collections.abc import Iterable

import cv2
import numpy as np

COLOURS: dict[str, tuple[str, ...]] = {
    'red': ('scarlet', 'crimson'), 'orange': (), 'yellow': (), 'green': (),
    'teal': ('turquoise', 'cyan'), 'blue': ('navy blue',), 'purple': ('violet',), 'pink': (),
    'brown': (), 'white': (), 'black': (), 'gray': ('grey',), 'silver': ('metal', 'steel')}
"""Every colour with its synonyms."""

UNSEEN = {'red': ('ruby',), 'yellow': ('golden yellow',), 'green': ('emerald',),
          'blue': ('sapphire',), 'purple': ('lilac',), 'teal': ('aqua',), 'gray': ('ashen',)}
"""Words for colours that training never says."""

# A person may call one by the other's name, so no truth depends on telling them apart.
ALIKE = ({'gray', 'silver', 'white'}, {'gray', 'black'}, {'orange', 'brown'}, {'orange', 'red'},
         {'orange', 'yellow'}, {'teal', 'green'}, {'teal', 'blue'}, {'purple', 'pink'},
         {'purple', 'blue'}, {'brown', 'black'}, {'red', 'pink'}, {'brown', 'red'})

# Upper ends of hues in OpenCV's half degrees (our choice), red also at the other end.
HUES = ((7, 'red'), (19, 'orange'), (33, 'yellow'), (78, 'green'), (98, 'teal'), (126, 'blue'),
        (148, 'purple'), (172, 'pink'), (180, 'red'))
NAMES = tuple(COLOURS)
PURE = .62  # share of pixels from which a thing has one colour


def unlike(worn: set[str], candidates: Iterable[str]) -> list[str]:
    """Return the candidates that nobody would confuse with the colours worn."""
    return [colour for colour in candidates if colour not in worn
            and not any(colour in pair and pair & worn for pair in ALIKE)]


def doubtful(colour: str, other: str | None) -> bool:
    """Tell whether a thing of the other colour (None: of many) might be called by the first."""
    return other is None or (colour != other and any({colour, other} <= pair for pair in ALIKE))


def names_of(pixels: np.ndarray) -> np.ndarray:
    """Name pixels uint8 [N, 3] RGB: index into `NAMES`, int64 [N]; never silver."""
    hue, saturation, value = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2HSV)[0].T.astype(int)
    place = np.searchsorted([high for high, _ in HUES], hue, side='left')
    named = np.array([NAMES.index(name) for _, name in HUES])[place]
    dark_orange = (named == NAMES.index('orange')) & (value < 170)
    dull_orange = (named == NAMES.index('orange')) & (saturation < 130)
    named[dark_orange | dull_orange] = NAMES.index('brown')
    named[(named == NAMES.index('red')) & (value > 190) & (saturation < 140)] = NAMES.index('pink')
    grey = (saturation < 42) | ((saturation < 60) & (value < 90))
    named[grey] = NAMES.index('gray')
    named[grey & (value > 185)] = NAMES.index('white')
    named[(value < 52) | (grey & (value < 75))] = NAMES.index('black')
    return named


def colour_of(pixels: np.ndarray) -> str | None:
    """Name the one colour of a thing's pixels uint8 [N, 3] RGB; None where it has several."""
    counts = np.bincount(names_of(pixels), minlength=len(NAMES))
    best = int(counts.argmax())
    return NAMES[best] if counts[best] >= PURE * len(pixels) else None
