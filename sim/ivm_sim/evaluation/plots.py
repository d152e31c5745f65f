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
"""Plots of the report, as SVG text."""

from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
import numpy as np

from ivm_sim.evaluation.config import COLUMNS
from ivm_sim.evaluation.errors import MaskError
from ivm_sim.evaluation.findings import BINS, Findings, PAPER

COLOURS = {'raw': '#8a8f98', 'masked': '#e8710a', 'truth': '#1a73e8', 'perfect': '#9334e6',
           'control': '#188038', 'wrong': '#d93025', 'expert': '#202124'}
NAMES = {'raw': 'raw', 'masked': 'masked by our weights', 'truth': 'masked by the truth',
         'perfect': 'masked by the truth, trained without errors',
         'control': 'raw, trained in clutter', 'wrong': 'masked by a wrong sentence',
         'expert': 'scripted expert'}
ERRORS = {'extra': 'other things kept', 'missing': 'probability that a needed thing is missing',
          'wider': 'pixels wider, at 96 pixels'}


def paper_bars(found: Findings) -> str:
    """Draw success on a clean and on a cluttered table beside the paper's."""
    figure = Figure((7.2, 3.1), layout='constrained')
    parts = figure.subplots(1, 2, sharey=True)
    for axes, title in zip(parts, ('paper: real robot, 4 tasks', 'here: simulation, 4 tasks')):
        ours = title.startswith('here')
        for index, name in enumerate(('raw', 'masked')):
            for place, level in enumerate(('none', 'many')):
                row = found.row(name, level) if ours else {'success': PAPER[name, level]}
                if row:
                    _bar(axes, place + .38 * (index - .5), .36, row, COLOURS[name],
                         NAMES[name] if not place else '')
        axes.set_title(title, fontsize=10)
        axes.set_xticks((0, 1), ('clean table', 'cluttered table'))
        _tidy(axes)
    parts[0].set_ylabel('success')
    parts[0].legend(frameon=False, fontsize=8, loc='upper right')
    return _svg(figure)


def level_bars(found: Findings) -> str:
    """Draw the matrix: success of each column at each level."""
    figure = Figure((9, 3.2), layout='constrained')
    axes = figure.subplots()
    columns = [name for name in found.columns if name not in ('wrong', 'expert', 'perfect')]
    width = .8 / max(1, len(columns))
    for index, name in enumerate(columns):
        label = NAMES[name]
        for place, level in enumerate(found.levels):
            row = found.row(name, level)
            if row:
                _bar(axes, place + width * (index - (len(columns) - 1) / 2), .92 * width, row,
                     COLOURS[name], label)
                label = ''
    axes.set_xticks(range(len(found.levels)), found.levels)
    axes.set_ylabel('success')
    axes.legend(frameon=False, fontsize=8, ncols=2, loc='lower center', bbox_to_anchor=(.5, 1))
    _tidy(axes)
    return _svg(figure)


def error_curves(found: Findings, level: str) -> str:
    """Draw success against the size of each kind of error, for each policy it was run with."""
    kinds = {kind: [error for error in found.errors(level) if error.startswith(f'{kind}=')]
             for kind in ERRORS}
    kinds = {kind: errors for kind, errors in kinds.items() if errors}
    if not kinds:
        return ''
    figure = Figure((3.4 * len(kinds), 3.1), layout='constrained')
    parts = np.atleast_1d(figure.subplots(1, len(kinds), sharey=True))
    for axes, (kind, errors) in zip(parts, kinds.items()):
        for name in COLUMNS:
            points = []
            for error in ('none', *errors):
                row = found.row(name, level, error=error)
                if row and COLUMNS[name].camera not in ('raw', 'none'):
                    points.append((float(getattr(MaskError.parse(error), kind)), row))
            if len(points) > 1:
                _line(axes, sorted(points, key=lambda point: point[0]), name)
        axes.set_xlabel(ERRORS[kind])
        _tidy(axes)
    parts[0].set_ylabel('success')
    parts[0].legend(frameon=False, fontsize=7, loc='lower left')
    return _svg(figure)


def iou_bars(rows: list[dict[str, Any]]) -> str:
    """Draw success in bins of the masks' IoU."""
    figure = Figure((5, 2.9), layout='constrained')
    axes = figure.subplots()
    for row in rows:
        place = BINS.index(row['low'])
        _bar(axes, place, .8, row, COLOURS['masked'], '')
        axes.text(place, .02, f'n = {row["n"]}', ha='center', fontsize=8)
    axes.set_xticks(range(len(BINS) - 1), [f'{low:g} to {high:g}'
                                           for low, high in zip(BINS, BINS[1:])], fontsize=8)
    axes.set_xlabel('mean IoU of the masks of an episode')
    axes.set_ylabel('success')
    _tidy(axes)
    return _svg(figure)


def _bar(axes: Any, place: float, width: float, row: dict[str, Any], colour: str, label: str
         ) -> None:
    axes.bar(place, row['success'], width, color=colour, label=label or None)
    if 'ci95' in row:
        axes.plot((place, place), row['ci95'], color='#202124', linewidth=1)
    axes.text(place, row.get('ci95', (0, row['success']))[1] + .02, f'{row["success"]:.2f}',
              ha='center', fontsize=8)


def _line(axes: Any, points: list[tuple[float, dict[str, Any]]], name: str) -> None:
    places = [place for place, _ in points]
    low, high = (np.array([row['ci95'][end] for _, row in points]) for end in (0, 1))
    axes.fill_between(places, low, high, color=COLOURS[name], alpha=.15, linewidth=0)
    axes.plot(places, [row['success'] for _, row in points], 'o-', color=COLOURS[name],
              label=NAMES[name], markersize=4)


def _tidy(axes: Any) -> None:
    axes.set_ylim(0, 1.12)
    axes.set_yticks((0, .25, .5, .75, 1))
    axes.spines[['top', 'right']].set_visible(False)


def _svg(figure: Figure) -> str:
    """Give the SVG element; equal figures give equal text."""
    with mpl.rc_context({'svg.hashsalt': 'ivm', 'svg.fonttype': 'none',
                         'font.family': 'sans-serif'}):
        text = StringIO()
        figure.savefig(text, format='svg', metadata={'Date': None, 'Creator': None})
    return text.getvalue().partition('?>')[2].partition('">')[2].strip()
