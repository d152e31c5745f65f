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
"""Evaluation: figures worked out by hand, references that do what they say."""

import json
import shutil

import numpy as np
import pytest
import torch

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import DatasetError, encode_image, Row, write_info, write_shard
from ivm_ros.evaluate.failures import Failures
from ivm_ros.evaluate.grounding import bootstrap, GroundingConfig, main, Score, summarise
from ivm_ros.evaluate.metrics import fit_of
from ivm_ros.evaluate.proposals import evaluate_proposals, ProposalsConfig
from ivm_ros.evaluate.references import hsv_words, keep_all
from ivm_ros.evaluate.splits import evaluate_splits, SplitsConfig
from ivm_ros.evaluate.words import evaluate_words, WordsConfig
from ivm_ros.models.checkpoint import load_checkpoint, save_checkpoint
from ivm_ros.models.checkpoint_info import file_hash
from ivm_ros.models.compact import CompactConfig, CompactNet
from ivm_ros.models.text_files import find_text_encoder
from ivm_ros.sample import Mask, Sample


def score(image, found, value, target, kind='plain', robot=0.5):
    fit = fit_of(np.full((4, 4), .6, np.float32), np.eye(4) > 0) if found else None
    return Score(image, kind, found, value, target, robot, {'keep_all': 0.1, 'hsv_words': 0.3},
                 fit)


def test_figures_by_hand():
    figures = summarise([score(0, True, 0.9, 1.0), score(0, True, 0.4, 0.4, 'pair'),
                         score(1, False, 0.6, 0.0, 'absent', robot=float('nan')),
                         score(1, False, 0.1, 0.0, 'absent', robot=0.7)], seed=0)
    assert figures['n'] == 2
    assert figures['absent'] == 2
    assert figures['target']['mean_iou'] == pytest.approx(0.7)
    assert figures['target']['iou50'] == 0.5
    assert figures['target']['ciou'] == 4 / 16  # two pictures of 16 pixels shown, 4 of them right
    assert figures['target']['ece'] == pytest.approx(.6 - .25)
    assert figures['robot']['mean_iou'] == pytest.approx((0.5 + 0.5 + 0.7) / 3)
    assert figures['found']['auroc'] == pytest.approx(3 / 4)  # of 4 pairs one is wrong
    assert figures['found']['accuracy'] == 0.5
    assert set(figures['by_kind']) == {'plain', 'pair'}
    assert figures['references']['hsv_words']['mean_iou'] == pytest.approx(0.3)


def test_interval_resamples_images_not_sentences():
    """Ten equal sentences about one image are one observation."""
    values = np.repeat([0.0, 1.0] * 10, 10)
    images = np.repeat(np.arange(20), 10)
    low, high = bootstrap(values, images, 0)
    assert high - low > 0.3  # of 20 coin tosses: 0.44; of 200: 0.14
    assert low < 0.5 < high


def test_nothing_in_view_is_an_error():
    with pytest.raises(DatasetError, match='nothing to measure'):
        summarise([score(0, False, 0.1, 0.0)], seed=0)


def test_hsv_words_keep_their_colour_only():
    image = np.full((40, 60, 3), 128, np.uint8)
    image[:, :20], image[:, 40:] = (220, 20, 20), (20, 40, 220)
    seen = hsv_words(image, 'Pick up the RED ball').target
    assert seen[:, :20].all()
    assert not seen[:, 20:].any()
    both = hsv_words(image, 'put the red ball on the blue plate').target
    assert both.sum() == 2 * 20 * 40
    assert hsv_words(image, 'pick up the ball').target.all()
    assert keep_all(image, 'anything').target.all()


@pytest.mark.slow
def test_figures_are_written_recorded_and_named(toy_dataset, tmp_path):
    weights = tmp_path / 'small.safetensors'
    encoder = file_hash(find_text_encoder() / 'model.safetensors')
    save_checkpoint(weights, CompactNet(CompactConfig(96, 128, 32, 1, 2)),
                    {'name': 'x', 'sha256': encoder}, {'command': 'kept'}, {})
    main(GroundingConfig(str(toy_dataset), str(tmp_path / 'out.json'), str(weights), images=6,
                         record=True))
    figures = json.loads((tmp_path / 'out.json').read_text())
    assert {'n', 'target', 'robot', 'found', 'by_kind', 'references', 'command', 'commit',
            'seed'} <= set(figures)
    assert figures['n'] + figures['absent'] == 24
    assert figures['images'] == 6
    assert figures['references']['hsv_words']['mean_iou'] > 0.8
    assert figures['references']['keep_all']['mean_iou'] < 0.1
    info = load_checkpoint(weights).info
    assert info['quality']['target'] == figures['target']
    assert info['provenance'] == {'command': 'kept'}


