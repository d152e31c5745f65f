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
"""The discriminator, through the shipped weights' eyes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
import torch

from ivm_ros.data.loader import Batches
from ivm_ros.data.scenes import Scenes
from ivm_ros.data.shards import read_rows, write_shard
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.checkpoint_info import SHIPPED
from ivm_ros.models.text import TextEncoder
from ivm_ros.train.batch import to_batch
from ivm_ros.train.dwsl import DwslConfig
from ivm_ros.train.judging import Judging


def wrong_ones(folder: Path, seed: int, sentences: tuple[str, ...], index: np.ndarray
               ) -> np.ndarray:
    """Tell of each label of a batch of all pictures whether it is wrong, bool [B]."""
    bad = {(row.instruction, row.image): row.extra['bad'] for row in read_rows(folder)}
    scenes = Scenes([folder])
    images = [scenes.rows(*place)[0].image
              for place in scenes.order(np.random.default_rng([seed, 0, 0]))]
    return np.array([bad[text, images[place]] for text, place in zip(sentences, index)])


@pytest.mark.slow
@pytest.mark.parametrize('form', ['two_stage', 'joint'])
def test_on_other_pictures_the_discriminator_ranks_right_masks_above_wrong_ones(mixed_toys, form):
    """It was told only who made labels, and never saw these pictures; wrong: of another thing."""
    encoder, eyes = TextEncoder(), load_checkpoint(SHIPPED).net
    mixed, held_out = mixed_toys(0, 16), mixed_toys(7, 24)
    batches = Batches(Scenes([mixed]), (192, 256), 6, 3, None, 0, balanced=True)
    read = [to_batch(batches[step], encoder) for step in range(4)]
    torch.manual_seed(0)
    judging = Judging(DwslConfig(form=form), eyes)
    if form == 'two_stage':
        judging.prepare(read[step % 4] for step in range(120))
    else:
        for step in range(120):
            judging.weigh(read[step % 4])
    judging.config = DwslConfig(form='two_stage')  # from here on nothing is learnt
    everything = judging.weigh(to_batch(Batches(Scenes([mixed]), (192, 256), 24, 3, None, 1)[0],
                                        encoder))
    assert (everything.weight[everything.human > .5] == 1).all()
    assert judging.seen['judge/human'] > judging.seen['judge/machine']
    shown = Batches(Scenes([held_out]), (192, 256), 24, 3, None, 1)[0]
    wrong = wrong_ones(held_out, 1, shown.sentences, shown.image_index)
    weight = judging.weigh(to_batch(shown, encoder)).weight.numpy()
    assert not shown.human.any() and .4 < wrong.mean() < .6
    assert roc_auc_score(~wrong, weight) >= .8


@pytest.mark.slow
def test_labels_of_simulators_count_fully(toy_dataset):
    encoder, eyes = TextEncoder(), load_checkpoint(SHIPPED).net
    batch = to_batch(Batches(Scenes([toy_dataset]), (192, 256), 2, 2, None, 0)[0], encoder)
    judging = Judging(DwslConfig(form='joint'), eyes)
    before = {name: value.clone() for name, value in judging.judge.net.state_dict().items()}
    assert torch.equal(judging.weigh(batch).weight, batch.weight)
    after = judging.judge.net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_the_eyes_show_the_robot_where_nobody_labelled_it(toys, tmp_path):
    """What is labelled stays as it is."""
    write_shard(tmp_path / 'shard-00000.parquet', [
        replace(row, labels=None, is_human=number > 9, extra={},
                robot_mask=row.robot_mask if number < 8 else None)
        for number, row in enumerate(toys(0)[:16])])  # four sentences a picture
    eyes = load_checkpoint(SHIPPED).net
    batch = to_batch(Batches(Scenes([tmp_path]), (192, 256), 4, 1, None, 0)[0], TextEncoder())
    assert sorted(batch.robot_known.tolist()) == [0, 0, 1, 1]
    assert not batch.robot[batch.robot_known < .5].any()
    weighed = Judging(DwslConfig(form='joint'), eyes).weigh(batch)
    assert weighed.robot_known.all()
    with torch.no_grad():
        seen = eyes.proposer(batch.images, eyes.backbone(batch.images)).robot.sigmoid()
    for place, known in enumerate(batch.robot_known):
        wanted = batch.robot[place] if known else seen[place]
        assert torch.allclose(weighed.robot[place], wanted, atol=1e-5)
