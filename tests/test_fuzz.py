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
"""A short turn of what `make fuzz` does: readers of strangers' bytes raise only named errors."""

from importlib.util import find_spec
from pathlib import Path
import re
import subprocess
import sys

import numpy as np
import pytest

FUZZ = Path(__file__).parent / 'fuzz'
TARGETS = ('message', 'picture', 'labels', 'png', 'shard', 'checkpoint', 'bag', 'lerobot')


@pytest.fixture(scope='module')
def fuzzed():
    """Import the targets, as the program does that fuzzes them."""
    sys.path.insert(0, str(FUZZ))
    import targets
    yield targets
    targets.clean()
    sys.path.remove(str(FUZZ))


def test_every_target_is_tested(fuzzed):
    assert tuple(fuzzed.targets()) == TARGETS


@pytest.mark.slow
@pytest.mark.parametrize('name', TARGETS)
def test_random_bytes_end_well_or_in_a_named_error(fuzzed, name):
    """Of the inputs that decide what is changed, some change nothing: those must be read."""
    target, rng = fuzzed.target(name), np.random.default_rng(0)
    named = 0
    inputs = [*target.seeds, *(rng.bytes(int(rng.integers(1, 60))) for _ in range(40))]
    for data in inputs:
        try:
            target.run(data)
        except target.named:
            named += 1
    assert named < len(inputs), 'nothing was read at all'
    assert named or name == 'picture', 'nothing was ever refused'


def test_what_was_found_once_stays_mended(fuzzed):
    """Inputs of `make fuzz` that ended in an error without a name, by hand or kept."""
    for name, data in (
            ('labels', b'\x04' + bytes([8]) * 40), ('labels', bytes(range(40))),
            ('png', b'\x00' + b'\x07\x8e' * 20), ('lerobot', b'\x02' + bytes(range(60)))):
        target = fuzzed.target(name)
        try:
            target.run(data)
        except target.named:
            continue


@pytest.mark.slow
@pytest.mark.skipif(find_spec('atheris') is None, reason='atheris is not installed')
@pytest.mark.parametrize('name', ['labels', 'checkpoint'])
def test_led_by_coverage(name, tmp_path):
    """Readers are instrumented even if a target imports them late: a hundred edges are seen."""
    done = subprocess.run(
        [sys.executable, str(FUZZ / 'run.py'), name, '--runs', '300', '--findings',
         str(tmp_path)], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Done 300' in done.stderr
    assert max(map(int, re.findall(r'cov: (\d+)', done.stderr))) > 100
    assert not list(tmp_path.iterdir())
