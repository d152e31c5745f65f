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
"""Demonstrations for LeRobot. Imports little, so that it runs in LeRobot's environment."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import encode_image
from ivm_sim.episodes import Episode, write_episodes
from ivm_sim.lerobot_export import export, ExportConfig, features_of, frames_of


def episode(steps, seed):
    """Make an episode of random arrays."""
    rng = np.random.default_rng(seed)
    front, wrist = ([encode_image(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
                     for _ in range(steps)] for _ in range(2))
    return Episode(seed, 'pick', 'few', 'pick up the red cup', True,
                   rng.normal(size=(steps, 15)).astype(np.float32),
                   rng.normal(size=(steps, 7)).astype(np.float32), tuple(front), tuple(wrist))


def test_frames_for_lerobot_hold_what_was_recorded():
    one = episode(3, 5)
    frames = list(frames_of(one, ('front', 'wrist')))
    features = features_of(one, ('front', 'wrist'))
    assert len(frames) == 3 and set(frames[0]) - {'task'} == set(features)
    for index, frame in enumerate(frames):
        assert frame['task'] == one.instruction
        np.testing.assert_array_equal(frame['observation.state'], one.proprio[index])
        np.testing.assert_array_equal(frame['action'], one.actions[index])
        np.testing.assert_array_equal(frame['observation.images.wrist'],
                                      one.pictures('wrist')[index])
        for name, feature in features.items():
            assert frame[name].shape == tuple(feature['shape'])
            assert len(feature['names']) == (3 if 'images' in name else len(frame[name]))


@pytest.mark.skipif(find_spec('lerobot') is not None, reason='LeRobot is installed')
def test_without_lerobot_it_says_where_to_install_it(tmp_path):
    with pytest.raises(ConfigError, match=r'environment of its own.*ivm_sim\.lerobot_export'):
        export(ExportConfig(str(tmp_path), str(tmp_path / 'out')))


@pytest.mark.slow
def test_lerobot_reads_what_was_written(tmp_path):
    """Runs where LeRobot is: it wants other releases of some packages than we do."""
    lerobot = pytest.importorskip('lerobot.datasets.lerobot_dataset')
    written = [episode(3, 5), replace(episode(2, 6), instruction='push the can to the left')]
    write_episodes(tmp_path / 'pick-000000.parquet', written)
    out = tmp_path / 'lerobot'
    assert export(ExportConfig(str(tmp_path), str(out), rate=10)) == 2
    with pytest.raises(ConfigError, match='exists'):
        export(ExportConfig(str(tmp_path), str(out), rate=10))
    read = lerobot.LeRobotDataset('ivm_ros/tabletop', root=out)
    assert read.meta.info['codebase_version'] == 'v3.0'
    assert (read.num_episodes, read.num_frames, read.fps) == (2, 5, 10)
    frames = [frame for one in written for frame in frames_of(one, ('front', 'wrist'))]
    for got, frame in zip(read, frames, strict=True):
        assert got['task'] == frame['task']
        np.testing.assert_array_equal(got['observation.state'], frame['observation.state'])
        np.testing.assert_array_equal(got['action'], frame['action'])
        picture = np.rint(got['observation.images.front'].numpy() * 255).transpose(1, 2, 0)
        np.testing.assert_array_equal(picture, frame['observation.images.front'])
