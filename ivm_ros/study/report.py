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
"""What the study of noisy labels found: JSON, a self-contained page, and Markdown with plots."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from importlib.resources import files
from io import BytesIO
from pathlib import Path
import shlex
import sys
from typing import Any

import numpy as np

from ivm_ros.files import replace_file, write_json
from ivm_ros.version import commit, versions

Run = dict[str, Any]
LABELS = {'dwsl_two_stage': 'DWSL, two stages', 'dwsl_joint': 'DWSL, joint',
          'all_labels': 'all labels alike', 'balanced': 'all, half of a batch human',
          'human_only': 'human labels only', 'co_teaching': 'co-teaching',
          'self_paced': 'self-paced', 'small_loss': 'small loss',
          'true_weights': 'wrong labels left out (what weights can do)',
          'clean_ceiling': 'true labels (ceiling)'}


def write_report(path: Path, settings: dict[str, Any], tuned: Sequence[Run], runs: Sequence[Run],
                 cells: Sequence[Run], form: str, page: Path, shown: bytes) -> None:
    """
    Write figures, a page, and the same in Markdown beside the figures.

    Args:
        path: JSON file; Markdown has its name and `.md`, plots begin with its name.
        settings: Of the study.
        tuned: Runs that f was chosen by, on validation scenes.
        runs: All methods with all seeds, on test scenes.
        cells: Other human shares and strengths of noise.
        form: Form of DWSL that was better on validation.
        page: HTML file, self-contained.
        shown: PNG of labels with mistakes, see `examples`; b'' for none.
    """
    figures = figures_of(settings, tuned, runs, cells, form)
    write_json(path, figures, allow_nan=False)
    import jinja2

    text = (files('ivm_ros.study') / 'noise.html.j2').read_text(encoding='utf-8')
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(text)
    plots = {'labels': ('Labels as noise makes them: of each mistake the first by chance', shown),
             'curves': ('Loss of all labels of a batch while learning, first seed', _curves(runs)),
             'grid': ('Other shares of human labels, one seed', _grid(cells))}
    plots = {name: (title, plot) for name, (title, plot) in plots.items() if plot}
    html = template.render(figures=figures, labels=LABELS, runs=runs, plots=[
        (title, b64encode(plot).decode()) for title, plot in plots.values()])
    with replace_file(page) as part:
        part.write_text(html, encoding='utf-8')
    lines = [*_markdown(figures)]
    for name, (title, plot) in plots.items():
        with replace_file(path.with_name(f'{path.stem}_{name}.png')) as part:
            part.write_bytes(plot)
        lines += ['', f'{title}:', '', f'![{title}]({path.stem}_{name}.png)']
    with replace_file(path.with_suffix('.md')) as part:
        part.write_text('\n'.join(lines) + '\n', encoding='utf-8')


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


def _markdown(figures: dict[str, Any]) -> Iterator[str]:
    """Give the tables as Markdown, line by line."""
    def span(value: dict[str, Any]) -> str:
        low, high = value['ci95']
        if value['mean'] is None:
            return ''
        return f'{value["mean"]:.3f}' + (f' [{low:.3f}, {high:.3f}]' if low is not None else '')

    yield (f'{figures["samples"]} labels, {100 * figures["human_share"]:g} % of them human, the '
           f'others with {figures["noise"]} noise, {figures["seeds"]} seeds; intervals: 95 %, '
           "Student's t over seeds.")
    yield from ('', '```', figures['command'], '```', '')
    yield from ('| method | mean IoU | of the gap regained | effective share of a batch |',
                '|---|---|---|---|')
    for name, method in figures['methods'].items():
        gained = figures['gap_regained_by'].get(name)
        f = f' (f = {method["weight"]})' if 'weight' in method else ''
        yield (f'| {LABELS[name]}{f} | {span(method)} | {span(gained) if gained else ""} | '
               f'{method["effective"]:.2f} |')
    told = figures['discriminator']
    yield from ('', f'Gap: {span(figures["gap"])}. The discriminator ranks good machine labels '
                f'above bad ones with an AUROC of {told["auroc"]:.3f}; of as many labels with the '
                f'lowest p as are bad, {told["precision_bad"]:.3f} are.')
    yield from ('', '| ahead of | IoU |', '|---|---|')
    for name, lead in figures['dwsl_ahead_of'].items():
        yield f'| {LABELS[name]} | {span(lead)} |'
    yield from ('', 'Chosen on validation scenes, one seed:', '',
                '| form | f | IoU | AUROC | precision | effective share |',
                '|---|---|---|---|---|---|')
    for run in figures['weights']:
        yield (f'| {LABELS[run["method"]]} | {run["weight"]} | {run["iou"]:.3f} | '
               f'{run["auroc"]:.3f} | {run["precision_bad"]:.3f} | {run["effective"]:.2f} |')
    if figures['grid']:
        yield from ('', '| noise | human labels | method | IoU |', '|---|---|---|---|')
    for run in figures['grid']:
        yield (f'| {run["noise"]} | {100 * run["human"]:g} % | {LABELS[run["method"]]} | '
               f'{run["iou"]:.3f} |')


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

def _curves(runs: Sequence[Run]) -> bytes:
    def draw(axes: Any) -> None:
        first = min(run['seed'] for run in runs)
        for run in runs:
            if run['seed'] == first:
                axes[0].plot(*zip(*run['curve']), label=LABELS[run['method']])
        axes[0].set(xlabel='step', ylabel='cross-entropy x 10 + Dice')
        axes[0].legend(fontsize=7, loc='upper left', bbox_to_anchor=(1.02, 1))  # hides no line

    return _plot(1, draw)


def _grid(cells: Sequence[Run]) -> bytes:
    levels = list(dict.fromkeys(run['noise'] for run in cells))

    def draw(axes: Any) -> None:
        for axis, level in zip(axes, levels):
            for method in dict.fromkeys(run['method'] for run in cells):
                line = sorted((run['human'], run['iou']) for run in cells
                              if run['method'] == method
                              and (run['noise'] == level or method == 'human_only'))
                axis.plot(*zip(*line), marker='o', label=LABELS[method])
            axis.set(title=f'{level} noise', xlabel='share of human labels', xscale='log')
            shares = sorted({run['human'] for run in cells})
            axis.set_xticks(shares, [f'{share:.0%}' for share in shares])
            axis.minorticks_off()
        axes[0].set_ylabel('IoU with the truth')
        axes[0].legend(fontsize=7)

    return _plot(len(levels), draw) if cells else b''


def _plot(count: int, draw: Any) -> bytes:
    """Draw plots side by side; a PNG."""
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
    figure.savefig(data, format='png', dpi=100, bbox_inches='tight')
    pyplot.close(figure)
    return data.getvalue()
