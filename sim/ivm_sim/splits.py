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
`ivm-sim splits`: what a generator is measured on, held out of training by construction.

Each split asks one question: new scenes, new pairs of colour and noun, new words, new things, new
looks, cut-outs of photographs, or much clutter. What training never shows is decided in
`ivm_ros.language` and `ivm_ros.data.holdout`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.compose import compose, CompositeConfig
from ivm_ros.data.holdout import Holdout
from ivm_sim.dataset import DatasetConfig, write_dataset
from ivm_sim.seeds import EVAL_SEED

SENTENCES = 5  # about each picture, at most
SCENES: dict[str, dict[str, Any]] = {
    'fresh': {}, 'combination': {'holdout': Holdout(pairs=True)},
    'synonym': {'holdout': Holdout(words=True)}, 'look': {'look': 'unseen'},
    'clutter': {'fewest': 16, 'most': 20}}
"""Splits of simulated scenes: how their settings differ from those of training."""
COMPOSITES = {'noun': Holdout(nouns=True), 'photo': Holdout()}
"""Splits of composites: what that training never shows they show."""
NAMES = (*SCENES, *COMPOSITES)


@dataclass(frozen=True)
class SplitsConfig:
    """Write the splits that a generator is measured on, or what is missing of them."""

    out: Annotated[str, Doc('Folder to write; each split is a dataset in it.')]
    only: Annotated[tuple[str, ...], Doc('Only these splits; none: all that can be made.')] = ()
    scenes: Annotated[int, Range(1), Doc('Pictures of a split, one to five sentences each.')] = 300
    seed: Annotated[int, Range(EVAL_SEED), Doc('Split number i is drawn with seed + i.')] = (
        EVAL_SEED + 100)
    objects: Annotated[str, Doc(
        'Cache of "ivm-sim fetch-objects", as in training; empty: none.')] = ''
    cutouts: Annotated[tuple[str, ...], Doc(
        'Cut-outs that training has, for the split noun; none: it is left out.')] = ()
    stamps: Annotated[tuple[str, ...], Doc(
        'Cut-outs that training has not, such as the stamps of Tux Paint, for the split photo; '
        'none: it is left out.')] = ()
    backgrounds: Annotated[tuple[str, ...], Doc(
        'Photographs for the split photo that training has not.')] = ()
    workers: Annotated[int, Range(1), Doc('Processes.')] = 1

    def __post_init__(self) -> None:
        """Check ranges and names."""
        check(self)
        unknown = [name for name in self.only if name not in NAMES]
        if unknown:
            raise ConfigError(f'SplitsConfig.only: no split {unknown[0]!r}. Known: '
                              f'{", ".join(NAMES)}')
        for name in self.only:
            if name in COMPOSITES and not self.cutouts_of(name):
                raise ConfigError(f'SplitsConfig.only: the split {name!r} needs '
                                  f'--{"cutouts" if name == "noun" else "stamps"}')

    def cutouts_of(self, name: str) -> tuple[str, ...]:
        """Give where the cut-outs of a split are."""
        return self.cutouts if name == 'noun' else self.stamps


def write_splits(config: SplitsConfig) -> Iterator[str]:
    """
    Write the splits; yield a line about each.

    Raises:
        DatasetError: A folder holds another dataset.
    """
    for number, name in enumerate(NAMES):
        if config.only and name not in config.only:
            continue
        out, seed = str(Path(config.out) / name), config.seed + number
        if name in SCENES:
            write_dataset(DatasetConfig(
                out, config.scenes, seed, SENTENCES, objects=config.objects,
                workers=config.workers, **SCENES[name]))
        elif config.cutouts_of(name):
            compose(CompositeConfig(
                out, config.cutouts_of(name),
                config.backgrounds if name == 'photo' else (), config.scenes, seed, SENTENCES,
                holdout=COMPOSITES[name], workers=config.workers))
        else:
            yield f'{name}: left out, it needs cut-outs ("ivm-sim splits --help")'
            continue
        yield f'{name}: {out}'
