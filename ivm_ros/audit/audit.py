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
`ivm audit`: people judge a sample of a dataset's labels, and what they said is counted.

The page goes to reviewers, their saved verdicts come back with `--verdicts`. Which label is from
where stands in the dataset alone, so both times the dataset is named.
"""

from dataclasses import dataclass
from pathlib import Path
import shlex
import sys
from typing import Annotated

import tyro

from ivm_ros.audit.page import page_of
from ivm_ros.audit.sample import draw, find, identity_of
from ivm_ros.audit.verdicts import (
    check_reviews, check_sample, figures_of, print_figures, read_review)
from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.files import replace_file, write_json
from ivm_ros.version import commit, versions


@dataclass(frozen=True)
class AuditConfig:
    """Draw a page of labels to judge; with --verdicts, count what reviewers saved there."""

    data: Annotated[tyro.conf.Positional[str], Doc('Dataset folder.')]
    n: Annotated[int, Range(1, 5000), Doc('Labels to draw.')] = 200
    out: Annotated[str, Doc('Page to write, .html.')] = 'audit.html'
    seed: Annotated[int, Range(0), Doc('Which random labels.')] = 0
    verdicts: Annotated[tuple[str, ...], Doc(
        'Files that reviewers saved, one each: read them instead of drawing a page.')] = ()
    json: Annotated[str, Doc('Where to write the figures of the verdicts.')] = 'audit.json'

    def __post_init__(self) -> None:
        """Check ranges and the page's format."""
        check(self)
        if Path(self.out).suffix != '.html':
            raise ConfigError(f'AuditConfig.out: wanted .html, got {self.out!r}')


def audit(config: AuditConfig) -> Path:
    """
    Write a page to judge, or the figures of the verdicts; return what was written.

    Raises:
        DatasetError: No shards, a torn one, no labelled row, or two rows of one id.
        VerdictError: A file of verdicts is broken, or of another dataset or sample.
    """
    return _read(config) if config.verdicts else _draw(config)


def _draw(config: AuditConfig) -> Path:
    census, items = draw(Path(config.data), config.n, config.seed)
    path = Path(config.out)
    with replace_file(path) as part:
        part.write_text(page_of(items, census.identity, identity_of(items), config.seed),
                        encoding='utf-8')
    left = f'; {census.unlabelled} rows have no mask' if census.unlabelled else ''
    print(f'{len(items)} labels of {census.counts.total()} from '
          f'{len({item.source for item in items})} sources{left}')
    return path


def _read(config: AuditConfig) -> Path:
    reviews = [read_review(Path(path)) for path in config.verdicts]
    check_reviews(reviews)
    census, items = find(Path(config.data), set(reviews[0].items))
    check_sample(reviews, census.identity, identity_of(items), config.data)
    figures = {'data': config.data, 'dataset': census.identity, 'sample': reviews[0].sample,
               'labels': len(items), **figures_of(census, items, reviews),
               'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
               'versions': versions()}
    print_figures(figures)
    path = Path(config.json)
    write_json(path, figures, allow_nan=False)
    return path
