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
Third stage: what several experts propose becomes one soft mask.

An expert's opinion is the union of its candidates for what is wanted (targets, destinations),
without those for what only locates or is forbidden. Where the two overlap, the smaller one lies
before the larger: a cup on the tray stays when the tray is left out, and a mask of cup and tray
loses the tray. Rules then make one mask of the opinions. Which rule the paper uses is unknown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import get_args, Literal

import numpy as np

from ivm_ros.annotate.experts import Candidate
from ivm_ros.language.parse import Parsed

Rule = Literal['mean', 'union', 'majority', 'route']
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True)
class Opinion:
    """
    What one expert makes of a sentence.

    Attributes:
        mask (np.ndarray): float32 [H, W] in [0, 1].
        score (float): Mean score of its candidates for what is wanted, [0, 1].
    """

    mask: np.ndarray
    score: float


@dataclass(frozen=True)
class Fused:
    """
    One label made of candidates.

    Attributes:
        mask (np.ndarray): float32 [H, W] in [0, 1].
        score (float): Mean score of those who made it, times agreement, [0, 1] (our choice).
        agreement (float): Mean IoU over all pairs of experts, [0, 1]; 1 where there is one only.
    """

    mask: np.ndarray
    score: float
    agreement: float


def fuse(candidates: Sequence[Candidate], parsed: Parsed, rule: Rule) -> Fused | None:
    """
    Make one mask of candidates.

    Args:
        candidates: Of one picture, all of one size, from any number of experts.
        parsed: Its sentence.
        rule: 'mean': of the opinions, weighed by score; 'union': the largest value of each pixel;
            'majority': where more than half of the experts see it; 'route': the surest expert for
            each role, see `_route`.

    Returns:
        None where no expert proposes anything that is wanted.
    """
    experts = dict.fromkeys(candidate.expert for candidate in candidates)
    opinions = [opinion for name in experts if (opinion := opinion_of(
        [candidate for candidate in candidates if candidate.expert == name]))]
    if not opinions:
        return None
    if rule == 'route':
        chosen = _route(candidates, parsed)
    else:
        score = sum(opinion.score for opinion in opinions) / len(opinions)
        chosen = Opinion(_COMBINED[rule](opinions), score)
    agreement = _agreement(opinions)
    return Fused(chosen.mask, chosen.score * agreement, agreement)


def opinion_of(candidates: Sequence[Candidate]) -> Opinion | None:
    """Put together what is wanted of some candidates; None where nothing is."""
    wanted = [candidate for candidate in candidates if candidate.phrase.wanted]
    if not wanted:
        return None
    unwanted = [candidate for candidate in candidates if not candidate.phrase.wanted]
    masks = [_without(candidate.mask, unwanted) for candidate in wanted]
    return Opinion(reduce(np.maximum, masks),
                   sum(candidate.score for candidate in wanted) / len(wanted))


def _without(mask: np.ndarray, unwanted: Sequence[Candidate]) -> np.ndarray:
    """Take out of a mask what is unwanted and not larger than it; of one size: the forbidden."""
    for other in unwanted:
        own, area = (mask >= .5).sum(), (other.mask >= .5).sum()
        if area < own or (area == own and other.phrase.role == 'forbidden'):
            mask = np.where(other.mask >= .5, np.minimum(mask, 1 - other.mask), mask)
    return mask


def _mean(opinions: Sequence[Opinion]) -> np.ndarray:
    total = sum(opinion.score for opinion in opinions)
    weights = [opinion.score / total if total else 1 / len(opinions) for opinion in opinions]
    mean = sum(np.float32(weight) * opinion.mask for weight, opinion in zip(weights, opinions))
    return np.minimum(mean, np.float32(1))


def _union(opinions: Sequence[Opinion]) -> np.ndarray:
    return reduce(np.maximum, [opinion.mask for opinion in opinions])


def _majority(opinions: Sequence[Opinion]) -> np.ndarray:
    seen = np.sum([opinion.mask >= .5 for opinion in opinions], axis=0)
    return (2 * seen > len(opinions)).astype(np.float32)


_COMBINED: dict[Rule, Callable[[Sequence[Opinion]], np.ndarray]] = {
    'mean': _mean, 'union': _union, 'majority': _majority}


def _route(candidates: Sequence[Candidate], parsed: Parsed) -> Opinion:
    """
    Choose by role.

    Where a relation or a negation tells what is meant, the surest of those who read whole
    sentences; else, and where nobody does, for each phrase the surest of those who find phrases.
    """
    readers = [candidate for candidate in candidates if candidate.phrase.whole]
    finders = [candidate for candidate in candidates if not candidate.phrase.whole]
    needs_reading = any(not phrase.wanted or phrase.related for phrase in parsed.phrases)
    surest: dict[str, Candidate] = {}
    for candidate in finders:
        best = surest.get(candidate.phrase.text)
        if best is None or candidate.score > best.score:
            surest[candidate.phrase.text] = candidate
    found = opinion_of([*surest.values()])
    if found is None or (readers and needs_reading):
        best = max(readers, key=lambda candidate: candidate.score)
        found = opinion_of([best, *(c for c in surest.values() if not c.phrase.wanted)])
    if found is None:
        raise AssertionError('fuse() calls this with something wanted')
    return found


def _agreement(opinions: Sequence[Opinion]) -> float:
    if len(opinions) < 2:
        return 1.0
    pairs = [*combinations([opinion.mask >= .5 for opinion in opinions], 2)]
    return sum(_iou(one, other) for one, other in pairs) / len(pairs)


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0
