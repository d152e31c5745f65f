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

from collections.abc import Mapping, Sequence
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from ivm_ros.models.settings import MaskerConfig
from ivm_ros.processes import ProcessError, Program, Programs, ros_arguments, ros_facts

NODE = 'bench_ivm_node'
FRAMES_FOR_MEMORY = 30  # after these it stays where it is
STARTING = 180.0
"""Seconds that a node may take to load its model."""


class NodeBench:
    """
    `ivm_node`, a bare relay and a probe between them, in a namespace of their own.

    Args:
        weights: Checkpoint, '' for the one in use.
        threads: Of the node.
        device: Of the node.
        runtime: Of the node.
    """

    def __init__(self, weights: str, threads: int, device: str, runtime: str = 'torch') -> None:
        self._folder = TemporaryDirectory(prefix='ivm_bench_')
        self._space = f'/ivm_bench_{os.getpid()}'
        about = ros_facts()
        variable = about['profile_variable']
        environment = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                       variable: about['shipped_profile'], **os.environ}
        self.profile = environment[variable]
        self._programs = Programs(environment, Path(self._folder.name))
        # With thresholds of 0 every frame is masked, whatever the weights see in the picture.
        self._node = self._start('ivm_node', 'node', {
            'instruction': 'pick up the red mug', 'found_threshold': 0.0, 'threshold': 0.0,
            'threads': threads, 'device': device, 'runtime': runtime,
            **({'weights': weights} if weights else {})},
            name=NODE)
        self._start('bench_relay', 'relay')
        self._probe = self._start('bench_probe', '', words=('node', 'relay'))

    def __enter__(self) -> 'NodeBench':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._programs.__exit__(kind, error, trace)
        self._folder.cleanup()

    def _start(self, module: str, place: str, parameters: Mapping[str, Any] | None = None,
               words: Sequence[str] = (), name: str = '') -> Program:
        space = f'{self._space}/{place}'.rstrip('/')
        return self._programs.start(module, f'ivm_ros.nodes.{module}', [
            *words, *ros_arguments(parameters or {}, space, name)])

    def wait(self) -> None:
        """
        Return when the model is loaded and everybody hears everybody.

        Raises:
            ProcessError: The node reports an error, or takes more than `STARTING` seconds.
        """
        for _ in range(int(STARTING)):
            if self._probe.facts(1.0) is not None:
                return
            if self._node.failed():
                break
        raise ProcessError(f'the node does not start. {self._node.last_words()}')

    @property
    def peak_memory(self) -> float:
        """The most memory that the node has held so far, MiB."""
        return self._node.peak_memory

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
        self._probe.interrupt()
        self._probe.stop()
        pictures = Path(self._folder.name) / 'pictures'
        write_pictures(pictures)
        counter = self._start('bench_counter', 'node', words=(NODE,))
        counter.answer()
        player = self._start('image_player', 'node', {
            'path': str(pictures), 'rate': float(rate), 'count': frames, 'wait_for': 1})
        player.wait(60 + 2 * frames / rate)
        counts = counter.answer()
        out, dropped = counts.pop('out'), counts['frames_stale']
        return {'in': frames, 'out': out, 'dropped': dropped, 'lost': frames - out - dropped,
                **counts}


def memory_without_torch(config: MaskerConfig, threads: int) -> float:
    """Return the most memory that a node holds which masks by ONNX Runtime, MiB."""
    with NodeBench(config.weights, threads, config.device, 'onnx') as node:
        node.wait()
        for _ in range(FRAMES_FOR_MEMORY):
            node.round()
        return node.peak_memory


def write_pictures(folder: Path, count: int = 8) -> None:
    """Write some 640x480 pictures of drifting noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
    for number in range(count):
        cv2.imwrite(str(folder / f'{number}.png'), np.roll(noise, 20 * number, 1))
