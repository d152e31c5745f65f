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
`ivm-sim demos`: demonstrations of the scripted expert.

Episode i of a task is reset with seed + i, so shards depend on nothing but their settings and are
made anew where they are missing. Episodes that the expert loses are left out and counted.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
import json
from pathlib import Path
import shlex
import sys
from typing import Annotated, Any, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ivm_ros.config import check, ConfigError, Doc, nearest, Range
from ivm_ros.data.shards import DatasetError, write_info
from ivm_ros.files import replace_file
from ivm_ros.terminal import printable
from ivm_ros.work import in_processes, progress_of
from ivm_sim.seeds import VALIDATION_SEED
from ivm_sim.suites import SUITES

if TYPE_CHECKING:  # `--help` works on a machine that cannot draw
    from ivm_sim.episodes import Episode
    from ivm_sim.policy import Step
    from ivm_sim.tasks import Assignment

PLAN = 'plan.json'
MAY_CHANGE = ('out', 'tasks', 'episodes', 'bag', 'lerobot', 'workers')  # from run to run


@dataclass(frozen=True)
class DemosConfig:
    """
    Record demonstrations of the scripted expert, or what is missing of them.

    Seeds from 800000 on are for validation, from 900000 on for evaluation; demonstrations refuse
    both.
    """

    out: Annotated[str, Doc('Folder to write; finished shards in it are kept.')]
    tasks: Annotated[tuple[str, ...], Doc('Tasks, or a suite: paper, full.')] = ('paper',)
    episodes: Annotated[int, Range(1), Doc('Episodes of each task.')] = 100
    clutter: Annotated[str, Doc('Clutter level: none, few, many, moving, look, all.')] = 'none'
    seed: Annotated[int, Range(0), Doc('The first episode is reset with it.')] = 0
    size: Annotated[int, Range(32, 1024), Doc('Side of the pictures in pixels.')] = 128
    rate: Annotated[int, Range(10, 20), Doc('Steps a second: 10 or 20.')] = 10
    arm: Annotated[str, Doc('Arm: primitive, ur5e.')] = 'primitive'
    pictures: Annotated[bool, Doc('With pictures and true masks.')] = True
    noise: Annotated[float, Range(0, 0.05), Doc(
        'Deviation in metres of what is added to the shifts carried out, not to those recorded.'
    )] = 0.006
    bag: Annotated[bool, Doc('Write each episode as a bag (MCAP) too, in bags/.')] = False
    lerobot: Annotated[bool, Doc(
        'Write all as a LeRobot dataset (v3) too, in lerobot/; needs that package.')] = False
    shard: Annotated[int, Range(1), Doc('Episodes in one shard.')] = 25
    workers: Annotated[int, Range(1), Doc('Processes.')] = 1

    def __post_init__(self) -> None:
        """Refuse evaluation seeds and unknown tasks."""
        check(self)
        if self.seed + self.episodes > VALIDATION_SEED:
            raise ConfigError(f'DemosConfig.seed: wanted seeds below {VALIDATION_SEED} (others '
                              f'are for evaluation only), got {self.seed} to '
                              f'{self.seed + self.episodes - 1}')
        for task in self.tasks:
            if task not in (*SUITES, *SUITES['full']):
                raise ConfigError(f'DemosConfig.tasks: no task {task!r}'
                                  + nearest(task, [*SUITES, *SUITES['full']]))

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """(task, first episode) of each shard."""
        tasks = dict.fromkeys(name for task in self.tasks for name in SUITES.get(task, (task,)))
        return [(task, start) for task in tasks for start in range(0, self.episodes, self.shard)]


def write_demos(config: DemosConfig) -> dict[str, Any]:
    """
    Write what is missing of a folder of demonstrations; return what `dataset.json` says.

    Raises:
        DatasetError: The folder holds others.
        GLError: Pictures are wanted and MuJoCo cannot draw here.
    """
    folder = Path(config.out)
    _check_plan(folder, config)
    missing = [job for job in config.jobs if not _finished(config, *job)]
    with progress_of('episodes') as progress:
        total = sum(len(_seeds(config, start)) for _, start in config.jobs)
        left = sum(len(_seeds(config, start)) for _, start in missing)
        bar = progress.add_task(printable(folder), total=total, completed=total - left)
        jobs = [(config, *job) for job in missing]
        results = (in_processes(write_shard, jobs, config.workers)
                   if config.workers > 1 and len(jobs) > 1 else
                   (write_shard(*job) for job in jobs))
        for done in results:
            progress.advance(bar, done)
    if config.bag:
        write_bags(config)
    if config.lerobot:
        from ivm_sim.lerobot_export import export, ExportConfig

        export(ExportConfig(config.out, str(folder / 'lerobot'), config.rate))
    info = _describe(config)
    write_info(folder, info)
    return info


