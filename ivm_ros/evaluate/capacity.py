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
`ivm eval capacity`: how large the compact generator should be.

Networks of several widths and canvases learn from the same data with the same steps and seed, by
the ordinary trainer; each is measured on every held-out split as `ivm eval grounding` does. A
stopped study goes on with the same command: what is trained or measured is not done again.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
import re
import shlex
import sys
from typing import Annotated

import tyro

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.evaluate.capacity_page import figures_of, summary_of, write_page
from ivm_ros.evaluate.splits import splits_in
from ivm_ros.evaluate.studies import alone, measured, trained
from ivm_ros.files import write_json
from ivm_ros.models.compact import CompactConfig
from ivm_ros.train.config import TrainConfig
from ivm_ros.version import commit, versions


def _defaults() -> TrainConfig:
    return TrainConfig(out='capacity', steps=1000)


@dataclass(frozen=True)
class CapacityConfig:
    """Train the compact generator at several sizes, alike, and measure each."""

    splits: Annotated[str, Doc('Folder of the held-out splits.')] = 'splits'
    widths: Annotated[tuple[int, ...], Range(16, 512), Doc(
        'Widths of the attention layers (dim).')] = (64, 128, 256)
    sizes: Annotated[tuple[str, ...], Doc('Canvases, HEIGHTxWIDTH in pixels.')] = (
        '192x256', '256x352')
    networks: Annotated[tuple[str, ...], Doc(
        'Only these of all widths and canvases, such as 192x256-128; none: all.')] = ()
    judged: Annotated[int, Range(0), Doc('Only the first so many pictures a split; 0: all.')] = 0
    train: Annotated[TrainConfig, tyro.conf.arg(name='')] = field(default_factory=_defaults)

    def __post_init__(self) -> None:
        """Check ranges, and that nothing but size tells the networks apart."""
        check(self)
        model, usual = self.train.model, CompactConfig()
        if (model.height, model.width, model.dim) != (usual.height, usual.width, usual.dim):
            raise ConfigError('CapacityConfig.model: height, width and dim vary; wanted --sizes '
                              'and --widths instead')
        for name in ('init', 'minutes'):
            if getattr(self.train, name):
                raise ConfigError(f'CapacityConfig.{name}: all networks start anew and take all '
                                  'their steps; wanted none (a stopped study goes on with the '
                                  'same command)')
        names = [name_of(model) for model in models_of(self)]
        if len(names) < 2 or len({*names}) < len(names):
            raise ConfigError('CapacityConfig: wanted two or more networks that differ, got '
                              f'{", ".join(names) or "none"}')


def models_of(config: CapacityConfig) -> list[CompactConfig]:
    """
    List the networks, canvas by canvas.

    Raises:
        ConfigError: A size is none, or one that the network does not take; or a network is asked
            for that the widths and canvases do not give.
    """
    found = []
    for size in config.sizes:
        sides = re.fullmatch(r'(\d+)x(\d+)', size)
        if not sides:
            raise ConfigError(f'CapacityConfig.sizes: wanted HEIGHTxWIDTH such as 192x256, got '
                              f'{size!r}')
        found += [replace(config.train.model, height=int(sides[1]), width=int(sides[2]), dim=dim)
                  for dim in config.widths]
    unknown = {*config.networks} - {name_of(model) for model in found}
    if unknown:
        raise ConfigError(f'CapacityConfig.networks: no {", ".join(sorted(unknown))} among '
                          f'{", ".join(map(name_of, found))}')
    return [model for model in found if not config.networks or name_of(model) in config.networks]


def name_of(model: CompactConfig) -> str:
    """Name a network, and its folder, by what varies."""
    return f'{model.height}x{model.width}-{model.dim}'


def evaluate_capacity(config: CapacityConfig) -> Path:
    """
    Do what is missing of the study; return the path of its page.

    The page and the figures are written after every network, so a part of the study can be read.

    Raises:
        ConfigError: There is no split, no data, the folder holds another study, or several
            processes were started.
        DatasetError: A dataset cannot be read.
    """
    alone('ivm eval capacity')
    names, out = splits_in(Path(config.splits)), Path(config.train.out)
    models, rows = models_of(config), []
    for model in models:
        training = replace(config.train, model=model, out=str(out / name_of(model)))
        checkpoint = trained(training)
        reports = measured(training, checkpoint, config.splits, names, config.judged)
        rows.append({'name': name_of(model), **figures_of(checkpoint, reports)})
        figures = {**summary_of(rows, len(models)), 'settings': asdict(config),
                   'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
                   'versions': versions()}
        write_json(out / 'capacity.json', figures)
        write_page(out, figures)
        print(f'{len(rows)} of {len(models)} networks: {rows[-1]["name"]} has mean IoU '
              f'{rows[-1]["mean_iou"]:.3f} over splits', flush=True)
    print(figures['recommendation'])
    return out / 'capacity.md'
