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
Recording one episode: which frames, until when, in a thread of its own. Knows no ROS.

`Recording` takes serialised messages from the thread that hears them and writes them in another;
a disk that is slow costs frames, which are counted, and never time of the caller.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import shutil
from threading import Condition, Thread
import time
from typing import Annotated

from ivm_ros.config import check, ConfigError, Doc, Live, Range
from ivm_ros.episode_bag import BagError, episode_name, EpisodeBag

MEGABYTE = 1_000_000
TEXT = 'std_msgs/msg/String'


@dataclass(frozen=True)
class RecorderConfig:
    """What is recorded, where to, and when it ends by itself; live changes hold from ~/start."""

    images: Annotated[tuple[str, ...], Doc(
        'Topics of pictures; those that end in /compressed carry CompressedImage, others Image.'
    )] = ('image',)
    folder: Annotated[str, Live(), Doc(
        'Folder for the bags, one for each episode; made where it is missing.')] = 'episodes'
    prefix: Annotated[str, Live(), Doc('Bags are called PREFIX-DATE-TIME.')] = 'episode'
    rate: Annotated[float, Live(), Range(0.0, 1000.0), Doc(
        'At most so many pictures a second of each topic; 0 = all.')] = 5.0
    jpeg_quality: Annotated[int, Live(), Range(0, 100), Doc(
        'Write raw pictures as JPEG of this quality, on TOPIC/compressed; 0 = as they come.')] = 0
    max_minutes: Annotated[float, Live(), Range(0.0, None), Doc(
        'Longest episode; recording stops then. 0 = no limit.')] = 30.0
    max_megabytes: Annotated[float, Live(), Range(0.0, None), Doc(
        'Largest episode, 10^6 bytes; recording stops before. 0 = no limit.')] = 4000.0
    keep_free_megabytes: Annotated[float, Live(), Range(0.0, None), Doc(
        'Recording stops before the disk has less left.')] = 1000.0
    queue_megabytes: Annotated[float, Live(), Range(1.0, None), Doc(
        'Memory for pictures that wait for the disk; what comes beyond is dropped.')] = 64.0

    def __post_init__(self) -> None:
        """Refuse wrong types and ranges, and topics that would meet in the bag."""
        check(self)
        names = [name if not self.jpeg_quality else name.removesuffix('/compressed')
                 for name in self.images]
        if not self.images or not all(name and isinstance(name, str) for name in names) or (
                len(set(names)) < len(names)):
            raise ConfigError(
                'RecorderConfig.images: wanted one topic or more, no two that are written to '
                f'TOPIC/compressed alike, got {self.images!r}; leave one out')
        if not self.prefix or '/' in self.prefix or self.prefix.startswith('.'):
            raise ConfigError('RecorderConfig.prefix: wanted a word without / that begins with '
                              f'no dot, got {self.prefix!r}')


@dataclass(frozen=True)
class Entry:
    """
    One message.

    Attributes:
        topic (str): Full name.
        kind (str): Such as sensor_msgs/msg/Image.
        stamp (int): When it came, ns.
        data (bytes): CDR.
    """

    topic: str
    kind: str
    stamp: int
    data: bytes


class Pace:
    """
    Let through at most `rate` a second, be they evenly spaced or not (generic cell rate).

    A frame may come half a period early: a camera of just that rate keeps all of its frames.
    """

    def __init__(self, rate: float) -> None:
        self._period = round(1e9 / rate) if rate else 0
        self._due: int | None = None

    def take(self, stamp: int) -> bool:
        """Tell whether the frame of this stamp, ns, is one to keep."""
        due, period = self._due, self._period
        if due is None or stamp < due - 3 * period:  # the clock was set back
            due = stamp
        if stamp < due - period // 2:
            return False
        self._due = max(due, stamp) + period
        return True


def limit_reached(config: RecorderConfig, seconds: float, size: int, free: int) -> str:
    """Say which limit ends an episode of so many seconds and bytes, '' for none."""
    if config.max_minutes and seconds >= config.max_minutes * 60:
        return f'max_minutes = {config.max_minutes:g} is over'
    if config.max_megabytes and size > config.max_megabytes * MEGABYTE:
        return f'max_megabytes = {config.max_megabytes:g} is full'
    if free < config.keep_free_megabytes * MEGABYTE:
        return (f'the disk has {max(0, free) / MEGABYTE:.0f} MB left, keep_free_megabytes = '
                f'{config.keep_free_megabytes:g}')
    return ''


