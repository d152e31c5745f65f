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
"""What reviewers said of a sample: shares of each source with intervals, and their agreement."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ivm_ros.audit.sample import Census, Item
from ivm_ros.files import MALFORMED, read_json
from ivm_ros.terminal import PlainConsole

VERDICTS = ('good', 'usable', 'wrong')
FORMAT = 'ivm audit verdicts 1'


class VerdictError(ValueError):
    """A file of verdicts is broken, or of something else; the message says which and what."""


@dataclass(frozen=True)
class Review:
    """
    What one reviewer said.

    Attributes:
        path (Path): The file.
        reviewer (str): Who.
        dataset (str): Identity of the dataset whose labels were judged.
        sample (str): Identity of those labels.
        items (tuple[str, ...]): Their ids.
        verdicts (dict[str, str]): 'good', 'usable' or 'wrong' by id, of those judged so far.
    """

    path: Path
    reviewer: str
    dataset: str
    sample: str
    items: tuple[str, ...]
    verdicts: dict[str, str]


def read_review(path: Path) -> Review:
    """
    Read what the page saved.

    Raises:
        VerdictError: The file is missing or not of that format.
    """
    try:
        told = read_json(path)
        if told['format'] != FORMAT:
            raise VerdictError(f'{path} has the format {told["format"]!r}, wanted {FORMAT!r}')
        review = Review(path, str(told['reviewer']).strip(), str(told['dataset']),
                        str(told['sample']), tuple(map(str, told['items'])),
                        {str(name): str(said) for name, said in told['verdicts'].items()})
    except MALFORMED as error:
        if isinstance(error, VerdictError):
            raise
        raise VerdictError(f'{path} is no file that the audit page saved ({error!r})') from error
    for name, said in review.verdicts.items():
        if said not in VERDICTS:
            raise VerdictError(f'{path}: the verdict on {name} is {said!r}, wanted one of '
                               f'{", ".join(VERDICTS)}')
        if name not in review.items:
            raise VerdictError(f'{path}: {name} was judged and is not of the sample')
    if not review.verdicts or not review.reviewer:
        raise VerdictError(f'{path} holds no verdict, or no name of a reviewer')
    return review


def check_reviews(reviews: Sequence[Review]) -> None:
    """
    Refuse reviews of unlike samples, and two by one reviewer.

    Raises:
        VerdictError: They do not belong together.
    """
    names = set[str]()
    for review in reviews:
        if review.sample != reviews[0].sample or set(review.items) != set(reviews[0].items):
            raise VerdictError(f'{review.path} is of another sample than {reviews[0].path}: both '
                               'reviewers must have judged one and the same page')
        if review.reviewer in names:
            raise VerdictError(f'{review.path}: {review.reviewer} is the reviewer of another file '
                               'too; give one file each')
        names.add(review.reviewer)


def check_sample(reviews: Sequence[Review], dataset: str, sample: str, folder: str) -> None:
    """
    Refuse reviews of other labels than those of a dataset.

    Raises:
        VerdictError: The dataset is another, or has changed since the page was drawn.
    """
    for review in reviews:
        if review.dataset != dataset:
            raise VerdictError(f'{review.path} is of another dataset than {folder}, or of what '
                               'that was before it changed: draw a new page')
        if review.sample != sample:
            raise VerdictError(f'{review.path} is of other pictures or masks than {folder} now '
                               'holds under these ids: draw a new page')


def wilson(count: int, total: int) -> dict[str, Any]:
    """Give a share with its 95 % interval (E. B. Wilson, JASA 22, 1927); None of nothing."""
    from scipy.stats import binomtest

    if not total:
        return {'n': 0, 'share': None, 'ci95': [None, None]}
    interval = binomtest(count, total).proportion_ci(.95, 'wilson')
    return {'n': count, 'share': count / total,
            'ci95': [float(interval.low), float(interval.high)]}


def agreement(one: Review, other: Review) -> dict[str, Any]:
    """
    Compare two reviewers where both judged: share of like verdicts, and Cohen's kappa.

    Kappa (J. Cohen, Educational and Psychological Measurement 20, 1960) is 1 where they always
    agree, 0 where as often as chance would have it, None where there is no chance to disagree:
    both gave one and the same verdict throughout, or nothing was judged by both.
    """
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    both = sorted(one.verdicts.keys() & other.verdicts.keys())
    pairs = [(one.verdicts[name], other.verdicts[name]) for name in both]
    firsts, seconds = [first for first, _ in pairs], [second for _, second in pairs]
    open_to_chance = len({*firsts, *seconds}) > 1
    return {
        'reviewers': [one.reviewer, other.reviewer], 'both': len(both),
        'agree': wilson(sum(first == second for first, second in pairs), len(both)),
        'kappa': float(cohen_kappa_score(firsts, seconds, labels=VERDICTS))
        if open_to_chance else None,
        'verdicts': list(VERDICTS), 'table': confusion_matrix(
            firsts, seconds, labels=VERDICTS).tolist() if both else [[0] * 3] * 3}


def figures_of(census: Census, items: Sequence[Item], reviews: Sequence[Review]
               ) -> dict[str, Any]:
    """
    Count verdicts.

    Args:
        census: Of the dataset.
        items: The sample.
        reviews: Of that sample.
    """
    sources: dict[str, Any] = {}
    for source in sorted({source for source, _ in census.counts}):
        bins = sorted(name for where, name in census.counts if where == source)
        sources[source] = {
            'rows': sum(census.counts[source, name] for name in bins),
            'drawn': sum(item.source == source for item in items),
            'reviewers': {review.reviewer: _shares(
                _count(review, items, source)) for review in reviews},
            'bins': {name: {
                'rows': census.counts[source, name],
                'drawn': sum((item.source, item.bin) == (source, name) for item in items),
                'reviewers': {review.reviewer: dict(_count(review, items, source, name))
                              for review in reviews}} for name in bins}}
    return {'sources': sources, 'unlabelled': census.unlabelled,
            'agreement': [agreement(*pair) for pair in combinations(reviews, 2)]}


def _count(review: Review, items: Sequence[Item], source: str, name: str = '') -> Counter[str]:
    """Count the verdicts on a source, or on one of its bins."""
    return Counter(review.verdicts[item.row.id] for item in items if item.source == source
                   and name in ('', item.bin) and item.row.id in review.verdicts)


def _shares(counts: Counter[str]) -> dict[str, Any]:
    judged = sum(counts.values())
    return {'judged': judged, **{name: wilson(counts[name], judged) for name in VERDICTS}}


def print_figures(figures: dict[str, Any]) -> None:
    """Print shares and agreement."""
    console = PlainConsole()
    console.print('Shares of labels, with 95 % Wilson intervals')
    for source, told in figures['sources'].items():
        table = Table(title=Text(f'{source}, {told["rows"]} labels'), title_justify='left')
        for name in ('reviewer', 'judged', *VERDICTS):
            table.add_column(name, justify='left' if name == 'reviewer' else 'right',
                             no_wrap=name in VERDICTS)
        for reviewer, shares in told['reviewers'].items():
            table.add_row(Text(reviewer), f'{shares["judged"]} of {told["drawn"]}',
                          *(_interval(shares[name]) for name in VERDICTS))
        console.print(table)
    for pair in figures['agreement']:
        kappa = 'undefined' if pair['kappa'] is None else f'{pair["kappa"]:.3f}'
        console.print(f'{" and ".join(pair["reviewers"])}: Cohen\'s kappa {kappa}, the same '
                      f'verdict on {_interval(pair["agree"])} of {pair["both"]} labels',
                      markup=False, highlight=False, soft_wrap=True)


def _interval(share: dict[str, Any]) -> str:
    if share['share'] is None:
        return '-'
    low, high = share['ci95']
    return f'{share["share"]:.0%} ({low:.0%} to {high:.0%})'
