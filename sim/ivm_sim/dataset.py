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
Writes datasets of (picture, sentence, mask) from simulated scenes, as Parquet shards.

Nothing here imports MuJoCo before a picture is wanted: `--help` works on a machine that cannot
draw.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
import sys
from typing import Annotated, Any, Literal

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.holdout import Holdout
from ivm_ros.data.shards import Row
from ivm_ros.data.writer import Plan, write_scenes
from ivm_ros.language.colours import COLOURS
from ivm_ros.language.nouns import NOUNS
from ivm_sim.meshes import load, Mesh
from ivm_sim.style import FEWEST, MOST, Style


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
    objects: Annotated[str, Doc(
        'Cache of "ivm-sim fetch-objects", whose household meshes lie among the other things; '
        'empty: none.')] = ''
    fewest: Annotated[int, Range(3, 30), Doc('Things in a scene, at least.')] = FEWEST
    most: Annotated[int, Range(3, 30), Doc('Things in a scene, at most.')] = MOST
    look: Annotated[Literal['usual', 'unseen'], Doc(
        'Textures, lamps and lenses; the unseen ones are for evaluation only.')] = 'usual'
    holdout: Annotated[Holdout, Doc('What training never shows, and this does.')] = field(
        default_factory=Holdout)
    shard: Annotated[int, Range(1), Doc('Scenes in one shard.')] = 256
    workers: Annotated[int, Range(1), Doc('Processes that render.')] = 1

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check(self)
        if self.most < self.fewest:
            raise ConfigError(f'DatasetConfig.most: wanted at least fewest = {self.fewest}, got '
                              f'{self.most}')


def write_dataset(config: DatasetConfig) -> dict[str, Any]:
    """
    Write what is missing of a dataset and return what `dataset.json` says.

    Raises:
        DatasetError: The folder holds another dataset, or more scenes than asked for.
        GLError: MuJoCo cannot draw here.
    """
    settings = {**asdict(config), 'objects': [mesh.name for mesh in _meshes(config)]}
    for name in ('out', 'scenes', 'workers', 'seed', 'shard'):  # the writer's own
        del settings[name]
    plan = Plan(config.out, config.scenes, config.seed, config.shard, config.workers, settings,
                partial(_draw, config))
    return write_scenes(plan, 'ivm-sim', _made_with)


def _draw(config: DatasetConfig, indices: Iterable[int]) -> Iterator[tuple[int, list[Row]]]:
    from ivm_sim.pictures import pictures, rows_of

    style = Style(_meshes(config), (config.fewest, config.most), config.look == 'unseen',
                  config.holdout.shows)
    for index, picture in pictures(config.seed, indices, config.sentences, config.height,
                                   config.width, config.relations, style, config.holdout):
        yield index, rows_of(picture, config.seed, index)


def _meshes(config: DatasetConfig) -> tuple[Mesh, ...]:
    """Give the household meshes that may be shown."""
    if not config.objects:
        return ()
    return tuple(mesh for mesh in load(Path(config.objects))
                 if config.holdout.shows(mesh.noun, mesh.colour))


def _made_with() -> dict[str, Any]:
    return {'words': [*NOUNS, *COLOURS], 'gl': _renderer(),
            'versions': {'python': sys.version.split()[0],
                         **{name: version(name) for name in ('mujoco', 'numpy')}}}


def _renderer() -> str:
    """Name of the OpenGL renderer; pictures are identical for an identical one only."""
    from OpenGL import GL

    from ivm_sim.mj import mujoco

    context = mujoco.GLContext(32, 32)
    context.make_current()
    name: bytes = GL.glGetString(GL.GL_RENDERER)
    context.free()
    return name.decode()
