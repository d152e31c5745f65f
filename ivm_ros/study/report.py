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
"""What the study of noisy labels found: one JSON file and one self-contained page."""

from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from io import BytesIO
import json
from pathlib import Path
import shlex
import sys
from typing import Any

import numpy as np

from ivm_ros.files import replace_file
from ivm_ros.version import commit, versions

Run = dict[str, Any]
LABELS = {'dwsl_two_stage': 'DWSL, two stages', 'dwsl_joint': 'DWSL, joint',
          'all_labels': 'all labels alike', 'balanced': 'all, half of a batch human',
          'human_only': 'human labels only', 'co_teaching': 'co-teaching',
          'self_paced': 'self-paced', 'small_loss': 'small loss',
          'true_weights': 'wrong labels left out (what weights can do)',
          'clean_ceiling': 'true labels (ceiling)'}


def write_report(path: Path, settings: dict[str, Any], tuned: Sequence[Run], runs: Sequence[Run],
                 cells: Sequence[Run], form: str) -> None:
    """
    Write figures and, beside them, a page.

    Args:
        path: JSON file; the page has its name and `.html`.
        settings: Of the study.
        tuned: Runs that f was chosen by, on validation scenes.
        runs: All methods with all seeds, on test scenes.
        cells: Other human shares and strengths of noise.
        form: Form of DWSL that was better on validation.
    """
    figures = figures_of(settings, tuned, runs, cells, form)
    with replace_file(path) as part:
        part.write_text(json.dumps(figures, indent=1, allow_nan=False) + '\n')
    import jinja2

    text = (files('ivm_ros.study') / 'noise.html.j2').read_text(encoding='utf-8')
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(text)
    page = template.render(figures=figures, labels=LABELS, runs=runs, plots=[
        ('Loss of all labels of a batch while learning, first seed', _curves(runs)),
        ('Other shares of human labels, one seed', _grid(cells))])
    with replace_file(path.with_suffix('.html')) as part:
        part.write_text(page, encoding='utf-8')


def figures_of(settings: dict[str, Any], tuned: Sequence[Run], runs: Sequence[Run],
               cells: Sequence[Run], form: str) -> dict[str, Any]:
    """Give what the JSON file holds; arguments as of `write_report`."""
    methods = {name: _method([run for run in runs if run['method'] == name])
               for name in LABELS if any(run['method'] == name for run in runs)}
    ious = {name: np.array(method['iou']) for name, method in methods.items()}
    gap = ious['clean_ceiling'] - ious['all_labels']
    regained = {name: _mean_and_interval((ious[name] - ious['all_labels'])[gap > 0] / gap[gap > 0])
                for name in ious if name not in ('clean_ceiling', 'all_labels')}
    ahead = {name: _mean_and_interval(ious[form] - ious[name])
             for name in ('human_only', 'co_teaching', 'self_paced', 'small_loss', 'balanced')}
    judged = [run for run in runs if run['method'] == form]
    return {
        'methods': methods, 'form': form, 'gap': _mean_and_interval(gap),
        'gap_regained': regained[form], 'gap_regained_by': regained, 'dwsl_ahead_of': ahead,
        'discriminator': {name: float(np.mean([run[name] for run in judged]))
                          for name in ('auroc', 'auroc_human', 'precision_bad')},
        'weights': [{name: run[name] for name in ('method', 'weight', 'iou', 'auroc',
                                                  'precision_bad', 'effective')}
                    for run in sorted(tuned, key=lambda run: -float(run['iou']))],
        'grid': [{name: run[name] for name in ('method', 'human', 'noise', 'iou', 'seed')}
                 for run in cells],
        'human_share': settings['human'], 'noise': settings['noise'],
        'seeds': settings['seeds'], 'samples': runs[0]['samples'], 'settings': settings,
        'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
        'versions': versions()}


def _method(runs: Sequence[Run]) -> dict[str, Any]:
    interval = _mean_and_interval(np.array([run['iou'] for run in runs]))
    weight = {'weight': runs[0]['weight']} if 'auroc' in runs[0] else {}
    return {'iou': [run['iou'] for run in runs], **interval, **weight,
            'iou50': [run['iou50'] for run in runs],
            'effective': float(np.mean([run['effective'] for run in runs]))}


def _mean_and_interval(values: np.ndarray) -> dict[str, Any]:
    """Mean and 95 % interval by Student's t over seeds; None for what too few seeds say."""
    from scipy import stats

    if not len(values):  # of a share of the gap, where there is none
        return {'mean': None, 'ci95': [None, None]}
    mean = float(values.mean())
    if len(values) < 2:
        return {'mean': mean, 'ci95': [None, None]}
    half = float(stats.t.ppf(.975, len(values) - 1) * values.std(ddof=1) / len(values) ** .5)
    return {'mean': mean, 'ci95': [mean - half, mean + half]}


# --- plots -----------------------------------------------------------------------------------

def _curves(runs: Sequence[Run]) -> str:
    def draw(axes: Any) -> None:
        first = min(run['seed'] for run in runs)
        for run in runs:
            if run['seed'] == first:
                axes[0].plot(*zip(*run['curve']), label=LABELS[run['method']])
        axes[0].set(xlabel='step', ylabel='cross-entropy x 10 + Dice')
        axes[0].legend(fontsize=7)

    return _plot(1, draw)


def _grid(cells: Sequence[Run]) -> str:
    levels = list(dict.fromkeys(run['noise'] for run in cells))

    def draw(axes: Any) -> None:
        for axis, level in zip(axes, levels):
            for method in dict.fromkeys(run['method'] for run in cells):
                line = sorted((run['human'], run['iou']) for run in cells
                              if run['method'] == method
                              and (run['noise'] == level or method == 'human_only'))
                axis.plot(*zip(*line), marker='o', label=LABELS[method])
            axis.set(title=f'{level} noise', xlabel='share of human labels', xscale='log')
        axes[0].set_ylabel('IoU with the truth')
        axes[0].legend(fontsize=7)

    return _plot(len(levels), draw) if cells else ''


def _plot(count: int, draw: Any) -> str:
    """Draw plots side by side; a PNG in base64."""
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, count, figsize=(4.2 * count, 3.4), sharey=True,
                                   squeeze=False)
    draw(axes[0])
    for axis in axes[0]:
        axis.grid(alpha=.3)
    figure.tight_layout()
    data = BytesIO()
    figure.savefig(data, format='png', dpi=100)
    pyplot.close(figure)
    return b64encode(data.getvalue()).decode()
