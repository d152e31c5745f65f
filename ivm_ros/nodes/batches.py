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
"""A thread that works on the newest frame of every camera at once and lets older ones go."""

from collections.abc import Callable, Collection, Mapping
from threading import Condition, Thread
import time
from typing import Generic, TypeVar

Item = TypeVar('Item')


class Batches(Generic[Item]):
    """
    Gather items of several cameras and work on them together, in a thread of its own.

    The first item that comes opens a window; its end, or an item of each camera that is expected,
    starts the work. An item that waits gives way to a newer one of its camera.

    Args:
        work: Called in the thread with an item for each camera that has one. What it raises ends
            the thread, so it has to deal with its own errors.
        gave_way: Called with the camera of each item that gave way.
        window: Gives the seconds that a window is open.
        expected: Gives the cameras after whose items nothing is waited for.
    """

    def __init__(self, work: Callable[[dict[str, Item]], None], gave_way: Callable[[str], None],
                 window: Callable[[], float], expected: Callable[[], Collection[str]]) -> None:
        self._work, self._gave_way = work, gave_way
        self._window, self._expected = window, expected
        self._waiting: dict[str, Item] = {}
        self._opened = 0.0
        self._changed = Condition()
        self._running = True
        self._thread = Thread(target=self._run, name='batches', daemon=True)
        self._thread.start()

    def put(self, items: Mapping[str, Item]) -> None:
        """Hand over items by camera; returns at once."""
        with self._changed:
            if not self._waiting:
                self._opened = time.monotonic()
            old = [name for name in items if name in self._waiting]
            self._waiting.update(items)
            self._changed.notify()
        for name in old:
            self._gave_way(name)

    def stop(self, timeout: float = 10.0) -> bool:
        """
        Finish the items at work, forget those that wait, end the thread.

        Returns:
            False when the work did not end within `timeout` seconds.
        """
        with self._changed:
            self._running = False
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._running and (left := self._left()) != 0:
                    self._changed.wait(left)
                if not self._running:
                    return
                items, self._waiting = self._waiting, {}
            self._work(items)
            del items  # else the last frames would be held until the next ones come

    def _left(self) -> float | None:
        """Return the seconds until the work begins; None while nothing waits."""
        if not self._waiting:
            return None
        if self._waiting.keys() >= set(self._expected()):
            return 0
        return max(0.0, self._opened + self._window() - time.monotonic())
