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
"""The figures of `ivm eval video` as a table and a plot."""

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

from rich.table import Table

from ivm_ros.files import replace_file
from ivm_ros.terminal import PlainConsole

TITLES = {'truth': 'true masks', 'weights': 'the weights'}


def as_json(figures: dict[str, Any]) -> str:
    """Write figures as JSON, a line for each kind of sequence in each cell."""
    lines = []
    for source, cells in figures['sources'].items():
        rows = [f'  {json.dumps(cell)}: {{\n' + ',\n'.join(
            f'   {json.dumps(kind)}: {json.dumps(row, allow_nan=False)}'
            for kind, row in kinds.items()) + '\n  }' for cell, kinds in cells.items()]
        lines.append(f' {json.dumps(source)}: {{\n' + ',\n'.join(rows) + '\n }')
    rest = json.dumps({name: value for name, value in figures.items() if name != 'sources'},
                      indent=1, allow_nan=False)
    return '{"sources": {\n' + ',\n'.join(lines) + '\n},' + rest[1:] + '\n'


def print_video(figures: dict[str, Any]) -> None:
    """Print a table for each source of masks."""
    console = PlainConsole()
    for source, cells in figures['sources'].items():
        table = Table(title=f'keyframes masked by {TITLES[source]}: mean IoU / flicker, % of the '
                            f'target a frame')
        table.add_column('delay, s')
        for name in ('every frame', *(f'N = {number}' for number in figures['intervals'])):
            table.add_column(name, justify='right')
        for kind in cells['every']:
            table.add_section()
            table.add_row(kind, _cell(cells['every'][kind]))
            for delay in figures['delays']:
                table.add_row(f'  {delay:g}', '', *(
                    _cell(cells[f'{interval}/{delay:g}'][kind])
                    for interval in figures['intervals']))
        console.print(table)
    for name, times in figures['cpu_ms'].items():
        console.print(f'{name}: {times["median"]:.2f} ms of CPU time a frame (median of '
                      f'{times["n"]}; the quickest tenth: {times["tenth"]:.2f})')


def _cell(row: dict[str, Any]) -> str:
    if row['iou'] is None or row['flicker'] is None:
        return '-'
    return f'{row["iou"]:.3f} / {100 * row["flicker"]:.1f}'


def markdown(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables that a document takes over as they are."""
    for source, cells in figures['sources'].items():
        yield (f'Keyframes masked by {TITLES[source]}: mean IoU / flicker in % of the target a '
               f'frame.')
        yield ''
        yield '| | delay, s | every frame | ' + ' | '.join(
            f'N = {number}' for number in figures['intervals']) + ' |'
        yield '|---|---|---|' + '---|' * len(figures['intervals'])
        for kind in cells['every']:
            for index, delay in enumerate(figures['delays']):
                row = (_cell(cells[f'{interval}/{delay:g}'][kind])
                       for interval in figures['intervals'])
                yield (f'| {"" if index else kind} | {delay:g} | '
                       f'{"" if index else _cell(cells["every"][kind])} | {" | ".join(row)} |')
        yield ''
    for name, times in figures['cpu_ms'].items():
        yield (f'{name}: {times["median"]:.2f} ms of CPU time a frame (median of {times["n"]}; '
               f'the quickest tenth {times["tenth"]:.2f})  ')


def plot_video(figures: dict[str, Any], path: Path) -> None:
    """Plot IoU and flicker over the interval, a line for each delay; a PNG."""
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot

    sources = [*figures['sources']]
    plot, axes = pyplot.subplots(2, len(sources), figsize=(4.6 * len(sources), 6.4), sharex=True,
                                 squeeze=False)
    for column, source in enumerate(sources):
        cells = figures['sources'][source]
        for row, (key, scale, label) in enumerate((('iou', 1, 'mean IoU'), (
                'flicker', 100, 'flicker, % of the target a frame'))):
            axis = axes[row][column]
            for delay, line in _lines(figures, cells, key, scale):
                axis.plot(*zip(*line), marker='o', label=f'delay {delay:g} s')
            every = cells['every']['all'][key]
            if every is not None:
                axis.axhline(scale * every, color='grey', linestyle=':', label='every frame')
            axis.set_xscale('log')
            axis.grid(alpha=.3)
            axis.set_ylabel(label)
        axes[0][column].set_title(f'keyframes masked by {TITLES[source]}', fontsize=10)
        axes[1][column].set_xlabel('N, frames from keyframe to keyframe')
    axes[0][0].legend(fontsize=8)
    plot.tight_layout()
    with replace_file(path) as part:
        plot.savefig(part, format='png', dpi=100)
    pyplot.close(plot)


def _lines(figures: dict[str, Any], cells: dict[str, Any], key: str, scale: float
           ) -> Iterator[tuple[float, list[tuple[int, float]]]]:
    for delay in figures['delays']:
        values = ((interval, cells[f'{interval}/{delay:g}']['all'][key])
                  for interval in figures['intervals'])
        line = [(interval, scale * value) for interval, value in values if value is not None]
        if line:
            yield delay, line
