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
"""A disk that fills up while data are imported, annotated and learnt from; then there is room."""

from collections.abc import Callable
import errno
import json
from pathlib import Path
import subprocess
import sys

import cv2
import numpy as np
import pytest
from safetensors.torch import load_file
import torch

from ivm_ros.cli import main
from ivm_ros.files import write_json
from ivm_ros.models.checkpoint import save_checkpoint
from ivm_ros.models.compact import CompactConfig, CompactNet

PICTURES = 6
NET = ('--model.height 96 --model.width 128 --model.dim 32 --model.depth 1 --model.heads 2 '
       '--images 4 --sentences 3 --warmup 2 --steps 3 --save-every 1 --log-every 1 --threads 1')


@pytest.fixture(scope='module')
def labels(tmp_path_factory) -> Path:
    """Write labels of machines for pictures of noise, which no codec makes small."""
    folder, rng, lines = tmp_path_factory.mktemp('labels'), np.random.default_rng(0), []
    for number in range(PICTURES):
        cv2.imwrite(str(folder / f'img_{number}.jpg'),
                    rng.integers(0, 256, (120, 160, 3), np.uint8))
        mask = cv2.circle(np.zeros((120, 160), np.uint8), (80, 60), 20 + number, 170, -1)
        cv2.imwrite(str(folder / f'mask_{number}.jpg'), mask)
        lines.append({'uuid': number, 'instruction': ['pick up the red disc']})
    (folder / 'labels.jsonl').write_text('\n'.join(map(json.dumps, lines)) + '\n')
    return folder / 'labels.jsonl'


@pytest.fixture(scope='module')
def whole(labels, tmp_path_factory) -> Path:
    """Import them undisturbed."""
    out = tmp_path_factory.mktemp('whole') / 'data'
    assert main([*importing(labels), '--out', str(out)]) == 0
    return out


def importing(labels: Path) -> list[str]:
    """Spell the command, but for where to."""
    return ['data', 'import', '--source', str(labels), '--layout', 'ivm-mix', '--by', 'machine',
            '--shard', '1']


def fails(command: list[str]) -> None:
    """Run a command in a process of its own; it must end in one line that says why."""
    done = subprocess.run([sys.executable, '-m', 'ivm_ros.cli', *command], capture_output=True,
                          text=True, timeout=240, check=False)
    assert done.returncode == 2, done.stderr
    assert 'Traceback' not in done.stdout + done.stderr, done.stderr
    said = [line for line in done.stderr.splitlines() if 'error' in line]
    assert len(said) == 1, done.stderr
    assert said[0].startswith('error: ') and 'No space left on device' in said[0]
    assert said[0].endswith('; make room, then run the same command again')


def grow(disk: Path) -> None:
    """Make room."""
    subprocess.run(['mount', '-o', 'remount,size=256m', str(disk)], check=True)


def read(folder: Path) -> dict[str, bytes]:
    """Read a dataset, the command line aside."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    info = json.loads(files.pop('dataset.json', b'{}'))
    return {**files, 'info': json.dumps({**info, 'command': ''}).encode()}


def check_dataset(command: list[str], small_disk: Callable, tmp_path: Path, whole: Path) -> None:
    """Fill the disk half-way through a dataset of several shards, then go on with room."""
    wanted = read(whole)
    size = sum(map(len, wanted.values())) * 6 // 10
    with small_disk(tmp_path / 'disk', str(size)) as disk:
        out = disk / 'data'
        fails([*command, '--out', str(out)])
        left = {path.name: path.read_bytes() for path in out.iterdir()}
        shards = {name for name in left if name.endswith('.parquet')}
        assert 0 < len(shards) < PICTURES and {*left} == shards | {'plan.json'}  # no part of one
        assert all(left[name] == wanted[name] for name in left)
        grow(disk)
        stamps = {name: (out / name).stat().st_mtime_ns for name in shards}
        assert main([*command, '--out', str(out)]) == 0
        assert read(out) == wanted
        assert all((out / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())


@pytest.mark.slow
@pytest.mark.parametrize('workers', ['1', '2'])
def test_import_goes_on_when_there_is_room(labels, whole, small_disk, tmp_path, workers):
    check_dataset([*importing(labels), '--workers', workers], small_disk, tmp_path, whole)


@pytest.mark.slow
def test_annotate_goes_on_when_there_is_room(whole, small_disk, tmp_path):
    command = ['annotate', str(whole), '--experts', 'compact']
    assert main([*command, '--out', str(tmp_path / 'whole')]) == 0
    check_dataset(command, small_disk, tmp_path, tmp_path / 'whole')


@pytest.mark.slow
def test_train_goes_on_when_there_is_room(toy_dataset, small_disk, tmp_path):
    command = ['train', '--data', str(toy_dataset), *NET.split()]
    assert main([*command, '--out', str(tmp_path / 'whole')]) == 0
    one = load_file(tmp_path / 'whole' / 'compact.safetensors')
    size = (tmp_path / 'whole' / 'state.pt').stat().st_size
    with small_disk(tmp_path / 'disk', str(size * 3 // 2)) as disk:
        out = disk / 'run'
        fails([*command, '--out', str(out)])
        assert torch.load(out / 'state.pt', weights_only=True)['step'] == 1
        assert {path.name.partition('.')[0] for path in out.iterdir()} == {
            'settings', 'state', 'events'}
        grow(disk)
        assert main([*command, '--out', str(out)]) == 0
        other = load_file(out / 'compact.safetensors')
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_written_is_named_and_what_was_there_stays(small_disk, tmp_path):
    with small_disk(tmp_path / 'disk', '64k') as disk:
        path = disk / 'compact.safetensors'
        path.write_bytes(b'old')
        write_json(disk / 'report.json', {'old': True})
        for write in (lambda: save_checkpoint(path, CompactNet(CompactConfig(96, 128, 32, 1, 2)),
                                              {'name': 'x', 'sha256': ''}, {}, {}),
                      lambda: write_json(disk / 'report.json', 'x' * 70_000)):
            with pytest.raises(OSError, match=r'No space left .*/disk/(compact|report)') as caught:
                write()
            assert caught.value.errno == errno.ENOSPC
        assert path.read_bytes() == b'old' and len([*disk.iterdir()]) == 2
        assert json.loads((disk / 'report.json').read_text()) == {'old': True}


@pytest.mark.slow
def test_curves_that_cannot_be_written_end_a_run_in_one_line(toy_dataset, small_disk, tmp_path):
    """Room for the settings and nothing else: TensorBoard's thread is what meets the full disk."""
    command = ['train', '--data', str(toy_dataset), *NET.split(), '--save-every', '1000']
    with small_disk(tmp_path / 'disk', '4k') as disk:
        out = disk / 'run'
        fails([*command, '--out', str(out)])
        assert (out / 'settings.json').stat().st_size and not (out / 'state.pt').exists()
        assert (out / 'settings.json').stat().st_size <= 4096
