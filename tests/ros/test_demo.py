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
"""The demo as a user runs it: four processes over ROS 2."""

from collections.abc import Iterator
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
import uuid

from PIL import Image
import pytest

pytestmark = pytest.mark.slow
SECONDS = 4
FRAMES = SECONDS * 10


class Run:
    """A demo under way; its processes are told by a mark in their environment."""

    def __init__(self, out: Path, *options: str) -> None:
        self.out, self._mark = out, f'IVM_DEMO_TEST={uuid.uuid4()}'
        name, _, value = self._mark.partition('=')
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'ivm_sim.demo', '--seconds', str(SECONDS), '--out', str(out),
             '--seed', '900011', *options], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**os.environ, name: value, 'COLUMNS': '200'})

    def end(self, patience: float = 240.0) -> tuple[int, str]:
        """Wait for the end; return exit code and what was said."""
        said = self.process.communicate(timeout=patience)[0]
        return self.process.returncode, said

    def children(self) -> dict[int, str]:
        """Pid and command line of its processes, itself left out."""
        found = {}
        for folder in Path('/proc').glob('[0-9]*'):
            try:
                marked = self._mark.encode() in (folder / 'environ').read_bytes().split(b'\0')
                command = (folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
            except OSError:  # gone meanwhile
                continue
            if marked and command and int(folder.name) != self.process.pid:
                found[int(folder.name)] = command
        return found

    def wait_for(self, module: str, log: str, word: str) -> int:
        """Wait until a node says something; return its pid."""
        path = self.out / 'logs' / f'{log}.log'
        until = time.monotonic() + 180
        while time.monotonic() < until and self.process.poll() is None:
            pids = [pid for pid, command in self.children().items() if module in command]
            if pids and path.is_file() and word in path.read_text():
                return pids[0]
            time.sleep(.2)
        raise AssertionError(f'{log} did not say {word!r}')


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    """Collect the runs of a test; end whatever is left of them."""
    started: list[Run] = []
    yield started
    for run in started:
        for pid in (run.process.pid, *run.children()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        run.process.wait()


def test_the_demo_masks_every_frame_that_it_does_not_drop_on_purpose(tmp_path, runs):
    runs.append(Run(tmp_path / 'demo', '--pictures', str(tmp_path / 'readme')))
    code, said = runs[0].end()
    assert code == 0, said
    summary = json.loads((tmp_path / 'demo' / 'summary.json').read_text())
    frames = summary['frames']
    assert frames['sent'] == frames['in'] == FRAMES
    assert frames['lost'] == 0
    assert frames['out'] + frames['dropped'] == FRAMES
    assert 0 < frames['masked'] <= frames['out']
    assert 0 < summary['latency_ms']['median'] <= summary['latency_ms']['p99']
    assert summary['iou_frames'] >= 3
    assert 0 <= summary['mean_iou'] <= 1
    assert len(summary['instructions']) == 3, 'the instruction has to change twice'
    assert '--seconds 4' in summary['command']
    assert summary['versions']['ros']
    for words in ('frames sent', 'lost on the way', 'latency', 'mean IoU'):
        assert words in said
    with Image.open(tmp_path / 'demo' / 'contact_sheet.png') as sheet:
        assert sheet.width > 900
    with Image.open(tmp_path / 'readme' / 'demo.gif') as moving:
        assert 1 < moving.n_frames <= FRAMES
    assert not runs[0].children()


def test_frames_that_the_default_profile_loses_are_counted(tmp_path, runs):
    runs.append(Run(tmp_path, '--profile', 'default', '--reliability', 'best_effort'))
    code, said = runs[0].end()
    frames = json.loads((tmp_path / 'summary.json').read_text())['frames']
    assert frames['sent'] == FRAMES
    assert frames['lost'] > 0, 'pictures fit into the default segment: is the profile needed?'
    assert frames['lost'] == FRAMES - frames['out'] - frames['dropped']
    assert frames['received'] < FRAMES
    assert code == 1
    assert f'{frames["lost"]} of {FRAMES} frames were lost on the way' in said
    assert 'config/fastdds.xml' in said


def test_a_node_that_cannot_start_is_told_with_its_reason(tmp_path, runs):
    runs.append(Run(tmp_path, '--weights', str(tmp_path / 'none.safetensors')))
    code, said = runs[0].end()
    assert code == 1
    assert 'ivm_node' in said
    assert 'none.safetensors' in said
    assert 'Traceback' not in said
    assert not runs[0].children()


def test_a_node_that_dies_ends_the_demo_with_its_last_words(tmp_path, runs):
    runs.append(Run(tmp_path))
    pid = runs[0].wait_for('ivm_sim.nodes.camera_node', 'camera_node', 'in view')
    os.kill(pid, signal.SIGKILL)
    code, said = runs[0].end(120)
    assert code == 1
    assert 'camera_node ended with code -9' in said
    assert 'in view for' in said, 'the end of the log'
    assert not runs[0].children()


def test_a_demo_that_is_terminated_leaves_nothing_behind(tmp_path, runs):
    runs.append(Run(tmp_path))
    runs[0].wait_for('ivm_sim.nodes.camera_node', 'camera_node', 'in view')
    assert len(runs[0].children()) >= 3
    runs[0].process.terminate()
    code, said = runs[0].end(120)
    assert code == 130, said
    assert not runs[0].children()


@pytest.mark.parametrize(('options', 'words'), [
    (['--seed', '7'], 'wanted 900000 to inf'), (['--method', 'blurr'], "did you mean 'blur'"),
    (['--rate', '0'], 'DemoConfig.rate: wanted 1 to 60')])
def test_a_wrong_option_is_told(tmp_path, runs, options, words):
    runs.append(Run(tmp_path, *options))
    code, said = runs[0].end(120)
    assert code == 2
    assert words in ' '.join(said.split())
    assert 'Traceback' not in said
