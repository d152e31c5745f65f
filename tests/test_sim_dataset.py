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
"""Datasets: the same rows however they are made, resumed after damage, refused where wrong."""

from pathlib import Path
import re
import time

import cv2
import numpy as np
import pytest

from ivm_ros.data.holdout import Holdout
from ivm_ros.data.shards import (
    DatasetError, decode_mask, decode_sample, read_info, read_rows, Row, TRAINING_SEEDS)
from ivm_sim.cli import main
from ivm_sim.dataset import DatasetConfig, write_dataset
from ivm_sim.pictures import pictures, rows_of
from ivm_sim.seeds import EVAL_SEED
from ivm_sim.style import Style

SMALL = {'scenes': 6, 'seed': 5, 'height': 96, 'width': 128, 'sentences': 4, 'shard': 2}


def write(folder: Path, **changes: int) -> list[Row]:
    """Write a small dataset and read it back."""
    write_dataset(DatasetConfig(str(folder), **{**SMALL, **changes}))
    return list(read_rows(folder))


def files(folder: Path) -> dict[str, bytes]:
    """Shards of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.glob('*.parquet')}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a dataset of three shards."""
    folder = tmp_path_factory.mktemp('data') / 'made/on/the/way'
    write(folder)
    return folder


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(folder, tmp_path):
    write(tmp_path / 'again')
    assert files(tmp_path / 'again') == files(folder)
    other = write(tmp_path / 'other', seed=6, scenes=2)
    assert not {row.image for row in other} & {row.image for row in read_rows(folder)}


@pytest.mark.slow
def test_rows_do_not_depend_on_the_shard_size(folder, tmp_path):
    rows = list(read_rows(folder))
    assert write(tmp_path / 'one', shard=6) == rows
    assert write(tmp_path / 'uneven', shard=4) == rows


@pytest.mark.slow
def test_rows_do_not_depend_on_the_number_of_processes(folder, tmp_path):
    assert write(tmp_path, workers=2) == list(read_rows(folder))
    assert files(tmp_path) == files(folder)


@pytest.mark.slow
def test_a_picture_can_be_made_alone(folder):
    """The last scene, without those before it."""
    style = Style(shown=Holdout().shows)
    (index, picture), = pictures(5, range(5, 6), 4, 96, 128, style=style)
    rows = [row for row in read_rows(folder) if row.image_id == '5-0000005']
    assert index == 5
    assert rows_of(picture, 5, 5) == rows


@pytest.mark.slow
def test_a_lost_and_a_torn_shard_are_made_anew_and_others_left_alone(folder, tmp_path):
    write(tmp_path)
    whole = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob('*.parquet')}
    (tmp_path / 'shard-00000.parquet').unlink()
    torn = tmp_path / 'shard-00002.parquet'
    torn.write_bytes(torn.read_bytes()[:-100])
    (tmp_path / '.shard-00000.parquet.123.part').write_bytes(b'of a killed writer')
    (tmp_path / 'dataset.json').unlink()
    write(tmp_path)
    assert files(tmp_path) == files(folder)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob('*.parquet')}
    kept = {name for name in whole if after[name] == whole[name]}
    assert kept == {'shard-00001.parquet'}
    assert read_info(tmp_path)['rows'] == read_info(folder)['rows']


@pytest.mark.slow
def test_more_scenes_are_added_to_a_finished_dataset(folder, tmp_path):
    write(tmp_path, scenes=3)  # the second shard holds one scene
    first = (tmp_path / 'shard-00000.parquet').stat().st_mtime_ns
    write(tmp_path)
    assert files(tmp_path) == files(folder)
    assert (tmp_path / 'shard-00000.parquet').stat().st_mtime_ns == first


def test_another_dataset_is_not_mixed_in(folder):
    before = files(folder)
    with pytest.raises(DatasetError, match='begun with seed 5, now asked for 6'):
        write(folder, seed=6)
    with pytest.raises(DatasetError, match='height 96, now asked for 64'):
        write(folder, height=64)
    with pytest.raises(DatasetError, match='is beyond the 2 scenes asked for'):
        write(folder, scenes=2)
    assert files(folder) == before


def test_rows_say_what_they_hold(folder):
    rows = list(read_rows(folder))
    assert len({row.id for row in rows}) == len(rows) >= 18
    assert {row.image_id for row in rows} == {f'5-{index:07d}' for index in range(6)}
    for row in rows:
        sample = decode_sample(row)
        assert sample.image.shape == (96, 128, 3)
        assert sample.mask.shape == sample.robot_mask.shape == (96, 128)
        for mask in (sample.mask, sample.robot_mask):
            assert set(np.unique(mask)) <= {0, 255}
        assert not (sample.mask & sample.robot_mask).any()
        assert row.found == bool(sample.mask.any()) == (row.kind != 'absent')
        assert row.found == bool(row.extra['targets'])
        assert (row.split, row.is_human, row.score) == ('train', False, 1.0)
    pictures_by_id = {(row.image_id, row.image) for row in rows}
    assert len(pictures_by_id) == len({image for _, image in pictures_by_id}) == 6


