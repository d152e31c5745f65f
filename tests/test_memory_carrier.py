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
"""Masks carried by the memory of SAM 2 and EdgeTAM: as transformers alone does, and bounded."""

from dataclasses import replace
from pathlib import Path
import sys

import numpy as np
import pytest
import torch
from transformers import EdgeTamVideoModel, Sam2VideoModel, Sam2VideoProcessor
from transformers import Sam2ImageProcessor, Sam2VideoVideoProcessor

from ivm_ros.carriers import load_carriers
from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.masker import MaskerConfig
from ivm_ros.models.edgetam_random import video_config
from ivm_ros.models.memory_carrier import MemoryCarrier
from ivm_ros.models.pretrained import WeightsError
from ivm_ros.models.registry import module_of, parts_of
from ivm_ros.models.sam2_carrier import config_of
from ivm_ros.models.settings import CARRIERS
from ivm_ros.sample import Mask
from ivm_ros.tracker import TrackConfig, Tracker

SIZE, FRAMES = (96, 128), 20
ROOT = Path(__file__).parents[1]
MODELS = {'sam2': Sam2VideoModel, 'edgetam': EdgeTamVideoModel}
TRACK = TrackConfig(track_interval=1000, track_smoothing=0.0, track_enter=.5, track_leave=.5,
                    track_confidence=0.0, track_scene_change=1.0)


def box(top, left, high=30, wide=40):
    plane = np.zeros(SIZE, np.float32)
    plane[top:top + high, left:left + wide] = 1
    return plane


def film(count=FRAMES, seed=0):
    """Draw frames that show a ground moving a pixel a frame, uint8 [H, W, 3]."""
    cells = np.random.default_rng(seed).integers(0, 256, (12, 16 + count // 8 + 2, 3), np.uint8)
    ground = np.kron(cells, np.ones((8, 8, 1), np.uint8))
    return [np.ascontiguousarray(ground[:, step:step + SIZE[1]]) for step in range(count)]


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Write the miniatures through the command line."""
    folder = tmp_path_factory.mktemp('carriers')
    for name in CARRIERS:
        assert main(['download', name, '--tiny', '--out', str(folder)]) == 0
    return folder


@pytest.fixture(scope='module', params=CARRIERS)
def make(request, tiny):
    """Load each of them as the node does; the name is `make.name`."""
    made = load_carriers(replace(TRACK, track_by=request.param, track_weights=str(tiny)),
                         MaskerConfig(device='cpu'))

    def maker():
        return made()

    maker.name, maker.folder = request.param, tiny / request.param
    return maker


def carried_over(carrier, frames, planes, steps=None):
    """Carry planes from the first frame to each other; return them, and the shares."""
    carrier.advance(frames[0])
    key, found = carrier.mark(), []
    for frame in frames[1:]:
        carrier.advance(frame)
        found.append(carrier.carry(key, planes))
    return found


def plain(make, frames, planes):
    """Do the same with transformers alone: the whole film at once; yield logits and scores."""
    net = MODELS[make.name].from_pretrained(make.folder).eval()
    side = {'height': 128, 'width': 128}
    processor = Sam2VideoProcessor(Sam2ImageProcessor(size=side),
                                   Sam2VideoVideoProcessor(size=side))
    film = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    session = processor.init_video_session(video=film)
    processor.add_inputs_to_inference_session(
        session, 0, [*range(len(planes))], input_masks=[plane >= .5 for plane in planes])
    for said in net.propagate_in_video_iterator(session, start_frame_idx=0):
        masks, = processor.post_process_masks([said.pred_masks], [SIZE], binarize=False)
        yield masks[:, 0].sigmoid().numpy(), said.object_score_logits.flatten().sigmoid().numpy()


def test_a_stream_is_carried_as_plain_transformers_carries_the_whole_film(make):
    """Frame by frame, and with all that is dropped on the way, to the same numbers."""
    frames, planes = film(), (box(20, 30), box(50, 80))
    found = carried_over(make(), frames, planes)
    wanted = [*plain(make, frames, planes)][1:]
    spread = 0.0
    for number, (carried, (masks, scores)) in enumerate(zip(found, wanted)):
        for plane, mask in zip(carried.planes, masks):
            assert plane.dtype == np.float32 and plane.shape == SIZE
            assert np.abs(plane - mask).max() < 1e-4, number
            spread = max(spread, float(mask.std()))
        assert carried.share == pytest.approx(scores[0], abs=1e-4)
        assert carried.followed.min() == 255
    assert spread > .05
    assert len(found) == FRAMES - 1
