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
Long jobs on a Ray cluster: what `work.in_processes` does, on many machines.

A job is one row of a Ray dataset, so that Ray Data's actors take jobs as they get free, and the
job itself (a shard that is written whole or not at all) is done again where a machine fails.
Needs `pip install "ivm_ros[ray]"`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import os
from typing import Any

from ivm_ros.work import Made, WorkError

TRIES = 3  # further ones, for a job whose machine or process died
STORE = 100 << 20  # bytes of Ray's shared memory on one machine: only numbers travel


@dataclass(frozen=True)
class _Answer:
    """What became of a job; of a class of ours, for Ray would turn plain values into Arrow's."""

    made: Any
    error: Exception | None = None


class _Worker:
    """
    Does jobs, in a process of its own; what it has loaded stays from job to job.

    Args:
        call: Function of some module.
        jobs: Arguments of each job.
    """

    def __init__(self, call: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> None:
        self._call, self._jobs = call, jobs

    def __call__(self, row: dict[str, Any]) -> dict[str, _Answer]:
        """Do the job of a row; an error travels as it is, for Ray would wrap it in its own."""
        try:
            return {'answer': _Answer(self._call(*self._jobs[int(row['job'])]))}
        except Exception as error:  # noqa: BLE001 - raised where the results are read
            return {'answer': _Answer(None, error)}


def on_ray(call: Callable[..., Made], jobs: Sequence[tuple[Any, ...]], workers: int
           ) -> Iterator[Made]:
    """
    Call a function of some module with each job's arguments; yield results as they come.

    On the cluster that this process is connected to, or that RAY_ADDRESS names; else on this
    machine alone, at its loopback address. GPUs of the cluster are shared among the workers.

    Args:
        call: The same on all machines.
        jobs: Arguments; paths in them must mean the same files everywhere.
        workers: Processes, no more than the cluster has CPUs.

    Raises:
        WorkError: Ray is missing, or fails; errors of `call` come as they are.
    """
    with _cluster(workers) as ray:
        resources = ray.cluster_resources()
        actors = max(1, min(workers, len(jobs), int(resources.get('CPU', 1))))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.execution_no_progress_timeout_s = 10 ** 9  # a shard may take hours
        rows = ray.data.from_items([{'job': number} for number in range(len(jobs))],
                                   override_num_blocks=len(jobs))
        answers = rows.map(
            _Worker, fn_constructor_args=(call, jobs), num_cpus=1,
            num_gpus=min(1.0, resources.get('GPU', 0) / actors) or None,
            compute=ray.data.ActorPoolStrategy(size=actors), max_restarts=TRIES,
            max_task_retries=TRIES)
        try:
            for row in answers.iter_rows():
                if row['answer'].error is not None:
                    raise row['answer'].error
                yield row['answer'].made
        except ray.exceptions.RayError as error:
            raise WorkError(f'Ray failed ({type(error).__name__}: {str(error).splitlines()[0]}); '
                            'run the same command again to go on from what is written') from error


@contextmanager
def _cluster(workers: int) -> Iterator[Any]:
    """Give Ray, connected; what is started here ends here."""
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    if not os.environ.get('RAY_ADDRESS'):
        # Ray's name for what it does on Windows: a cluster of this machine stays on loopback.
        os.environ.setdefault('RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER', '0')
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise WorkError('--ray wanted Ray, which is not installed: pip install "ivm_ros[ray]"'
                        ) from error
    if ray.is_initialized():
        yield ray
        return
    alone: dict[str, Any] = {} if os.environ.get('RAY_ADDRESS') else {
        'num_cpus': workers, 'object_store_memory': STORE, 'include_dashboard': False}
    try:
        ray.init(**alone)
    except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
        raise WorkError(f'no Ray cluster: {error}') from error
    try:
        yield ray
    finally:
        ray.shutdown()
