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
"""`ivm-sim report`: evaluations as a page: tables, plots, failures by cause, films."""

from pathlib import Path
from typing import Any

import jinja2

from ivm_ros.files import replace_file
from ivm_ros.work import progress_of
from ivm_sim.evaluation.config import Cell, COLUMNS, EvaluateConfig, ReportConfig
from ivm_sim.evaluation.episodes import Cause, Outcome, RATE
from ivm_sim.evaluation.findings import by_iou, checks, Findings, masks_of
from ivm_sim.evaluation.results import read

CAUSES: dict[Cause, str] = {
    'target_missed': 'the mask missed what was needed', 'decoy_kept': 'the mask kept a decoy',
    'policy': 'the policy missed with a good mask'}
MATRIX = ('raw', 'masked', 'truth', 'control')


def write_report(config: ReportConfig) -> Path:
    """
    Write the page; return its path.

    Raises:
        ConfigError: A file is no report.
    """
    from ivm_sim.evaluation import plots  # matplotlib takes half a second to import

    reports = [read(Path(path)) for path in config.json]
    found = Findings.of(reports)
    masked = [outcome for level in found.levels for outcome in _outcomes(found, 'masked', level)]
    iou = by_iou(masked)
    facts: dict[str, Any] = {
        'title': config.title, 'names': plots.NAMES, 'causes': CAUSES, 'found': found,
        'checks': checks(found), 'reports': reports, 'iou': iou,
        'matrix': [name for name in MATRIX if name in found.columns],
        'others': [name for name in found.columns if name not in MATRIX],
        'masks': {level: masks_of(outcomes) for level in found.levels
                  if (outcomes := _outcomes(found, 'masked', level))},
        'curves': {level: plots.error_curves(found, level) for level in found.levels
                   if found.errors(level)},
        'paper_bars': plots.paper_bars(found), 'level_bars': plots.level_bars(found),
        'iou_bars': plots.iou_bars(iou) if iou else '',
        **_pictures(config, found, int(reports[0]['size']))}
    jinja = jinja2.Environment(loader=jinja2.PackageLoader('ivm_sim', 'assets'),
                               autoescape=jinja2.select_autoescape(('html.j2',)),
                               trim_blocks=True, lstrip_blocks=True,
                               undefined=jinja2.StrictUndefined)
    folder = Path(config.out)
    for name in ('README.md', 'index.html'):
        with replace_file(folder / name) as part:
            part.write_text(jinja.get_template(f'{name}.j2').render(facts))
    return folder / 'index.html'


def _outcomes(found: Findings, name: str, level: str) -> list[Outcome]:
    return [outcome for cell in found.select(name, level)
            for outcome in found.cells[cell].values()]


def _pictures(config: ReportConfig, found: Findings, size: int) -> dict[str, Any]:
    """Play episodes again and write their pictures; say where they are."""
    from ivm_sim.evaluation.films import play, save_failure, save_gif

    evaluation = EvaluateConfig(config.weights, size=size)
    films = _chosen(found) if config.films else {}
    failures = [choice for cause in CAUSES for choice in _failures(found, cause)[:config.failures]]
    folder = Path(config.out)
    shown: dict[str, Any] = {'films': {}, 'failures': {cause: [] for cause in CAUSES}}
    with progress_of('episodes') as progress:
        bar = progress.add_task('playing again', total=len(films) + len(failures))
        for (name, level), (cell, seed) in films.items():
            film, path = play(evaluation, cell, seed), f'films/{level}_{name}.gif'
            save_gif(film, folder / path, RATE)
            shown['films'][name, level] = {'path': path, 'text': film.instruction,
                                           'success': film.success, 'seed': seed}
            progress.advance(bar)
        for cause, cell, seed in failures:
            film = play(evaluation, cell, seed)
            path = f'failures/{cell.task}_{cell.clutter}_{seed}.png'
            save_failure(film, cause, folder / path)
            shown['failures'][cause].append({'path': path, 'text': film.instruction,
                                             'cell': cell, 'seed': seed})
            progress.advance(bar)
    return shown


def _chosen(found: Findings) -> dict[tuple[str, str], tuple[Cell, int]]:
    """Take the first seed at each level, the tasks in turn: not the prettiest."""
    out = {}
    for index, level in enumerate(found.levels):
        task = found.tasks[index % len(found.tasks)]
        for name in COLUMNS:
            for cell in found.select(name, level, task=task)[:1] if name != 'expert' else ():
                out[name, level] = cell, min(found.cells[cell])
    return out


def _failures(found: Findings, cause: Cause) -> list[tuple[Cause, Cell, int]]:
    """List failures of the masked policy that are put down to a cause, the levels in turn."""
    by_level = [[(cause, cell, seed) for cell in found.select('masked', level)
                 for seed, outcome in found.cells[cell].items()
                 if not outcome.success and outcome.cause == cause] for level in found.levels]
    return [row[index] for index in range(max(map(len, by_level), default=0))
            for row in by_level if index < len(row)]
