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
"""
`ivm-sim evaluate`: success of cloned policies over tasks, clutter and what their cameras show.

A cell is one column (a policy and its camera) on one task at one clutter level. Every column runs
the same seeds. Finished cells are kept in the report and not run again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
import os
from pathlib import Path
import time
from typing import Any

from ivm_ros.config import ConfigError
from ivm_ros.masker import CheckpointError
from ivm_ros.models.installed import weights_path
from ivm_ros.terminal import printable
from ivm_ros.work import in_processes, progress_of
from ivm_sim.evaluation.config import Cell, cells_of, EvaluateConfig, EXPERT
from ivm_sim.evaluation.episodes import Outcome, run_cell, weights_of
from ivm_sim.evaluation.results import kept, report_of, write


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """
    Run the cells that are missing and write the report; return it.

    Raises:
        ConfigError: Weights are missing, or the file there is no report.
    """
    cells = cells_of(config)
    for name in {cell.trained_on for cell in cells} - {EXPERT}:
        if not weights_of(config.folder, name).is_file():
            raise ConfigError(f'{config.folder} holds no {name}.safetensors; train it with '
                              '"ivm-sim clone"')
    done, before = kept(config)
    missing = [cell for cell in cells if cell not in done]
    pinned = _pinned(config)
    started = time.monotonic()
    report = report_of(config, cells, done, before)
    with progress_of('cells') as progress:
        bar = progress.add_task(printable(config.json), total=len(cells),
                                completed=len(cells) - len(missing))
        for cell, outcomes in _each(pinned, missing):
            done[cell] = outcomes
            report = report_of(config, cells, done, before + time.monotonic() - started)
            write(Path(config.json), report)
            progress.advance(bar)
    return report


def _each(config: EvaluateConfig, cells: Sequence[Cell]
          ) -> Iterator[tuple[Cell, dict[int, Outcome]]]:
    """Run cells, and yield them with their outcomes as they are finished."""
    jobs = [(config, cell) for cell in cells]
    if config.ray and jobs:
        from ivm_ros.ray_work import on_ray  # an extra

        yield from on_ray(run_cell, jobs, config.workers)
    elif config.workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield run_cell(*job)
    else:
        yield from in_processes(run_cell, jobs, config.workers)


def _pinned(config: EvaluateConfig) -> EvaluateConfig:
    """Name files so that every worker takes the same, and not what its own user promoted."""
    try:
        masks = weights_path(config.mask_weights).absolute()
    except CheckpointError as error:
        raise ConfigError(str(error)) from None
    if not masks.is_file():
        raise ConfigError(f'EvaluateConfig.mask_weights: wanted a checkpoint, {masks} is none')
    return replace(config, weights=config.weights and os.path.abspath(config.weights),
                   mask_weights=str(masks))
