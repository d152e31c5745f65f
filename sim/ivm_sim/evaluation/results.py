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
"""Figures of an evaluation, and the file they are kept in."""

from collections.abc import Iterable
from dataclasses import asdict
import json
from math import isnan, sqrt
from pathlib import Path
import shlex
import sys
from typing import Any

from ivm_ros.config import ConfigError
from ivm_ros.files import write_json
from ivm_ros.version import commit
from ivm_sim.evaluation.config import Cell, EvaluateConfig
from ivm_sim.evaluation.episodes import Outcome

Z = 1.959964  # of a normal distribution, 95 %
POOLED = ('trained_on', 'camera', 'clutter', 'method', 'error')
Done = dict[Cell, dict[int, Outcome]]


def wilson(won: int, count: int) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson 1927)."""
    share = won / count
    middle = share + Z * Z / (2 * count)
    half = Z * sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    scale = 1 + Z * Z / count
    return (middle - half) / scale, (middle + half) / scale


def figures(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Give success with its interval, what failures are put down to, and the masks' IoU."""
    outcomes = list(outcomes)
    won = sum(outcome.success for outcome in outcomes)
    masks = [outcome.iou for outcome in outcomes if not isnan(outcome.iou)]
    row: dict[str, Any] = {'success': won / len(outcomes), 'n': len(outcomes),
                           'ci95': list(wilson(won, len(outcomes)))}
    if masks:
        causes = [outcome.cause for outcome in outcomes if not outcome.success]
        row |= {'mask_iou': sum(masks) / len(masks),
                'causes': {cause: causes.count(cause) for cause in sorted(set(causes))}}
    return row


def report_of(config: EvaluateConfig, cells: list[Cell], done: Done, seconds: float
              ) -> dict[str, Any]:
    """Make the report of what is done so far."""
    rows = [{**asdict(cell), **figures(done[cell].values()),
             'seeds': {str(seed): _episode(outcome) for seed, outcome in done[cell].items()}}
            for cell in cells if cell in done]
    pooled: dict[tuple[str, ...], list[Outcome]] = {}
    for cell in cells:
        key = tuple(getattr(cell, name) for name in POOLED)
        pooled.setdefault(key, []).extend(done.get(cell, {}).values())
    return {
        'cells': rows,
        'pooled': [{**dict(zip(POOLED, key)), **figures(outcomes)}
                   for key, outcomes in pooled.items() if outcomes],
        'command': shlex.join(['ivm-sim', *sys.argv[1:]]), 'commit': commit(),
        'seed': config.seed, 'episodes': config.episodes, 'size': config.size,
        'seconds': round(seconds)}


def _episode(outcome: Outcome) -> dict[str, Any]:
    """Say an episode in JSON, which knows no NaN."""
    return {name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(outcome).items() if value == value}


def write(path: Path, report: dict[str, Any]) -> None:
    """Write a report."""
    write_json(path, report)


def read(path: Path) -> dict[str, Any]:
    """
    Read a report.

    Raises:
        ConfigError: It is not one of "ivm-sim evaluate".
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text())
        if not all(isinstance(won, dict) for row in report['cells']
                   for won in row['seeds'].values()):
            raise KeyError('seeds')
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{path}: wanted a report of "ivm-sim evaluate" ({error!r})') from None
    return report


def outcomes_of(row: dict[str, Any]) -> dict[int, Outcome]:
    """Read the episodes of a cell's row."""
    return {int(seed): Outcome(**told) for seed, told in row['seeds'].items()}


def cell_of(row: dict[str, Any]) -> Cell:
    """Read which cell a row is of."""
    return Cell(row['task'], *(row[name] for name in POOLED))


def kept(config: EvaluateConfig) -> tuple[Done, float]:
    """Read the finished cells of a report and its seconds; those with other seeds run anew."""
    path = Path(config.json)
    if not path.is_file():
        return {}, 0.0
    wanted = {str(seed) for seed in range(config.seed, config.seed + config.episodes)}
    report = read(path)
    return {cell_of(row): outcomes_of(row) for row in report['cells']
            if set(row['seeds']) == wanted}, float(report['seconds'])


def table(report: dict[str, Any]) -> list[str]:
    """Say the pooled figures, a line each."""
    return [f'{row["clutter"]:8}{row["trained_on"]:>14} through {row["camera"]:18}'
            f'{row["method"]:14}{row["error"]:14}{row["success"]:.3f} [{row["ci95"][0]:.3f}, '
            f'{row["ci95"][1]:.3f}]  n = {row["n"]}'
            + (f'  mask IoU {row["mask_iou"]:.2f}' if 'mask_iou' in row else '')
            for row in report['pooled']]
