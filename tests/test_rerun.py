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
"""`ivm eval grounding --rerun`: the recording is read back by rerun's own program."""

from importlib.util import find_spec
from pathlib import Path
import re
import subprocess
import sys

import pytest

from ivm_ros.cli import main


def rrd(*words: str) -> str:
    """Call `rerun rrd`."""
    program = Path(sys.executable).with_name('rerun')
    done = subprocess.run([program, 'rrd', *words], capture_output=True, text=True, timeout=60,
                          check=True)
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec('rerun') is None, reason='rerun-sdk is not installed')
def test_every_sample_of_an_evaluation_is_in_the_recording(toy_dataset, small_weights, tmp_path):
    """Two pictures with four sentences each; one of the four is not in view and has no IoU."""
    path = tmp_path / 'made' / 'x.rrd'
    assert main(['eval', 'grounding', '--data', str(toy_dataset), '--weights', str(small_weights),
                 '--images', '2', '--rerun', str(path)]) == 0
    assert 'verified without error' in rrd('verify', str(path))
    text = rrd('print', '-v', str(path))
    rows: dict[str, int] = {}
    for count, name in re.findall(r'with (\d+) rows \([^)]*\) - /(\w+) ', text):
        rows[name] = rows.get(name, 0) + int(count)
    wanted = {'picture': 8, 'mask': 8, 'truth': 8, 'instruction': 8, 'found': 8, 'iou': 6}
    # The layout of the viewer is in there too, under names of its own.
    assert {name: rows.get(name) for name in wanted} == wanted


@pytest.mark.skipif(find_spec('rerun') is not None, reason='rerun-sdk is installed')
def test_without_the_package_it_is_named(toy_dataset, small_weights, tmp_path, capsys):
    assert main(['eval', 'grounding', '--data', str(toy_dataset), '--weights', str(small_weights),
                 '--images', '1', '--rerun', str(tmp_path / 'x.rrd')]) == 2
    assert 'ivm_ros[rerun]' in capsys.readouterr().err
