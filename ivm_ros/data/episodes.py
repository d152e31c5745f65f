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
`ivm episodes import`: what a robot recorded as a dataset that waits for its masks.

Each recording becomes shards of its own. A row says where it lies in the recording, so a run that
was stopped goes on behind the last finished shard, and comes to the same rows as one that was not.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
import json
from pathlib import Path
import re
import shlex
import sys
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.frames import (
    difference, Frame, picture_of, PictureError, Recording, thumbnail)
from ivm_ros.data.lerobot import is_lerobot, LeRobot
from ivm_ros.data.shards import DatasetError, read_shard, Row, write_info, write_shard
from ivm_ros.files import replace_file, write_json
from ivm_ros.terminal import printable
from ivm_ros.version import versions
from ivm_ros.work import in_processes, progress_of

PLAN, DONE = 'plan.json', 'done'
FREE = ('bags', 'out', 'workers')  # settings that may change from run to run
LEFT_OUT = ('alike', 'unasked', 'unreadable')


@dataclass(frozen=True)
class EpisodesConfig:
    """Turn bags or LeRobot datasets into a dataset without masks, or go on with the rest."""

    bags: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(
        metavar='BAG...', help_behavior_hint='', help=(
            'Bags of ROS 2 (folder, .mcap, .db3) or ROS 1, or folders of LeRobot v3.'))] = ()
    out: Annotated[str, Doc('Folder to write; finished shards in it are kept.')] = ''
    pictures: Annotated[str, tyro.conf.arg(name='image', help=(
        'Topic of the pictures (LeRobot: feature); empty: the only one.'))] = ''
    instruction: Annotated[str, Doc('Topic of the instructions.')] = '/instruction'
    text: Annotated[str, Doc('Instruction where the recording has none.')] = ''
    every: Annotated[float, Range(0, 3600), Doc(
        'Seconds from one picture to the next; 0: all of them.')] = 0.5
    alike: Annotated[float, Range(0, 255), Doc(
        'Leave out a picture that is nowhere further from the last kept one of its instruction: '
        'greatest difference of the mean colour in 16 x 16 cells, 0 to 255; 0 keeps all.')] = 4.0
    shard: Annotated[int, Range(1, 10_000), Doc('Pictures in one shard.')] = 256
    workers: Annotated[int, Range(1, 256), Doc('Processes; each reads one bag at a time.')] = 1

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check(self)


@dataclass
class Place:
    """
    Where an import stands in a recording; mutable, as it moves on frame by frame.

    Attributes:
        at (tuple[int, int] | None): (series, stamp) of the last kept frame.
        text (str): Instruction of that frame.
        slot (tuple[int, int] | None): (series, number of its interval) of the last frame taken.
        seen (np.ndarray | None): Thumbnail of the last kept frame.
        start (int): Stamp of the first frame of the series.
        counts (Counter): Frames that were kept and left out, by reason.
        reason (str): Why the first unreadable frame was that.
    """

    at: tuple[int, int] | None = None
    text: str = ''
    slot: tuple[int, int] | None = None
    seen: np.ndarray | None = None
    start: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reason: str = ''


def import_episodes(config: EpisodesConfig) -> Path:
    """
    Write what is missing of a dataset; return its folder.

    Raises:
        ConfigError: No recording or no folder is given, or two of one name.
        DatasetError: A recording cannot be read, or the folder was begun with other settings.
    """
    if not config.bags or not config.out:
        raise ConfigError('EpisodesConfig: wanted bags and --out, as in "ivm episodes import '
                          'bags/monday --out data/monday"')
    names = Counter(_name(Path(bag)) for bag in config.bags)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ConfigError(f'EpisodesConfig.bags: two are called {twice[0]}; import them into two '
                          'folders')
    folder = Path(config.out)
    _keep_plan(folder, config)
    jobs = [(config, bag) for bag in config.bags]
    with progress_of('recordings') as progress:
        task = progress.add_task(printable(folder), total=len(jobs))
        made = in_processes(import_one, jobs, config.workers) if (
            config.workers > 1 and len(jobs) > 1) else (import_one(*job) for job in jobs)
        for _ in made:
            progress.advance(task)
    done = {path.stem: json.loads(path.read_text())
            for path in sorted((folder / DONE).glob('*.json'))}
    write_info(folder, {
        **_settings(config), 'rows': sum(about['rows'] for about in done.values()),
        'left_out': {reason: sum(about[reason] for about in done.values())
                     for reason in LEFT_OUT},
        'seed': 0, 'words': [], 'recordings': done, 'versions': versions(),
        'command': shlex.join(['ivm', *sys.argv[1:]])})
    return folder


def import_one(config: EpisodesConfig, bag: str) -> str:
    """Write what is missing of one recording; return its name."""
    recording = _open(config, Path(bag))
    folder, name = Path(config.out), _name(Path(bag))
    done, shards = folder / DONE / f'{name}.json', _finished(folder, name)
    if done.is_file():
        before = json.loads(done.read_text())
        if before['bytes'] != recording.bytes:
            raise DatasetError(f'{folder} holds another {name}: of {before["bytes"]} bytes, {bag} '
                               f'has {recording.bytes}; use another --out')
        if len(shards) == before['shards']:
            return name
    place = _place_of(shards[-1]) if shards else Place()
    rows: list[Row] = []
    for row in _rows(recording, config, name, place):
        rows.append(row)
        if len(rows) == config.shard:
            shards.append(_shard(folder, name, len(shards)))
            write_shard(shards[-1], rows)
            rows = []
    if rows:
        shards.append(_shard(folder, name, len(shards)))
        write_shard(shards[-1], rows)
    _check_counts(bag, place)
    about = {'bytes': recording.bytes, 'rows': place.counts['rows'], 'shards': len(shards),
             **{reason: place.counts[reason] for reason in LEFT_OUT}}
    write_json(done, about)
    return name


