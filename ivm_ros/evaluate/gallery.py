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
"""The best, the worst and random items of a benchmark, on one page: raw | mask | masked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ivm_ros.data.look import inline
from ivm_ros.deploy import Deployment
from ivm_ros.draw import draw_debug
from ivm_ros.files import replace_file
from ivm_ros.image import place
from ivm_ros.sample import Mask

HEIGHT, WIDEST = 220, 330  # pixels of one of the three pictures
GREY, GREEN = (128, 128, 128), (0, 255, 0)


@dataclass(frozen=True)
class Shown:
    """
    One item on the page.

    Attributes:
        title (str): What was asked.
        note (str): How it came out.
        strip (str): Raw, mask and masked side by side, a JPEG in base64.
    """

    title: str
    note: str
    strip: str


class Gallery:
    """
    Keeps of a stream of items the best, the worst and random ones, without keeping the others.

    Items of equal score come in an order drawn at random, which the seed decides.

    Args:
        count: How many of each to keep.
        seed: Of what is random.
    """

    def __init__(self, count: int, seed: int = 0) -> None:
        self._count, self._rng = count, np.random.default_rng(seed)
        self._kept: dict[str, list[tuple[float, float, Shown]]] = {
            'best': [], 'worst': [], 'random': []}

    def add(self, score: float, draw: Callable[[], Shown]) -> None:
        """Take one item in; it is drawn if it is to be kept for now."""
        lot = float(self._rng.random())
        keys = {'best': (-score, lot), 'worst': (score, lot), 'random': (lot, lot)}
        shown = None
        for name, key in keys.items():
            kept = self._kept[name]
            if len(kept) < self._count or (kept and key < kept[-1][:2]):
                shown = shown or draw()
                kept.append((*key, shown))
                kept.sort(key=lambda entry: entry[:2])
                del kept[self._count:]

    @property
    def sections(self) -> dict[str, list[Shown]]:
        """What is kept: the best, the worst (each from its extreme on), random ones."""
        return {name: [shown for *_, shown in kept] for name, kept in self._kept.items()}


def strip_of(image: np.ndarray, mask: Mask, masked: Deployment,
             truth: np.ndarray | None = None) -> str:
    """
    Draw raw, mask and masked side by side.

    Args:
        image: uint8 [H, W, 3] RGB.
        mask: Of that image.
        masked: What a model gets.
        truth: bool [H, W], outlined in the raw picture.

    Returns:
        A JPEG in base64.
    """
    raw = image.copy()
    if truth is not None:
        outlines = cv2.findContours(truth.astype(np.uint8), cv2.RETR_LIST,
                                    cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(raw, outlines, -1, GREEN, max(1, round(image.shape[0] / HEIGHT)))
    size = HEIGHT, min(WIDEST, round(HEIGHT * image.shape[1] / image.shape[0]))
    cells = [place(picture, size, GREY)[0]
             for picture in (raw, draw_debug(image, mask, []), masked.image)]
    gap = np.full((HEIGHT, 6, 3), 255, np.uint8)
    return inline(np.hstack((cells[0], gap, cells[1], gap, cells[2])))


def write_report(path: Path, title: str, figures: dict[str, Any], tables: Sequence[dict[str, Any]],
                 gallery: Gallery) -> None:
    """
    Write the page.

    Args:
        path: .html.
        title: Of the page.
        figures: What the JSON holds; its command and its lists of what is missing are shown.
        tables: Each with 'title', 'head' (names of columns) and 'rows' (lists of texts).
        gallery: Items to show.
    """
    import jinja2

    jinja = jinja2.Environment(loader=jinja2.PackageLoader('ivm_ros', 'evaluate'),
                               autoescape=True, undefined=jinja2.StrictUndefined)
    text = jinja.get_template('benchmark.html.j2').render(
        title=title, figures=figures, tables=tables, sections=gallery.sections)
    with replace_file(path) as part:
        part.write_text(text, encoding='utf-8')
