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
"""`ivm eval video` on sequences that are worked out by hand, written as `ivm-sim` writes them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivm_ros.cli import main
from ivm_ros.data.shards import (DatasetError, encode_image, encode_mask, Row, write_info,
                                 write_shard)
from ivm_ros.evaluate.sequences import read_video, sequence_paths
from ivm_ros.evaluate.video import frames_of, score_sequence, VideoConfig
from ivm_ros.evaluate.video_score import unexplained
from ivm_ros.tracker import TrackConfig

SIZE, COUNT, STEP = (96, 128), 20, 3


@pytest.fixture(scope='module')
def sequences(tmp_path_factory) -> Path:
    """Write a sequence whose whole picture moves 3 pixels to the right a frame."""
    folder = tmp_path_factory.mktemp('sequences')
    ground = cv2.resize(np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8),
                        (256, 96), interpolation=cv2.INTER_CUBIC)
    rows = []
    for frame in range(COUNT):
        left = 100 - STEP * frame
        mask = np.zeros((96, 256), bool)
        mask[30:60, 110:140] = True
        robot = np.zeros((96, 256), bool)
        robot[:20, 60:] = True
        cut = slice(left, left + SIZE[1])
        rows.append(Row(f'900400-000{frame:04d}-0', encode_image(ground[:, cut]), 'take it',
                        'camera', encode_mask(mask[:, cut]), encode_mask(robot[:, cut]), True,
                        'drawn', 'drawn', extra={'needs': False}))
    write_shard(folder / 'shard-00000.parquet', rows)
    flow = np.zeros((COUNT, 24, 32, 2), np.float16)
    flow[..., 0] = -STEP
    flow[:, :, 0] = np.nan  # came into view
    flow[0] = np.nan
    np.savez_compressed(folder / 'motion-00000.npz', flow=flow)
    write_info(folder, {'layout': 'sequences', 'rate': 10.0, 'stride': 4})
    return folder


def test_change_is_what_motion_does_not_explain():
    before, now = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    before[40:60, 40:60] = True
    now[40:60, 48:68] = True
    truth = now.astype(np.float32)
    still, moved = np.zeros((24, 32, 2), np.float32), np.zeros((24, 32, 2), np.float32)
    moved[..., 0] = -8
    # 5 x 5 places of every fourth pixel; two columns of five appear, two disappear.
    assert unexplained(before, now, truth, still, 4) == (20, 25)
    assert unexplained(before, now, truth, moved, 4) == (0, 25)
    unknown = np.where(np.arange(32)[None, :, None] < 16, np.nan, still)
    assert unexplained(before, now, truth, unknown, 4) == (5, 5)


def test_all_combinations_on_a_sequence_that_only_moves(sequences):
    config = VideoConfig(str(sequences), (1, 5), (0.0, .2, .5))
    scores, times = score_sequence(config, sequence_paths(sequences)[0], ['truth'])
    rows = {cell: tally.figures() for (_, cell, kind), tally in scores.items() if kind == 'all'}
    assert set(rows) == {'every', '1/0', '5/0', '1/0.2', '5/0.2', '1/0.5', '5/0.5'}
    assert rows['every']['iou'] == 1
    assert rows['every']['flicker'] < .05
    assert rows['every']['keyframes'] == COUNT - 5  # 5 frames are the longest delay
    assert [rows[cell]['keyframes'] for cell in ('1/0', '5/0', '1/0.2', '5/0.2')] == [15, 3, 7, 3]
    assert rows['1/0.5'] == rows['5/0.5']
    for cell, row in rows.items():
        assert row['iou'] > .85, cell
        assert row['robot_iou'] > .8, cell
        assert row['frames'] == 15
        assert row['without_mask'] == 0, cell
    assert len(times['carry']) == COUNT - 4


def test_delay_is_counted_in_frames():
    assert [frames_of(delay, 30) for delay in (0, .05, .2, .5, 1)] == [0, 2, 6, 15, 30]


@pytest.mark.slow
def test_the_verb_writes_figures_and_a_plot(sequences, tmp_path, capsys):
    file = tmp_path / 'video.json'
    assert main(['eval', 'video', '--data', str(sequences), '--source', 'truth', '--intervals',
                 '1', '5', '--delays', '0', '0.2', '--json', str(file)]) == 0
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'true masks' in shown
    assert 'ms of CPU time' in shown
    text = file.read_text()
    figures = json.loads(text)
    assert set(figures) >= {'sources', 'cpu_ms', 'tracking', 'command', 'versions'}
    assert len(text.splitlines()) < 100
    best = figures['cpu_ms']['carry, each frame the best of 3']
    assert 0 < best['median'] <= figures['cpu_ms']['carry']['median']
    assert best['n'] == figures['cpu_ms']['carry']['n'] == COUNT - 4
    assert figures['sources']['truth']['every']['camera']['iou'] == 1
    assert figures['sources']['truth']['5/0.2']['all']['iou'] > .85
    assert figures['tracking']['track_smoothing'] >= 0
    assert cv2.imread(str(file.with_suffix('.png'))).shape[0] > 300


def test_other_folders_are_refused_by_name(sequences, toy_dataset, tmp_path, capsys):
    assert main(['eval', 'video', '--data', str(toy_dataset)]) == 2
    assert 'holds single pictures: wanted a folder of "ivm-sim sequences"' in (
        capsys.readouterr().err)
    write_info(tmp_path, {'layout': 'sequences', 'rate': 10.0, 'stride': 4})
    (tmp_path / 'shard-00000.parquet').write_bytes(sequence_paths(sequences)[0].read_bytes())
    with pytest.raises(DatasetError, match=r'has no motion-00000.npz beside it: delete it'):
        read_video(sequence_paths(tmp_path)[0])


@pytest.mark.slow
def test_a_memory_carries_in_the_place_of_flow(sequences, tmp_path):
    """Random weights draw nothing of use: between keyframes IoU is lower than flow's."""
    assert main(['download', 'edgetam', '--tiny', '--out', str(tmp_path)]) == 0
    iou = {}
    for by in ('flow', 'edgetam'):
        tracking = TrackConfig(track_by=by, track_weights=str(tmp_path), track_confidence=0.0)
        scores, times = score_sequence(
            VideoConfig(str(sequences), (5,), (0.0,), tracking=tracking),
            sequence_paths(sequences)[0], ['truth'])
        iou[by] = scores['truth', '5/0', 'all'].figures()['iou']
        assert len(times['carry']) == 16
    assert iou['edgetam'] < iou['flow'] - .1
