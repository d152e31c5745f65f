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
"""Datasets on object storage, through fsspec's storages in memory and on the disk."""

from pathlib import Path

import fsspec
import pytest
from safetensors.torch import load_file
import torch

from ivm_ros.cli import main
from ivm_ros.data.remote import local_folder
from ivm_ros.data.shards import DatasetError, read_rows, shard_paths

TINY = ['--steps', '2', '--images', '2', '--sentences', '2', '--warmup', '1', '--save-every', '2',
        '--model.height', '96', '--model.width', '128', '--model.dim', '16', '--model.depth', '1',
        '--model.heads', '2', '--threads', '1', '--backbone', 'random']


@pytest.fixture
def bucket(toy_dataset, tmp_path, monkeypatch):
    """Put the toy dataset on a storage in memory; copies go to a cache of the test's own."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    local_folder.cache_clear()
    storage = fsspec.filesystem('memory')
    for path in toy_dataset.iterdir():
        storage.pipe(f'/bucket/toy/{path.name}', path.read_bytes())
    yield storage
    storage.rm('/bucket', recursive=True)
    local_folder.cache_clear()


def fetched(url: str) -> tuple[Path, dict[str, int]]:
    """Look a dataset up anew; give its folder and when its files were written."""
    local_folder.cache_clear()
    folder = local_folder(url)
    return folder, {path.name: path.stat().st_mtime_ns for path in folder.iterdir()
                    if not path.name.startswith('.')}


def test_a_dataset_is_fetched_once_and_what_changes_again(bucket, toy_dataset):
    folder, before = fetched('memory://bucket/toy')
    assert list(read_rows(folder)) == list(read_rows(toy_dataset))
    assert fetched('memory://bucket/toy/')[1].keys() == before.keys()
    assert fetched('memory://bucket/toy')[1] == before
    first, second = sorted(path.name for path in shard_paths(toy_dataset))
    bucket.pipe(f'/bucket/toy/{second}', (toy_dataset / first).read_bytes())
    changed = fetched('memory://bucket/toy')[1]
    assert {name for name in before if changed[name] != before[name]} == {second}
    bucket.rm(f'/bucket/toy/{second}')
    assert fetched('memory://bucket/toy')[1].keys() == before.keys() - {second}


def test_what_is_cut_off_is_no_shard(bucket, monkeypatch):
    read = bucket.open

    class Torn:

        def __init__(self, stream):
            self.stream, self.left = stream, 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.stream.close()

        def read(self, count):
            if not self.left:
                raise OSError('the line is dead')
            self.left = 0
            return self.stream.read(100)

    monkeypatch.setattr(bucket, 'open', lambda path, mode: Torn(read(path, mode)))
    with pytest.raises(OSError, match='the line is dead'):
        local_folder('memory://bucket/toy')
    monkeypatch.undo()
    folder, _ = fetched('memory://bucket/toy')
    assert len(list(read_rows(folder))) == 96


@pytest.mark.parametrize(('url', 'words'), [
    ('memory://bucket/nothing', 'holds no dataset.json'),
    ('nonsense://bucket/x', 'nonsense')])
def test_what_is_no_dataset_is_named(bucket, url, words):
    with pytest.raises(DatasetError, match=words):
        local_folder(url)


def test_paths_stay_as_they_are():
    assert local_folder('data/x') == Path('data/x')


@pytest.mark.slow
def test_training_from_a_bucket_is_training_from_a_folder(bucket, toy_dataset, tmp_path):
    for name, data in (('far', 'memory://bucket/toy'), ('near', str(toy_dataset)),
                       ('disk', f'file://{toy_dataset}')):
        assert main(['train', '--data', data, '--validation', data, '--out',
                     str(tmp_path / name), *TINY]) == 0
    far, near, disk = (load_file(tmp_path / name / 'compact.safetensors')
                       for name in ('far', 'near', 'disk'))
    assert all(torch.equal(far[name], near[name]) and torch.equal(disk[name], near[name])
               for name in near)
    assert 'memory://bucket/toy' in (tmp_path / 'far' / 'compact.json').read_text()
