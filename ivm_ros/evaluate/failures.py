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
"""A page of what went wrong, chosen at random: what a table of means cannot tell."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ivm_ros.data.look import inline, outlined
from ivm_ros.files import replace_file
from ivm_ros.sample import Mask, Sample

RED = (255, 0, 0)


@dataclass(frozen=True)
class Failure:
    """
    One sample whose mask is wrong.

    Attributes:
        sample (Sample): With its truth.
        mask (Mask): What was seen instead.
        iou (float): Of the target; 0 where it is not in view and was seen.
    """

    sample: Sample
    mask: Mask
    iou: float


@dataclass
class Failures:
    """
    Keeps so many failures of a stream, each with the same chance (reservoir sampling).

    A failure is an IoU below 0.5, or a thing said to be in view that is not (our choice).

    Attributes:
        count (int): How many to keep.
        seed (int): Of the choice.
        samples (int): How many samples came.
        wrong (int): How many of them were failures.
        kept (list[Failure]): Those of them that are shown.
    """

    count: int
    seed: int = 0
    samples: int = 0
    wrong: int = 0
    kept: list[Failure] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Seed the choice."""
        self._rng = np.random.default_rng(self.seed)

    def add(self, sample: Sample, mask: Mask, iou: float) -> None:
        """Take one sample in; `iou` counts only where its target is in view."""
        self.samples += 1
        if sample.found:
            failed = not iou >= .5
        else:
            failed = mask.found > .5
        if not failed:
            return
        self.wrong += 1
        failure = Failure(sample, mask, iou if sample.found else 0.0)
        if len(self.kept) < self.count:
            self.kept.append(failure)
        elif (place := int(self._rng.integers(self.wrong))) < self.count:
            self.kept[place] = failure


def write_page(path: Path, title: str, command: str, sections: dict[str, Failures]) -> None:
    """
    Write a page of failures.

    Args:
        path: .html.
        title: Of the page.
        command: What wrote it.
        sections: Failures by the name of their dataset.
    """
    import jinja2

    jinja = jinja2.Environment(loader=jinja2.PackageLoader('ivm_ros', 'data/assets'),
                               autoescape=True, undefined=jinja2.StrictUndefined)
    shown = [{'name': name, 'wrong': failures.wrong, 'samples': failures.samples,
              'seed': failures.seed, 'failures': [
                  {'text': failure.sample.instruction, 'kind': failure.sample.kind,
                   'in_view': failure.sample.found, 'iou': f'{failure.iou:.2f}',
                   'found': f'{failure.mask.found:.2f}', 'picture': inline(_drawn(failure))}
                  for failure in failures.kept]}
             for name, failures in sections.items()]
    text = jinja.get_template('failures.html.j2').render(title=title, command=command,
                                                         sections=shown)
    with replace_file(path) as part:
        part.write_text(text, encoding='utf-8')


def _drawn(failure: Failure) -> np.ndarray:
    """Truth outlined in green, what was seen tinted red; uint8 [H, W, 3]."""
    picture = outlined(failure.sample)
    seen = (failure.mask.target > .5).astype(np.uint8)
    tint = np.where(seen[..., None] > 0, np.array(RED, np.uint8), picture)
    picture = cv2.addWeighted(picture, .6, tint.astype(np.uint8), .4, 0)
    outlines = cv2.findContours(seen, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(picture, outlines, -1, RED, 1)
    return picture
