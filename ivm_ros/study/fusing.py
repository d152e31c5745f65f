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
`ivm eval fuse`: the rules that make one mask of several experts' masks, compared with the truth.

The rule is chosen on validation data; other data report what it is worth. `study.mixtures` has who
works together.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
import shlex
import sys
from typing import Annotated, Any

import numpy as np

from ivm_ros.annotate.fuse import RULES
from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.evaluate.grounding import bootstrap
from ivm_ros.files import replace_file, write_json
from ivm_ros.study.mixtures import Cell, COLUMNS, DEFAULT, measure, Measured, SCORES
from ivm_ros.terminal import PlainConsole
from ivm_ros.version import commit, versions


@dataclass(frozen=True)
class FuseConfig:
    """Compare the rules by which masks of several experts become one."""

    validation: Annotated[tuple[str, ...], Doc('Datasets with true masks, to choose by.')]
    test: Annotated[tuple[str, ...], Doc('Others, to report; none: choose only.')] = ()
    sentences: Annotated[int, Range(1), Doc('About a picture, at most.')] = 3
    out: Annotated[str, Doc('Folder of fuse.json and fuse.md.')] = 'fuse'
    seed: Annotated[int, Range(0), Doc('Of mistakes, scores and bootstraps.')] = 0

    def __post_init__(self) -> None:
        """Check that there is something to choose by."""
        check(self)
        if not self.validation:
            raise ConfigError('FuseConfig.validation: wanted dataset folders, got none')


def evaluate_fuse(config: FuseConfig) -> Path:
    """
    Compare on validation data, report on the others; return the path of the figures.

    Raises:
        DatasetError: A dataset cannot be read, or has no true mask of something in view.
    """
    found = {name: figures_of(measure(folders, config.sentences, config.seed, name), config.seed)
             for name, folders in (('validation', config.validation), ('test', config.test))
             if folders}
    rules = found['validation']['rules']
    figures = {'chosen': max(RULES, key=lambda rule: float(rules[rule]['mean_iou'])),
               'default': DEFAULT, **found, 'settings': asdict(config),
               'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
               'versions': versions()}
    path = Path(config.out) / 'fuse.json'
    write_json(path, figures, allow_nan=False)
    lines = [*markdown(figures)]
    with replace_file(path.with_suffix('.md')) as part:
        part.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    PlainConsole().print('\n'.join(lines), markup=False, highlight=False, soft_wrap=True)
    return path


def figures_of(measured: Measured, seed: int) -> dict[str, Any]:
    """Give the figures of a dataset: each rule over all cells, by scores, and cell by cell."""
    def over(cells: Collection[Cell]) -> dict[str, Any]:
        return {rule: _rule(measured, [cell for cell in cells if cell.rule == rule], seed)
                for rule in COLUMNS}

    every = [*measured.ious]
    return {'pictures': len({*measured.picture.tolist()}), 'sentences': len(measured.picture),
            'rules': over(every),
            'by_scores': {name: over([cell for cell in every if cell.scores == name])
                          for name in SCORES},
            'cells': [dict(zip(Cell._fields, group))
                      | {'rules': over([cell for cell in every if cell[:3] == group])}
                      for group in dict.fromkeys(cell[:3] for cell in every)]}


def _rule(measured: Measured, cells: Sequence[Cell], seed: int) -> dict[str, Any]:
    """Sum up a rule; cells count alike, intervals are of pictures."""
    ious, default = (np.array([measured.ious[cell] for cell in some]) for some in (
        cells, [cell._replace(rule=DEFAULT) for cell in cells]))  # [cells, N]
    mean, ahead = ious.mean(0), (ious - default).mean(0)
    return {'mean_iou': float(mean.mean()), 'ci95': [*bootstrap(mean, measured.picture, seed)],
            'bad': float((ious < .5).mean()),
            'ahead': {'mean': float(ahead.mean()),
                      'ci95': [*bootstrap(ahead, measured.picture, seed)]},
            'empty': float(np.mean([measured.empty[cell] for cell in cells]))}


def markdown(figures: dict[str, Any]) -> Iterator[str]:
    """Give the tables as Markdown, line by line."""
    yield from ("# Rules that fuse experts' masks", '',
                'Intervals: 95 %, bootstrapped over pictures. Bad: IoU with the truth below .5. '
                f'Ahead: of `{figures["default"]}`, the default, in pairs.', '', '```',
                figures['command'], '```', '',
                f'Chosen on validation data: `{figures["chosen"]}`.')
    for name in ('validation', 'test'):
        if name not in figures:
            continue
        found = figures[name]
        yield from ('', f'## {name.capitalize()}: {found["sentences"]} sentences about '
                    f'{found["pictures"]} pictures', '',
                    '| scores | rule | mean IoU | ahead | bad | empty |', '|---' * 6 + '|')
        for scores, rules in [('both', found['rules']), *found['by_scores'].items()]:
            for rule, row in rules.items():
                low, high = row['ahead']['ci95']
                yield (f'| {scores} | {rule} | {_span(row)} | {row["ahead"]["mean"]:+.3f} '
                       f'[{low:+.3f}, {high:+.3f}] | {row["bad"]:.3f} | {row["empty"]:.3f} |')
        yield from ('', 'Mean IoU and share of bad ones in each setting:', '',
                    f'| experts | noise | scores | {" | ".join(COLUMNS)} |',
                    '|---' * (3 + len(COLUMNS)) + '|')
        for cell in found['cells']:
            values = [f'{_span(row)}, {row["bad"]:.2f}' for row in cell['rules'].values()]
            yield (f'| {cell["mixture"]} | {cell["noise"]} | {cell["scores"]} | '
                   f'{" | ".join(values)} |')


def _span(row: dict[str, Any]) -> str:
    low, high = row['ci95']
    return f'{row["mean_iou"]:.3f} [{low:.3f}, {high:.3f}]'
