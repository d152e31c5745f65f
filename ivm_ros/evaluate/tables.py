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
"""The figures of a benchmark as tables, for the terminal and for the page."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from ivm_ros.evaluate.asking import RAW
from ivm_ros.terminal import marked, PlainConsole, printable

LISTED = 10  # lines of what is missing that the terminal shows


def tables_of(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """
    Make tables of the figures of `benchmark`.

    Returns:
        Each with 'title', 'head' (names of columns) and 'rows' (lists of texts).
    """
    if 'methods' not in figures:
        head = ['split', 'cIoU', 'gIoU', '95 %', 'IoU > 0.5', 'box > 0.5', 'sentences', 'pictures']
        rows = [[split, _number(row['ciou']), _number(row['giou']), _between(row['giou_ci95']),
                 _number(row['iou50']), _number(row['box50']), str(row['n']), str(row['images'])]
                for split, row in figures['splits'].items()]
        return [{'title': figures['dataset'], 'head': head, 'rows': rows}]
    tables = [_paired(f'{figures["dataset"]}, {split}: {row["n"]} questions, {row["masked"]} '
                      f'masked', row) for split, row in figures['splits'].items()]
    if rows := _beside(figures):
        tables.append({'title': 'Published, and this run', 'rows': rows,
                       'head': ['model', *figures['splits']]})
    return tables


def _paired(title: str, row: dict[str, Any]) -> dict[str, Any]:
    """Make the table of one split: the raw picture, then every method."""
    variants = {RAW: row['raw'], **row['methods']}
    extra = [(key, name) for key, name in (
        ('score', 'score'), ('f1', 'F1'), ('yes_share', 'says yes'),
        ('accuracy_plus', 'acc+'), ('mme_score', 'MME'), ('unread', 'unread'))
        if key in row['raw']]
    head = ['picture', 'accuracy', '95 %', 'delta', 'gained', 'lost', 'p',
            *(name for _, name in extra), 'tokens a question']
    rows = []
    for name, found in variants.items():
        paired = ['', '', '', ''] if name == RAW else [
            f'{found["delta"]:+.3f}', str(found['gained']), str(found['lost']),
            f'{found["mcnemar_p"]:.3g}']
        tokens = found['tokens']
        told = row['n'] - tokens['untold']
        rows.append([name, _number(found['accuracy']), _between(found['ci95']), *paired,
                     *(_number(found[key]) for key, _ in extra),
                     f'{(tokens["asked"] + tokens["said"]) / told:.0f}' if told else 'not told'])
    return {'title': title, 'head': head, 'rows': rows}


def _beside(figures: dict[str, Any]) -> list[list[str]]:
    """Set what was published beside what this run found, by split."""
    if not figures['published']:
        return []
    splits = figures['splits']
    rows = [[row['model'], *(_number(row.get(split)) for split in splits)]
            for row in figures['published']]
    for name in (RAW, *figures['methods']):
        found = [row['raw'] if name == RAW else row['methods'][name] for row in splits.values()]
        rows.append([f'{figures["model"]}, {name}', *(_number(row['accuracy']) for row in found)])
    return rows


def print_tables(tables: Sequence[dict[str, Any]], figures: dict[str, Any]) -> None:
    """Print the tables, and what could not be used."""
    console = PlainConsole()
    for table in tables:
        shown = Table(title=table['title'], title_justify='left')
        for number, name in enumerate(table['head']):
            shown.add_column(name, justify='right' if number else 'left')
        for row in table['rows']:
            shown.add_row(*row)
        console.print(shown)
    if spent := figures.get('spent'):
        console.print(f'sent {spent["requests"]} requests ({spent["asked"] + spent["said"]} '
                      f'tokens), remembered {spent["remembered"]} answers', highlight=False)
    for name, entries in (('could not be used', figures['lost']),
                          ('without an answer', figures.get('failed', []))):
        if entries:
            console.print(marked(f'{len(entries)} {name}', 'bold yellow', '(all in the JSON):'))
            for entry in entries[:LISTED]:
                console.print(f'  {printable(entry["name"])}: {printable(entry["why"])}',
                              highlight=False, soft_wrap=True)


def _number(value: float | int | None) -> str:
    if value is None:
        return '-'
    return str(value) if isinstance(value, int) else f'{value:.3f}'


def _between(ends: Sequence[float]) -> str:
    return f'{ends[0]:.3f} to {ends[1]:.3f}'
