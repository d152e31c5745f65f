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
from ivm_ros.data.label_studio import LabelStudio
from ivm_ros.data.labelled import Collection, rows_of
from ivm_ros.data.labelme import Labelme
from ivm_ros.data.png_folders import PngFolder
from ivm_ros.data.shards import DatasetError, Row
from ivm_ros.data.writer import Plan, write_scenes


@dataclass(frozen=True)
class ImportConfig:
    """Turn somebody's labels into a dataset, or go on with what is missing."""

    source: Annotated[str, Doc(
        'Its file: JSON lines of IVM-Mix-1M, instances_*.json of COCO, refs(*).p of RefCOCO. Its '
        'folder: JSON files of labelme, PNG masks of CVAT, labelme2voc, Label Studio or any.')]
    out: Annotated[str, Doc('Folder to write; finished shards in it are kept.')]
    layout: Annotated[Literal['ivm-mix', 'coco', 'refcoco', 'labelme', 'png'], Doc(
        'Which of these it is.')]
    by: Annotated[Literal['file', 'people', 'machine'], Doc(
        'Who made the masks. file: as it says (IVM-Mix-1M) or is known (RefCOCO: people); of the '
        'other layouts no file says, so you must.')] = 'file'
    sentence: Annotated[str, Doc(
        'What asks for a label, {} its name as it stands; empty: "the NAME" or, of several, "the '
        'NAMES". Of PNG masks without names, all of the sentence.')] = ''
    images: Annotated[str, Doc(
        'Folder of the pictures; empty: that of the file, JPEGImages or images in a folder.')] = ''
    masks: Annotated[str, Doc('Folder of the masks of IVM-Mix; empty: that of the pictures.')] = ''
    instances: Annotated[str, Doc(
        'File of instances that RefCOCO refers to; empty: instances.json beside the refs.')] = ''
    tasks: Annotated[str, Doc(
        'JSON export of Label Studio that belongs to its PNG export.')] = ''
    split: Annotated[str, Doc('Only this split of RefCOCO; empty: all.')] = ''
    evaluation: Annotated[bool, Doc('For evaluation: training refuses it.')] = False
    pictures: Annotated[int, Range(0), Doc('Only the first so many; 0: all.')] = 0
    shard: Annotated[int, Range(1), Doc('Pictures in one shard.')] = 256
    workers: Annotated[int, Range(1), Doc('Processes that read.')] = 1

    def __post_init__(self) -> None:
        """Check types and ranges, that the source is there, and who made its masks."""
        check(self)
        if self.layout in ('labelme', 'png'):
            if not Path(self.source).is_dir():
                raise ConfigError(f'ImportConfig.source: {self.source} is no folder; what comes '
                                  'as .zip must be unpacked')
        elif not Path(self.source).is_file():
            raise ConfigError(f'ImportConfig.source: {self.source} is no file')
        if self.by == 'file' and self.layout not in ('ivm-mix', 'refcoco'):
            raise ConfigError(f'ImportConfig.by: files of layout {self.layout} do not say who '
                              'made their masks, and training trusts people; wanted --by people '
                              'or --by machine')


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
    images = config.images or str(source.parent)
    human = config.by == 'people'
    try:
        if config.layout == 'ivm-mix':
            said = None if config.by == 'file' else human
            return IvmMix(source, config.images, config.masks, said)
        if config.layout == 'coco':
            return Coco(source, images, human, config.sentence)
        if config.layout == 'labelme':
            return Labelme(source, config.images, human, config.sentence)
        if config.layout == 'png':
            return _png(source, config, human)
        instances = Path(config.instances or source.parent / 'instances.json')
        return Refer(source, instances, images, config.split, config.by != 'machine')
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f'{source}: {error}') from error


def _png(source: Path, config: ImportConfig, human: bool) -> Collection:
    """Tell by its names what wrote a folder of PNG files."""
    if not config.tasks and any(source.glob('task-*-annotation-*.png')):
        raise DatasetError(f'{source} is of Label Studio, whose names do not say which picture '
                           'they are of: export "JSON" too, and name it with --tasks')
    if config.tasks:
        return LabelStudio(source, Path(config.tasks), config.images, human, config.sentence)
    return PngFolder(source, config.images, human, config.sentence)


def _draw(config: ImportConfig, indices: Iterable[int]) -> Iterator[tuple[int, list[Row]]]:
    yield from rows_of(indices, open_collection(config),
                       'eval' if config.evaluation else 'train')
