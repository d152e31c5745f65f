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
"""Datasets: what is written is read, torn files are refused by name."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from ivm_ros.data.shards import (
    DatasetError, decode_image, decode_mask, encode_image, encode_mask, read_info, read_rows,
    read_shard, Row, write_shard)

IMAGE = encode_image(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
MASK = encode_mask(np.eye(64, dtype=bool))
ROW = Row('7-0000001-0', IMAGE, 'the mug', 'plain', MASK, None, True, 'test', 'me',
          extra={'b': [1], 'a': None})


def test_rows_come_back_as_written(tmp_path):
    rows = [ROW, replace(ROW, id='7-0000001-1', mask=None, found=None, is_human=True, score=.25)]
    write_shard(tmp_path / 'shard-00000.parquet', rows)
    assert list(read_rows(tmp_path)) == rows
    assert read_shard(tmp_path / 'shard-00000.parquet', {'7-0000001-1', 'other'}) == rows[1:]
    assert ROW.image_id == '7-0000001'


def test_masks_are_exact_and_images_close():
    assert np.array_equal(decode_mask(MASK), np.eye(64, dtype=np.uint8) * 255)
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)[..., None].repeat(3, 2)
    error = np.abs(decode_image(encode_image(smooth)).astype(int) - smooth)
    assert error.max() <= 4


def test_the_same_image_is_stored_once(tmp_path):
    write_shard(tmp_path / 'a.parquet', [replace(ROW, id=f'7-1-{k}') for k in range(50)])
    assert (tmp_path / 'a.parquet').stat().st_size < 2 * len(IMAGE) + 6000


def test_hugging_face_datasets_reads_a_shard_as_it_is(tmp_path):
    datasets = pytest.importorskip('datasets')
    write_shard(tmp_path / 'shard-00000.parquet', [ROW])
    table = datasets.Dataset.from_parquet(str(tmp_path / 'shard-00000.parquet'),
                                          cache_dir=str(tmp_path / 'cache'))
    picture = table.cast_column('image', datasets.Image())[0]['image']
    assert picture.size == (64, 64)


def test_a_torn_shard_is_refused_by_name(tmp_path):
    path = tmp_path / 'shard-00000.parquet'
    write_shard(path, [ROW])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=r'shard-00000\.parquet is torn'):
        read_shard(path)


def test_a_shard_without_our_columns_is_refused(tmp_path):
    path = tmp_path / 'shard-00000.parquet'
    write_shard(path, [ROW])
    pq.write_table(pq.read_table(path).drop_columns(['kind', 'found']), path)
    with pytest.raises(DatasetError, match='lacks the columns kind, found'):
        read_shard(path)


def test_a_shard_without_labels_is_read(tmp_path):
    path = tmp_path / 'shard-00000.parquet'
    write_shard(path, [replace(ROW, labels=MASK)])
    assert read_shard(path)[0].labels == MASK
    pq.write_table(pq.read_table(path).drop_columns('labels'), path)
    assert read_shard(path) == [ROW]


def test_a_killed_writer_leaves_no_shard(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError('disk full')
    monkeypatch.setattr(pq, 'write_table', full)
    with pytest.raises(OSError, match='disk full'):
        write_shard(tmp_path / 'shard-00000.parquet', [ROW])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_description_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r'no dataset\.json'):
        read_info(tmp_path)
    with pytest.raises(DatasetError, match=r'no .*shard'):
        list(read_rows(tmp_path))


@pytest.mark.parametrize('data', [b'', b'nonsense', IMAGE[:40]])
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(DatasetError, match='not a'):
        decode_image(data) if data else decode_mask(b'x')
