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
`ivm bench soak`: whether the node stays as it is for as long as a robot works.

The node as users start it gets more pictures than it can mask. Delivered pictures and their age
are counted at the policy's end, memory, threads and file handles are read from /proc.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
import os
from pathlib import Path
import shlex
import sys
from tempfile import TemporaryDirectory
import time
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table

from ivm_ros.bench import Bar
from ivm_ros.bench_node import STARTING, write_pictures
from ivm_ros.config import check, Doc, Range
from ivm_ros.files import write_json
from ivm_ros.processes import (end_as_by_ctrl_c, environment_of, ProcessError, Program, Programs,
                               reserve_domain, ros_arguments, ros_facts)
from ivm_ros.version import commit, versions

NODE, SPACE = 'ivm_soak_node', '/ivm_soak'


@dataclass(frozen=True)
class SoakConfig:
    """Settings of `ivm bench soak`."""

    minutes: Annotated[float, Range(0.1, None), Doc(
        'How long to measure; the first and the last minute are compared (of less than two '
        'minutes, the halves).')] = 30.0
    warm_up: Annotated[float, Range(0.0, None), Doc(
        'Seconds of the stream before that.')] = 20.0
    rate: Annotated[float, Range(1.0, 1000.0), Doc('Pictures offered a second, 640x480.')] = 60.0
    least: Annotated[float, Range(0.0, None), Doc(
        'Masked pictures to be delivered a second.')] = 25.0
    weights: Annotated[str, Doc('Checkpoint; empty for the one in use.')] = ''
    runtime: Annotated[str, Doc('Of the node: torch or onnx.')] = 'torch'
    device: Annotated[str, Doc('Of the node: auto, cpu or cuda.')] = 'auto'
    json: Annotated[str, Doc('Where to write the figures, after every window; empty for '
                             'nowhere.')] = ''

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def soak(config: SoakConfig) -> int:
    """Stream, print, write after every window; return 1 when a bound is missed."""
    end_as_by_ctrl_c()
    domain, _lock = reserve_domain()
    environment = environment_of(ros_facts(), domain)
    console, rows = Console(), []
    # The commit is that of the start: a checkout may change in half an hour.
    facts = {'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
             'versions': versions()}
    with TemporaryDirectory(prefix='ivm_soak_') as folder, \
            Programs(environment, Path(folder)) as programs:
        write_pictures(Path(folder) / 'pictures')
        node, watch = start(config, Path(folder) / 'pictures', programs)
        window = min(60.0, 30.0 * config.minutes)
        windows = max(2, round(60.0 * config.minutes / window))
        time.sleep(config.warm_up)
        ask(watch)
        for number in range(windows):
            rows.append(observe(programs, node, watch, window))
            console.print(f'{number + 1}: {rows[-1]}', soft_wrap=True, highlight=False)
            kept = judge(rows, config.least)
            report = {'finished': len(rows) == windows, 'rows': rows,
                      'bars': [{**asdict(bar), 'ok': bar.ok} for bar in kept],
                      'settings': vars(config), 'window_s': window, 'cores': os.cpu_count(),
                      'cores_used': len(os.sched_getaffinity(0)), **facts}
            if config.json:
                write_json(Path(config.json), report)
    show(report, console)
    return int(not all(bar.ok for bar in kept))


