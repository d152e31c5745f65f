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
The same questions about raw and about masked pictures, compared item by item.

An answer is right or it is not (a judged one is if it scores 1). Intervals of shares are Wilson's
(JASA 22, 1927), p values those of McNemar's exact test (Psychometrika 12, 1947): of the items
that only one of the two got right, how surprising is their split? Nothing is corrected for the
number of methods that were tried. Where splits share questions, as POPE's do, there are no figures
over all: one question would count as several.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from scipy.stats import binomtest

from ivm_ros.evaluate.asking import Answered, Outcome, RAW

ALL = 'all'


def interval(right: int, n: int) -> list[float]:
    """Give the 95 % interval of a share of n > 0, by Wilson."""
    found = binomtest(right, n).proportion_ci(.95, 'wilson')
    return [float(found.low), float(found.high)]


def mcnemar(gained: int, lost: int) -> float:
    """Give the two-sided exact p of so many items gained and lost."""
    return float(binomtest(gained, gained + lost, .5).pvalue) if gained + lost else 1.0


def figures_of(answers: Sequence[Answered], methods: Sequence[str], per_picture: bool = False
               ) -> dict[str, dict[str, Any]]:
    """
    Compare raw and masked in each split and over all.

    Args:
        answers: Items with their outcomes, at least one.
        methods: Names of methods.
        per_picture: Count pictures with every question right too, as MME does.

    Returns:
        By split, and 'all' unless splits share questions: `n`, `raw` and `methods` with
        accuracy, interval, tokens, of methods also `delta`, `gained`, `lost`, `mcnemar_p`.
    """
    splits: dict[str, list[Answered]] = defaultdict(list)
    for answered in answers:
        splits[answered.item.split].append(answered)
    kinds = {(split, answered.item.name, answered.item.prompt)
             for split, part in splits.items() for answered in part}
    if len(splits) > 1 and len(kinds) == len({key[1:] for key in kinds}):
        splits[ALL] = list(answers)
    figures = {split: _compared(part, methods, per_picture) for split, part in splits.items()}
    if per_picture and ALL in figures:  # MME adds its tasks up
        for name in (RAW, *methods):
            _of(figures[ALL], name)['mme_score'] = sum(
                _of(figures[split], name)['mme_score'] for split in figures if split != ALL)
    return figures


def _of(figures: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = figures[RAW] if name == RAW else figures['methods'][name]
    return found


def _compared(part: list[Answered], methods: Sequence[str], per_picture: bool) -> dict[str, Any]:
    raw = _variant(part, RAW, per_picture)
    compared = {}
    for method in methods:
        pairs = [(answered.outcomes[RAW].score == 1, answered.outcomes[method].score == 1)
                 for answered in part]
        gained = sum(masked and not plain for plain, masked in pairs)
        lost = sum(plain and not masked for plain, masked in pairs)
        figures = _variant(part, method, per_picture)
        compared[method] = {**figures, 'delta': figures['accuracy'] - raw['accuracy'],
                            'gained': gained, 'lost': lost, 'mcnemar_p': mcnemar(gained, lost)}
    return {'n': len(part), 'masked': sum(answered.found for answered in part), 'raw': raw,
            'methods': compared}


def _variant(part: list[Answered], name: str, per_picture: bool) -> dict[str, Any]:
    """Give the figures of one way to show pictures."""
    outcomes = [answered.outcomes[name] for answered in part]
    right = sum(outcome.score == 1 for outcome in outcomes)
    judged = part[0].item.kind == 'open'
    figures: dict[str, Any] = {
        'accuracy': right / len(part), 'ci95': interval(right, len(part)),
        'tokens': _tokens(outcome.replies[0] for outcome in outcomes)}
    if judged:
        figures['score'] = sum(outcome.score for outcome in outcomes) / len(part)
        figures['judge_tokens'] = _tokens(outcome.replies[1] for outcome in outcomes)
    else:
        figures['unread'] = sum(outcome.read is None for outcome in outcomes)
    if part[0].item.kind == 'yes/no':
        figures |= _yes(part, outcomes)
    if per_picture:
        pictures: dict[str, bool] = {}
        for answered, outcome in zip(part, outcomes):
            key = answered.item.name
            pictures[key] = pictures.get(key, True) and outcome.score == 1
        plus = sum(pictures.values()) / len(pictures)
        figures |= {'accuracy_plus': plus, 'mme_score': 100 * (figures['accuracy'] + plus)}
    return figures


def _yes(part: list[Answered], outcomes: list[Outcome]) -> dict[str, Any]:
    """Give precision, recall and F1 of 'yes', and how often it was said (POPE's figures)."""
    said = sum(outcome.read == 'yes' for outcome in outcomes)
    true = sum(answered.item.truth == 'yes' for answered in part)
    both = sum(answered.item.truth == 'yes' and outcome.read == 'yes'
               for answered, outcome in zip(part, outcomes))
    return {'precision': both / said if said else None, 'recall': both / true if true else None,
            'f1': 2 * both / (said + true) if said + true else None,
            'yes_share': said / len(part)}


def _tokens(replies: Iterable[Any]) -> dict[str, int]:
    """Sum tokens up, and count the answers of servers that do not tell."""
    listed = list(replies)
    return {'asked': sum(reply.asked or 0 for reply in listed),
            'said': sum(reply.said or 0 for reply in listed),
            'untold': sum(reply.asked is None for reply in listed)}


def spent(answers: Sequence[Answered]) -> dict[str, int]:
    """Give what this run sent, and what it remembered from disk instead."""
    replies = [reply for answered in answers for outcome in answered.outcomes.values()
               for reply in outcome.replies]
    fresh = [reply for reply in replies if not reply.remembered]
    return {'requests': len(fresh), 'remembered': len(replies) - len(fresh), **_tokens(fresh)}
