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
"""Long jobs: processes that work side by side, and a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
import multiprocessing
from multiprocessing import util
import os
from threading import Thread
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (BarColumn, MofNCompleteColumn, Progress, TextColumn,
                           TimeElapsedColumn, TimeRemainingColumn)

Made = TypeVar('Made')


class WorkError(RuntimeError):
    """A worker process died; the message says what to do."""


def progress_of(unit: str) -> Progress:
    """Give a progress bar on stderr that counts in some unit."""
    return Progress(TextColumn('{task.description}', markup=False), BarColumn(),
                    MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn(),
                    TimeRemainingColumn(), console=Console(stderr=True))


def in_processes(call: Callable[..., Made], jobs: Sequence[tuple[Any, ...]], workers: int
                 ) -> Iterator[Made]:
    """
    Call a function of some module with each job's arguments; yield results as they come.

    Raises:
        WorkError: A process died.
    """
    # An executor, not a `Pool`: that one waits forever for a worker that died.
    with ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context('spawn'),
                             _leave_at_once) as pool:
        tasks = [pool.submit(call, *job) for job in jobs]
        try:
            for task in as_completed(tasks):
                yield task.result()
        except BrokenProcessPool as error:
            raise WorkError('a worker process died (out of memory, or the OpenGL driver '
                            'crashed); run the same command again to go on from what is '
                            'written, with fewer --workers where memory is short') from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _leave_at_once() -> None:
    """
    Have this worker end at once: with its parent, and without the OpenGL driver's clean-up.

    That one hangs now and then. And the workers of a parent that is killed wait for ever, for each
    holds the other end of the pipe that the others read.
    """
    util.Finalize(None, os._exit, (0,), exitpriority=-1000)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
