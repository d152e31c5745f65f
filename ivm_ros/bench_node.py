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
"""The part of `ivm bench` that needs ROS: the node as users start it, over real DDS."""

from collections.abc import Sequence
import json
import os
from pathlib import Path
from queue import Empty, Queue
import signal
import subprocess
import sys
from tempfile import TemporaryDirectory
from threading import Thread
from types import TracebackType
from typing import Any

import cv2
import numpy as np

NODE = 'bench_ivm_node'
STARTING = 180.0
"""Seconds that a node may take to load its model."""


class BenchError(RuntimeError):
    """A process of the bench did not do its part; the message ends with what it said last."""


class Child:
    """
    A process that answers in lines of JSON.

    Args:
        module: Run with `python -m`.
        arguments: Of the module.
        environment: Of the process.
        log: File for its stderr.
    """

    def __init__(self, module: str, arguments: Sequence[str], environment: dict[str, str],
                 log: Path) -> None:
        self._module, self._log = module, log
        with log.open('w') as errors:
            self._process = subprocess.Popen(
                [sys.executable, '-m', module, *arguments], text=True, env=environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self._lines: Queue[str] = Queue()
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if line.startswith('{'):
                self._lines.put(line)
        self._lines.put('')

    def ask(self) -> None:
        """Send an empty line."""
        if self._process.stdin is not None:
            self._process.stdin.write('\n')
            self._process.stdin.flush()

    def answer(self, patience: float = 60.0) -> dict[str, Any]:
        """
        Return the next object that it prints.

        Raises:
            BenchError: It ended, or took longer than `patience` seconds.
        """
        try:
            line = self._lines.get(timeout=patience)
        except Empty:
            line = ''
        if not line:
            raise BenchError(f'{self._module} did not answer: {self.last_words()}')
        answer: dict[str, Any] = json.loads(line)
        return answer

    def speaks(self, patience: float) -> bool:
        """Return whether it prints an object within `patience` seconds; swallows that object."""
        try:
            return bool(self._lines.get(timeout=patience))
        except Empty:
            return False

    def failed(self) -> bool:
        """Return whether it ended, or logged an error as ROS nodes do."""
        return self._process.poll() is not None or '[ERROR]' in self._log.read_text()

    def end(self, patience: float) -> None:
        """
        Wait until it ends by itself.

        Raises:
            BenchError: It failed, or took longer than `patience` seconds.
        """
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            code = -1
        if code:
            raise BenchError(f'{self._module} failed: {self.last_words()}')

    def stop(self) -> None:
        """End it as Ctrl-C does, then by force."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        """Return the end of what it wrote to stderr."""
        lines = self._log.read_text(errors='replace').strip().splitlines()
        return ' / '.join(lines[-3:]) or f'exit code {self._process.poll()}, nothing said'


class NodeBench:
    """
    `ivm_node`, a bare relay and a probe between them, in a namespace of their own.

    Args:
        weights: Checkpoint, '' for the shipped one.
        threads: Of the node.
        device: Of the node.
    """

    def __init__(self, weights: str, threads: int, device: str) -> None:
        self._folder = TemporaryDirectory(prefix='ivm_bench_')
        self._children: list[Child] = []
        self._space = f'/ivm_bench_{os.getpid()}'
        about = ros_facts()
        variable = about['profile_variable']
        self._environment = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                             variable: about['shipped_profile'], **os.environ}
        self.profile = self._environment[variable]
        # With thresholds of 0 every frame is masked, whatever the weights see in the picture.
        settings = {
            'instruction': 'pick up the red mug', 'found_threshold': 0.0, 'threshold': 0.0,
            'threads': threads, 'device': device, **({'weights': weights} if weights else {})}
        self._node = self._start('ivm_node', 'node', [
            '-r', f'__node:={NODE}',
            *(word for name, value in settings.items() for word in ('-p', f'{name}:={value}'))])
        self._start('bench_relay', 'relay')
        self._probe = self._start('bench_probe', '', before=('node', 'relay'))

    def __enter__(self) -> 'NodeBench':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for child in reversed(self._children):
            child.stop()
        self._folder.cleanup()

    def _start(self, module: str, place: str, ros: Sequence[str] = (),
               before: Sequence[str] = ()) -> Child:
        space = f'{self._space}/{place}'.rstrip('/')
        log = Path(self._folder.name) / f'{module}.log'
        child = Child(f'ivm_ros.nodes.{module}',
                      [*before, '--ros-args', '-r', f'__ns:={space}', *ros],
                      self._environment, log)
        self._children.append(child)
        return child

    def wait(self) -> None:
        """
        Return when the model is loaded and everybody hears everybody.

        Raises:
            BenchError: The node reports an error, or takes more than `STARTING` seconds.
        """
        for _ in range(int(STARTING)):
            if self._probe.speaks(1.0):
                return
            if self._node.failed():
                break
        raise BenchError(f'the node does not start: {self._node.last_words()}')

    def round(self) -> tuple[float, float]:
        """Return the round trip through node and relay, ms, of one 640x480 frame each."""
        self._probe.ask()
        times = self._probe.answer()
        return times['node'], times['relay']

    def stream(self, frames: int, rate: float) -> dict[str, int]:
        """
        Play pictures at a steady rate and count what became of them.

        Returns:
            `in` (sent), `out` (came out), `dropped` (by the node, as stale), `lost` (neither),
            and the node's own counts under their names on /diagnostics.
        """
        self._probe.stop()
        pictures = Path(self._folder.name) / 'pictures'
        write_pictures(pictures)
        counter = self._start('bench_counter', 'node', before=(NODE,))
        counter.answer()
        player = self._start('image_player', 'node', [
            '-p', f'path:={pictures}', '-p', f'rate:={float(rate)}', '-p', f'count:={frames}',
            '-p', 'wait_for:=1'])
        player.end(60 + 2 * frames / rate)
        counts = counter.answer()
        out, dropped = counts.pop('out'), counts['frames_stale']
        return {'in': frames, 'out': out, 'dropped': dropped, 'lost': frames - out - dropped,
                **counts}


def ros_facts() -> dict[str, str]:
    """
    Ask a process what ROS is here.

    Raises:
        BenchError: None; says why.
    """
    answer = subprocess.run([sys.executable, '-m', 'ivm_ros.nodes.about'], capture_output=True,
                            text=True, check=False)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or ['no reason given']
        raise BenchError(f'ROS 2 is not usable here: {lines[-1]}')
    facts: dict[str, str] = json.loads(answer.stdout)
    return facts


def write_pictures(folder: Path, count: int = 8) -> None:
    """Write some 640x480 pictures of drifting noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
    for number in range(count):
        cv2.imwrite(str(folder / f'{number}.png'), np.roll(noise, 20 * number, 1))
