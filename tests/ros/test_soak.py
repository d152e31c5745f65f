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
"""`ivm bench soak`: what it holds against a node, and a short one that is real."""

import json
import subprocess
import sys

import pytest

from ivm_ros import bench_soak
from ivm_ros.bench_soak import judge, soak, SoakConfig
from ivm_ros.processes import ProcessError

pytestmark = [pytest.mark.slow, pytest.mark.alone]

GOOD = {'delivered_hz': 30.0, 'latency_ms_median': 20.0, 'latency_ms_p99': 30.0, 'handles': 20,
        'memory_mib': 500.0, 'threads': 9, 'load': 1.0, 'faulty': 0, 'lost': 0}


@pytest.mark.parametrize(('later', 'name'), [
    ({}, ''), ({'delivered_hz': 24.9}, 'fewest masked pictures a second'),
    ({'faulty': 1}, 'frames not masked'), ({'lost': 1}, 'frames lost'),
    ({'memory_mib': 510.1}, 'change of resident memory, %'),
    ({'latency_ms_p99': 33.1}, 'last p99 latency / first'),
    ({'threads': 10}, 'change of threads'), ({'handles': 21}, 'change of handles')])
def test_each_bound_is_missed_by_what_breaks_it(later, name):
    """And by nothing else."""
    rows = [GOOD, GOOD, {**GOOD, **later}]
    assert [bar.name for bar in judge(rows, 25.0) if not bar.ok] == ([name] if name else [])


def test_the_file_holds_every_window_that_has_passed(tmp_path, monkeypatch):
    """So a soak that ends early has not been for nothing, and says that it did not finish."""
    path, seen = tmp_path / 'soak.json', []

    def observe(*_):
        seen.append(json.loads(path.read_text()) if path.exists() else None)
        if len(seen) == 3:
            raise ProcessError('the node ended')
        return GOOD

    for name, value in {
            'start': lambda *_: (None, None), 'ask': lambda *_: {}, 'observe': observe,
            'end_as_by_ctrl_c': lambda: None, 'ros_facts': dict,
            'environment_of': lambda *_: {}}.items():
        monkeypatch.setattr(bench_soak, name, value)
    with pytest.raises(ProcessError):
        soak(SoakConfig(minutes=3, warm_up=0, json=str(path)))
    assert seen[0] is None and [len(each['rows']) for each in seen[1:]] == [1, 2]
    assert not json.loads(path.read_text())['finished']
    seen[:] = [None] * 3
    soak(SoakConfig(minutes=3, warm_up=0, json=str(path)))
    assert json.loads(path.read_text())['finished']


def test_a_short_soak_keeps_memory_threads_and_handles(tmp_path):
    """Speed is not held here: other work on the machine decides it. The exit code is honest."""
    done = subprocess.run(
        [sys.executable, '-m', 'ivm_ros.cli', 'bench', 'soak', '--minutes', '0.4', '--warm-up',
         '4', '--device', 'cpu', '--json', str(tmp_path / 'soak.json')], text=True, timeout=200,
        capture_output=True, check=False)
    report = json.loads((tmp_path / 'soak.json').read_text())
    bars = {bar['name']: bar for bar in report['bars']}
    assert done.returncode == int(not all(bar['ok'] for bar in bars.values())), done.stdout
    assert report['finished'] and len(report['rows']) == 2
    assert report['rows'][-1]['out'] > report['rows'][0]['out'] > 0
    assert all(bars[name]['ok'] for name in (
        'frames not masked', 'frames lost', 'change of threads', 'change of handles')), bars
    assert bars['change of resident memory, %']['value'] < 5  # half of it is still warming up
    assert 'change of resident memory' in done.stdout
