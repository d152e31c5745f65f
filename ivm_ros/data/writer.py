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
Writes datasets scene by scene, so that a stopped run goes on with what is missing.

Scenes do not depend on each other, so neither do shards on the number of workers or on what was
written before. `ivm_sim.dataset` and `ivm_ros.data.compose` say what a scene is.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
import json
from pathlib import Path
import shlex
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ivm_ros.data.shards import DatasetError, Row, shard_paths, write_info, write_shard
from ivm_ros.files import replace_file
from ivm_ros.terminal import printable
from ivm_ros.work import in_processes, progress_of

PLAN = 'plan.json'
Draw = Callable[[Iterable[int]], Iterator[tuple[int, list[Row]]]]
"""Indices of scenes to (index, rows of that scene), in order; it goes to other processes."""


@dataclass(frozen=True)
class Plan:
    """
    What a dataset is to hold.

    Attributes:
        out (str): Folder to write; finished shards in it are kept.
        scenes (int): Number of scenes, one picture each.
        seed (int): Part of the rows' ids.
        shard (int): Scenes in one shard.
        workers (int): Processes.
        settings (dict[str, Any]): What must not change from run to run.
        draw (Draw): Makes scenes.
    """

    out: str
    scenes: int
    seed: int
    shard: int
    workers: int
    settings: dict[str, Any]
    draw: Draw


def write_scenes(plan: Plan, program: str, more: Callable[[], dict[str, Any]] = dict
                 ) -> dict[str, Any]:
    """
    Write what is missing of a dataset, and `dataset.json`; return what that says.

    Args:
        plan: What to write.
        program: Name of the command line that was called.
        more: Gives further entries of `dataset.json`.

    Raises:
        DatasetError: The folder holds another dataset, or more scenes than asked for.
    """
    folder = Path(plan.out)
    count = -(-plan.scenes // plan.shard)
    _check(folder, plan)
    for path in folder.glob('shard-*.parquet'):
        if path.stem[6:].isdecimal() and int(path.stem[6:]) >= count:
            raise DatasetError(f'{path} is beyond the {plan.scenes} scenes asked for; delete '
                               'it or ask for more scenes')
    missing = [shard for shard in range(count) if not _finished(plan, shard)]
    with progress_of('scenes') as progress:
        done = plan.scenes - sum(len(_scenes(plan, shard)) for shard in missing)
        task = progress.add_task(printable(folder), total=plan.scenes, completed=done)
        for scenes in _each(plan, missing):
            progress.advance(task, scenes)
    info = {**plan.settings, 'scenes': plan.scenes, 'seed': plan.seed,
            'command': shlex.join([program, *sys.argv[1:]]), **_count(folder), **more()}
    write_info(folder, info)
    return info


def _each(plan: Plan, shards: list[int]) -> Iterator[int]:
    """Write shards, and yield numbers of scenes as they are finished."""
    if plan.workers == 1 or len(shards) < 2:
        yield from _write_shards(plan, shards)
        return
    yield from in_processes(_write_shard, [(plan, shard) for shard in shards], plan.workers)


def _write_shard(plan: Plan, shard: int) -> int:
    return sum(_write_shards(plan, [shard]))


def _write_shards(plan: Plan, shards: list[int]) -> Iterator[int]:
    drawn = plan.draw(chain.from_iterable(_scenes(plan, shard) for shard in shards))
    for shard in shards:
        rows: list[Row] = []
        for _, scene in islice(drawn, len(_scenes(plan, shard))):
            rows += scene
            yield 1
        write_shard(_path(plan, shard), rows)


def _scenes(plan: Plan, shard: int) -> range:
    return range(shard * plan.shard, min((shard + 1) * plan.shard, plan.scenes))


def _path(plan: Plan, shard: int) -> Path:
    return Path(plan.out) / f'shard-{shard:05d}.parquet'


def _finished(plan: Plan, shard: int) -> bool:
    """Tell whether a shard is there, whole, and holds the scenes it should."""
    path = _path(plan, shard)
    if not path.is_file():
        return False
    try:
        ids = pq.read_table(path, columns=['id'])['id'].to_pylist()
    except (pa.ArrowInvalid, OSError):  # torn: written anew
        return False
    wanted = {f'{plan.seed}-{index:07d}' for index in _scenes(plan, shard)}
    return {name.rpartition('-')[0] for name in ids} == wanted


def _check(folder: Path, plan: Plan) -> None:
    begin(folder, {'seed': plan.seed, 'shard': plan.shard, **plan.settings})


def begin(folder: Path, settings: dict[str, Any]) -> None:
    """
    Keep the settings of a dataset, and refuse to mix two datasets in one folder.

    Raises:
        DatasetError: The folder was begun with other settings.
    """
    path = folder / PLAN
    if not path.is_file():
        with replace_file(path) as part:
            part.write_text(json.dumps(settings) + '\n')
        return
    before = json.loads(path.read_text())
    for name, value in json.loads(json.dumps(settings)).items():
        if before.get(name) != value:
            raise DatasetError(f'{folder} was begun with {name} {before.get(name)!r}, now asked '
                               f'for {value!r}: use another --out, or delete the folder')


def _count(folder: Path) -> dict[str, Any]:
    """Count rows, shard by shard: a dataset may be larger than memory."""
    kinds, totals = Counter[str](), Counter[str]()
    for path in shard_paths(folder):
        for row in pq.read_table(path, columns=['kind', 'found', 'extra']).to_pylist():
            kinds[row['kind']] += 1
            totals.update(rows=1, found=row['found'], needs=json.loads(row['extra'])['needs'])
    return {'rows': totals['rows'], 'kinds': dict(kinds), 'found': totals['found'],
            'needs_more_than_colour': totals['needs']}
