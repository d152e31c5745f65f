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
`ivm data composite`: a dataset of named cut-outs on photographs and textures.

A scene draws from `SeedSequence([seed, index])` alone, so the same seed and the same cut-outs give
the same data on any number of processes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.composite import draw_composite
from ivm_ros.data.cutouts import CutOut, read_cutouts
from ivm_ros.data.holdout import Holdout
from ivm_ros.data.scene_rows import scene_rows
from ivm_ros.data.shards import DatasetError, Row
from ivm_ros.data.writer import Plan, write_scenes
from ivm_ros.language.colours import COLOURS
from ivm_ros.language.nouns import NOUNS
from ivm_ros.picture_files import PictureFileError, read_picture

SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp')
SIDE = 640  # pixels of a photograph's longer side as it is kept


@dataclass(frozen=True)
class CompositeConfig:
    """
    Write pictures of named cut-outs with sentences and true masks, or what is missing of them.

    Cut-outs: a folder or .tgz of emoji named by code point (such as the npm package
    @lobehub/fluent-emoji-3d, MIT), the folder of Tux Paint's stamps (GPL-2, for evaluation only),
    or any folder of pictures with transparency that are named by what they show.
    """

    out: Annotated[str, Doc('Folder to write; finished shards in it are kept.')]
    cutouts: Annotated[tuple[str, ...], Doc('Folders or .tgz files of cut-outs.')] = ()
    backgrounds: Annotated[tuple[str, ...], Doc(
        'Folders of photographs; none: drawn textures only.')] = ()
    scenes: Annotated[int, Range(1), Doc('Number of scenes, one picture each.')] = 1000
    seed: Annotated[int, Range(0), Doc(
        'The same seed gives the same data; from 900000 on, split "eval".')] = 0
    sentences: Annotated[int, Range(1, 50), Doc('Sentences about each picture, at most.')] = 6
    height: Annotated[int, Range(32, 4096), Doc('Height of the pictures in pixels.')] = 192
    width: Annotated[int, Range(32, 4096), Doc('Width of the pictures in pixels.')] = 256
    fewest: Annotated[int, Range(3, 40), Doc('Things in a picture, at least.')] = 3
    most: Annotated[int, Range(3, 40), Doc('Things in a picture, at most.')] = 14
    holdout: Annotated[Holdout, Doc(
        'What training never shows, and this does.')] = field(default_factory=Holdout)
    shard: Annotated[int, Range(1), Doc('Scenes in one shard.')] = 256
    workers: Annotated[int, Range(1), Doc('Processes that draw.')] = 1

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check(self)
        if not self.cutouts:
            raise ConfigError('CompositeConfig.cutouts: wanted a folder or .tgz of cut-outs, got '
                              'none')
        if self.most < self.fewest:
            raise ConfigError(f'CompositeConfig.most: wanted at least fewest = {self.fewest}, got '
                              f'{self.most}')


def compose(config: CompositeConfig) -> Path:
    """
    Write what is missing of a dataset; return its folder.

    Raises:
        DatasetError: The folder holds another dataset, or there are no cut-outs.
    """
    cutouts = _cutouts(config)
    settings = asdict(config)
    for name in ('out', 'scenes', 'workers', 'seed', 'shard', 'cutouts', 'backgrounds'):
        del settings[name]
    settings |= {'cutouts': _digest(cutouts), 'backgrounds': len(_photographs(config))}
    plan = Plan(config.out, config.scenes, config.seed, config.shard, config.workers, settings,
                partial(_draw, config))
    write_scenes(plan, 'ivm', lambda: {'words': [*NOUNS, *COLOURS],
                                       'nouns': sorted({cutout.noun for cutout in cutouts})})
    return Path(config.out)


def _digest(cutouts: list[CutOut]) -> str:
    digest = sha256()
    for cutout in cutouts:
        digest.update(f'{cutout.noun} {cutout.name} {cutout.image.shape}'.encode())
    return digest.hexdigest()[:16]


def _draw(config: CompositeConfig, indices: Iterable[int]) -> Iterator[tuple[int, list[Row]]]:
    cutouts, photographs = _cutouts(config), _photographs(config)
    for index in indices:
        rng = np.random.default_rng(np.random.SeedSequence([config.seed, index]))
        made = draw_composite(rng, cutouts, photographs, config.sentences,
                              (config.height, config.width), (config.fewest, config.most),
                              config.holdout)
        yield index, scene_rows(config.seed, index, made.image, made.labels, made.things,
                                made.sentences, 'composite', 'cut-outs',
                                {'cutouts': list(made.cutouts)})


@cache
def _cutouts(config: CompositeConfig) -> list[CutOut]:
    """Read the cut-outs that may be shown."""
    found = [cutout for place in config.cutouts for cutout in read_cutouts(Path(place))
             if config.holdout.shows(cutout.noun)]
    if not found:
        raise DatasetError(f'{", ".join(config.cutouts)}: every cut-out shows a noun that is held '
                           'out')
    return found


@cache
def _photographs(config: CompositeConfig) -> list[np.ndarray]:
    photographs = []
    for place in config.backgrounds:
        paths = sorted(p for p in Path(place).rglob('*') if p.suffix.lower() in SUFFIXES)
        if not paths:
            raise DatasetError(f'{place} holds no photographs ({", ".join(SUFFIXES)})')
        photographs += [_photograph(path) for path in paths]
    return photographs


def _photograph(path: Path) -> np.ndarray:
    """Read a photograph, uint8 [h, w, 3] RGB, no longer than `SIDE`."""
    try:
        image = read_picture(path)
    except PictureFileError as error:
        raise DatasetError(str(error)) from error
    scale = min(1.0, SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
