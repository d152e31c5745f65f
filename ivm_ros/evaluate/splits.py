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
`ivm eval splits`: one run over all held-out splits, and what is shown of it.

Writes the figures of each split as JSON (as `ivm eval grounding` does), a table in Markdown with
what was promised beside what was reached, and a page of random failures.
"""

from dataclasses import dataclass
from pathlib import Path
import shlex
import sys
from typing import Annotated, Any

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.evaluate.failures import Failures, write_page
from ivm_ros.evaluate.grounding import GroundingConfig, measure, record
from ivm_ros.evaluate.report import print_grounding
from ivm_ros.files import replace_file, write_json
from ivm_ros.masker import Masker, MaskerConfig

FLOORS = {'fresh': .84, 'combination': .80, 'synonym': .70, 'look': .78, 'clutter': .72,
          'photo': .60, 'noun': .40}
"""Mean IoU that weights are to reach with CPU training alone; splits in the order of the table."""
ROBOT, ECE, THRESHOLD, AUROC, KIND = .90, .04, .01, .98, .65
KINDS = ('relation', 'not')


@dataclass(frozen=True)
class SplitsConfig:
    """Measure weights on the splits of `ivm-sim splits`."""

    data: Annotated[str, Doc('Folder of the splits.')] = 'splits'
    out: Annotated[str, Doc('Folder to write.')] = 'weights-report'
    weights: Annotated[str, Doc('Checkpoint; empty for the one in use.')] = ''
    images: Annotated[int, Range(0, None), Doc('Only the first so many of each; 0: all.')] = 0
    failures: Annotated[int, Range(0, 1000), Doc('Failures of each split on the page.')] = 10
    seed: Annotated[int, Range(0, None), Doc('Of bootstrap and failures.')] = 0
    record: Annotated[bool, Doc(
        'Write the figures of the split fresh into the JSON beside the weights.')] = False

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def evaluate_splits(config: SplitsConfig) -> Path:
    """
    Measure, print, write; return the folder.

    Raises:
        ConfigError: The folder holds no split.
    """
    root, out = Path(config.data), Path(config.out)
    names = splits_in(root)
    masker = Masker(MaskerConfig(weights=config.weights))
    out.mkdir(parents=True, exist_ok=True)
    reports, pages = {}, {}
    for name in names:
        pages[name] = Failures(config.failures, config.seed)
        reports[name] = measure(GroundingConfig(
            str(root / name), str(out / f'{name}.json'), config.weights, config.images,
            config.seed), masker, pages[name])
        print_grounding(reports[name])
        write_json(out / f'{name}.json', reports[name])
    with replace_file(out / 'table.md') as part:
        part.write_text(table(reports))
    write_page(out / 'failures.html', 'Failures of the compact generator',
               shlex.join(['ivm', *sys.argv[1:]]), pages)
    if config.record and 'fresh' in reports:
        record(Path(masker.info['weights']), reports['fresh'])
    return out


def splits_in(root: Path) -> list[str]:
    """
    List the splits that a folder holds, in the order of the table.

    Raises:
        ConfigError: There is none.
    """
    names = [name for name in FLOORS if (root / name / 'dataset.json').is_file()]
    if not names:
        raise ConfigError(f'no split in {root}; wanted folders {", ".join(FLOORS)}, which '
                          f'"ivm-sim splits --out {root}" writes')
    return names


def table(reports: dict[str, dict[str, Any]]) -> str:
    """Set the figures of some splits beside what they are to reach, in Markdown."""
    lines = ['| split | mean IoU | to reach | 95 % | IoU > 0.5 | robot | ECE | best threshold '
             'gives | AUROC of found | n |', '|---|---|---|---|---|---|---|---|---|---|']
    for name, report in reports.items():
        target, robot, found = report['target'], report['robot'], report['found']
        low, high = target['ci95']
        lines.append('| ' + ' | '.join((
            f'`{name}`', f'**{target["mean_iou"]:.3f}**', f'{FLOORS[name]:.2f}',
            f'{low:.3f} to {high:.3f}', f'{target["iou50"]:.3f}', _number(robot['mean_iou']),
            f'{target["ece"]:.3f}', f'{target["best_threshold_iou"]:.3f}',
            _number(found['auroc']), str(report['n']))) + ' |')
    lines += ['', f'To reach besides: robot {ROBOT:.2f}, ECE {ECE:.2f} at most, the best '
              f'threshold gives at most {THRESHOLD:.2f} more than 0.5, AUROC {AUROC:.2f}.', '']
    return '\n'.join(lines + _kinds(reports))


def _kinds(reports: dict[str, dict[str, Any]]) -> list[str]:
    """Give mean IoU by kind of sentence and split; what is promised of `fresh` is marked."""
    kinds = sorted({kind for report in reports.values() for kind in report['by_kind']})
    lines = ['| mean IoU by kind | ' + ' | '.join(f'`{name}`' for name in reports) + ' |',
             '|---|' + '---|' * len(reports)]
    for kind in kinds:
        cells = [report['by_kind'].get(kind) for report in reports.values()]
        wanted = f' (to reach on `fresh`: {KIND:.2f})' if kind in KINDS else ''
        lines.append(f'| {kind}{wanted} | ' + ' | '.join(
            f'{cell["mean_iou"]:.2f}' if cell else '' for cell in cells) + ' |')
    return [*lines, '']


def _number(value: float | None) -> str:
    return '' if value is None else f'{value:.3f}'
