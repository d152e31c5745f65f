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
`ivm eval noise`: DWSL against the other ways to learn from labels of unlike quality.

Labels of simulated scenes are spoilt as annotators spoil them (`annotate.noise`), a few are left
as people would draw them, and every method learns from the same of them with the same seeds. What
DWSL may choose (form and f) is chosen on validation scenes, once; the test scenes see the choice.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
import json
from pathlib import Path
from typing import Annotated, Any, get_args, Literal

import torch

from ivm_ros.annotate.noise import LEVELS
from ivm_ros.auroc import auroc
from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.files import replace_file
from ivm_ros.models.checkpoint import Checkpoint, load_checkpoint
from ivm_ros.models.checkpoint_info import SHIPPED
from ivm_ros.models.text import TextEncoder
from ivm_ros.study.examples import draw_examples, examples_of
from ivm_ros.study.methods import first_stage, learn, Learnt, METHODS, Task
from ivm_ros.study.pupil import true_iou
from ivm_ros.study.report import write_report
from ivm_ros.study.seen import annotate_badly, see, Seen
from ivm_ros.train.dwsl import DwslConfig, Form, Weight
from ivm_ros.work import in_processes, progress_of

DWSL: dict[str, Form] = {'dwsl_two_stage': 'two_stage', 'dwsl_joint': 'joint'}
SHARES = .02, .05, .10, .20


@dataclass(frozen=True)
class NoiseConfig:
    """Compare ways to learn from noisy labels."""

    data: Annotated[tuple[str, ...], Doc('Datasets with labelled things to learn from.')]
    validation: Annotated[tuple[str, ...], Doc('Datasets to choose by.')]
    test: Annotated[tuple[str, ...], Doc('Datasets to report, other scenes.')]
    out: Annotated[str, Doc('Folder of the results; finished runs in it are kept.')] = 'noise'
    json: Annotated[str, Doc(
        'Figures, with tables and plots beside; empty: noise.json in the folder.')] = ''
    html: Annotated[str, Doc('The same as a page; empty: beside the figures.')] = ''
    preset: Annotated[Literal['quick', 'full'], Doc(
        'quick: 2000 pictures, 600 steps a run; full: 4000 and 4000.')] = 'quick'
    seeds: Annotated[int, Range(1, 100), Doc('Runs a method, each with its own labels.')] = 3
    human: Annotated[float, Range(.001, .999), Doc('Share of labels that people made.')] = .10
    noise: Annotated[Literal['weak', 'medium', 'strong'], Doc('Of machine labels.')] = 'strong'
    grid: Annotated[bool, Doc('Also other shares and strengths, one seed.')] = True
    weights: Annotated[str, Doc('Generator through whose eyes is looked; empty: shipped.')] = ''
    workers: Annotated[int, Range(1, 64), Doc('Processes, one thread each.')] = 1
    judged: Annotated[int, Range(1), Doc('Pictures to choose by, and to report.')] = 100
    pictures: Annotated[int, Range(0), Doc('Instead of the preset; 0 for the preset.')] = 0
    steps: Annotated[int, Range(0), Doc('Instead of the preset; 0 for the preset.')] = 0

    def __post_init__(self) -> None:
        """Check ranges and names."""
        check(self)
        for name in ('data', 'validation', 'test'):
            if not getattr(self, name):
                raise ConfigError(f'NoiseConfig.{name}: wanted dataset folders, got none')

    @property
    def size(self) -> tuple[int, int]:
        """Pictures to learn from, and steps of a run."""
        pictures, steps = {'quick': (2000, 600), 'full': (4000, 4000)}[self.preset]
        return self.pictures or pictures, self.steps or steps


@dataclass(frozen=True)
class Trial:
    """
    One run of one method.

    Attributes:
        method (str): One of `METHODS`.
        seed (int): Of labels, weights and order.
        on (str): 'validation' or 'test', the scenes that it is measured on.
        human (float): Share of labels that people made.
        noise (str): Key of `LEVELS`.
        weight (str): f of DWSL.
    """

    method: str
    seed: int
    on: str
    human: float
    noise: str
    weight: Weight = 'clip'

    @property
    def name(self) -> str:
        """Of its file."""
        weight = f'-{self.weight}' if self.method in DWSL else ''
        return (f'{self.method}{weight}-{self.noise}-{round(1000 * self.human)}-{self.seed}-'
                f'{self.on}')


def evaluate_noise(config: NoiseConfig) -> Path:
    """
    Run what is missing of the study; return the path of its figures.

    Raises:
        DatasetError: A dataset has too few pictures with labelled things.
    """
    out = Path(config.out)
    (out / 'runs').mkdir(parents=True, exist_ok=True)
    base = Trial('all_labels', 0, 'test', config.human, config.noise)
    weights = [name for name in get_args(Weight) if name != 'none']
    tuning = [replace(base, method=method, seed=1000, on='validation', weight=weight)
              for method in DWSL for weight in weights]
    tuned = _run(config, tuning, 'choosing f')
    best = {method: max((run for run in tuned if run['method'] == method),
                        key=lambda run: float(run['iou']))['weight'] for method in DWSL}
    main = [replace(base, method=method, seed=seed, weight=best.get(method, 'clip'))
            for seed in range(config.seeds) for method in METHODS]
    runs = _run(config, main, 'methods')
    form = max(DWSL, key=lambda method: max(
        float(run['iou']) for run in tuned if run['method'] == method))
    grid = [replace(base, method=method, human=share, noise=level, weight=best.get(method, 'clip'))
            for level in LEVELS for share in SHARES for method in ('all_labels', form)]
    # Human labels are the same whatever machines do.
    grid += [replace(base, method='human_only', human=share) for share in SHARES]
    cells = _run(config, grid, 'shares and strengths') if config.grid else []
    path = Path(config.json) if config.json else out / 'noise.json'
    page = Path(config.html) if config.html else path.with_suffix('.html')
    shown = draw_examples(examples_of(config.test, config.noise))
    write_report(path, asdict(config), tuned, runs, cells, form, page, shown)
    return path