@pytest.mark.slow
def test_masks_are_the_pixels_of_the_targets_and_of_the_arm():
    for index, picture in pictures(7, range(3), 8, 96, 128):
        names = {thing.id: f'{thing.colour} {thing.kind}' for thing in picture.things}
        for row, sentence in zip(rows_of(picture, 7, index), picture.sentences, strict=True):
            wanted = np.zeros((96, 128), bool)
            for target in sentence.targets:
                wanted |= picture.labels == target
            assert np.array_equal(decode_mask(row.mask) == 255, wanted)
            assert np.array_equal(decode_mask(row.robot_mask) == 255, picture.labels == 255)
            assert row.instruction == sentence.text
            assert row.extra['targets'] == [names[target] for target in sentence.targets]
        texts = [sentence.text.lower().strip('.?') for sentence in picture.sentences]
        assert len(set(texts)) == len(texts)
        assert all(set(s.targets) <= set(names) for s in picture.sentences)


def test_dataset_json_counts_the_rows_and_names_what_made_them(folder):
    info, rows = read_info(folder), list(read_rows(folder))
    assert info['rows'] == len(rows)
    assert info['found'] == sum(row.found for row in rows)
    assert info['needs_more_than_colour'] == sum(row.extra['needs'] for row in rows)
    assert info['kinds'] == {kind: sum(row.kind == kind for row in rows)
                             for kind in {row.kind for row in rows}}
    assert (info['seed'], info['scenes']) == (5, 6)
    assert re.match(r'\d+\.\d+', info['versions']['mujoco'])
    assert info['gl']


@pytest.mark.slow
def test_training_refuses_what_is_for_evaluation(tmp_path):
    from ivm_ros.train.batch import check_training_data
    assert EVAL_SEED == TRAINING_SEEDS == 900_000
    for seed, split in ((899_999, 'train'), (900_000, 'eval')):
        rows = write(tmp_path / split, seed=seed, scenes=1)
        assert {row.split for row in rows} == {split}
    check_training_data([read_info(tmp_path / 'train')], [tmp_path / 'train'])
    with pytest.raises(DatasetError, match='eval was made with seed 900000'):
        check_training_data([read_info(tmp_path / name) for name in ('train', 'eval')],
                            [tmp_path / 'train', tmp_path / 'eval'])


@pytest.mark.slow
def test_thirty_samples_a_second_on_one_core():
    """At 224 px, rendered and encoded; processor time, since other jobs may run beside this."""
    scenes = pictures(11, range(13), 6, 224, 224)
    next(scenes)  # compiles the model, once for 256 scenes
    start = time.process_time()
    rows = [row for index, picture in scenes for row in rows_of(picture, 11, index)]
    rate = len(rows) / (time.process_time() - start)
    print(f'{rate:.0f} sentences and {rate * 12 / len(rows):.1f} pictures a second and core')
    assert rate >= 30


@pytest.mark.slow
def test_the_command_line_writes_and_shows_a_dataset(folder, tmp_path, capsys):
    words = [word for name, value in {**SMALL, 'scenes': 2}.items()
             for word in (f'--{name}', str(value))]
    assert main(['dataset', '--out', str(tmp_path), *words]) == 0
    assert re.search(r'^\d+ sentences about 2 pictures', capsys.readouterr().out)
    sheet = tmp_path / 'sheets/look.png'
    assert main(['look', str(folder), '--out', str(sheet), '--count', '5', '--columns', '2']) == 0
    assert capsys.readouterr().out == f'wrote {sheet}\n'
    picture = cv2.imread(str(sheet))[..., ::-1]
    assert picture.shape[1] == 2 * 128 and picture.shape[0] % 3 == 0
    band = picture.shape[0] // 3 - 96
    assert 20 <= band < 96
    text = picture[:band, :128].min(2)
    assert (text[0] == 255).all() and .02 < (text < 128).mean() < .4  # letters on white
    assert (picture == (0, 255, 0)).all(2).any()  # outlines of targets


@pytest.mark.parametrize(('words', 'said'), [
    (['look', 'FOLDER', '--kind', 'atribute'],
     "no sentence of kind 'atribute' (did you mean 'attribute'?)"),
    (['look', 'nowhere'], 'nowhere holds no *.parquet shard'),
    (['look', 'FOLDER', '--out', 'FOLDER/dataset.json/a.png'], 'dataset.json'),
    (['dataset', '--out', 'FOLDER', '--seed', '1', '--scenes', '9'], 'was begun with seed 5')])
def test_mistakes_end_in_one_line(folder, capsys, words, said):
    assert main([word.replace('FOLDER', str(folder)) for word in words]) == 2
    captured = capsys.readouterr()
    assert said in captured.err.replace('\n', ' ')
    assert 'Traceback' not in captured.err and captured.out == ''


@pytest.mark.parametrize(('words', 'said'), [
    (['dataset', '--out', 'x', '--scenes', '0'], 'wanted 1 to inf, got 0'),
    (['dataset', '--out', 'x', '--height', 'tall'], 'tall'),
    (['dataset', '--out', 'x', '--scens', '3'], '--scenes'),
    (['look', 'x', '--out', 'look.gif'], 'wanted .png or .jpg'),
    (['data'], 'data')])
def test_wrong_options_are_refused_by_name(capsys, words, said):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
