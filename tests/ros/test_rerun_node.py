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
"""`ivm_rerun`: what it heard is in the recording, which rerun's own program reads back."""

from importlib.util import find_spec
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ivm_ros.nodes.convert import to_msg

NODE, RERUN = 'faulty_node', 'ivm_ros.nodes.rerun_node'
PICTURE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
FRAMES, WARM_UP = 12, 10  # best effort: what comes before both know each other is lost
pytestmark = pytest.mark.slow


def rows_of(path: Path) -> tuple[dict[str, int], str]:
    """Count the rows of each entity of a recording; and give all that rerun prints of it."""
    program = Path(sys.executable).with_name('rerun')
    done = subprocess.run([program, 'rrd', 'print', '-vv', str(path)], capture_output=True,
                          text=True, timeout=60, check=True)
    text, rows = done.stdout + done.stderr, dict[str, int]()
    for count, name in re.findall(r'with (\d+) rows \([^)]*\) - /(\S+) ', text):
        rows[name] = rows.get(name, 0) + int(count)
    return rows, text


@pytest.mark.skipif(find_spec('rerun') is None, reason='rerun-sdk is not installed')
@pytest.mark.parametrize('camera', ['', 'wrist'])
def test_what_the_node_says_and_shows_is_in_the_recording(graph, tmp_path, camera):
    path, here = tmp_path / 'made' / 'x.rrd', f'{camera}/' if camera else ''
    cameras = {'cameras': [camera]} if camera else {}
    logger = graph.start(RERUN, file=str(path), depth=100, **cameras)
    logger.wait_for('logging to')
    node = graph.start(NODE, environment={'PYTHONPATH': str(Path(__file__).parent)},
                       generator='faulty', instruction='take the cup', found_threshold=0.0,
                       device='cpu', watchdog=30.0, **cameras)
    node.wait_for('active: ')
    out = graph.listen(Image, f'{here}masked/image', depth=100)
    speak = graph.speak(Image, f'{here}image', listeners=2)  # the node and the logger
    graph.until(lambda: graph.node.count_subscribers(f'{here}masked/image') == 2, 'the logger')
    for number in range(WARM_UP + FRAMES):  # one after the other: none is stale
        time.sleep(.1 if number <= WARM_UP else 0)
        header = Header(frame_id='eye')
        header.stamp.sec = 1000 + number
        speak.publish(to_msg(PICTURE, header))
        out.wait(lambda one, number=number: one.header.stamp.sec == 1000 + number)
    time.sleep(1)  # the last one's report follows its picture
    assert logger.stop(signal.SIGINT) == 0, logger.text()
    rows, text = rows_of(path)
    for name in ('image', 'masked/image', 'mask', 'robot_mask', 'found_score', 'latency_ms'):
        assert FRAMES <= rows[here + name] <= WARM_UP + FRAMES, rows
    assert rows[f'{here}instruction'] == rows[f'{here}outcome'] == 1  # they did not change
    assert 'Timestamp(ns)' in text and 'stamp' in text


def test_nothing_is_overwritten_and_what_is_missing_is_named(graph, tmp_path):
    (tmp_path / 'x.rrd').write_bytes(b'mine')
    program = graph.start(RERUN, file=str(tmp_path / 'x.rrd'))
    assert program.process.wait(60) == 1
    assert 'x.rrd exists; give another name' in program.text()
    assert (tmp_path / 'x.rrd').read_bytes() == b'mine'