class Recording:
    """
    One episode, from its making until `finished`.

    Args:
        config: Limits and rate.
        instruction: Full name of its topic.
        first: The instruction in force; None without one.
        encode: Called in the thread with each picture, gives what is written; ValueError for
            one that cannot be read, which is left out.

    Raises:
        BagError: It cannot begin; says why and what to do.

    Attributes:
        counts (Counter[str]): 'dropped', 'thinned', 'unreadable', and frames by topic.
        reason (str): Which limit ended it, '' for none.
        failure (str): Why there is no bag, '' while all is well.
    """

    def __init__(self, config: RecorderConfig, instruction: str, first: Entry | None,
                 encode: Callable[[Entry], Entry]) -> None:
        self.config, self._encode = config, encode
        folder = Path(config.folder).expanduser().absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if short := limit_reached(config, -1, 0, shutil.disk_usage(folder).free):
                raise BagError(f'{folder}: {short}; free some space or choose another folder')
            self._bag = EpisodeBag(folder, episode_name(config.prefix))
        except OSError as error:
            raise BagError(f'{folder}: wanted a folder to write to: {error}; set folder to '
                           'another, or mend this one') from error
        self.path, self.begin, self.size = self._bag.path, time.monotonic(), 0
        self.counts: Counter[str] = Counter()
        self.frames: Counter[str] = Counter()
        self.reason = self.failure = self._unread = ''
        self.asked = first is not None
        self._paces: dict[str, Pace] = {}
        self._waiting: deque[Entry] = deque([first] if first else [])
        self._held, self._closing, self._instruction = 0, False, instruction
        self._changed = Condition()
        self._thread = Thread(target=self._run, name='recording')
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Nothing is written any more: the bag stands, or `failure` says why not."""
        return not self._thread.is_alive()

    def say(self, entry: Entry) -> None:
        """Take an instruction; none is ever dropped."""
        with self._changed:
            self._waiting.append(entry)
            self.asked = True
            self._changed.notify()

    def put(self, entry: Entry) -> None:
        """Take a picture, unless it is one too many; returns at once."""
        with self._changed:
            if self._closing:
                return
            pace = self._paces.setdefault(entry.topic, Pace(self.config.rate))
            if not pace.take(entry.stamp):
                self.counts['thinned'] += 1
            elif self._held and (self._held + len(entry.data)
                                 > self.config.queue_megabytes * MEGABYTE):
                self.counts['dropped'] += 1
            else:
                self._waiting.append(entry)
                self._held += len(entry.data)
                self._changed.notify()

    def close(self) -> None:
        """Ask for the end; what waits is written still."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is finished; False when it is not in time."""
        self._thread.join(timeout)
        return self.finished

    def sentence(self) -> str:
        """Say what became of it."""
        if self.failure:
            return self.failure
        said = [f'{self.path}: {sum(self.frames.values())} pictures, '
                f'{self.size / MEGABYTE:.1f} MB']
        said += [f'stopped by itself: {self.reason}'] if self.reason else []
        said += [f'{self.counts[name]} {name}' for name in ('dropped', 'unreadable')
                 if self.counts[name]]
        said += [] if self.asked else ['no instruction came: import it with --text']
        return ', '.join(said)

    def _run(self) -> None:
        try:
            self._bag.declare(self._instruction, TEXT)
            while not self._full() and (entry := self._next()) is not None:
                self._write(entry)
            self._end()
        except Exception as error:  # noqa: BLE001 - the node lives on, whatever the disk does
            self._bag.leave()
            self.failure = (
                f'{self.path} could not be written: {type(error).__name__}: {error}; what there '
                f'is lies in {self._bag.part}, to delete or, by "mcap recover", to mend')
        finally:
            with self._changed:
                self._closing = True
                self._waiting.clear()

    def _next(self) -> Entry | None:
        """Wait for an entry; None at the end of the time or of the recording."""
        with self._changed:
            while not self._waiting:
                if self._closing or self._full():
                    return None
                self._changed.wait(0.2)
            return self._waiting.popleft()

    def _full(self, more: int = 0) -> bool:
        """Tell whether a limit is reached, with `more` bytes; keeps the reason."""
        if not self.reason:
            self.reason = limit_reached(
                self.config, time.monotonic() - self.begin, self.size + more,
                shutil.disk_usage(self._bag.part).free - more)
        return bool(self.reason)

    def _write(self, entry: Entry) -> None:
        try:
            out = entry if entry.kind == TEXT else self._encode(entry)
        except ValueError as error:
            self.counts['unreadable'] += 1
            self._unread = self._unread or str(error)
        else:
            if not self._full(len(out.data)):
                self._bag.write(out.topic, out.kind, out.stamp, out.data)
                self.size += len(out.data)
                if out.kind != TEXT:
                    self.frames[out.topic] += 1
        if entry.kind != TEXT:
            with self._changed:
                self._held -= len(entry.data)

    def _end(self) -> None:
        if sum(self.frames.values()):
            self._bag.finish()
            return
        self._bag.discard()
        why = self.reason or (f'none could be read: {self._unread}' if self._unread else
                              'are the topics right, does the camera send?')
        self.failure = f'no picture was recorded, so there is no bag: {why}'
