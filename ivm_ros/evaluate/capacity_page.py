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
"""Quality against arithmetic: one plot, one page, one recommendation."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ivm_ros.files import replace_file
from ivm_ros.models.checkpoint import Checkpoint
from ivm_ros.models.flops import compact_gflops

Row = dict[str, Any]
RULE = ('the cheapest network whose mean over splits is not below the 95 % interval of the best '
        "one's")
KEPT = ('mean_iou', 'ci95', 'iou50', 'n')


def figures_of(checkpoint: Checkpoint, reports: dict[str, Row]) -> Row:
    """
    Give the figures of one network.

    Args:
        checkpoint: The network.
        reports: What `grounding.measure` says of it, by split.

    Returns:
        Canvas, `dim`, `gflops` of a mask, `parameters`, `mean_iou` (splits count alike) with its
        `ci95`, and the figures of `splits`. Splits have pictures of their own, so the variances
        of their means add up.
    """
    model = checkpoint.net.config
    splits = {name: {**{key: report['target'][key] for key in KEPT},
                     'robot': report['robot']['mean_iou'], 'auroc': report['found']['auroc']}
              for name, report in reports.items()}
    mean = float(np.mean([row['mean_iou'] for row in splits.values()]))
    halves = [(row['ci95'][1] - row['ci95'][0]) / 2 for row in splits.values()]
    half = float(np.sqrt(np.square(halves).sum())) / len(halves)
    gflops = compact_gflops(model)
    return {'height': model.height, 'width': model.width, 'dim': model.dim,
            'gflops': gflops['compact'], 'backbone_gflops': gflops['compact backbone'],
            'parameters': sum(value.numel() for value in checkpoint.net.parameters()),
            'steps': checkpoint.info['provenance']['steps'], 'sha256': checkpoint.hash,
            'mean_iou': mean, 'ci95': [mean - half, mean + half], 'splits': splits}


def summary_of(rows: Sequence[Row], planned: int) -> Row:
    """
    Recommend one network where all that are planned are there.

    Returns:
        `networks`, the cheapest first; `recommended`, a name or None; `rule`, and
        `recommendation`, the sentence that says so.
    """
    networks = sorted(rows, key=lambda row: row['gflops'])
    best = max(networks, key=lambda row: row['mean_iou'])
    chosen = next(row for row in networks if row['mean_iou'] >= best['ci95'][0])
    done = len(rows) == planned
    sentence = (
        f'Recommended: {_spoken(chosen)}, with mean IoU {chosen["mean_iou"]:.3f} over splits for '
        f'{chosen["gflops"]:.2f} GFLOP a mask: {RULE} ({_spoken(best)}, {best["mean_iou"]:.3f}, '
        f'{best["ci95"][0]:.3f} to {best["ci95"][1]:.3f}, {best["gflops"]:.2f} GFLOP).' if done
        else f'No recommendation yet: {len(rows)} of {planned} networks are measured.')
    return {'networks': networks, 'planned': planned, 'rule': RULE,
            'recommended': chosen['name'] if done else None, 'recommendation': sentence}


def write_page(folder: Path, figures: Row) -> None:
    """Write `capacity.md` and the plot that it shows, `capacity.png`."""
    _plot(figures['networks'], folder / 'capacity.png')
    with replace_file(folder / 'capacity.md') as part:
        part.write_text('\n'.join(_page(figures)), encoding='utf-8')


def _page(figures: Row) -> Iterator[str]:
    networks, training = figures['networks'], figures['settings']['train']
    splits = list(networks[0]['splits'])
    yield from ('# Capacity of the compact generator', '', figures['recommendation'], '',
                '![mean IoU by split against GFLOP](capacity.png)', '')
    yield ('| canvas | width (`dim`) | GFLOP | parameters, million | mean over splits | 95 % | '
           + ' | '.join(f'`{name}`' for name in splits) + ' |')
    yield '|---|' + '---|' * (5 + len(splits))
    for row in networks:
        mark = '**' if row['name'] == figures['recommended'] else ''
        yield '| ' + ' | '.join((
            f'{mark}{row["height"]} x {row["width"]}{mark}', f'{mark}{row["dim"]}{mark}',
            f'{row["gflops"]:.2f}', f'{row["parameters"] / 1e6:.2f}',
            f'{mark}{row["mean_iou"]:.3f}{mark}', f'{row["ci95"][0]:.3f} to {row["ci95"][1]:.3f}',
            *(f'{row["splits"][name]["mean_iou"]:.3f}' for name in splits))) + ' |'
    yield from (
        '', f'Mean IoU of targets in view. {training["steps"]} steps of {training["images"]} '
        f'pictures with {training["sentences"]} sentences each, learning rate '
        f'{training["learning_rate"]:g}, one seed ({training["seed"]}) for every network: '
        'intervals are those of the pictures that were measured, and say nothing of another '
        'seed, other rates or longer training.', '', f'Made by `{figures["command"]}`.', '')


def _plot(networks: Sequence[Row], path: Path) -> None:
    """Draw a line for every split and canvas, from the narrowest network to the widest."""
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4.4))
    canvases = list(dict.fromkeys((row['height'], row['width']) for row in networks))
    for style, canvas in zip(('-o', '--s', ':^', '-.d') * len(canvases), canvases):
        rows = [row for row in networks if (row['height'], row['width']) == canvas]
        costs = [row['gflops'] for row in rows]
        for number, name in enumerate(rows[0]['splits']):
            axis.plot(costs, [row['splits'][name]['mean_iou'] for row in rows], style,
                      color=f'C{number}', markersize=4, linewidth=1,
                      label=name if canvas == canvases[0] else None)
        means = [row['mean_iou'] for row in rows]
        axis.errorbar(costs, means, [mean - row['ci95'][0] for mean, row in zip(means, rows)],
                      fmt=style, color='black', markersize=5, capsize=3,
                      label=f'mean, {canvas[0]} x {canvas[1]}')
    axis.set(xscale='log', xlabel='GFLOP a mask', ylabel='mean IoU')
    axis.grid(alpha=.3, which='both')
    axis.legend(fontsize=7, loc='center left', bbox_to_anchor=(1, .5))
    figure.tight_layout()
    with replace_file(path) as part:
        figure.savefig(part, format='png', dpi=110)
    pyplot.close(figure)


def _spoken(row: Row) -> str:
    return f'{row["height"]} x {row["width"]} with width {row["dim"]}'
