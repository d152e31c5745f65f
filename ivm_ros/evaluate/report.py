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
"""Figures as tables a person reads."""

from typing import Any

from rich.table import Table

from ivm_ros.terminal import PlainConsole


def print_grounding(figures: dict[str, Any]) -> None:
    """Print the figures of `ivm eval grounding`."""
    table = Table(title=f'{figures["n"]} samples with their target in view, '
                        f'{figures["absent"]} without, {figures["images"]} images')
    for name in ('', 'mean IoU', '95 %', 'IoU > 0.5', 'n'):
        table.add_column(name, justify='left' if not name else 'right')
    table.add_row('target', *_cells(figures['target']), style='bold')
    for kind, row in figures['by_kind'].items():
        table.add_row(f'  {kind}', *_cells(row))
    for name, row in figures['references'].items():
        table.add_row(f'reference: {name}', *_cells(row), style='dim')
    console = PlainConsole()
    console.print(table)
    target = figures['target']
    console.print(f'cumulative IoU {_number(target["ciou"])}   boxes right '
                  f'{_number(target["box50"])}   outline F {_number(target["boundary_f"])}   '
                  f'ECE {_number(target["ece"])} (of shown pixels '
                  f'{_number(target["ece_shown"])})   best threshold '
                  f'{target["best_threshold"]} with IoU {_number(target["best_threshold_iou"])}')
    robot, found = figures['robot']['mean_iou'], figures['found']['auroc']
    console.print(f'robot IoU {_number(robot)}   AUROC of found {_number(found)}   accuracy of '
                  f'found {_number(figures["found"]["accuracy"])}')


def _cells(row: dict[str, Any]) -> list[str]:
    low, high = row['ci95']
    return [_number(row['mean_iou']), f'{low:.3f} to {high:.3f}', _number(row['iou50']),
            str(row['n'])]


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'