@pytest.mark.slow
def test_all_splits_are_measured_tabled_and_their_failures_shown(toy_dataset, tmp_path, capsys):
    for name in ('noun', 'fresh', 'other'):
        shutil.copytree(toy_dataset, tmp_path / 'splits' / name)
    weights = tmp_path / 'small.safetensors'
    encoder = file_hash(find_text_encoder() / 'model.safetensors')
    torch.manual_seed(0)
    save_checkpoint(weights, CompactNet(CompactConfig(96, 128, 32, 1, 2)),
                    {'name': 'x', 'sha256': encoder}, {}, {})
    out = evaluate_splits(SplitsConfig(str(tmp_path / 'splits'), str(tmp_path / 'out'),
                                       str(weights), images=6, failures=3, record=True))
    capsys.readouterr()
    assert {path.name for path in out.iterdir()} == {
        'fresh.json', 'noun.json', 'table.md', 'failures.html'}
    fresh = json.loads((out / 'fresh.json').read_text())
    assert load_checkpoint(weights).info['quality']['target'] == fresh['target']
    rows = [row.split(' | ') for row in (out / 'table.md').read_text().splitlines()]
    assert rows[2][0] == '| `fresh`' and rows[3][0] == '| `noun`'  # in the order of the bars
    assert rows[2][1] == f'**{fresh["target"]["mean_iou"]:.3f}**' and rows[2][2] == '0.84'
    assert len({len(row) for row in rows[:1] + rows[2:4]}) == 1
    assert ['| plain', *[f'{fresh["by_kind"]["plain"]["mean_iou"]:.2f}'] * 2] in [
        [*row[:-1], row[-1].removesuffix(' |')] for row in rows]
    page = (out / 'failures.html').read_text()
    assert page.count('<img') == page.count('data:image/jpeg') == 6  # nothing was learnt
    assert page.count('<h2>') == 2


def test_every_failure_has_the_same_chance_to_be_shown():
    image = np.zeros((4, 4, 3), np.uint8)
    planes = np.zeros((2, 4, 4), np.float32)
    good, bad = Mask(*planes, .9), Mask(*planes, .1)
    shown = np.zeros(40)
    for seed in range(300):
        kept = Failures(4, seed)
        for number in range(40):
            kept.add(Sample(str(number), image, 'x', 'plain', None, None, True), good, .49)
            kept.add(Sample('-', image, 'x', 'plain', None, None, True), good, .5)
            kept.add(Sample('-', image, 'x', 'absent', None, None, False), bad, 0.0)
        assert (kept.samples, kept.wrong, len(kept.kept)) == (120, 40, 4)
        for failure in kept.kept:
            shown[int(failure.sample.id)] += 1
    assert shown.sum() == 1200 and shown.min() > 12 and shown.max() < 50  # 30 each on average
    said = Failures(4)
    said.add(Sample('0', image, 'x', 'absent', None, None, False), good, float('nan'))
    assert said.kept[0].iou == 0  # it is not there, and was found


def test_a_folder_without_splits_says_how_to_make_some(tmp_path):
    with pytest.raises(ConfigError, match='ivm-sim splits'):
        evaluate_splits(SplitsConfig(str(tmp_path), str(tmp_path / 'out')))


def test_data_must_be_named_and_labelled(tmp_path):
    with pytest.raises(ConfigError, match='ivm-sim dataset'):
        main(GroundingConfig())
    image = encode_image(np.zeros((64, 64, 3), np.uint8))
    write_shard(tmp_path / 'shard-00000.parquet',
                [Row('1-1-0', image, 'the mug', 'plain', None, None, None, 'x', 'nobody')])
    write_info(tmp_path, {'seed': 900_000})
    with pytest.raises(DatasetError, match='1-1-0 has no mask'):
        main(GroundingConfig(str(tmp_path), weights=''))


@pytest.mark.slow
def test_words_never_said_lie_near_what_they_mean(tmp_path, capsys):
    """The weights that ship keep what the sentence encoder knows of words."""
    path = tmp_path / 'words.json'
    assert evaluate_words(WordsConfig(json=str(path))) == 0
    figures = json.loads(path.read_text())
    assert figures['words'] > 400 and 'words never said' in capsys.readouterr().out
    for space in ('generator', 'encoder'):
        row = figures[space]
        assert row['first'] <= row['first_five'] and row['first'] <= row['first_of'] <= 1
    assert figures['generator']['first_of'] > figures['encoder']['first_of'] - .02 > .8


@pytest.mark.slow
def test_the_best_choice_is_never_much_worse_than_the_chooser(toy_dataset, tmp_path, capsys):
    path = tmp_path / 'proposals.json'
    assert evaluate_proposals(ProposalsConfig(str(toy_dataset), json=str(path))) == 0
    figures = json.loads(path.read_text())
    assert figures['n'] == sum(row['n'] for row in figures['by_area']) == 72
    assert figures['images'] == 24
    # Squares of 24 pixels on a canvas of twice the size: the shipped weights see them well.
    assert [row['n'] for row in figures['by_area']][:2] == [0, 0]
    assert figures['best'] > .8 and figures['best'] > figures['chosen'] - .02
    assert figures['wrong'] + figures['missed'] <= 1
    assert '72 sentences about 24 pictures' in capsys.readouterr().out
