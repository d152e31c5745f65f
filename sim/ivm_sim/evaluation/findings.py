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
"""What an evaluation shows: rows pooled over tasks, and whether the paper's finding holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ivm_sim.evaluation.config import Cell, Column, COLUMNS
from ivm_sim.evaluation.episodes import Outcome
from ivm_sim.evaluation.results import cell_of, figures, outcomes_of
from ivm_sim.suites import LEVELS

PAPER = {('raw', 'none'): .55, ('raw', 'many'): .15, ('masked', 'none'): .60,
         ('masked', 'many'): .60}  # arXiv 2405.19783, figure of the real robot
CLEAN, DROP, KEPT = .90, .30, .90  # what the experiment must show
BINS = (0., .5, .7, .8, .9, .95, 1.)  # of the masks' IoU


@dataclass(frozen=True)
class Check:
    """
    Something that the experiment must show.

    Attributes:
        text (str): What.
        figure (str): What was found.
        met (bool | None): It holds; None: there is no bar.
    """

    text: str
    figure: str
    met: bool | None


@dataclass
class Findings:
    """
    Cells of one or more reports.

    Attributes:
        cells (dict): Outcomes by seed of each cell.
    """

    cells: dict[Cell, dict[int, Outcome]] = field(default_factory=dict)

    @classmethod
    def of(cls, reports: Iterable[dict[str, Any]]) -> 'Findings':
        """Join reports; a later one's cells replace those of an earlier one."""
        return cls({cell_of(row): outcomes_of(row) for report in reports
                    for row in report['cells']})

    @property
    def levels(self) -> list[str]:
        """Clutter levels that were run, the easy ones first."""
        found = {cell.clutter for cell in self.cells}
        return [level for level in LEVELS if level in found]

    @property
    def columns(self) -> list[str]:
        """Columns that were run."""
        found = {(cell.trained_on, cell.camera) for cell in self.cells}
        return [name for name, column in COLUMNS.items()
                if (column.trained_on, column.camera) in found]

    @property
    def tasks(self) -> list[str]:
        """Tasks that were run."""
        return list(dict.fromkeys(cell.task for cell in self.cells))

    def methods_at(self, level: str) -> list[str]:
        """List the ways in which masks of our weights were shown at a level."""
        return list(dict.fromkeys(cell.method for cell in self.cells if cell.camera == 'masked'
                                  and cell.clutter == level and cell.error == 'none'))

    def select(self, name: str, level: str, method: str = 'overlay', error: str = 'none',
               task: str = '') -> list[Cell]:
        """List the cells of a column at a level; where it sees no masks, the rest is ignored."""
        column = COLUMNS[name]
        return [cell for cell in self.cells
                if Column(cell.trained_on, cell.camera) == column and cell.clutter == level
                and (not task or cell.task == task)
                and (not cell.sees_masks or (cell.method, cell.error) == (method, error))]

    def row(self, *which: str, **more: str) -> dict[str, Any] | None:
        """Give the figures of `select`'s cells together; None where there is none."""
        outcomes = [outcome for cell in self.select(*which, **more)
                    for outcome in self.cells[cell].values()]
        return figures(outcomes) if outcomes else None

    def success(self, name: str, level: str, **more: str) -> float | None:
        """Give the success of a column at a level."""
        row = self.row(name, level, **more)
        return None if row is None else float(row['success'])

    def errors(self, level: str) -> list[str]:
        """List the errors of masks that were run at a level."""
        return list(dict.fromkeys(cell.error for cell in self.cells
                                  if cell.clutter == level and cell.error != 'none'))


def checks(found: Findings) -> list[Check]:
    """Hold the findings against what the experiment must show; what was not run is left out."""
    clean, cluttered = found.success('raw', 'none'), found.success('raw', 'many')
    masked_clean, masked = found.success('masked', 'none'), found.success('masked', 'many')
    ceiling, wrong = found.success('truth', 'many'), found.success('wrong', 'many')
    out = []
    if clean is not None:
        out.append(Check(f'raw camera, clean table: at least {CLEAN:.0%}', f'{clean:.1%}',
                         clean >= CLEAN))
    if clean is not None and cluttered is not None:
        out.append(Check(f'raw camera loses at least {100 * DROP:.0f} points in clutter',
                         f'{clean:.1%} to {cluttered:.1%}: {100 * (clean - cluttered):.0f} points',
                         clean - cluttered >= DROP))
    if masked_clean and masked is not None:
        out.append(Check(f'masked camera keeps at least {KEPT:.0%} of its clean success in '
                         'clutter', f'{masked:.1%} of {masked_clean:.1%}: '
                         f'{masked / masked_clean:.0%}', masked >= KEPT * masked_clean))
    if ceiling and masked is not None:
        out.append(Check('share of what perfect masks reach in clutter',
                         f'{masked:.1%} of {ceiling:.1%}: {masked / ceiling:.0%}', None))
    if wrong is not None and masked is not None:
        out.append(Check('masked by the sentence of another thing, success falls',
                         f'{masked:.1%} to {wrong:.1%}', wrong < masked))
    return out


def by_iou(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Give success in bins of the masks' mean IoU over an episode."""
    rows = []
    for low, high in zip(BINS, BINS[1:]):
        inside = [outcome for outcome in outcomes
                  if low <= outcome.iou and (outcome.iou < high or high == BINS[-1])]
        if inside:
            rows.append({'low': low, 'high': high, **figures(inside)})
    return rows


def masks_of(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Say how good masks were, as means over episodes."""
    return {name: float(np.mean([getattr(outcome, name) for outcome in outcomes]))
            for name in ('iou', 'missed', 'decoy')}
