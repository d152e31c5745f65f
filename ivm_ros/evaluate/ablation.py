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
`ivm eval ablation`: what each part of the recipe buys.

One network learns by the whole recipe, others with one part of it changed or left out: same steps,
seed and rates. All are measured on every held-out split, and compared with the whole recipe sample
by sample. A stopped study goes on with the same command; several commands with `--only` share the
work.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
import json
from pathlib import Path
import re
import shlex
import sys
from typing import Annotated, Any

import numpy as np
import tyro

from ivm_ros.config import check, ConfigError, Doc, nearest, Range
from ivm_ros.evaluate.capacity_page import figures_of
from ivm_ros.evaluate.grounding import bootstrap
from ivm_ros.evaluate.splits import splits_in
from ivm_ros.evaluate.studies import alone, measured, trained
from ivm_ros.files import replace_file, write_json
from ivm_ros.train.config import TrainConfig
from ivm_ros.version import commit, versions

Row = dict[str, Any]


def _defaults() -> TrainConfig:
    return TrainConfig(out='ablation', steps=1000)


@dataclass(frozen=True)
class AblationConfig:
    """Train a recipe whole, and with one part changed at a time; measure each."""

    variants: Annotated[str, Doc(
        'JSON file: names of variants, and the options of "ivm train" in which each differs; the '
        'first one, without any, is what the others are compared with.')] = ''
    only: Annotated[tuple[str, ...], Doc('Only these variants now; none: all.')] = ()
    splits: Annotated[str, Doc('Folder of the held-out splits.')] = 'splits'
    judged: Annotated[int, Range(0), Doc('Only the first so many pictures a split; 0: all.')] = 0
    train: Annotated[TrainConfig, tyro.conf.arg(name='')] = field(default_factory=_defaults)

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def evaluate_ablation(config: AblationConfig) -> Path:
    """
    Do what is missing of the study; return the path of its page.

    Page and figures are written after every network, of all that are finished by then.

    Raises:
        ConfigError: No variants, wrong ones, no split, no data, the folder holds another study,
            or several processes were started.
        DatasetError: A dataset cannot be read.
    """
    alone('ivm eval ablation')
    variants = read_variants(config)
    for name in config.only:
        if name not in variants:
            raise ConfigError(f'AblationConfig.only: {config.variants} has no variant '
                              f'{name!r}{nearest(name, variants)}')
    names, out = splits_in(Path(config.splits)), Path(config.train.out)
    for name in config.only or variants:
        training = variants[name]
        measured(training, trained(training), config.splits, names, config.judged)
        print(f'{name}: done', flush=True)
        _write(config, variants, names)
    return out / 'ablation.md'


