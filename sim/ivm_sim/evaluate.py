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
the same seeds. Finished cells are kept beside the report and not run again.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
import json
from math import sqrt
from pathlib import Path
import shlex
import sys
from typing import Annotated, Any

from ivm_ros.config import check, ConfigError, Doc, nearest, Range
from ivm_ros.deploy import MethodName
from ivm_ros.files import replace_file
from ivm_ros.version import commit
from ivm_sim.demos import SUITES
from ivm_sim.seeds import EVAL_SEED, VALIDATION_SEED
from ivm_sim.work import in_processes, progress_of

Z = 1.959964  # of a normal distribution, 95 %


@dataclass(frozen=True)
class Column:
    """
    A policy and its camera.

    Attributes:
        trained_on (str): Name of its weights: raw, masked, truth, raw_cluttered.
        camera (str): raw, masked, truth, or wrong_instruction: masked by the name of another
            thing on the table.
    """

    trained_on: str
    camera: str


COLUMNS = {'raw': Column('raw', 'raw'), 'masked': Column('masked', 'masked'),
           'truth': Column('truth', 'truth'), 'control': Column('raw_cluttered', 'raw'),
           'wrong': Column('masked', 'wrong_instruction')}


@dataclass(frozen=True)
class EvaluateConfig:
    """
    Measure the success of cloned policies, on the same seeds for each column.

    Results are told on seeds from 900000 on; those from 800000 on are for choosing settings.
    """

    weights: Annotated[str, Doc(
        'Folder with NAME.safetensors and NAME.json of the policies raw, masked, truth, '
        'raw_cluttered.')]
    suite: Annotated[str, Doc('Tasks: paper or full.')] = 'paper'
    episodes: Annotated[int, Range(1), Doc('Episodes of each task in a cell.')] = 25
    clutter: Annotated[tuple[str, ...], Doc('Clutter levels.')] = ('none', 'many')
    columns: Annotated[tuple[str, ...], Doc('raw, masked, truth, control, wrong.')] = (
        'raw', 'masked', 'truth')
    methods: Annotated[tuple[MethodName, ...], Doc('How masks are shown.')] = ('overlay',)
    seed: Annotated[int, Range(VALIDATION_SEED), Doc(
        'The first episode is reset with it.')] = EVAL_SEED
    size: Annotated[int, Range(32, 1024), Doc('Side of the pictures in pixels.')] = 128
    workers: Annotated[int, Range(1), Doc('Processes.')] = 1
    json: Annotated[str, Doc('Report to write; finished cells in it are kept.')] = 'evaluate.json'

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        check(self)
        for label, names, known in (('suite', (self.suite,), SUITES),
                                    ('columns', self.columns, COLUMNS)):
            for name in names:
                if name not in known:
                    raise ConfigError(f'EvaluateConfig.{label}: no {name!r}'
                                      + nearest(name, known))


@dataclass(frozen=True)
class Cell:
    """What is run: names as in the report."""

    task: str
    trained_on: str
    camera: str
    clutter: str
    method: MethodName


def cells_of(config: EvaluateConfig) -> list[Cell]:
    """List the cells; how masks are shown does not matter where there are none."""
    cells = [Cell(task, column.trained_on, column.camera, level,
                  'none' if column.camera == 'raw' else method)
             for level in config.clutter for name in config.columns
             for column in (COLUMNS[name],) for method in config.methods
             for task in SUITES[config.suite]]
    return list(dict.fromkeys(cells))


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """
    Run the cells that are missing and write the report; return it.

    Raises:
        ConfigError: Weights are missing, or the report there is of other seeds.
    """
    cells = cells_of(config)
    for name in {cell.trained_on for cell in cells}:
        if not (Path(config.weights) / f'{name}.safetensors').is_file():
            raise ConfigError(f'{config.weights} holds no {name}.safetensors; train it with '
                              '"ivm-sim clone"')
    done = _kept(config)
    missing = [cell for cell in cells if cell not in done]
    with progress_of('cells') as progress:
        bar = progress.add_task(config.json, total=len(cells),
                                completed=len(cells) - len(missing))
        jobs = [(config, cell) for cell in missing]
        results = (in_processes(run_cell, jobs, config.workers)
                   if config.workers > 1 and len(jobs) > 1 else (run_cell(*job) for job in jobs))
        for cell, seeds in results:
            done[cell] = seeds
            _write(config, cells, done)
            progress.advance(bar)
    return _write(config, cells, done)


