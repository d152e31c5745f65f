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
"""`ivm-sim sequences`: what moves, that truth and motion fit the pictures, and that seeds hold."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import DatasetError, decode_image, decode_mask, read_shard
from ivm_sim import moves
from ivm_sim.sequences import draw_sequence, KINDS, SequencesConfig, STRIDE, write_sequences

pytestmark = pytest.mark.slow
SIZE = {'height': 120, 'width': 160}


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Write one sequence of each kind, 24 frames at 10 Hz."""
    out = tmp_path_factory.mktemp('sequences')
    lines = list(write_sequences(SequencesConfig(str(out), each=1, frames=24, rate=10.0, **SIZE)))
    assert [line.partition(':')[0] for line in lines] == list(KINDS) == list(moves.KINDS)
    return out


def warp(plane: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Fetch what places of a frame showed in the frame before."""
    half = STRIDE // 2
    rows, columns = np.mgrid[half:plane.shape[0]:STRIDE, half:plane.shape[1]:STRIDE]
    there = np.nan_to_num(flow) + np.dstack([columns, rows]).astype(np.float32)
    return cv2.remap(plane.astype(np.float32), there, None, cv2.INTER_LINEAR)


def nearest(plane: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Look up what places of a frame showed in the frame before, in whole pixels."""
    half = STRIDE // 2
    rows, columns = np.mgrid[half:plane.shape[0]:STRIDE, half:plane.shape[1]:STRIDE] + .5
    way = np.nan_to_num(flow)
    row, column = (np.floor(np.clip(place, 0, most - 1)).astype(int) for place, most in (
        (rows + way[..., 1], plane.shape[0]), (columns + way[..., 0], plane.shape[1])))
    return plane[row, column]


@pytest.mark.parametrize('number', range(4))
def test_true_motion_leads_to_the_same_thing_in_the_frame_before(folder, number):
    rows = read_shard(folder / f'shard-{number:05d}.parquet')
    with np.load(folder / f'motion-{number:05d}.npz') as arrays:
        flow = arrays['flow'].astype(np.float32)
    assert flow.shape == (24, 30, 40, 2)
    assert np.isnan(flow[0]).all()
    wrong, still, moved, fits, seams = [], [], [], [], 0
    for frame in range(1, 24):
        known = ~np.isnan(flow[frame, ..., 0])
        assert known.mean() > .5
        before, now = (decode_image(rows[index].image).astype(np.float32)
                       for index in (frame - 1, frame))
        here = now[STRIDE // 2::STRIDE, STRIDE // 2::STRIDE]
        wrong.append(np.abs(warp(before, flow[frame]) - here)[known].mean())
        still.append(np.abs(before[STRIDE // 2::STRIDE, STRIDE // 2::STRIDE] - here)[known].mean())
        moved.append(np.linalg.norm(flow[frame][known], axis=-1).mean())
        masks = [decode_mask(rows[index].mask) for index in (frame - 1, frame)]
        same = (warp(masks[0], flow[frame]) > 127) == (
            masks[1][STRIDE // 2::STRIDE, STRIDE // 2::STRIDE] > 127)
        fits.append(same[known].mean())
        robots = [decode_mask(rows[index].robot_mask) for index in (frame - 1, frame)]
        seams += np.count_nonzero(known & (nearest(robots[0], flow[frame])
                                           != robots[1][STRIDE // 2::STRIDE, STRIDE // 2::STRIDE]))
    assert np.mean(moved) > .05
    assert np.mean(wrong) < .75 * np.mean(still)
    assert np.mean(fits) > .99
    assert seams < 5  # of 27600: what was behind the arm, or is behind it now, is not known


def test_an_occlusion_hides_the_target_and_the_others_do_not(folder):
    for number, kind in enumerate(KINDS):
        rows = read_shard(folder / f'shard-{number:05d}.parquet')
        areas = np.array([np.count_nonzero(decode_mask(row.mask)) for row in rows])
        assert {row.kind for row in rows} == {kind}
        assert areas[0] > 0
        if kind == 'occlusion':
            assert areas.min() < .85 * areas.max()  # of several targets, one is hidden
        else:
            assert areas.min() > .3 * areas[0]


def test_the_same_seed_gives_the_same_sequence_and_a_stopped_run_goes_on(folder, tmp_path):
    config = SequencesConfig(str(folder), each=1, frames=24, rate=10.0, **SIZE)
    rows, motion = draw_sequence(config, 0)
    kept = read_shard(folder / 'shard-00000.parquet')
    assert [row.image for row in rows] == [row.image for row in kept]
    with np.load(folder / 'motion-00000.npz') as arrays:
        np.testing.assert_array_equal(motion, arrays['flow'])
    before = (folder / 'shard-00001.parquet').stat().st_mtime_ns
    list(write_sequences(config))
    assert (folder / 'shard-00001.parquet').stat().st_mtime_ns == before
    assert json.loads((folder / 'dataset.json').read_text())['sequences'] == 4
    with pytest.raises(DatasetError, match='was begun with frames 24, now asked for 30'):
        list(write_sequences(SequencesConfig(str(folder), each=1, frames=30, rate=10.0, **SIZE)))


def test_a_seed_of_training_is_refused():
    with pytest.raises(ConfigError, match='seed: wanted 900000'):
        SequencesConfig('out', seed=5)