def start(config: SoakConfig, pictures: Path, programs: Programs) -> tuple[Program, Program]:
    """
    Start node, camera and policy; return node and policy when pictures flow.

    Raises:
        ProcessError: The node reports an error, or takes more than `STARTING` seconds.
    """
    # With thresholds of 0 every frame is masked, whatever the weights see in the picture.
    node = programs.start('ivm_node', 'ivm_ros.nodes.ivm_node', ros_arguments({
        'instruction': 'pick up the red mug', 'found_threshold': 0.0, 'threshold': 0.0,
        'runtime': config.runtime, 'device': config.device,
        **({'weights': config.weights} if config.weights else {})}, SPACE, NODE))
    watch = programs.start('soak_watch', 'ivm_ros.nodes.soak_watch',
                           [NODE, *ros_arguments({}, SPACE)])
    end = time.monotonic() + STARTING
    while watch.facts(1.0) is None:
        if node.failed() or time.monotonic() > end:
            raise ProcessError(f'the node does not start. {node.last_words()}')
    programs.start('image_player', 'ivm_ros.nodes.image_player', ros_arguments(
        {'path': str(pictures), 'rate': config.rate, 'wait_for': 1}, SPACE))
    return node, watch


def ask(watch: Program) -> dict[str, Any]:
    """Return what the policy's end saw since it was asked last."""
    watch.ask()
    return watch.answer()


def observe(programs: Programs, node: Program, watch: Program, seconds: float) -> dict[str, Any]:
    """
    Watch for a while.

    Threads and handles are the least of the samples, as reading /proc opens a file for a moment:
    a leak raises the least, too.

    Raises:
        ProcessError: A process ended.
    """
    samples: list[tuple[float, int, int]] = []
    begin = time.monotonic()
    while (now := time.monotonic()) < begin + seconds:
        programs.check()
        samples.append(usage(node.pid))
        time.sleep(min(1.0, begin + seconds - now))
    seen = ask(watch)
    memory, threads, handles = zip(*samples)
    return {'delivered_hz': round(seen['pictures'] / (time.monotonic() - begin), 2),
            'latency_ms_median': seen['latency_ms_median'],
            'latency_ms_p99': seen['latency_ms_p99'],
            'memory_mib': round(sum(memory) / len(memory), 2), 'threads': min(threads),
            'handles': min(handles), 'load': round(os.getloadavg()[0], 2), **seen['counts']}


def usage(pid: int) -> tuple[float, int, int]:
    """Return resident memory, MiB, number of threads and of file handles of a process."""
    place = Path('/proc') / str(pid)
    pages = int((place / 'statm').read_text().split()[1])
    return (pages * os.sysconf('SC_PAGE_SIZE') / 2**20, len(os.listdir(place / 'task')),
            len(os.listdir(place / 'fd')))


def judge(rows: Sequence[dict[str, Any]], least: float) -> list[Bar]:
    """Compare the last window with the first, and all of them with what is wanted."""
    first, last = rows[0], rows[-1]
    memory = [row['memory_mib'] / first['memory_mib'] for row in rows]
    return [
        Bar('fewest masked pictures a second', min(row['delivered_hz'] for row in rows), least,
            at_least=True),
        Bar('frames not masked', last['faulty'] - first['faulty'], 0),
        Bar('frames lost', last.get('lost', 0) - first.get('lost', 0), 0),
        Bar('change of resident memory, %', round(100 * max(abs(one - 1) for one in memory), 2),
            2),
        Bar('last p99 latency / first', round(
            last['latency_ms_p99'] / max(first['latency_ms_p99'], 1e-3), 3), 1.1),
        *(Bar(f'change of {name}', max(abs(row[name] - first[name]) for row in rows), 0)
          for name in ('threads', 'handles'))]


def show(report: dict[str, Any], console: Console) -> None:
    """Print the bounds."""
    table = Table('bound', 'wanted', 'measured', '')
    for bar in report['bars']:
        table.add_row(bar['name'], f'{">=" if bar["at_least"] else "<="} {bar["limit"]:g}',
                      f'{bar["value"]:g}', '[green]ok[/]' if bar['ok'] else '[red]missed[/]')
    console.print(table)
    rows = report['rows']
    console.print(f'{len(rows)} windows of {report["window_s"]:g} s on {report["cores_used"]} of '
                  f'{report["cores"]} cores; load 1 min {rows[0]["load"]} to {rows[-1]["load"]}',
                  highlight=False)
