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

from pathlib import Path
import time
from typing import Any

from ivm_ros.config import ConfigError
from ivm_ros.work import in_processes, progress_of
from ivm_sim.evaluation.config import cells_of, EvaluateConfig, EXPERT
from ivm_sim.evaluation.episodes import run_cell, weights_of
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
    started = time.monotonic()
    report = report_of(config, cells, done, before)
    with progress_of('cells') as progress:
        bar = progress.add_task(config.json, total=len(cells),
                                completed=len(cells) - len(missing))
        jobs = [(config, cell) for cell in missing]
        results = (in_processes(run_cell, jobs, config.workers)
                   if config.workers > 1 and len(jobs) > 1 else (run_cell(*job) for job in jobs))
        for cell, outcomes in results:
            done[cell] = outcomes
            report = report_of(config, cells, done, before + time.monotonic() - started)
            write(Path(config.json), report)
            progress.advance(bar)
    return report
