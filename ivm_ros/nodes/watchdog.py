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
A model that hangs must not take the stream with it: frames wait for it so long and no longer.

Knows neither node nor messages. What a frame gets instead of a mask, `masking` decides.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as NotInTimeError
from functools import partial
from queue import SimpleQueue
from statistics import median_low
from threading import Lock, Thread
import time
from typing import Any
import weakref

REMEMBERED = 20
"""Calls that tell how long the model usually takes."""

SLACK = 5.0
"""Times as long as usual that the model may take: a busy machine is no fault of it."""


class ModelHangsError(ValueError):
    """The model has been at one frame for too long; this frame gets no mask."""


class Watchdog:
    """
    A model in a thread of its own, whose callers give up on it after a while.

    A call that was given up on goes on, as no thread can be ended from outside; until it comes
    back all others fail at once, and its mask is thrown away. The thread ends with this object.

    Args:
        masker: Such as `ivm_ros.masker.Masker`; one call at a time.
        limit: Gives the seconds that a call may take now, 0 for any time. Where the model usually
            takes long, `SLACK` times what it takes for as many pictures counts instead; the very
            first call, which tells, has no limit.
    """

    def __init__(self, masker: Any, limit: Callable[[], float]) -> None:
        self._masker, self._limit = masker, limit
        self._took: deque[float] = deque(maxlen=REMEMBERED)  # for one picture
        self._pictures = 1  # of the call at work
        self._free = Lock()
        self._since: float | None = None  # when the call at work began
        # The thread knows the queue alone, so that nothing of the model outlives its last user.
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        Thread(target=_work, args=(self._jobs,), name='model', daemon=True).start()
        weakref.finalize(self, self._jobs.put, None)

    @property
    def info(self) -> dict[str, Any]:
        """What the model says of itself."""
        return self._masker.info

    def limit(self, pictures: int = 1) -> float | None:
        """Seconds that a call of so many pictures may take now; None for any time."""
        limit = self._limit()
        if not limit or not self._took:
            return None
        return max(limit, SLACK * pictures * median_low(self._took))

    @property
    def trouble(self) -> str:
        """What is wrong while the model hangs; '' while it does not."""
        since, limit = self._since, self.limit(self._pictures)
        if since is None or limit is None or time.monotonic() < since + limit:
            return ''
        return _hangs(limit)

    def __call__(self, *given: Any) -> Any:
        """
        Call the model.

        Raises:
            ModelHangsError: It did not come back in time, or hangs since an earlier call.
            Exception: What the model raises.
        """
        limit = self.limit(self._pictures)
        begin = self._since or time.monotonic()
        if not self._free.acquire(timeout=_left(begin, limit)):
            raise ModelHangsError(_hangs(limit))
        self._pictures = len(given[0]) if given and isinstance(given[0], list) else 1
        limit = self.limit(self._pictures)
        self._since = begin = time.monotonic()
        answer: Future[Any] = Future()
        self._jobs.put(partial(self._run, given, answer))
        try:
            return answer.result(None if limit is None else _left(begin, limit))
        except NotInTimeError:
            if answer.done():  # just now, or the error is the model's own
                return answer.result()
            raise ModelHangsError(_hangs(limit)) from None
        finally:
            del answer  # or an error, the frames in its traceback and this would hold each other

    def _run(self, given: tuple[Any, ...], answer: 'Future[Any]') -> None:
        begin = time.monotonic()
        try:
            try:
                made = self._masker(*given)
            finally:  # before the caller goes on
                self._took.append((time.monotonic() - begin) / self._pictures)
                self._since = None
                self._free.release()
            answer.set_result(made)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            answer.set_exception(error)
        finally:
            del answer


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job


def _left(begin: float, limit: float | None) -> float:
    """Return how long to wait still, s; -1 for any time, as locks have it."""
    return -1 if limit is None else max(0.0, begin + limit - time.monotonic())


def _hangs(limit: float | None) -> str:
    return f'the model hangs: it has been at one frame for more than {limit or 0:.2g} s'
