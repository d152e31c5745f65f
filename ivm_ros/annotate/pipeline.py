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
`ivm annotate`: shards in, labelled shards out.

Every shard is read, labelled and written by itself, so that memory does not grow with the dataset,
any number of processes share the work, and a stopped run goes on with the shards that are missing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
import os
from pathlib import Path
import re
import shlex
import sys
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import tyro

from ivm_ros.annotate.experts import split_names
from ivm_ros.annotate.fuse import Rule
from ivm_ros.annotate.labels import Labeller
from ivm_ros.annotate.llm import LlmConfig
from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.shards import (
    DatasetError, open_table, read_info, read_shard, shard_paths, write_info, write_shard)
from ivm_ros.data.writer import begin
from ivm_ros.masker import MaskerConfig
from ivm_ros.models.installed import weights_path
from ivm_ros.terminal import printable
from ivm_ros.work import in_processes, progress_of

REWRITTEN = re.compile(r'.*w\d+')
"""Ids of rows whose sentence a language model wrote."""


@dataclass(frozen=True)
class AnnotateConfig:
    """Label the sentences of a dataset by experts; rows that people labelled stay as they are."""

    data: Annotated[tyro.conf.Positional[str], Doc('Dataset folder.')]
    out: Annotated[str, Doc('Folder to write; finished shards in it are kept.')]
    experts: Annotated[str, Doc(
        'Who labels, with commas between: sim-truth, compact, compact-phrases, noisy:wrong=.2, '
        'yours as package.module:function.')] = 'compact'
    rule: Annotated[Rule, Doc(
        'How their masks become one: mean (weighed by score), union, majority of each pixel, '
        'route (the surest for each role).')] = 'mean'
    llm: LlmConfig = field(default_factory=LlmConfig)
    rewrites: Annotated[int, Range(0, 20), Doc(
        'Complex sentences that the language model adds for each labelled row.')] = 0
    batch: Annotated[int, Range(1, 1024), Doc('Rows that an expert gets at once.')] = 8
    workers: Annotated[int, Range(1), Doc('Processes, each with its own experts.')] = 1
    ray: Annotated[bool, Doc(
        'Have the workers on a Ray cluster: that of RAY_ADDRESS, else one on this machine. All '
        'its machines need the same files under the same paths.')] = False
    masker: tyro.conf.OmitArgPrefixes[MaskerConfig] = field(default_factory=MaskerConfig)

    def __post_init__(self) -> None:
        """Check types, ranges, names of experts, and that there is a model to rewrite."""
        check(self)
        split_names(self.experts)
        if self.rewrites and not self.llm.url:
            raise ConfigError('AnnotateConfig.rewrites: wanted --llm-url and --llm-model, which '
                              'write them')
        if Path(self.out).resolve() == Path(self.data).resolve():
            raise ConfigError(f'AnnotateConfig.out: wanted another folder than the data, got '
                              f'{self.out}')


def annotate(config: AnnotateConfig) -> Path:
    """
    Write what is missing of a labelled dataset; return its folder.

    Raises:
        DatasetError: No shards, a torn one, or the folder holds another dataset.
        ConfigError: An expert or its settings are not there.
        ExpertError: An expert's answer does not fit.
        LlmError: The language model fails, and the config says 'error'.
    """
    source, out = Path(config.data), Path(config.out)
    info, paths = read_info(source), shard_paths(source)
    settings = _settings(config)
    begin(out, settings)
    known = {path.name for path in paths}
    for path in out.glob('*.parquet'):
        if path.name not in known:
            raise DatasetError(f'{path} has no shard of its name in {source}; delete it or use '
                               'another --out')
    counts = {path: pq.read_metadata(path).num_rows if _ids(path) is not None else 0
              for path in paths}
    missing = [path for path in paths if not _finished(path, out / path.name)]
    left = sum(counts[path] for path in missing)
    with progress_of('rows') as progress:
        total = sum(counts.values())
        task = progress.add_task(printable(out), total=total, completed=total - left)
        for rows in _each(config, missing):
            progress.advance(task, rows)
    write_info(out, {**info, **_count(out, paths), 'annotated': settings,
                     'command': shlex.join(['ivm', *sys.argv[1:]])})
    return out


