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
`ivm promote`: new weights are put to use where they are not worse than those in use.

Both mask every picture of the held-out sets. What counts is the difference a sample, so that
pictures that are hard for both do not blur it; intervals are bootstrapped over images. Worse means
that on some set the interval lies below zero, or the mean over all samples does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import shlex
import sys
from typing import Annotated, Any

import numpy as np
from rich.table import Table
import tyro

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.shards import read_info
from ivm_ros.evaluate.grounding import bootstrap, images_of, Score, score_images
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.checkpoint_info import read_checkpoint_info
from ivm_ros.models.installed import choose, current_name, install, NONE, shelf, weights_path
from ivm_ros.terminal import PlainConsole, printable
from ivm_ros.version import commit, versions

Figures = dict[str, Any]
NAMES = {'iou': 'mean IoU', 'found': 'right about found', 'robot': 'mean IoU of the robot'}


class PromoteError(ValueError):
    """Weights are not put to use; the message says why and what to do."""


@dataclass(frozen=True)
class PromoteConfig:
    """Put new weights to use, see which there are, or go back to earlier ones."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(
        metavar='RUN', help_behavior_hint='', help=(
            'Folder of "ivm train", or a checkpoint (.safetensors).'))] = ''
    data: Annotated[tuple[str, ...], Doc('Held-out datasets with masks, such as your own.')] = ()
    name: Annotated[str, Doc('What to call the weights; empty: by day and hash.')] = ''
    force: Annotated[bool, Doc('Install them even if they are worse, or nobody knows.')] = False
    images: Annotated[int, Range(0, None), Doc('Only the first so many of a set; 0: all.')] = 0
    seed: Annotated[int, Range(0, None), Doc('Of the bootstrap.')] = 0
    list: Annotated[bool, Doc('Only show what is installed.')] = False
    rollback: Annotated[str, Doc(
        'Only use the weights of this name again; "shipped" for those of the package.')] = ''

    def __post_init__(self) -> None:
        """Check types and ranges, and that one thing is asked for."""
        check(self)
        if sum(map(bool, (self.run, self.list, self.rollback))) != 1:
            raise ConfigError('PromoteConfig: wanted either RUN, or --list, or --rollback NAME')


def promote(config: PromoteConfig) -> int:
    """
    Do what is asked for and say what is in use.

    Raises:
        PromoteError: The candidate is worse, was trained on a held-out set, or nothing says.
        CheckpointError: Weights cannot be loaded or named so.
        DatasetError: A held-out set cannot be read or has rows without a mask.
    """
    if config.list:
        _print_shelf()
        return 0
    if config.rollback:
        return _say(choose(config.rollback))
    candidate = Path(config.run)
    candidate = candidate / 'compact.safetensors' if candidate.is_dir() else candidate
    new = Masker(MaskerConfig(str(candidate)))
    report: Figures = {'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
                       'versions': versions(), 'candidate': new.info['sha256'],
                       'current': None, 'sets': {}, 'verdict': 'not compared'}
    problem = _untested(config, candidate)
    if config.data:
        report |= compare(config, new)
        print_comparison(report)
        problem = problem or ('' if report['verdict'] == 'not worse' else report['verdict'])
    if problem and not config.force:
        raise PromoteError(f'{candidate} is not promoted: {problem}; --force does it all the same')
    return _say(install(candidate, config.name, {**report, 'forced': bool(problem)}))


def _say(path: Path) -> int:
    print(f'in use from now on: {current_name() or NONE} ({path})\nA node that runs takes them '
          'with: ros2 service call /ivm_node/reload std_srvs/srv/Trigger')
    return 0


def _untested(config: PromoteConfig, candidate: Path) -> str:
    """Say why held-out sets prove nothing; '' where they do."""
    if not config.data:
        return ('nothing tells whether it is better than the current weights: wanted held-out '
                'sets, as in --data data/mine')
    provenance = read_checkpoint_info(candidate).get('provenance', {})
    own = {Path(folder).resolve() for folder in provenance.get('data', {})}
    # What came before may have been trained elsewhere, where a path means another folder.
    before = list(_learned(provenance.get('init')))
    seen = [folder for folder in config.data
            if Path(folder).resolve() in own or read_info(Path(folder)) in before]
    return f'{seen[0]} is not held out, it was trained on it' if seen else ''


def _learned(provenance: Any) -> Iterator[Figures]:
    """Give `dataset.json` of all that weights, and those that they started from, learned from."""
    while isinstance(provenance, Mapping):
        yield from provenance.get('data', {}).values()
        provenance = provenance.get('init')


def compare(config: PromoteConfig, new: Masker) -> Figures:
    """Measure candidate and current weights on all sets; give the figures and the verdict."""
    old = Masker(MaskerConfig(str(weights_path(''))))
    sets, every = {}, []
    for folder in config.data:
        pairs = list(_pairs(config, folder, old, new))
        every += [after.target - before.target for before, after in pairs if before.found]
        sets[folder] = figures_of(pairs, config.seed)
    if not every:
        raise PromoteError('no held-out sample has its target in view: nothing to compare')
    worse = [folder for folder, row in sets.items() for name in NAMES
             if row[name] and row[name]['difference_ci95'][1] < 0]
    verdict = 'not worse'
    if worse:
        verdict = f'it is worse on {worse[0]}, beyond chance'
    elif float(np.mean(every)) < 0:
        verdict = f'its mean IoU over all sets is lower by {-float(np.mean(every)):.4f}'
    return {'current': old.info['sha256'], 'sets': sets, 'verdict': verdict}


def _pairs(config: PromoteConfig, folder: str, old: Masker, new: Masker
           ) -> Iterator[tuple[Score, Score]]:
    """Score the same samples with both, image by image."""
    for number, samples in enumerate(images_of(Path(folder), config.images)):
        for before, after in zip(*([score for _, _, score in score_images([samples], masker)]
                                   for masker in (old, new))):
            # `score_images` counts its images from 0: here one a call.
            yield (_numbered(before, number), _numbered(after, number))


def _numbered(score: Score, image: int) -> Score:
    return Score(image, score.kind, score.found, score.score, score.target, score.robot, {})


def figures_of(pairs: Sequence[tuple[Score, Score]], seed: int) -> Figures:
    """
    Compare the scores of two weights on the same samples.

    Args:
        pairs: (current, candidate) of each sample.
        seed: Of the bootstrap.

    Returns:
        'iou', over samples with their target in view (None without any), 'found', the share of
        samples where the weights are right about that, and 'robot', IoU where a robot is labelled
        (None where none is): each with current, candidate, difference and its 95 % interval.
    """
    in_view = [pair for pair in pairs if pair[0].found]
    armed = [pair for pair in pairs if not np.isnan(pair[0].robot)]
    right = [tuple((score.score > .5) == score.found for score in pair) for pair in pairs]
    return {'n': len(pairs), 'images': len({pair[0].image for pair in pairs}),
            'iou': _paired([(before.target, after.target) for before, after in in_view],
                           [before.image for before, _ in in_view], seed) if in_view else None,
            'found': _paired(right, [before.image for before, _ in pairs], seed),
            'robot': _paired([(before.robot, after.robot) for before, after in armed],
                             [before.image for before, _ in armed], seed) if armed else None}


def _paired(values: Sequence[Sequence[float]], images: Sequence[int], seed: int) -> Figures:
    before, after = np.asarray(values, float).T
    low, high = bootstrap(after - before, np.asarray(images), seed)
    return {'current': float(before.mean()), 'candidate': float(after.mean()),
            'difference': float((after - before).mean()), 'difference_ci95': [low, high]}


def print_comparison(report: Figures) -> None:
    """Print current and candidate side by side."""
    table = Table(title='candidate against current weights')
    for name in ('', 'current', 'candidate', 'difference', '95 %', 'samples', 'images'):
        table.add_column(name, justify='left' if not name else 'right')
    for folder, row in report['sets'].items():
        for name, what in NAMES.items():
            if row[name]:
                low, high = row[name]['difference_ci95']
                table.add_row(f'{folder}: {what}', f'{row[name]["current"]:.3f}',
                              f'{row[name]["candidate"]:.3f}', f'{row[name]["difference"]:+.4f}',
                              f'{low:+.4f} to {high:+.4f}', str(row['n']), str(row['images']))
    PlainConsole().print(table)
    print(f'verdict: {printable(report["verdict"])}')


def _print_shelf() -> None:
    """Print what is installed, and mark what is in use."""
    table = Table()
    for name in ('', 'name', 'promoted', 'SHA-256', 'verdict'):
        table.add_column(name)
    for item in shelf():
        report = item.report
        told = str(report.get('verdict', '')) + (' (forced)' if report.get('forced') else '')
        table.add_row('*' if item.current else '', item.name, str(report.get('promoted', '')),
                      str(report.get('candidate', ''))[:12], told)
    PlainConsole().print(table)