def write_shard(config: DemosConfig, task: str, start: int) -> int:
    """Record the episodes of one shard; return how many were tried."""
    from ivm_sim.episodes import write_episodes

    seeds = _seeds(config, start)
    write_episodes(_path(config, task, start), list(record(config, task, seeds)))
    return len(seeds)


def write_bags(config: DemosConfig) -> None:
    """Write the episodes of all shards as bags, those that are missing."""
    try:
        from ivm_sim.bags import write_bag
    except ModuleNotFoundError as error:
        raise ConfigError(f'DemosConfig.bag: bags need "pip install rosbags" ({error})') from error
    from ivm_sim.episodes import read_shard

    with progress_of('episodes') as progress:
        paths = [_path(config, *job) for job in config.jobs]
        for path in progress.track(paths, description='bags'):
            for episode in read_shard(path):
                name = f'{episode.task}-{episode.clutter}-{episode.seed:06d}'
                if not (bag := path.parent / 'bags' / name).exists():
                    write_bag(bag, episode, config.rate)


def record(config: DemosConfig, task: str, seeds: range) -> 'Iterator[Episode]':
    """Record episodes of a task; those that the expert loses are left out."""
    from ivm_sim.env import TabletopEnv
    from ivm_sim.expert import Expert
    from ivm_sim.policy import run

    env = TabletopEnv(task, config.clutter, config.size, config.rate, config.pictures,
                      masks=config.pictures, arm=config.arm)
    with closing(env):
        for seed in seeds:
            steps = list(run(env, Expert(env), seed, config.noise))
            if steps[-1].success:
                yield _episode(env.assignment, config, task, seed, steps)


def _episode(assignment: 'Assignment', config: DemosConfig, task: str, seed: int,
             steps: 'list[Step]') -> 'Episode':
    from ivm_ros.data.shards import encode_image, encode_mask
    from ivm_sim.episodes import Episode

    views: dict[str, tuple[bytes, ...]] = {}
    if config.pictures:
        views = {name: tuple(encode_image(step.observation[name]) for step in steps)
                 for name in ('front', 'wrist')}
        views['labels'] = tuple(encode_mask(step.info['truth'].labels) for step in steps)
    return Episode(seed, task, config.clutter, assignment.instruction, True,
                   np.stack([step.observation['proprio'] for step in steps]),
                   np.stack([step.action for step in steps]), **views,
                   targets=assignment.targets)


def _seeds(config: DemosConfig, start: int) -> range:
    return range(config.seed + start, config.seed + min(start + config.shard, config.episodes))


def _path(config: DemosConfig, task: str, start: int) -> Path:
    return Path(config.out) / f'{task}-{start:06d}.parquet'


def _finished(config: DemosConfig, task: str, start: int) -> bool:
    """Tell whether a shard is there and whole."""
    path = _path(config, task, start)
    if not path.is_file():
        return False
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError):  # torn: written anew
        return False
    return True


def _check_plan(folder: Path, config: DemosConfig) -> None:
    """Refuse to mix two recordings in one folder."""
    plan, usual = asdict(config), asdict(DemosConfig(''))
    for name in MAY_CHANGE:
        del plan[name], usual[name]
    path = folder / PLAN
    # What a plan does not say is older than that setting.
    if path.is_file() and {**usual, **json.loads(path.read_text())} != plan:
        raise DatasetError(f'{folder} was begun with other settings '
                           f'({path.read_text().strip()}): use another --out, or delete it')
    with replace_file(path) as part:
        part.write_text(json.dumps(plan) + '\n')


def _describe(config: DemosConfig) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    steps = 0
    for task, start in config.jobs:
        table = pq.read_table(_path(config, task, start), columns=['episode', 'step'])
        counts[task] += len(set(table['episode'].to_pylist()))
        steps += len(table)
    plan = asdict(config)
    del plan['out'], plan['workers']
    return {**plan, 'command': shlex.join(['ivm-sim', *sys.argv[1:]]), 'steps': steps,
            'kept': dict(counts), 'versions': {
                'python': sys.version.split()[0],
                **{name: version(name) for name in ('mujoco', 'numpy', 'gymnasium')}}}