def _settings(config: AnnotateConfig) -> dict[str, Any]:
    """Collect what must not change from run to run."""
    return {'experts': list(split_names(config.experts)), 'rule': config.rule,
            'rewrites': config.rewrites, 'weights': config.masker.weights,
            'parser': f'llm:{config.llm.model}' if config.llm.url else 'grammar'}


def _each(config: AnnotateConfig, paths: list[Path]) -> Iterator[int]:
    """Label shards, and yield numbers of rows as they are finished."""
    if config.ray and paths:
        from ivm_ros.ray_work import on_ray  # an extra

        everywhere = _everywhere(config)
        yield from on_ray(_label_shard, [(everywhere, path.absolute()) for path in paths],
                          config.workers)
    elif config.workers == 1 or len(paths) < 2:
        for path in paths:
            yield _label_shard(config, path)
    else:
        yield from in_processes(_label_shard, [(config, path) for path in paths], config.workers)


def _everywhere(config: AnnotateConfig) -> AnnotateConfig:
    """Name files so that another machine takes the same, and not what its own user promoted."""
    def full(path: str) -> str:
        return path and os.path.abspath(path)

    masker, llm = config.masker, config.llm
    return replace(
        config, data=full(config.data), out=full(config.out),
        masker=replace(masker, weights=full(str(weights_path(masker.weights))),
                       text_encoder=full(masker.text_encoder), graph=full(masker.graph)),
        llm=replace(llm, cache=full(llm.cache), prompts=full(llm.prompts)))


def _label_shard(config: AnnotateConfig, path: Path) -> int:
    """Label one shard; return its number of rows."""
    rows = read_shard(path)
    write_shard(Path(config.out) / path.name, [*_labeller(config).label(rows, config.batch)])
    return len(rows)


@cache
def _labeller(config: AnnotateConfig) -> Labeller:
    """Load experts, once a process."""
    return Labeller(split_names(config.experts), config.rule, config.masker, config.llm,
                    Path(config.out) / 'llm', config.rewrites)


def _finished(source: Path, made: Path) -> bool:
    """Tell whether a shard is there, whole, and of the rows that it should be of."""
    if not made.is_file():
        return False
    ids = _ids(made)
    return ids is not None and ids == _ids(source)


def _ids(path: Path) -> list[str] | None:
    """Read the ids of a shard but for rewritten ones; None: it is torn."""
    try:
        ids = pq.read_table(path, columns=['id'])['id'].to_pylist()
    except (pa.ArrowInvalid, OSError, KeyError):
        return None
    return [name for name in ids if not REWRITTEN.fullmatch(name)]


def _count(out: Path, paths: list[Path]) -> dict[str, Any]:
    """Count rows, shard by shard."""
    kinds, totals = Counter[str](), Counter[str]()
    for path in paths:
        for row in open_columns(out / path.name):
            kinds[row['kind']] += 1
            totals.update(
                rows=1, found=bool(row['found']), human=bool(row['is_human']),
                unlabelled=row['found'] is None, score=0 if row['is_human'] else row['score'])
    machine = totals['rows'] - totals['human'] - totals['unlabelled']
    return {'rows': totals['rows'], 'kinds': dict(kinds), 'found': totals['found'],
            'human': totals['human'], 'unlabelled': totals['unlabelled'],
            'mean_score': round(totals['score'] / machine, 4) if machine else None}


def open_columns(path: Path) -> list[dict[str, Any]]:
    """Read what is counted of a shard."""
    names = ['kind', 'found', 'is_human', 'score']
    rows: list[dict[str, Any]] = open_table(path, names, only=True).to_pylist()
    return rows
