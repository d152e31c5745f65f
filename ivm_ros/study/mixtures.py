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
Experts that err, several at a time, and what each rule makes of their masks.

Experts with seeds of their own spoil the true masks of a dataset as annotators do
(`annotate.noise`), and every rule makes one mask of the same candidates. Who works together:
experts as good as each other, one better than the others, and two that find what words name but
do not understand relations, with one that reads. Scores say nothing (`flat`, as `noisy:` gives
them) or how likely the expert is right (`telling`). All of this is our choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from math import exp, log
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ivm_ros.annotate.experts import Candidate, Noisy, Picture
from ivm_ros.annotate.fuse import fuse, Rule, RULES
from ivm_ros.annotate.noise import LEVELS, Noise
from ivm_ros.annotate.pipeline import AnnotateConfig
from ivm_ros.data.scenes import Scenes
from ivm_ros.data.shards import DatasetError, decode_image
from ivm_ros.language.grammar import GrammarParser
from ivm_ros.language.parse import Parsed
from ivm_ros.work import progress_of

MIXTURES = {
    'two alike': ('usual',) * 2, 'three alike': ('usual',) * 3, 'five alike': ('usual',) * 5,
    'two and a better one': ('usual', 'usual', 'better'),
    'two finders and a reader': ('finder', 'finder', 'usual')}
"""Who works together. The last stands for one expert by itself: it is the best, or the reader."""

BETTER = 1 / 3  # times as many mistakes as the usual expert makes
LOST = .6  # share of sentences with a relation where a finder takes a look-alike
READING = 'relation', 'superlative', 'not', 'held', 'purpose'  # kinds that need a reader
TELLING = 1.0  # distance of right from wrong in what a score comes from: AUROC .76
SCORES = 'flat', 'telling'
DEFAULT: Rule = AnnotateConfig.rule
ALONE = 'one expert'
COLUMNS = ALONE, *RULES


class Cell(NamedTuple):
    """Who works together, how strong the noise is, what scores say, and the rule."""

    mixture: str
    noise: str
    scores: str
    rule: str


@dataclass(frozen=True)
class Measured:
    """
    IoU with the truth of N sentences in every cell.

    Attributes:
        picture (np.ndarray): int64 [N], which picture a sentence is about.
        ious (dict[Cell, np.ndarray]): float64 [N] in [0, 1].
        empty (dict[Cell, float]): Share of masks with nothing in them.
    """

    picture: np.ndarray
    ious: dict[Cell, np.ndarray]
    empty: dict[Cell, float]


def measure(folders: Sequence[str], sentences: int, seed: int, title: str = 'data') -> Measured:
    """
    Spoil and fuse the masks of sentences whose target is in view.

    Args:
        folders: Datasets with true masks.
        sentences: About a picture, at most, drawn at random.
        seed: Of what is drawn, mistakes and scores.
        title: Of the progress bar.

    Raises:
        DatasetError: One cannot be read, or nothing is in view.
    """
    scenes, parser = Scenes([Path(folder) for folder in folders]), GrammarParser()
    pictures: list[int] = []
    masks: list[dict[Cell, tuple[float, bool]]] = []
    rng = np.random.default_rng(seed)
    with progress_of('pictures') as bar:
        for number, place in enumerate(bar.track(scenes.order(rng), description=title)):
            rows = [row for row in scenes.rows(*place) if row.found and row.mask]
            for index in rng.permutation(len(rows))[:sentences]:
                row = rows[index]
                masks.append(_fused(Picture(decode_image(row.image), row),
                                    parser.parse(row.instruction), seed, len(masks)))
                pictures.append(number)
    if not masks:
        raise DatasetError(f'{", ".join(folders)}: wanted true masks of something in view, got '
                           'none')
    return Measured(np.array(pictures),
                    {cell: np.array([of[cell][0] for of in masks]) for cell in masks[0]},
                    {cell: float(np.mean([of[cell][1] for of in masks])) for cell in masks[0]})


