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
"""Sets of frames that were taken at about the same time. No ROS in it."""

from collections import deque
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

Item = TypeVar('Item')

KEPT = 10
"""Frames of a camera that wait for those of the others: a third of a second at 30 Hz."""


class Synchroniser(Generic[Item]):
    """
    Approximate synchronisation by stamps: the newest set whose stamps lie close enough.

    Args:
        left_out: Called with the camera of each frame that became part of no set.
    """

    def __init__(self, left_out: Callable[[str], None]) -> None:
        self._left_out = left_out
        self._queues: dict[str, deque[tuple[int, Item]]] = {}

    def add(self, name: str, stamp: int, item: Item, names: Collection[str], slop: int
            ) -> dict[str, Item] | None:
        """
        Take a frame.

        Args:
            name: Its camera.
            stamp: When it was taken, ns.
            item: The frame.
            names: All cameras of a set; frames of others are let go.
            slop: Nanoseconds that the stamps of a set may span.

        Returns:
            A frame of each camera once there is such a set; older frames are let go with it.
        """
        queue = self._queues.setdefault(name, deque())
        if queue and stamp < queue[-1][0]:  # the clock went back: nothing of before fits any more
            for other, old in self._queues.items():
                self._let_go(other, old, len(old))
        queue.append((stamp, item))
        for other in set(self._queues) - set(names):
            self._let_go(other, self._queues[other], len(self._queues[other]))
        if len(queue) > KEPT:
            self._let_go(name, queue, 1)
        return self._newest_set(names, slop)

    def _newest_set(self, names: Collection[str], slop: float) -> dict[str, Item] | None:
        queues = {name: self._queues.get(name, deque()) for name in names}
        if not all(queues.values()):
            return None
        ends = sorted({stamp for queue in queues.values() for stamp, _ in queue}, reverse=True)
        for end in ends:
            chosen = {name: next((pair for pair in reversed(queue) if pair[0] <= end), None)
                      for name, queue in queues.items()}
            found = {name: pair for name, pair in chosen.items() if pair is not None}
            if len(found) == len(queues) and end - min(
                    stamp for stamp, _ in found.values()) <= slop:
                self._take(found)
                return {name: item for name, (_, item) in found.items()}
        return None

    def _take(self, found: dict[str, tuple[int, Item]]) -> None:
        """Forget a set and all that came before it."""
        for name, (stamp, _) in found.items():
            queue = self._queues[name]
            self._let_go(name, queue, sum(before < stamp for before, _ in queue))
            queue.popleft()

    def _let_go(self, name: str, queue: deque[tuple[int, Item]], number: int) -> None:
        """Forget the oldest frames of a camera."""
        for _ in range(number):
            queue.popleft()
            self._left_out(name)
