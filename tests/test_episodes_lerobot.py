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
"""LeRobot folders become rows: their tasks, their episodes, and nothing outside of them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ivm_ros.data.episodes import EpisodesConfig, import_episodes
from ivm_ros.data.shards import DatasetError, encode_image, read_rows


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


def rows_of(folder, **settings):
    """Import beside the folder and read the rows."""
    out = import_episodes(EpisodesConfig((str(folder),), str(folder.parent / 'out'), **settings))
    return list(read_rows(out))


def write_lerobot(path, pictures, kind='image', version='v3.0'):
    """Write two episodes of equal length, ten frames a second, as LeRobot lays them out."""
    (path / 'meta').mkdir(parents=True)
    (path / 'data' / 'chunk-000').mkdir(parents=True)
    feature = 'observation.images.front'
    (path / 'meta' / 'info.json').write_text(json.dumps({
        'codebase_version': version, 'fps': 10, 'features': {
            feature: {'dtype': kind, 'shape': [48, 64, 3]}, 'action': {'dtype': 'float32'}}}))
    pq.write_table(pa.table({'task_index': [0, 1], 'task': ['take the cup', 'take the plate']}),
                   path / 'meta' / 'tasks.parquet')
    half = len(pictures) // 2
    episode = [0] * half + [1] * half
    pq.write_table(pa.table({
        feature: pictures, 'episode_index': episode, 'task_index': episode,
        'timestamp': pa.array([step / 10 for step in range(half)] * 2, pa.float32())}),
        path / 'data' / 'chunk-000' / 'file-000.parquet')
    return path


def test_lerobot_episodes_have_their_tasks(tmp_path):
    """Seven frames at 10 Hz, every 0.3 s: 0, 3 and 6 of each; some lie in files beside."""
    files = [encode_image(picture(step)) for step in range(14)]
    pictures = [{'bytes': data, 'path': None} for data in files]
    pictures[3] = {'bytes': None, 'path': 'images/3.jpg'}
    folder = write_lerobot(tmp_path / 'robot', pictures)
    (folder / 'images').mkdir()
    (folder / 'images' / '3.jpg').write_bytes(files[3])
    rows = rows_of(folder, every=0.3, shard=2)
    assert [row.image for row in rows] == [files[step] for step in (0, 3, 6, 7, 10, 13)]
    assert [row.instruction for row in rows] == ['take the cup'] * 3 + ['take the plate'] * 3
    assert len({row.id for row in rows}) == 6
    shards = sorted((tmp_path / 'out').glob('*.parquet'))
    before = [path.read_bytes() for path in shards]
    for left in range(3):  # it goes on behind any shard, in the middle of an episode too
        for path in shards[left:]:
            path.unlink()
        rows_of(folder, every=0.3, shard=2)
        assert [path.read_bytes() for path in shards] == before


@pytest.mark.parametrize(('place', 'words'), [
    ('../secret.jpg', 'is outside of the dataset'), ('/etc/passwd', 'outside of the dataset'),
    ('link.jpg', 'is outside of the dataset'), ('missing.jpg', 'it is missing')])
def test_lerobot_pictures_cannot_lie_elsewhere(tmp_path, place, words):
    (tmp_path / 'secret.jpg').write_bytes(encode_image(picture(0)))
    folder = write_lerobot(tmp_path / 'robot', [{'bytes': None, 'path': place}] * 2)
    (folder / 'link.jpg').symlink_to(tmp_path / 'secret.jpg')
    with pytest.raises(DatasetError, match=words):
        rows_of(folder)


@pytest.mark.parametrize(('change', 'words'), [
    ({'kind': 'video'}, 'stored as videos.*use_videos=False'),
    ({'version': 'v2.1'}, 'wanted a LeRobot dataset of format v3, got v2.1')])
def test_lerobot_datasets_of_another_kind_are_refused(tmp_path, change, words):
    folder = write_lerobot(tmp_path / 'robot', [{'bytes': b'', 'path': None}] * 2, **change)
    with pytest.raises(DatasetError, match=words):
        rows_of(folder)
