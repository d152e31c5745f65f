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
"""`ivm data import`: somebody else's labelled pictures as a dataset of ours."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Literal

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.coco import Coco, Refer
from ivm_ros.data.ivm_mix import IvmMix
from ivm_ros.data.labelled import Collection, rows_of
from ivm_ros.data.shards import DatasetError, Row
from ivm_ros.data.writer import Plan, write_scenes


@dataclass(frozen=True)
class ImportConfig:
    """Turn IVM-Mix-1M, COCO or RefCOCO files into a dataset, or go on with what is missing."""

    source: Annotated[str, Doc(
        'Its file: JSON lines of IVM-Mix-1M, instances_*.json of COCO, refs(*).p of RefCOCO.')]
    out: Annotated[str, Doc('Folder to write; finished shards in it are kept.')]
    layout: Annotated[Literal['ivm-mix', 'coco', 'refcoco'], Doc('Which of these it is.')]
    images: Annotated[str, Doc('Folder of the pictures; empty: that of the file.')] = ''
    masks: Annotated[str, Doc('Folder of the masks of IVM-Mix; empty: that of the pictures.')] = ''
    instances: Annotated[str, Doc(
        'File of instances that RefCOCO refers to; empty: instances.json beside the refs.')] = ''
    split: Annotated[str, Doc('Only this split of RefCOCO; empty: all.')] = ''
    evaluation: Annotated[bool, Doc('For evaluation: training refuses it.')] = False
    pictures: Annotated[int, Range(0), Doc('Only the first so many; 0: all.')] = 0
    shard: Annotated[int, Range(1), Doc('Pictures in one shard.')] = 256
    workers: Annotated[int, Range(1), Doc('Processes that read.')] = 1

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check(self)
        if not Path(self.source).is_file():
            raise ConfigError(f'ImportConfig.source: {self.source} is no file')


def import_dataset(config: ImportConfig) -> Path:
    """
    Write what is missing of a dataset; return its folder.

    Raises:
        DatasetError: A file is missing, broken, or not of the layout.
    """
    collection = open_collection(config)
    settings = asdict(config)
    for name in ('out', 'shard', 'workers', 'pictures'):
        del settings[name]
    count = min(len(collection), config.pictures or len(collection))
    write_scenes(Plan(config.out, count, 0, config.shard, config.workers, settings,
                      partial(_draw, config)), 'ivm', lambda: {'words': []})
    return Path(config.out)


@cache
def open_collection(config: ImportConfig) -> Collection:
    """Open the source, once a process."""
    source = Path(config.source)
    try:
        if config.layout == 'ivm-mix':
            return IvmMix(source, config.images, config.masks)
        images = config.images or str(source.parent)
        if config.layout == 'coco':
            return Coco(source, images)
        instances = Path(config.instances or source.parent / 'instances.json')
        return Refer(source, instances, images, config.split)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f'{source}: {error}') from error


def _draw(config: ImportConfig, indices: Iterable[int]) -> Iterator[tuple[int, list[Row]]]:
    yield from rows_of(indices, open_collection(config),
                       'eval' if config.evaluation else 'train')
