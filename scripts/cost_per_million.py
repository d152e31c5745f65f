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
Measures what an image costs on one core: to simulate, to label, to train on, to keep.

Every job runs twice as a user runs it, with few images and with more, and counts processor time
of all its processes; the difference leaves the start-up out. Processor time, so that other work
on the machine matters little.
"""

from dataclasses import dataclass
import os
from pathlib import Path
import resource
import subprocess
import sys
import tempfile

SENTENCES = 6
BATCH = 8
SIMULATE = [sys.executable, '-m', 'ivm_sim.cli', 'dataset', '--sentences', str(SENTENCES)]
IVM = [sys.executable, '-m', 'ivm_ros.cli']


@dataclass(frozen=True)
class Job:
    """
    What is measured.

    Attributes:
        name (str): For the table.
        few (tuple[int, list[str]]): Images and command of the small run.
        many (tuple[int, list[str]]): Of the large one.
    """

    name: str
    few: tuple[int, list[str]]
    many: tuple[int, list[str]]

    def seconds(self) -> float:
        """Run both; return processor seconds for an image."""
        (count, command), (more, other) = self.few, self.many
        return (spent(other) - spent(command)) / (more - count)


def spent(command: list[str]) -> float:
    """Run a command; return the processor seconds that it took, its children's with them."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, 'OMP_NUM_THREADS': '1'})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(few: int = 16, many: int = 80) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        sizes = {'few': few, 'many': many}

        def pair(command: list[str], last: str) -> tuple[tuple[int, list[str]], ...]:
            return tuple((count, [part.format(name=name, count=count, steps=count // BATCH,
                                              folder=folder) for part in (*command, last)])
                         for name, count in sizes.items())

        train = [*IVM, 'train', '--data', f'{folder}/many', '--threads', '1', '--images',
                 str(BATCH), '--sentences', str(SENTENCES), '--warmup', '1', '--save-every',
                 '1000000', '--out', '{folder}/run-{name}', '--steps']
        jobs = [
            Job('simulate a picture, 6 sentences and their masks (`ivm-sim dataset`)',
                *pair([*SIMULATE, '--out', '{folder}/{name}', '--scenes'], '{count}')),
            Job('label its 6 sentences by the compact expert (`ivm annotate`)',
                *pair([*IVM, 'annotate', '{folder}/{name}', '--out', '{folder}/{name}-labelled',
                       '--experts'], 'compact')),
            Job('train on it once, 6 sentences (`ivm train`)', *pair(train, '{steps}'))]
        print('| what | seconds of a core an image | core hours a million images |')
        print('|---|---|---|')
        for job in jobs:
            seconds = job.seconds()
            print(f'| {job.name} | {seconds:.3f} | {seconds * 1e6 / 3600:,.0f} |', flush=True)
        size = sum(path.stat().st_size for path in (folder / 'many').glob('*.parquet')) / many
        print(f'\n{size / 1000:.0f} kB an image on the disk, {size / 1000:.0f} GB a million')


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
