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
"""Grounding DINO and EdgeTAM: the numbers of plain transformers; weights of the video form."""

import shutil
import sys

import numpy as np
import pytest
import torch
from transformers import (AutoProcessor, EdgeTamModel, EdgeTamVideoModel,
                          GroundingDinoForObjectDetection)

from ivm_ros.models import edgetam_carrier, grounded_sam2, sam2_carrier
from ivm_ros.models.edgetam_random import image_config
from ivm_ros.models.grounded_edgetam import make, write_random
from ivm_ros.models.grounded_sam2 import SURE
from ivm_ros.models.grounded_sam2_random import dino_config
from ivm_ros.models.pretrained import WeightsError
from ivm_ros.models.settings import MaskerConfig

SENTENCES = ['pick up the red mug', 'put the duck on the large white plate', 'cup']
PROMPTS = ['red mug.', 'duck. large white plate.', 'cup.']
IMAGES = [np.kron(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8),
                  np.ones((8 + seed, 8, 1), np.uint8)) for seed in range(3)]
CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Write the miniature."""
    folder = tmp_path_factory.mktemp('edgetam')
    write_random(folder)
    return folder


@pytest.fixture(scope='module')
def generator(tiny):
    """Make the generator as `make_generator` does."""
    return make(MaskerConfig(str(tiny), generator='grounded_edgetam'), CPU, 1)


@pytest.mark.parametrize('number', range(3))
@torch.no_grad()
def test_the_mask_is_that_of_plain_transformers(generator, tiny, number):
    image = IMAGES[number]
    dino = GroundingDinoForObjectDetection.from_pretrained(tiny / 'dino').eval()
    reader = AutoProcessor.from_pretrained(tiny / 'dino')
    inputs = reader(images=image, text=PROMPTS[number], return_tensors='pt')
    result, = reader.post_process_grounded_object_detection(
        dino(**inputs), inputs.input_ids, threshold=SURE, target_sizes=[image.shape[:2]])
    assert len(result['boxes']) > 1
    edge = EdgeTamModel.from_pretrained(tiny / 'edgetam').eval()
    looker = AutoProcessor.from_pretrained(tiny / 'edgetam')
    inputs = looker(images=image, input_boxes=[result['boxes'].tolist()], return_tensors='pt')
    original = inputs.pop('original_sizes')
    planes, = looker.post_process_masks(
        edge(**inputs, multimask_output=False).pred_masks, original, binarize=False)
    wanted = planes.amax((0, 1)).sigmoid().numpy()
    mask, = generator.generate([image], [SENTENCES[number]])
    assert wanted.std() > .03
    assert np.abs(mask.target - wanted).max() < 1e-4
    best = float(result['scores'].max())
    assert mask.found == pytest.approx(.5 + .5 * (best - SURE) / (1 - SURE), abs=1e-5)


def test_the_mask_depends_on_the_sentence_and_not_on_its_neighbours(generator):
    one, other = generator.generate([IMAGES[0]] * 2, SENTENCES[:2])
    assert np.abs(one.target - other.target).max() > .02
    for mask, image, text in zip(generator.generate(IMAGES, SENTENCES), IMAGES, SENTENCES):
        alone, = generator.generate([image], [text])
        assert np.abs(mask.target - alone.target).max() < 1e-4
    assert generator.info['generator'] == 'grounded_edgetam'


def test_weights_of_the_video_form_are_those_that_the_hub_has(generator, tiny, tmp_path):
    """Both repositories hold the memory too; what masks single pictures leaves it unread."""
    shutil.copytree(tiny / 'dino', tmp_path / 'dino')
    edgetam_carrier.write_random(tmp_path)
    video = EdgeTamVideoModel.from_pretrained(tmp_path / 'edgetam').eval()
    made = make(MaskerConfig(str(tmp_path), generator='grounded_edgetam'), CPU, 1)
    for name, value in made.sam.named_parameters():
        assert torch.equal(value, video.get_parameter(name)), name
    mask, = made.generate(IMAGES[:1], SENTENCES[:1])
    assert mask.target.any()
    sam2_carrier.write_random(tmp_path)
    grounded_sam2.make(MaskerConfig(str(tmp_path), generator='grounded_sam2'), CPU, 1)


def test_a_missing_timm_is_named(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(WeightsError, match='EdgeTAM needs the package timm; pip install'):
        make(MaskerConfig(str(tiny), generator='grounded_edgetam'), CPU, 1)


def test_parameters_and_memory_are_what_docstring_and_page_say():
    with torch.device('meta'):
        dino, edge = (sum(value.numel() for value in net.parameters()) / 1e6 for net in (
            GroundingDinoForObjectDetection(dino_config(tiny=False)),
            EdgeTamModel(image_config(tiny=False))))
    assert (round(dino, 1), round(edge, 1)) == (172.3, 9.1)
    assert round(4 * (dino + edge) / 1e3, 1) == .7