def _fused(picture: Picture, parsed: Parsed, seed: int, number: int
           ) -> dict[Cell, tuple[float, bool]]:
    """Give IoU and emptiness of the masks of a sentence in every cell."""
    truth = picture.truth
    if truth is None:
        raise AssertionError('measure() takes rows with masks')
    doubts = np.random.default_rng([seed, number]).standard_normal(
        max(map(len, MIXTURES.values())))
    found: dict[Cell, tuple[float, bool]] = {}
    for level, noise in LEVELS.items():
        made: dict[tuple[str, int], list[Candidate]] = {}
        for mixture, kinds in MIXTURES.items():
            for place, kind in enumerate(kinds):
                if (kind, place) not in made:
                    made[kind, place] = _proposed(kind, place, picture, parsed, noise, seed,
                                                  float(doubts[place]))
            for scores, name in enumerate(SCORES):
                said = [made[kind, place][scores] for place, kind in enumerate(kinds)]
                for column in COLUMNS:
                    # These two take no account of scores.
                    known = found.get(Cell(mixture, level, SCORES[0], column)) if column in (
                        ALONE, 'union', 'majority') else None
                    found[Cell(mixture, level, name, column)] = known or compare(
                        said, parsed, column, truth)
    return found


def compare(said: Sequence[Candidate], parsed: Parsed, column: str, truth: np.ndarray
            ) -> tuple[float, bool]:
    """
    Fuse candidates by a rule, or take the last one alone, and compare what would be written.

    Returns:
        IoU with a true mask uint8 [H, W] that is not empty, and whether nothing is in the mask.
    """
    rule = next((rule for rule in RULES if rule == column), DEFAULT)
    fused = fuse(said[-1:] if column == ALONE else said, parsed, rule)
    if fused is None:
        return 0.0, True
    mask, inside = cv2.convertScaleAbs(fused.mask, alpha=255) > 127, truth > 127
    either = int(np.count_nonzero(mask | inside))
    return int(np.count_nonzero(mask & inside)) / max(either, 1), not mask.any()


@lru_cache(maxsize=64)
def expert_of(kind: str, lost: bool, level: Noise, seed: int) -> Noisy:
    """Make an expert for sentences that a finder is lost in, or for others."""
    rates = level if kind == 'usual' else level.scaled(BETTER)
    if kind == 'finder' and lost:
        rates = replace(rates, decoy=LOST)
    settings = ','.join(f'{item.name}={getattr(rates, item.name)!r}' for item in fields(rates))
    return Noisy(f'{settings},seed={seed}')


def _proposed(kind: str, place: int, picture: Picture, parsed: Parsed, level: Noise, seed: int,
              doubt: float) -> list[Candidate]:
    """Have an expert propose; once with each kind of score."""
    lost = picture.row.kind in READING
    expert = expert_of(kind, lost, level, 100 * seed + place)
    [[candidate]] = expert.propose([picture], [parsed])
    candidate = replace(candidate, expert=f'{kind} {place}')
    right = candidate.note == 'true'
    prior = 1 - level.total if kind == 'usual' else 1 - level.scaled(BETTER).total
    if kind == 'finder':  # it takes a look-alike for what was meant, and is as sure of it
        right = right or (candidate.note == 'decoy' and lost)
        wanted = next((phrase for phrase in parsed.phrases if phrase.wanted), candidate.phrase)
        candidate = replace(candidate, phrase=wanted)
    return [candidate, replace(candidate, score=telling(prior, right, doubt))]


def telling(prior: float, right: bool, doubt: float) -> float:
    """
    Give the score of an expert that knows how often it is right, and a little of this case.

    Args:
        prior: Share of its masks that are right.
        right: This one is.
        doubt: A standard normal number.

    Returns:
        P(right | evidence) for evidence that is normal around +- `TELLING` / 2.
    """
    evidence = (TELLING / 2 if right else -TELLING / 2) + doubt
    return 1 / (1 + exp(-log(prior / (1 - prior)) - TELLING * evidence))