def _rows(recording: Recording, config: EpisodesConfig, name: str, place: Place
          ) -> Iterator[Row]:
    """Turn frames into rows, and move `place` on."""
    period = max(1, round(config.every * 1e9))
    for frame in recording.frames(place.at, place.text):
        if place.slot is None or frame.series != place.slot[0]:
            place.slot, place.start, place.seen = (frame.series, -1), frame.stamp, None
        slot = frame.series, (frame.stamp - place.start) // period
        if slot <= place.slot:
            continue
        picture = _wanted(frame, slot, config, place)
        if picture is None:
            continue
        place.counts['rows'] += 1
        place.at, place.text = (frame.series, frame.stamp), frame.text
        where = f'{frame.series}-{frame.stamp}' if frame.series else str(frame.stamp)
        yield Row(f'{name}-{where}-0', picture, frame.text, '', None, None, None, name, '',
                  extra={'series': frame.series, 'stamp': frame.stamp, 'start': place.start,
                         'slot': slot[1], 'counts': dict(place.counts)})


def _wanted(frame: Frame, slot: tuple[int, int], config: EpisodesConfig, place: Place
            ) -> bytes | None:
    """
    Give the picture of a frame that is to be kept; count one that is not.

    Its interval is used up by a picture that says something, be it alike; not by one without an
    instruction, or one that cannot be read.
    """
    if not frame.text:
        place.counts['unasked'] += 1
        return None
    try:
        picture = picture_of(frame.message)
    except PictureError as error:
        place.counts['unreadable'] += 1
        place.reason = place.reason or str(error)
        return None
    place.slot, seen = slot, thumbnail(picture)
    if (place.seen is not None and frame.text == place.text
            and difference(seen, place.seen) <= config.alike and config.alike > 0):
        place.counts['alike'] += 1
        return None
    place.seen = seen
    return picture


def _check_counts(bag: str, place: Place) -> None:
    """Refuse a recording that gave nothing; say what was left out of one that gave something."""
    counts = place.counts
    if counts['unreadable'] and not counts['rows']:
        raise DatasetError(f'{bag}: none of {counts["unreadable"]} pictures can be read: '
                           f'{place.reason}')
    if not counts['rows']:
        raise DatasetError(f'{bag}: ' + (
            f'no instruction came before any of {counts["unasked"]} pictures; give the sentence '
            'with --text' if counts['unasked'] else 'it holds no picture'))
    if counts['unreadable']:
        print(f'{printable(bag)}: {counts["unreadable"]} pictures left out, the first as '
              f'{printable(place.reason)}',
              file=sys.stderr)


def _open(config: EpisodesConfig, path: Path) -> Recording:
    if not path.exists():
        raise DatasetError(f'no bag and no folder {path}')
    if is_lerobot(path):
        return LeRobot(path, config.pictures, config.text)
    from ivm_ros.data.bags import Bag  # needs rosbags, which LeRobot's folders do not

    return Bag(path, config.pictures, config.instruction, ' '.join(config.text.split()))


def _name(path: Path) -> str:
    """Name a recording's shards: its own name, of letters that make no path."""
    path = path.absolute()
    name = path.stem if path.suffix in ('.mcap', '.db3', '.bag') else path.name
    return re.sub(r'[^A-Za-z0-9._-]', '_', name).lstrip('.-') or 'recording'


def _finished(folder: Path, name: str) -> list[Path]:
    """List the whole shards of a recording up to the first that is missing or torn."""
    found: list[Path] = []
    while (path := _shard(folder, name, len(found))).is_file():
        try:
            pq.read_metadata(path)
        except (pa.ArrowInvalid, OSError):  # written anew
            break
        found.append(path)
    return found


def _shard(folder: Path, name: str, number: int) -> Path:
    return folder / f'{name}-{number:05d}.parquet'


def _place_of(shard: Path) -> Place:
    """Find out where the import stood when it wrote the last row of a shard."""
    row = read_shard(shard)[-1]
    extra = row.extra
    return Place((extra['series'], extra['stamp']), row.instruction,
                 (extra['series'], extra['slot']), thumbnail(row.image), extra['start'],
                 Counter(extra['counts']))


def _settings(config: EpisodesConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name not in FREE}


def _keep_plan(folder: Path, config: EpisodesConfig) -> None:
    """Refuse to mix two ways of importing in one folder."""
    path, settings = folder / PLAN, _settings(config)
    if not path.is_file():
        with replace_file(path) as part:
            part.write_text(json.dumps(settings) + '\n')
        return
    before = json.loads(path.read_text())
    for name, value in settings.items():
        if before.get(name) != value:
            raise DatasetError(f'{folder} was begun with {name} {before.get(name)!r}, now asked '
                               f'for {value!r}: use another --out, or delete the folder')
