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
"""A thread that always works on the newest item and lets older ones go."""

from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

Item = TypeVar('Item')


class NewestFirst(Generic[Item]):
    """
    Work on the newest item in a thread of its own; an item that waits gives way to a newer one.

    Args:
        work: Called in the thread with one item at a time. What it raises ends the thread, so it
            has to deal with its own errors.
        skipped: Called in the thread of `put` for each item that gave way.
    """

    def __init__(self, work: Callable[[Item], None],
                 skipped: Callable[[], None] = lambda: None) -> None:
        self._work = work
        self._skipped = skipped
        self._waiting: list[Item] = []
        self._changed = Condition()
        self._running = True
        self._thread = Thread(target=self._run, name='newest-first', daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand over an item; returns at once."""
        with self._changed:
            gave_way = bool(self._waiting)
            self._waiting[:] = [item]
            self._changed.notify()
        if gave_way:
            self._skipped()

    def stop(self, timeout: float = 10.0) -> bool:
        """
        Finish the item at work, forget the waiting one, end the thread.

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
                self._changed.wait_for(lambda: self._waiting or not self._running)
                if not self._running:
                    return
                item = self._waiting.pop()
            self._work(item)
