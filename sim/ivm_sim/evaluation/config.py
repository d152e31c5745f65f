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
"""What an evaluation runs: columns, cells, and their settings; nothing here needs torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ivm_ros.config import check, ConfigError, Doc, nearest, Range
from ivm_ros.deploy import MethodName
from ivm_sim.evaluation.errors import MaskError
from ivm_sim.seeds import EVAL_SEED, VALIDATION_SEED
from ivm_sim.suites import LEVELS, SUITES

SHIPPED = Path(__file__).resolve().parent.parent / 'weights'
EXPERT = 'expert'


def shipped_clone(name: str) -> Path:
    """Give the path of a clone that ships with the package: raw, masked, truth, ..."""
    return SHIPPED / f'{name}.safetensors'


@dataclass(frozen=True)
class Column:
    """
    A policy and its camera.

    Attributes:
        trained_on (str): Name of its weights: raw, masked, truth, truth_perfect (no errors of
            masks while it learnt), raw_cluttered; or expert, which has none.
        camera (str): raw, masked, truth; wrong_instruction: masked by the name of another thing
            on the table; none: nothing is looked at.
    """

    trained_on: str
    camera: str


COLUMNS = {'raw': Column('raw', 'raw'), 'masked': Column('masked', 'masked'),
           'truth': Column('truth', 'truth'), 'perfect': Column('truth_perfect', 'truth'),
           'control': Column('raw_cluttered', 'raw'),
           'wrong': Column('masked', 'wrong_instruction'), EXPERT: Column(EXPERT, 'none')}


@dataclass(frozen=True)
class EvaluateConfig:
    """
    Measure the success of cloned policies, on the same seeds for each column.

    Results are told on seeds from 900000 on; those from 800000 on are for choosing settings.
    """

    weights: Annotated[str, Doc(
        'Folder with NAME.safetensors and NAME.json of the policies raw, masked, truth, '
        'truth_perfect, raw_cluttered; empty: the shipped ones.')] = ''
    suite: Annotated[str, Doc('Tasks: paper or full.')] = 'paper'
    tasks: Annotated[tuple[str, ...], Doc('Only these of them; none: all.')] = ()
    episodes: Annotated[int, Range(1), Doc('Episodes of each task in a cell.')] = 25
    clutter: Annotated[tuple[str, ...], Doc('Clutter levels.')] = ('none', 'many')
    columns: Annotated[tuple[str, ...], Doc(f'{", ".join(COLUMNS)}.')] = (
        'raw', 'masked', 'truth')
    methods: Annotated[tuple[MethodName, ...], Doc('How masks are shown.')] = ('overlay',)
    errors: Annotated[tuple[str, ...], Doc(
        'Errors that are put into masks, each a row of cells: none, or such as extra=2, '
        'missing=0.2, wider=4, or several with a comma between them.')] = ('none',)
    seed: Annotated[int, Range(VALIDATION_SEED), Doc(
        'The first episode is reset with it.')] = EVAL_SEED
    size: Annotated[int, Range(32, 1024), Doc('Side of the pictures in pixels.')] = 128
    workers: Annotated[int, Range(1), Doc('Processes.')] = 1
    ray: Annotated[bool, Doc(
        'Have the workers on a Ray cluster: that of RAY_ADDRESS, else one on this machine. All '
        'its machines need ivm_ros, and weights under the same paths.')] = False
    mask_weights: Annotated[str, Doc(
        'Checkpoint that makes the masks; empty: the promoted one, or the shipped one.')] = ''
    json: Annotated[str, Doc('Report to write; finished cells in it are kept.')] = 'evaluate.json'

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        check(self)
        names: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
            ('suite', (self.suite,), tuple(SUITES)), ('columns', self.columns, tuple(COLUMNS)),
            ('clutter', self.clutter, LEVELS))
        for label, given, known in names:
            _known(label, given, known)
        _known('tasks', self.tasks, tuple(SUITES[self.suite]))
        for error in self.errors:
            MaskError.parse(error)

    @property
    def folder(self) -> Path:
        """Where the policies lie."""
        return Path(self.weights) if self.weights else SHIPPED


def _known(label: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f'EvaluateConfig.{label}: no {name!r}{nearest(name, known)}. '
                              f'Known: {", ".join(known)}')


@dataclass(frozen=True)
class ReportConfig:
    """Make a page (index.html, README.md) of reports of "ivm-sim evaluate"."""

    json: Annotated[tyro.conf.Positional[tuple[str, ...]], Doc('Reports; they are joined.')]
    out: Annotated[str, Doc('Folder to write.')] = 'report'
    title: Annotated[str, Doc('Heading.')] = 'Does masking keep a policy alive in clutter?'
    weights: Annotated[str, Doc(
        'Folder of the policies, to play episodes again; empty: the shipped ones.')] = ''
    films: Annotated[bool, Doc('Play an episode of each cell again for an animation.')] = True
    failures: Annotated[int, Range(0, 100), Doc('Pictures of failures for each cause.')] = 4

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)
        if not self.json:
            raise ConfigError('ReportConfig.json: wanted reports of "ivm-sim evaluate"')


@dataclass(frozen=True)
class Cell:
    """
    What is run: names as in the report.

    Attributes:
        task (str): Key of `tasks.TASKS`.
        trained_on (str): See `Column`.
        camera (str): See `Column`.
        clutter (str): Entry of `clutter.LEVELS`.
        method (MethodName): How masks are shown; none without masks.
        error (str): What is put into the masks, see `MaskError`.
    """

    task: str
    trained_on: str
    camera: str
    clutter: str
    method: MethodName
    error: str = 'none'

    @property
    def sees_masks(self) -> bool:
        """Whether there is a mask between camera and policy."""
        return self.camera not in ('raw', 'none')


def cells_of(config: EvaluateConfig) -> list[Cell]:
    """List the cells; how masks are shown and spoiled does not matter where there are none."""
    cells: list[Cell] = []
    for level in config.clutter:
        for name in config.columns:
            for method in config.methods:
                for error in config.errors:
                    for task in config.tasks or SUITES[config.suite]:
                        column = COLUMNS[name]
                        cell = Cell(task, column.trained_on, column.camera, level, method, error)
                        cells.append(cell if cell.sees_masks else Cell(
                            task, column.trained_on, column.camera, level, 'none'))
    return list(dict.fromkeys(cells))
