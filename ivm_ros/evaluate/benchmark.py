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
`ivm eval benchmark`: other people's sets, from their own files.

RefCOCO, RefCOCO+, RefCOCOg, ReasonSeg and our shards measure masks. V*Bench, POPE, MME and
EgoThink measure what masks do for a multimodal model: each question is asked about the raw and
about the masked picture.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
import shlex
import sys
from typing import Annotated, Any, Literal

from rich.console import Console
from rich.progress import track
import tyro

from ivm_ros.chat import Chat, ChatConfig
from ivm_ros.config import check, ConfigError, Doc, nearest, Range
from ivm_ros.data.shards import DatasetError
from ivm_ros.deploy import DeployConfig, MethodName, METHODS
from ivm_ros.evaluate.asking import Asking, Plan
from ivm_ros.evaluate.gallery import Gallery, write_report
from ivm_ros.evaluate.paired import figures_of, spent
from ivm_ros.evaluate.published import published
from ivm_ros.evaluate.questions import READERS
from ivm_ros.evaluate.segmenting import measure_segments
from ivm_ros.evaluate.segments import Case, reason_cases, refer_cases, shard_cases
from ivm_ros.evaluate.sources import Source
from ivm_ros.evaluate.tables import print_tables, tables_of
from ivm_ros.files import write_json
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.version import commit, versions

Dataset = Literal['refcoco', 'refcoco+', 'refcocog', 'reasonseg', 'shards', 'vstar', 'pope', 'mme',
                  'egothink']
SHOWN = tuple(name for name in METHODS if name != 'none')


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measure on a published set, read from its own files."""

    dataset: Annotated[Dataset, Doc('Which set it is.')]
    root: Annotated[str, Doc('Its folder, as it was unpacked.')]
    json: Annotated[str, Doc('Where to write the figures; the page goes beside it.')] = (
        'benchmark.json')
    images: Annotated[str, Doc('Folder of the pictures, where they are not with the set.')] = ''
    partition: Annotated[str, Doc(
        'Partition of RefCOCO (unc, umd, google); empty: unc, of RefCOCOg umd.')] = ''
    splits: Annotated[tuple[str, ...], Doc('Only these splits; none: all but train.')] = ()
    items: Annotated[int, Range(0), Doc(
        'Only the first so many pictures, or questions, of each split; 0: all.')] = 0
    methods: Annotated[tuple[MethodName, ...], Doc(
        'How the masked picture is shown to the model; none: every method.')] = ()
    parallel: Annotated[int, Range(1, 256), Doc('Questions that are under way at once.')] = 4
    answer_tokens: Annotated[int, Range(0), Doc(
        'Most tokens of an answer; 0: as the server has it.')] = 300
    judge_model: Annotated[str, Doc('Model that judges answers in words (EgoThink).')] = ''
    judge_url: Annotated[str, Doc('Its server; empty: the same.')] = ''
    judge_key: Annotated[str, Doc(
        'Environment variable that holds its key; empty: the same.')] = ''
    show: Annotated[int, Range(0, 100), Doc(
        'Best, worst and random items on the page, of each so many.')] = 6
    seed: Annotated[int, Range(0), Doc('Of the random items and of bootstraps.')] = 0
    llm: ChatConfig = field(default_factory=ChatConfig)
    deploy: DeployConfig = field(default_factory=lambda: DeployConfig(keep_robot=False))
    masker: tyro.conf.OmitArgPrefixes[MaskerConfig] = field(default_factory=MaskerConfig)

    def __post_init__(self) -> None:
        """Check types and ranges, names of methods, and that a model is named where one is."""
        check(self)
        for name in self.methods:
            if name not in SHOWN:
                raise ConfigError(f'BenchmarkConfig.methods: wanted some of {", ".join(SHOWN)}, '
                                  f'got {name!r}{nearest(name, SHOWN)}')
        if self.deploy.method != DeployConfig().method:
            raise ConfigError('BenchmarkConfig.deploy.method: wanted --methods instead')
        if self.dataset in READERS and not self.llm.url:
            raise ConfigError(f'BenchmarkConfig.llm: {self.dataset} asks a model: wanted '
                              '--llm-url and --llm-model')
        if self.dataset == 'egothink' and not self.judge_model:
            raise ConfigError('BenchmarkConfig.judge_model: answers of egothink are in words; '
                              'wanted a model that judges them')


def benchmark(config: BenchmarkConfig) -> dict[str, Any]:
    """
    Measure, print, write; return the figures.

    Raises:
        DatasetError: The folder is not that set, a file of it is broken, or nothing is usable.
        LlmError: The model's server is gone, or the budget is spent.
    """
    source = Source(Path(config.root), config.images, config.splits, config.items,
                    config.partition)
    masker, gallery = Masker(config.masker), Gallery(config.show, config.seed)
    if config.dataset in READERS:
        found = _questions(config, source, masker, gallery)
    else:
        cases = track(_cases(config, source), config.dataset, console=Console(stderr=True))
        found = {'splits': measure_segments(cases, masker, config.deploy, gallery, config.seed)}
    if not found['splits']:
        raise _nothing(source, found)
    figures = {'dataset': config.dataset, **found, 'lost': source.lost,
               'published': published(config.dataset), 'weights': masker.info.get('sha256'),
               'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
               'settings': asdict(config), 'versions': versions()}
    tables = tables_of(figures)
    print_tables(tables, figures)
    path = Path(config.json)
    write_json(path, figures)
    write_report(path.with_suffix('.html'), f'Benchmark: {config.dataset}', figures, tables,
                 gallery)
    return figures


def _cases(config: BenchmarkConfig, source: Source) -> Iterator[Case]:
    """Open a set that says where something is."""
    if config.dataset == 'reasonseg':
        return reason_cases(source)
    if config.dataset == 'shards':
        return shard_cases(source)
    return refer_cases(config.dataset, source)


def _questions(config: BenchmarkConfig, source: Source, masker: Masker, gallery: Gallery
               ) -> dict[str, Any]:
    """Ask a set of questions; give its figures."""
    cache = Path(config.json).parent / 'llm'
    judge = None
    if config.judge_model:
        judge = Chat(replace(config.llm, model=config.judge_model,
                             url=config.judge_url or config.llm.url,
                             key=config.judge_key or config.llm.key), cache)
    plan = Plan(Chat(config.llm, cache), config.methods or SHOWN, config.deploy, judge,
                config.parallel, config.answer_tokens)
    items = list(READERS[config.dataset](source))
    asking = Asking(plan, source, masker, gallery)
    answers = list(track(asking.run(items), config.dataset, total=len(items),
                         console=Console(stderr=True)))
    splits = figures_of(answers, plan.methods, config.dataset == 'mme') if answers else {}
    return {'splits': splits, 'model': config.llm.model, 'judge': config.judge_model,
            'methods': list(plan.methods), 'failed': asking.failed, 'spent': spent(answers)}


def _nothing(source: Source, found: dict[str, Any]) -> DatasetError:
    """Give the error for a set of which nothing was usable."""
    reasons = [*source.lost, *found.get('failed', [])]
    first = f', the first {reasons[0]["name"]}: {reasons[0]["why"]}' if reasons else ''
    return DatasetError(f'{source.root}: none of {len(reasons)} items could be used{first}')
