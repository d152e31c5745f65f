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
Writes datasets of (picture, sentence, mask) as Parquet shards.

Scenes do not depend on each other (`pictures`), so neither do shards on the number of workers or
on what was written before. Nothing here imports MuJoCo before a picture is wanted: `--help` works
on a machine that cannot draw.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain, islice
import json
from pathlib import Path
import shlex
import sys
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ivm_ros.config import check, Doc, Range
from ivm_ros.data.shards import DatasetError, Row, shard_paths, write_info, write_shard
from ivm_ros.files import replace_file
from ivm_sim.objects import COLOURS, KINDS
from ivm_sim.work import in_processes, progress_of

PLAN = 'plan.json'


@dataclass(frozen=True)
class DatasetConfig:
    """
    Write pictures with sentences and true masks, or what is missing of them.

    Seeds from 900000 on are for evaluation; training refuses them.
    """

    out: Annotated[str, Doc('Folder to write; finished shards in it are kept.')]
    scenes: Annotated[int, Range(1), Doc('Number of scenes, one picture each.')] = 1000
    seed: Annotated[int, Range(0), Doc(
        'The same seed gives the same data; from 900000 on, split "eval".')] = 0
    sentences: Annotated[int, Range(1, 50), Doc('Sentences about each picture, at most.')] = 6
    height: Annotated[int, Range(32, 4096), Doc('Height of the pictures in pixels.')] = 192
    width: Annotated[int, Range(32, 4096), Doc('Width of the pictures in pixels.')] = 256
    relations: Annotated[float, Range(0, 100), Doc(
        'Weight of sentences by place or size, relative to the usual; for training only.')] = 1.0
    shard: Annotated[int, Range(1), Doc('Scenes in one shard.')] = 256
    workers: Annotated[int, Range(1), Doc('Processes that render.')] = 1

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check(self)


def write_dataset(config: DatasetConfig) -> dict[str, Any]:
    """
    Write what is missing of a dataset and return what `dataset.json` says.

    Raises:
        DatasetError: The folder holds another dataset, or more scenes than asked for.
        GLError: MuJoCo cannot draw here.
    """
    folder = Path(config.out)
    count = -(-config.scenes // config.shard)
    _check_plan(folder, config)
    for path in folder.glob('shard-*.parquet'):
        if path.stem[6:].isdecimal() and int(path.stem[6:]) >= count:
            raise DatasetError(f'{path} is beyond the {config.scenes} scenes asked for; delete '
                               'it or ask for more scenes')
    missing = [shard for shard in range(count) if not _finished(config, shard)]
    with progress_of('scenes') as progress:
        done = config.scenes - sum(len(_scenes(config, shard)) for shard in missing)
        task = progress.add_task(str(folder), total=config.scenes, completed=done)
        for scenes in _each(config, missing):
            progress.advance(task, scenes)
    info = _describe(config)
    write_info(folder, info)
    return info


def _each(config: DatasetConfig, shards: list[int]) -> Iterator[int]:
    """Write shards, and yield numbers of scenes as they are finished."""
    if config.workers == 1 or len(shards) < 2:
        yield from _write_shards(config, shards)
        return
    yield from in_processes(_write_shard, [(config, shard) for shard in shards], config.workers)


def _write_shard(config: DatasetConfig, shard: int) -> int:
    return sum(_write_shards(config, [shard]))


def _write_shards(config: DatasetConfig, shards: list[int]) -> Iterator[int]:
    from ivm_sim.pictures import pictures, rows_of

    scenes = chain.from_iterable(_scenes(config, shard) for shard in shards)
    drawn = pictures(config.seed, scenes, config.sentences, config.height, config.width,
                     config.relations)
    for shard in shards:
        rows: list[Row] = []
        for index, picture in islice(drawn, len(_scenes(config, shard))):
            rows += rows_of(picture, config.seed, index)
            yield 1
        write_shard(_path(config, shard), rows)


def _scenes(config: DatasetConfig, shard: int) -> range:
    return range(shard * config.shard, min((shard + 1) * config.shard, config.scenes))


def _path(config: DatasetConfig, shard: int) -> Path:
    return Path(config.out) / f'shard-{shard:05d}.parquet'


def _finished(config: DatasetConfig, shard: int) -> bool:
    """Tell whether a shard is there, whole, and holds the scenes it should."""
    path = _path(config, shard)
    if not path.is_file():
        return False
    try:
        ids = pq.read_table(path, columns=['id'])['id'].to_pylist()
    except (pa.ArrowInvalid, OSError):  # torn: written anew
        return False
    wanted = {f'{config.seed}-{index:07d}' for index in _scenes(config, shard)}
    return {name.rpartition('-')[0] for name in ids} == wanted


def _check_plan(folder: Path, config: DatasetConfig) -> None:
    """Refuse to mix two datasets in one folder."""
    plan = asdict(config)
    del plan['out'], plan['scenes'], plan['workers']  # these may change from run to run
    path = folder / PLAN
    if not path.is_file():
        with replace_file(path) as part:
            part.write_text(json.dumps(plan) + '\n')
        return
    before = json.loads(path.read_text())
    for name, value in plan.items():
        if before.get(name) != value:
            raise DatasetError(f'{folder} was begun with {name} {before.get(name)!r}, now asked '
                               f'for {value!r}: use another --out, or delete the folder')


def _describe(config: DatasetConfig) -> dict[str, Any]:
    rows = pa.concat_tables(pq.read_table(path, columns=['kind', 'found', 'extra'])
                            for path in shard_paths(Path(config.out))).to_pylist()
    plan = asdict(config)
    del plan['out'], plan['workers']
    return {
        **plan, 'words': [*KINDS, *COLOURS],
        'command': shlex.join(['ivm-sim', *sys.argv[1:]]), 'rows': len(rows),
        'kinds': dict(Counter(row['kind'] for row in rows)),
        'found': sum(row['found'] for row in rows),
        'needs_more_than_colour': sum(json.loads(row['extra'])['needs'] for row in rows),
        'versions': {'python': sys.version.split()[0],
                     **{name: version(name) for name in ('mujoco', 'numpy')}},
        'gl': _renderer()}


def _renderer() -> str:
    """Name of the OpenGL renderer; pictures are identical for an identical one only."""
    from OpenGL import GL

    from ivm_sim.mj import mujoco

    context = mujoco.GLContext(32, 32)
    context.make_current()
    name: bytes = GL.glGetString(GL.GL_RENDERER)
    context.free()
    return name.decode()