def _run(config: NoiseConfig, trials: Sequence[Trial], title: str) -> list[dict[str, Any]]:
    """Run those that have no file yet; give the results of all, in their order."""
    folder = Path(config.out) / 'runs'
    left = [trial for trial in trials if not (folder / f'{trial.name}.json').is_file()]
    with progress_of('runs') as bar:
        task = bar.add_task(title, total=len(trials), completed=len(trials) - len(left))
        if left:
            for _ in in_processes(run_trial, [(config, trial) for trial in left], config.workers):
                bar.advance(task)
    return [json.loads((folder / f'{trial.name}.json').read_text()) for trial in trials]


def run_trial(config: NoiseConfig, trial: Trial) -> None:
    """Run one method once and write what came of it."""
    torch.set_num_threads(1)
    net = _eyes(config)[0].net
    task = make_task(config, trial)
    same = replace(trial, method='all_labels', on='', weight='clip')
    if trial.method == 'all_labels':
        learnt = _alike(config, same)
    else:
        scores = _scores(config, same) if trial.method == 'dwsl_two_stage' else None
        learnt = learn(task, trial.method, trial.seed, scores)
    ious = true_iou(learnt.pupil, _seen(config, trial.on))
    result = asdict(trial) | {'iou': float(ious.mean()),
                              'iou50': float((ious > .5).float().mean()),
                              'effective': learnt.effective, 'curve': learnt.curve,
                              'samples': len(task.is_human), 'judged': len(ious),
                              'pictures': config.size[0], 'steps': config.size[1],
                              'dim': net.config.dim}
    if learnt.scores is not None:
        result |= judged(learnt.scores, task.wrong, task.is_human > .5)
    with replace_file(Path(config.out) / 'runs' / f'{trial.name}.json') as part:
        part.write_text(json.dumps(result) + '\n')


def make_task(config: NoiseConfig, trial: Trial) -> Task:
    """Spoil labels for a trial."""
    seen = _seen(config, 'data')
    noisy, kinds = _noisy(config, trial.noise, trial.seed)
    chance = torch.rand(len(kinds), generator=torch.Generator().manual_seed(trial.seed))
    human = chance < chance.quantile(trial.human)  # just that share
    labels = torch.where(human[:, None, None], seen.truth, noisy)
    bad = torch.tensor([kind != 'true' for kind in kinds]) & ~human
    form = DWSL.get(trial.method, 'two_stage')
    dwsl = DwslConfig(form=form, weight=trial.weight, steps=config.size[1])
    return Task(seen, labels, human.float(), bad, config.size[1], 64, 1e-3, dwsl)


def judged(scores: torch.Tensor, bad: torch.Tensor, human: torch.Tensor) -> dict[str, Any]:
    """
    Say how well scores tell good machine labels from bad ones; scores, bad, human [N].

    Returns:
        `auroc` of good machine labels above bad ones, `auroc_human` of human above machine ones,
        `precision_bad`, the share of bad ones among as many of the lowest p as are bad, and
        mean p of human, good and bad labels.
    """
    machine = scores[~human]
    wrong = bad[~human]
    lowest = machine.argsort()[:int(wrong.sum())]
    return {'auroc': auroc(~wrong, machine),
            'auroc_human': auroc(human, scores),
            'precision_bad': float(wrong[lowest].float().mean()),
            'p': {'human': float(scores[human].mean()), 'good': float(machine[~wrong].mean()),
                  'bad': float(machine[wrong].mean())}}


@cache
def _eyes(config: NoiseConfig) -> tuple[Checkpoint, TextEncoder]:
    return load_checkpoint(Path(config.weights) if config.weights else SHIPPED), TextEncoder()


@lru_cache(maxsize=1)
def _noisy(config: NoiseConfig, level: str, seed: int) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Spoil all labels; the trials of a seed share them."""
    return annotate_badly(_seen(config, 'data'), LEVELS[level], _eyes(config)[0].net, seed)


@lru_cache(maxsize=1)
def _alike(config: NoiseConfig, trial: Trial) -> Learnt:
    """Learn from all labels alike: a method, and the guide of another one."""
    return learn(make_task(config, trial), 'all_labels', trial.seed)


@lru_cache(maxsize=1)
def _scores(config: NoiseConfig, trial: Trial) -> torch.Tensor:
    """Judge all labels; trials that differ in f alone share what the discriminator says."""
    return first_stage(make_task(config, trial), trial.seed, _alike(config, trial))


@cache
def _seen(config: NoiseConfig, what: str) -> Seen:
    """Look at the scenes to learn from, to choose by, or to report, once a process."""
    folders = [Path(folder) for folder in getattr(config, what)]
    pictures = config.size[0] if what == 'data' else config.judged
    return see(folders, *_eyes(config), pictures, 6, seed=0)