def read_variants(config: AblationConfig) -> dict[str, TrainConfig]:
    """
    Read what each variant is trained with.

    Raises:
        ConfigError: No such file, or what is in it is not names and lists of options.
    """
    if not config.variants:
        raise ConfigError('AblationConfig.variants: wanted a JSON file such as {"whole": [], '
                          '"smaller": ["--model.height", "144"]}, got none')
    try:
        said = json.loads(Path(config.variants).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ConfigError(f'AblationConfig.variants: {config.variants}: {error}') from error
    fits = isinstance(said, dict) and len(said) > 1 and all(
        isinstance(words, list) and all(isinstance(word, str) for word in words)
        for words in said.values())
    if not fits or next(iter(said.values())):
        raise ConfigError(f'AblationConfig.variants: {config.variants}: wanted two or more names '
                          'with a list of options each, the first one empty')
    made = {name: _with(config.train, name, words) for name, words in said.items()}
    if len({training.out for training in made.values()}) < len(made):
        raise ConfigError(f'AblationConfig.variants: {config.variants}: wanted names that differ '
                          'in letters or digits')
    return made


def _with(training: TrainConfig, name: str, words: list[str]) -> TrainConfig:
    """Give the settings of a variant, in a folder of its own."""
    try:
        changed = tyro.cli(TrainConfig, args=words, default=training, prog=f'variant {name!r}:')
    except SystemExit as error:  # tyro has said why
        raise ConfigError(f'variant {name!r}: wanted options of "ivm train", got '
                          f'{shlex.join(words)}') from error
    folder = re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')
    return replace(changed, out=str(Path(training.out) / folder))


def _write(config: AblationConfig, variants: dict[str, TrainConfig], names: list[str]) -> None:
    """Write figures and page of what is finished."""
    rows: list[Row] = []
    reports: dict[str, dict[str, Row]] = {}
    for name, training in variants.items():
        folder = Path(training.out)
        if all((folder / f'{split}.json').is_file() for split in names):
            checkpoint = trained(training)
            reports[name] = measured(training, checkpoint, config.splits, names, config.judged)
            rows.append({'name': name, **figures_of(checkpoint, reports[name]),
                         'differs': _difference(config.train, training)})
    whole = next(iter(variants))
    for row in rows:
        if whole in reports and row['name'] != whole:
            row['against'] = compared(reports[row['name']], reports[whole])
    figures = {'rows': rows, 'planned': list(variants), 'whole': whole,
               'settings': asdict(config), 'command': shlex.join(['ivm', *sys.argv[1:]]),
               'commit': commit(), 'versions': versions()}
    write_json(Path(config.train.out) / 'ablation.json', figures)
    with replace_file(Path(config.train.out) / 'ablation.md') as part:
        part.write_text('\n'.join(_page(figures)), encoding='utf-8')


def _difference(whole: TrainConfig, other: TrainConfig) -> dict[str, Any]:
    """List the settings in which two runs differ, by dotted name."""
    def flat(values: dict[str, Any], before: str = '') -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from flat(value, f'{before}{name}.')
            else:
                yield before + name, value

    base = dict(flat(asdict(whole)))
    return {name: value for name, value in flat(asdict(other))
            if value != base[name] and name != 'out'}


def compared(reports: dict[str, Row], whole: dict[str, Row]) -> dict[str, Row]:
    """
    Compare two networks on the same samples.

    Args:
        reports: What `grounding.measure` says of one, by split, samples included.
        whole: The same of the other, on the same pictures.

    Returns:
        By split, and 'mean' over them: `delta`, mean IoU of the one less that of the other, and
        its `ci95`, bootstrapped over pictures; in the mean, splits count alike.
    """
    found: dict[str, Row] = {}
    for name, report in reports.items():
        difference = (np.array(report['samples']['iou'])
                      - np.array(whole[name]['samples']['iou']))
        ci95 = bootstrap(difference, np.array(report['samples']['image']), 0)
        found[name] = {'delta': float(difference.mean()), 'ci95': list(ci95)}
    mean = float(np.mean([row['delta'] for row in found.values()]))
    halves = [(row['ci95'][1] - row['ci95'][0]) / 2 for row in found.values()]
    half = float(np.sqrt(np.square(halves).sum())) / len(halves)
    return {'mean': {'delta': mean, 'ci95': [mean - half, mean + half]}, **found}


def _page(figures: Row) -> Iterator[str]:
    rows, training = figures['rows'], figures['settings']['train']
    splits = list(rows[0]['splits'])
    yield from ('# What each part of the recipe buys', '')
    yield ('| | GFLOP a mask | mean over splits | 95 % of the difference | '
           + ' | '.join(f'`{name}`' for name in splits) + ' | robot |')
    yield '|---|' + '---|' * (4 + len(splits))
    for row in rows:
        against = row.get('against')
        robots = [split['robot'] for split in row['splits'].values()
                  if split['robot'] is not None]
        spans = [''] if not against else ['{:+.3f} to {:+.3f}'.format(*against['mean']['ci95'])]
        yield '| ' + ' | '.join((
            row['name'], f'{row["gflops"]:.2f}', _cell(row['mean_iou'], against, 'mean'), *spans,
            *(_cell(row['splits'][name]['mean_iou'], against, name) for name in splits),
            f'{np.mean(robots):.3f}' if robots else '')) + ' |'
    missing = [name for name in figures['planned'] if name not in {row['name'] for row in rows}]
    if missing:
        yield from ('', f'Not finished yet: {", ".join(missing)}.')
    yield from (
        '', f'Mean IoU of targets in view; in brackets the difference to "{figures["whole"]}" on '
        'the same samples, bold where its 95 % interval (over pictures) leaves out zero. '
        f'{training["steps"]} steps of {training["images"]} pictures with {training["sentences"]} '
        f'sentences each, one seed ({training["seed"]}): what another seed would give is not in '
        'these intervals. Robot: mean over the splits that show one.', '',
        f'Made by `{figures["command"]}`.', '')


def _cell(value: float, against: dict[str, Row] | None, name: str) -> str:
    """Write a mean IoU, and by how much it differs."""
    if not against:
        return f'{value:.3f}'
    delta, (low, high) = against[name]['delta'], against[name]['ci95']
    mark = '**' if low > 0 or high < 0 else ''
    return f'{value:.3f} ({mark}{delta:+.3f}{mark})'
