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
Which labels of a dataset are looked at: a sample stratified by source and by found and score.

A source is who made the masks, of pictures from where. Every source gets as many labels as the
others if it has them, so that each is known about equally well; within a source, nothing in view
and four ranges of the score get their shares, so that shares of verdicts need no weights.

A row's place in the draw is a hash of the seed and its id: the smallest ones of a stratum are its
sample, whatever the order of rows and shards, and one pass that keeps a few of each is enough.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
import json
from pathlib import Path
from typing import Any

from ivm_ros.data.shards import DatasetError, open_table, read_shard, Row, shard_paths

COLUMNS = ('id', 'instruction', 'source', 'annotator', 'is_human', 'found', 'score')
LABELLED = 'mask.path'  # tells rows with a mask from those without, and no pixels are read
CUTS = (.25, .5, .75)
Stratum = tuple[str, str]
"""Source and bin."""


@dataclass(frozen=True)
class Item:
    """
    A label to look at.

    Attributes:
        row (Row): The row, whole.
        source (str): Who made its mask, of a picture from where.
        bin (str): 'nothing in view' or a range of the score.
    """

    row: Row
    source: str
    bin: str


@dataclass
class Census:
    """
    What a dataset holds, from its narrow columns.

    Attributes:
        counts (Counter): Labelled rows by (source, bin).
        unlabelled (int): Rows without a mask.
        identity (str): Hash of all that was counted; another dataset has another.
    """

    counts: Counter[Stratum] = field(default_factory=Counter)
    unlabelled: int = 0
    identity: str = ''

    def walk(self, folder: Path) -> Iterator[tuple[Stratum, Path, str]]:
        """Count the rows of a dataset; yield stratum, shard and id of those with a mask."""
        digest = sha256()
        for path in shard_paths(folder):
            table = open_table(path, [*COLUMNS, LABELLED], only=True)
            labelled = table['mask'].is_valid().to_pylist()
            for row, has_mask in zip(table.select(COLUMNS).to_pylist(), labelled):
                digest.update(json.dumps([*row.values(), has_mask]).encode())
                if not has_mask:
                    self.unlabelled += 1
                    continue
                stratum = source_of(row), bin_of(row)
                self.counts[stratum] += 1
                yield stratum, path, row['id']
        self.identity = digest.hexdigest()


def source_of(row: Mapping[str, Any]) -> str:
    """Name who made a mask, of a picture from where."""
    return f'{"human" if row["is_human"] else "machine"}: {row["annotator"]} on {row["source"]}'


def bin_of(row: Mapping[str, Any]) -> str:
    """Name the stratum within a source."""
    if row['found'] is False:
        return 'nothing in view'
    low = max((cut for cut in (0, *CUTS) if row['score'] >= cut), default=0)
    return f'score {low:g} to {min(cut for cut in (*CUTS, 1) if cut > low):g}'


def shares(counts: Mapping[Stratum, int], number: int) -> dict[Stratum, int]:
    """
    Share a number of labels among strata: alike over sources, in proportion within one.

    Args:
        counts: Labels in each stratum, one or more.
        number: Labels wanted; all are taken where there are fewer.
    """
    totals = Counter[str]()
    for (source, _), count in counts.items():
        totals[source] += count
    taken: dict[Stratum, int] = {}
    smallest_first = sorted(totals, key=lambda source: (totals[source], source))
    for place, source in enumerate(smallest_first):
        part = min(totals[source], number // (len(totals) - place))
        number -= part
        bins = sorted(stratum for stratum in counts if stratum[0] == source)
        exact = {stratum: part * counts[stratum] / totals[source] for stratum in bins}
        taken.update({stratum: int(exact[stratum]) for stratum in bins})
        left = part - sum(taken[stratum] for stratum in bins)
        by_remainder = sorted(bins, key=lambda stratum: taken[stratum] - exact[stratum])
        for stratum in by_remainder[:left]:
            taken[stratum] += 1
    return taken


def draw(folder: Path, number: int, seed: int) -> tuple[Census, list[Item]]:
    """
    Draw labels of a dataset at random, and put them in a random order.

    Memory holds a few ids a stratum, one shard, and what is drawn.

    Raises:
        DatasetError: No shards, a torn one, no row with a mask, or two rows of one id.
    """
    census = Census()
    kept: dict[Stratum, list[tuple[bytes, str, Path]]] = defaultdict(list)
    for stratum, path, name in census.walk(folder):
        some = kept[stratum]
        some.append((_place(seed, name), name, path))
        if len(some) > 2 * number:
            some.sort()
            del some[number:]
    if not kept:
        raise DatasetError(f'{folder} holds no row with a mask: annotate it first')
    chosen: dict[Path, dict[str, Stratum]] = defaultdict(dict)
    for stratum, count in shares(census.counts, number).items():
        for _, name, path in sorted(kept[stratum])[:count]:
            chosen[path][name] = stratum
    items = read_items(chosen)
    return census, sorted(items, key=lambda item: _place(seed, f'order {item.row.id}'))


def find(folder: Path, names: set[str]) -> tuple[Census, list[Item]]:
    """Give the census of a dataset, and the labels of some ids as far as it has them."""
    census = Census()
    chosen: dict[Path, dict[str, Stratum]] = defaultdict(dict)
    for stratum, path, name in census.walk(folder):
        if name in names:
            chosen[path][name] = stratum
    return census, read_items(chosen)


def read_items(chosen: Mapping[Path, Mapping[str, Stratum]]) -> list[Item]:
    """
    Read rows by shard and id.

    Raises:
        DatasetError: A shard is torn, or two rows have one id.
    """
    items: dict[str, Item] = {}
    for path, strata in sorted(chosen.items()):
        for row in read_shard(path, strata):
            if row.mask is not None:
                if row.id in items:
                    raise DatasetError(f'{path}: two rows have the id {row.id}, so no verdict can '
                                       'tell them apart')
                items[row.id] = Item(row, *strata[row.id])
    return [*items.values()]


def identity_of(items: list[Item]) -> str:
    """Hash what reviewers see of labels, whatever their order: any other label has another."""
    digests = sorted(sha256(b'\0'.join([
        item.row.id.encode(), item.row.instruction.encode(), str(item.row.found).encode(),
        sha256(item.row.image).digest(), sha256(item.row.mask or b'').digest()])).digest()
        for item in items)
    return sha256(b''.join(digests)).hexdigest()


def _place(seed: int, name: str) -> bytes:
    """Give a row's place in the draw."""
    return blake2b(f'{seed} {name}'.encode(), digest_size=16).digest()