def run_cell(config: EvaluateConfig, cell: Cell) -> tuple[Cell, dict[int, bool]]:
    """Run a cell's episodes; success by seed."""
    import torch

    torch.set_num_threads(1)
    return cell, dict(_episodes(config, cell))


def _episodes(config: EvaluateConfig, cell: Cell) -> Iterator[tuple[int, bool]]:
    from ivm_ros.deploy import DeployConfig
    from ivm_sim.clones.policy import ClonePolicy
    from ivm_sim.env import TabletopEnv
    from ivm_sim.masked import MaskedCamera
    from ivm_sim.policy import run

    inner = TabletopEnv(cell.task, cell.clutter, config.size)
    source = _masks(cell.camera, inner)
    env: Any = inner if source is None else MaskedCamera(
        inner, source, DeployConfig(method=cell.method))
    path = Path(config.weights) / f'{cell.trained_on}.safetensors'
    policy = ClonePolicy(path, inner.action_space.high,
                         'masked' if cell.camera == 'wrong_instruction' else cell.camera)
    for seed in range(config.seed, config.seed + config.episodes):
        *_, last = run(env, policy, seed)
        yield seed, last.success
    inner.close()


def _masks(camera: str, env: Any) -> Any:
    """Give what masks the front camera, or None for a camera that shows all."""
    from ivm_sim.masked import TruthMasker

    if camera == 'raw':
        return None
    if camera == 'truth':
        return TruthMasker(env)
    from ivm_ros.masker import Masker

    masker = Masker()
    if camera == 'masked':
        return masker
    return lambda image, text: masker(image, wrong_sentence(env))


def wrong_sentence(env: Any) -> str:
    """Ask for the first thing that the task does not need; where there is none, for a star."""
    other = [prop.item for prop in env.arena.props if prop.id not in env.assignment.targets]
    item = other[0] if other else None
    return f'pick up the {item.colour} {item.kind}' if item else 'pick up the purple star'


def wilson(won: int, count: int) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson 1927)."""
    share = won / count
    middle = share + Z * Z / (2 * count)
    half = Z * sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    scale = 1 + Z * Z / count
    return (middle - half) / scale, (middle + half) / scale


def _write(config: EvaluateConfig, cells: list[Cell], done: dict[Cell, dict[int, bool]]
           ) -> dict[str, Any]:
    """Write the report of what is done so far."""
    rows = [{**asdict(cell), **_figures(list(done[cell].values())),
             'seeds': {str(seed): won for seed, won in done[cell].items()}}
            for cell in cells if cell in done]
    pooled: dict[tuple[str, ...], list[bool]] = {}
    for cell in cells:
        key = (cell.trained_on, cell.camera, cell.clutter, cell.method)
        pooled.setdefault(key, []).extend(done.get(cell, {}).values())
    report = {
        'cells': rows,
        'pooled': [{**dict(zip(('trained_on', 'camera', 'clutter', 'method'), key)),
                    **_figures(won)} for key, won in pooled.items() if won],
        'command': shlex.join(['ivm-sim', *sys.argv[1:]]), 'commit': commit(),
        'seed': config.seed}
    with replace_file(Path(config.json)) as part:
        part.write_text(json.dumps(report, indent=1) + '\n')
    return report


def _figures(won: list[bool]) -> dict[str, Any]:
    low, high = wilson(sum(won), len(won))
    return {'success': sum(won) / len(won), 'n': len(won), 'ci95': [low, high]}


def _kept(config: EvaluateConfig) -> dict[Cell, dict[int, bool]]:
    """Read the finished cells of a report; those with other seeds are run anew."""
    path = Path(config.json)
    if not path.is_file():
        return {}
    wanted = {str(seed) for seed in range(config.seed, config.seed + config.episodes)}
    return {Cell(*(row[name] for name in ('task', 'trained_on', 'camera', 'clutter', 'method'))):
            {int(seed): won for seed, won in row['seeds'].items()}
            for row in json.loads(path.read_text())['cells'] if set(row['seeds']) == wanted}


def table(report: dict[str, Any]) -> list[str]:
    """Say the pooled figures, a line each."""
    return [f'{row["clutter"]:8}{row["trained_on"]:>14} through {row["camera"]:18}'
            f'{row["method"]:14}{row["success"]:.2f} [{row["ci95"][0]:.2f}, '
            f'{row["ci95"][1]:.2f}]  n = {row["n"]}' for row in report['pooled']]
