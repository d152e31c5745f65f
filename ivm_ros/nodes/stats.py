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
"""Counting what becomes of a stream: frames, rates, latencies, losses. No ROS in it."""

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
import time

import numpy as np

WINDOW = 600
"""Latencies and findings that quantiles look back on: 20 s at 30 Hz."""


class Gaps:
    """
    Count what a numbered stream lost.

    Fast DDS numbers every message of a publisher from 1; rclpy hands the number to a callback as
    `MessageInfo['publication_sequence_number']` (measured on Jazzy and Kilted). What was sent
    before the first message seen is not counted, nor is a publisher that starts again.

    Attributes:
        mixed (bool): Several publishers are at work; where the middleware does not say which one
            sent a message (Jazzy), nothing can be counted then.
        counts (bool): The last message could be used.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, int] = {}
        self.mixed = False
        self.counts = True

    def add(self, source: Hashable, number: int | None) -> int:
        """
        Take note of one message.

        Args:
            source: Its publisher; None where the middleware does not tell.
            number: Its number, None where the middleware does not number.

        Returns:
            How many messages of this publisher went missing before it.
        """
        self.counts = number is not None and not (self.mixed and source is None)
        if number is None or not self.counts:
            self._last.clear()
            return 0
        last = self._last.get(source, number - 1)
        self._last[source] = number
        return max(0, number - last - 1)


class Pace:
    """Let at most so many frames a second through, evenly, however they jitter."""

    def __init__(self) -> None:
        self._due = 0.0

    def allows(self, now: float, rate: float) -> bool:
        """
        Say whether a frame may pass.

        Args:
            now: When it came, s.
            rate: Frames per second, 0 for all.
        """
        if now < self._due and rate:
            return False
        period = 1 / rate if rate else 0.0
        # On a grid: counted from frame to frame, a camera of 30 Hz would give 7.5 for 10.
        self._due = self._due + period if self._due + period > now else now + period
        return True


@dataclass(frozen=True)
class Report:
    """
    What became of a stream so far, and since the report before.

    Attributes:
        total (dict[str, int]): Counts since the start; keys as in `Stats`.
        recent (dict[str, int]): Counts since the report before.
        seconds (float): Time since the report before.
        silent (float): Seconds since the last frame came, or since the start.
        latency_ms (tuple[float, float] | None): Median and 99th percentile, ms, of the window.
        found_ratio (float | None): Share of masked frames in the window with something found.
        missed (int): Frames since something was found, of those in which it was looked for.
    """

    total: dict[str, int]
    recent: dict[str, int]
    seconds: float
    silent: float
    latency_ms: tuple[float, float] | None
    found_ratio: float | None
    missed: int = 0

    def rate(self, name: str) -> float:
        """Frames per second of one count since the report before."""
        return self.recent.get(name, 0) / max(self.seconds, 1e-3)


class Stats:
    """
    Counts of a stream, from several threads.

    Keys: `in` (arrived), `out` (left), `stale` (dropped for a newer one), `lost` (never arrived),
    `skipped` (above the rate that is wanted), `unsynced` (part of no set), `faults` (could not be
    masked), `unwatched` (nobody listened), and one per outcome.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._total: Counter[str] = Counter()
        self._reported: Counter[str] = Counter()
        self._latency: deque[float] = deque(maxlen=WINDOW)
        self._found: deque[bool] = deque(maxlen=WINDOW)
        self._missed = 0
        self._arrived = self._asked = time.monotonic()

    @property
    def started(self) -> bool:
        """A frame has come."""
        return self._total['in'] > 0

    def count(self, name: str, number: int = 1) -> None:
        """Add to one count."""
        with self._lock:
            self._total[name] += number

    def arrived(self, lost: int = 0) -> None:
        """Count a frame that came and those that went missing before it."""
        with self._lock:
            self._total['in'] += 1
            self._total['lost'] += lost
            self._arrived = time.monotonic()

    def left(self, outcome: str, latency_ms: float, found: bool | None = None) -> None:
        """Count a frame that is done with; `found` is None where nothing was looked for."""
        with self._lock:
            self._total[outcome] += 1
            if outcome != 'dropped':
                self._total['out'] += 1
                self._latency.append(latency_ms)
            if found is not None:
                self._found.append(found)
                self._missed = 0 if found else self._missed + 1

    def report(self) -> Report:
        """Sum up, and start the next period."""
        with self._lock:
            now = time.monotonic()
            recent = self._total - self._reported
            report = Report(
                dict(self._total), dict(recent), now - self._asked, now - self._arrived,
                quantiles(self._latency), float(np.mean(self._found)) if self._found else None,
                self._missed)
            self._reported, self._asked = self._total.copy(), now
            return report


class BatchStats:
    """What the model was given to mask together; from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = self._frames = 0
        self._sizes: deque[int] = deque(maxlen=WINDOW)
        self._times: deque[float] = deque(maxlen=WINDOW)

    def add(self, frames: int, seconds: float) -> None:
        """Count one batch."""
        with self._lock:
            self._count += 1
            self._frames += frames
            self._sizes.append(frames)
            self._times.append(1e3 * seconds)

    @property
    def facts(self) -> dict[str, str]:
        """What diagnostics show: batches, their frames, and size and time of the last ones."""
        with self._lock:
            median, high = quantiles(self._times) or (float('nan'), float('nan'))
            size = f'{np.mean(self._sizes):.2f}' if self._sizes else ''
            return {'batches': str(self._count), 'frames': str(self._frames),
                    'frames_per_batch': size, 'model_ms_median': f'{median:.1f}',
                    'model_ms_p99': f'{high:.1f}'}


def quantiles(values: deque[float]) -> tuple[float, float] | None:
    """Median and 99th percentile, or None of nothing."""
    if not values:
        return None
    median, high = np.percentile(values, (50, 99))
    return float(median), float(high)
