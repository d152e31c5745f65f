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
"""`ivm bench cameras`: one node for several cameras, counted at both ends."""

import json

import pytest

from ivm_ros.bench_cameras import bench_cameras, CamerasConfig
from ivm_ros.config import ConfigError

pytestmark = pytest.mark.slow


def test_every_frame_is_accounted_for(tmp_path, weights):
    """What was sent came back masked or was stale; nothing got lost; batches hold both cameras."""
    out = bench_cameras(CamerasConfig(str(tmp_path), (2,), rate=2.0, ticks=8, width=160,
                                      height=128, weights=str(weights)))
    case, = json.loads((out / 'cameras.json').read_text())['cases']
    assert case['sent'] == case['frames_in'] == 16
    assert case['back'] + case['frames_stale'] == 16
    assert (case['frames_lost'], case['frames_faulty']) == (0, 0)
    assert case['batch_frames'] == case['back']
    assert case['batch_batches'] < case['batch_frames']
    assert 5 < case['cpu_ms_a_batch'] < 2000
    assert 0 < case['ms'][0] <= case['ms'][1]
    assert (out / 'cameras.png').read_bytes().startswith(b'\x89PNG')
    assert '| 2 | 16 |' in (out / 'cameras.md').read_text()


def test_sizes_that_make_no_picture_are_refused():
    with pytest.raises(ConfigError, match='multiples of 16'):
        CamerasConfig(width=321)
