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
"""Splits: what each asks is in none of the training data, and none of them is easy."""


import numpy as np
import pytest

from ivm_ros.data.compose import compose, CompositeConfig
from ivm_ros.data.holdout import named, said, unseen_words
from ivm_ros.data.shards import decode_mask, read_info, read_rows, Row
from ivm_ros.language.nouns import held_out_pair, NOUNS
from ivm_sim.cli import main
from ivm_sim.dataset import DatasetConfig, write_dataset
from ivm_sim.splits import COMPOSITES, NAMES, SCENES, SplitsConfig
from ivm_sim.textures import surfaces

pytestmark = pytest.mark.slow

SCENE = 12


@pytest.fixture(scope='module')
def splits(cutout_folder, tmp_path_factory) -> dict[str, list[Row]]:
    """Write every split in small."""
    folder = tmp_path_factory.mktemp('splits')
    assert main(['splits', '--out', str(folder), '--scenes', str(SCENE), '--cutouts',
                 str(cutout_folder), '--stamps', str(cutout_folder)]) == 0
    return {name: list(read_rows(folder / name)) for name in NAMES}


@pytest.fixture(scope='module')
def training(cutout_folder, tmp_path_factory) -> list[Row]:
    """Write training data of both sources."""
    folder = tmp_path_factory.mktemp('training')
    write_dataset(DatasetConfig(str(folder / 'scenes'), 40, 1, 10))
    compose(CompositeConfig(str(folder / 'cutouts'), (str(cutout_folder),), scenes=40, seed=2,
                            sentences=10))
    return [row for name in ('scenes', 'cutouts') for row in read_rows(folder / name)]


def pairs_of(row: Row) -> list[tuple[str, str]]:
    """List colour and noun of the things in a picture that have one colour."""
    return [(words[0], words[1]) for words in row.extra['things'].values() if len(words) == 2]


def test_training_shows_and_says_nothing_that_is_held_out(training):
    assert len(training) > 500
    for row in training:
        assert not any(NOUNS[words[-1]].held_out for words in row.extra['things'].values())
        assert not any(held_out_pair(*pair) for pair in pairs_of(row))
        assert unseen_words(row.instruction) == []
        assert row.split == 'train'


def test_each_split_asks_what_it_is_about(splits):
    for row in splits['combination']:
        asked = [words.split(' ', 1) for words in row.extra['targets']]
        assert any(held_out_pair(*pair) and said(row.instruction, pair[0]) for pair in asked
                   if len(pair) == 2)
    assert all(unseen_words(row.instruction) for row in splits['synonym'])
    for row in splits['noun']:
        kinds = {words[-1] for words in row.extra['things'].values()}
        assert any(NOUNS[kind].held_out and named(row.instruction, kind) for kind in kinds)
    assert all(16 <= row.extra['objects'] <= 20 for row in splits['clutter'])


def test_splits_hold_out_one_thing_each(splits):
    """What a split is not about is as in training."""
    for name, rows in splits.items():
        for row in rows:
            assert row.split == 'eval'
            if name not in ('synonym', 'noun'):
                assert unseen_words(row.instruction) == [], name
            if name != 'noun':
                assert not any(NOUNS[words[-1]].held_out
                               for words in row.extra['things'].values()), name
            if name != 'combination':
                assert not any(held_out_pair(*pair) for pair in pairs_of(row)), name


def test_no_split_is_easy(splits):
    for name, rows in splits.items():
        found = [row for row in rows if row.found]
        areas = [(decode_mask(row.mask) > 0).sum() for row in found]
        assert len(rows) >= SCENE, name
        assert min(areas) >= 12 and np.median(areas) < .12 * 192 * 256, name
        assert min(row.extra['objects'] for row in rows) >= 3
        assert np.mean([row.extra['objects'] for row in rows]) > (14 if name == 'clutter' else 5)
        # Another thing of a target's colour or kind is in view, or more than a name is needed.
        assert np.mean([row.extra['needs'] for row in rows]) > .6, name


def test_unseen_looks_have_other_textures():
    usual, unseen = (surfaces(np.random.default_rng(1), 16, flag) for flag in (False, True))
    assert all(picture.shape == (128, 128, 3) for picture in unseen)
    assert not any(np.array_equal(one, other) for one in usual for other in unseen)


def test_splits_have_different_seeds_all_beyond_training(splits):
    ids = [row.id for rows in splits.values() for row in rows]
    assert len(ids) == len({*ids})
    assert {*SCENES} | {*COMPOSITES} == {*NAMES}
    seeds = {row.id.split('-')[0] for rows in splits.values() for row in rows}
    assert len(seeds) == len(NAMES) and min(map(int, seeds)) >= 900_000


def test_without_cut_outs_two_splits_are_left_out_and_said_so(tmp_path, capsys):
    assert main(['splits', '--out', str(tmp_path), '--scenes', '2', '--only', 'fresh']) == 0
    assert read_info(tmp_path / 'fresh')['scenes'] == 2
    assert main(['splits', '--out', str(tmp_path / 'all'), '--scenes', '1']) == 0
    assert 'photo: left out' in capsys.readouterr().out
    for wrong, said_ in ((('noun',), 'cutouts'), (('nothing',), 'no split')):
        with pytest.raises(ValueError, match=said_):
            SplitsConfig(str(tmp_path), wrong)
