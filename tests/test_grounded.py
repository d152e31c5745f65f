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
"""Grounding DINO, with SAM 2.1 and with EdgeTAM: the numbers of plain transformers, always."""

import shutil
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import (AutoProcessor, EdgeTamModel, EdgeTamVideoModel,
                          GroundingDinoForObjectDetection, Sam2Model)

from ivm_ros.models import edgetam_carrier, grounded_edgetam, grounded_sam2, sam2_carrier
from ivm_ros.models.edgetam_random import image_config
from ivm_ros.models.grounded_sam2 import GroundedSam2, SURE
from ivm_ros.models.grounded_sam2_random import dino_config, sam_config
from ivm_ros.models.once import Once
from ivm_ros.models.pretrained import WeightsError
from ivm_ros.models.settings import MaskerConfig

pytestmark = pytest.mark.slow

SENTENCES = ['pick up the red mug', 'put the duck on the large white plate', 'cup']
PROMPTS = ['red mug.', 'duck. large white plate.', 'cup.']
IMAGES = [np.kron(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8),
                  np.ones((8 + seed, 8, 1), np.uint8)) for seed in range(3)]
CPU = torch.device('cpu')
MODULES = {'grounded_sam2': grounded_sam2, 'grounded_edgetam': grounded_edgetam}
MASKING = {'grounded_sam2': ('sam2', Sam2Model), 'grounded_edgetam': ('edgetam', EdgeTamModel)}


@pytest.fixture(scope='module', params=MODULES)
def module(request) -> ModuleType:
    """Give each of the two."""
    return MODULES[request.param]


def name_of(module: ModuleType) -> str:
    """Give the name of a generator by its module."""
    return module.__name__.rpartition('.')[2]


def generator_of(module: ModuleType, folder) -> GroundedSam2:
    """Make a generator as `make_generator` does."""
    return module.make(MaskerConfig(str(folder), generator=name_of(module)), CPU, 1)


@pytest.fixture(scope='module')
def tiny(module, tmp_path_factory):
    """Write the miniature."""
    folder = tmp_path_factory.mktemp('grounded')
    module.write_random(folder)
    return folder


@pytest.fixture(scope='module')
def generator(module, tiny) -> GroundedSam2:
    """Make the generator of the miniature."""
    return generator_of(module, tiny)


@pytest.mark.parametrize('number', range(3))
@torch.no_grad()
def test_the_mask_is_that_of_plain_transformers(generator, tiny, module, number):
    image, (folder, kind) = IMAGES[number], MASKING[name_of(module)]
    dino = GroundingDinoForObjectDetection.from_pretrained(tiny / 'dino').eval()
    reader = AutoProcessor.from_pretrained(tiny / 'dino')
    inputs = reader(images=image, text=PROMPTS[number], return_tensors='pt')
    result, = reader.post_process_grounded_object_detection(
        dino(**inputs), inputs.input_ids, threshold=SURE, target_sizes=[image.shape[:2]])
    assert len(result['boxes']) > 1
    sam = kind.from_pretrained(tiny / folder).eval()
    looker = AutoProcessor.from_pretrained(tiny / folder)
    inputs = looker(images=image, input_boxes=[result['boxes'].tolist()], return_tensors='pt')
    original = inputs.pop('original_sizes')
    planes, = looker.post_process_masks(
        sam(**inputs, multimask_output=False).pred_masks, original, binarize=False)
    wanted = planes.amax((0, 1)).sigmoid().numpy()
    mask, = generator.generate([image], [SENTENCES[number]])
    assert wanted.std() > .03
    assert np.abs(mask.target - wanted).max() < 1e-4
    best = float(result['scores'].max())
    assert mask.found == pytest.approx(.5 + .5 * (best - SURE) / (1 - SURE), abs=1e-5)


def test_the_mask_depends_on_the_sentence_and_not_on_its_neighbours(generator, module):
    """Sentences of other lengths, pictures of other sizes: padding moves nothing."""
    one, other = generator.generate([IMAGES[0]] * 2, SENTENCES[:2])
    assert np.abs(one.target - other.target).max() > .02
    large = np.kron(IMAGES[1], np.ones((2, 1, 1), np.uint8))
    images, texts = [*IMAGES, large, IMAGES[0]], [*SENTENCES, *SENTENCES[1::-1]]
    for mask, image, text in zip(generator.generate(images, texts), images, texts):
        alone, = generator.generate([image], [text])
        assert np.abs(mask.target - alone.target).max() < 1e-4
        assert mask.found == pytest.approx(alone.found, abs=1e-5)
    assert generator.info['generator'] == name_of(module)


def test_a_picture_with_several_sentences_is_encoded_once_by_each_model(generator):
    seen = []
    hooks = [module.register_forward_pre_hook(
        lambda module, given, words: seen.append(len([*given, *words.values()][0])),
        with_kwargs=True) for module in (generator.dino.model.backbone.backbone.conv_encoder,
                                         generator.sam.vision_encoder)]
    same = IMAGES[0][::-1].copy()
    generator.generate([IMAGES[0], same, IMAGES[0]], SENTENCES)
    for hook in hooks:
        hook.remove()
    assert seen == [2, 2]


def test_a_backbone_is_not_asked_without_saying_which_rows_are_the_same(generator):
    assert isinstance(generator.dino.model.backbone, Once)
    with pytest.raises(RuntimeError, match='inside rows'):
        generator.dino.model.backbone(torch.zeros(1, 3, 64, 64), torch.ones(1, 64, 64))


def test_nothing_is_masked_where_no_box_is_sure(generator, monkeypatch):
    monkeypatch.setattr('ivm_ros.models.grounded_sam2.SURE', 1.0)
    mask, = generator.generate(IMAGES[:1], SENTENCES[:1])
    assert not mask.target.any()
    assert 0 < mask.found <= .5


def test_half_precision_is_of_sam_alone_and_near(tmp_path, monkeypatch):
    """Of SAM 2.1: EdgeTAM's random miniature blows any rounding up, so it would tell nothing."""
    grounded_sam2.write_random(tmp_path)
    wanted, = generator_of(grounded_sam2, tmp_path).generate(IMAGES[:1], SENTENCES[:1])
    monkeypatch.setattr('ivm_ros.models.grounded_sam2.dtype_of', lambda *given: torch.bfloat16)
    half = generator_of(grounded_sam2, tmp_path)
    assert (half.dino.dtype, half.sam.dtype) == (torch.float32, torch.bfloat16)
    mask, = half.generate(IMAGES[:1], SENTENCES[:1])
    assert mask.found == wanted.found
    assert 0 < np.abs(mask.target - wanted.target).max() < .1


def test_weights_of_the_video_form_are_those_that_the_hub_has(tmp_path):
    """Both repositories hold the memory too; what masks single pictures leaves it unread."""
    grounded_edgetam.write_random(tmp_path)
    shutil.rmtree(tmp_path / 'edgetam')
    edgetam_carrier.write_random(tmp_path)
    video = EdgeTamVideoModel.from_pretrained(tmp_path / 'edgetam').eval()
    made = generator_of(grounded_edgetam, tmp_path)
    for name, value in made.sam.named_parameters():
        assert torch.equal(value, video.get_parameter(name)), name
    mask, = made.generate(IMAGES[:1], SENTENCES[:1])
    assert mask.target.any()
    sam2_carrier.write_random(tmp_path)
    generator_of(grounded_sam2, tmp_path)


def test_a_missing_timm_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(WeightsError, match='EdgeTAM needs the package timm; pip install'):
        generator_of(grounded_edgetam, tmp_path)


def test_parameters_and_memory_are_what_docstrings_and_page_say():
    with torch.device('meta'):
        dino, sam, edge = (sum(value.numel() for value in net.parameters()) / 1e6 for net in (
            GroundingDinoForObjectDetection(dino_config(tiny=False)),
            Sam2Model(sam_config(tiny=False)), EdgeTamModel(image_config(tiny=False))))
    assert (round(dino, 1), round(sam, 1), round(edge, 1)) == (172.3, 216.9, 9.1)
    assert (round(4 * (dino + sam) / 1e3, 1), round((4 * dino + 2 * sam) / 1e3, 1)) == (1.6, 1.1)
    assert round(4 * (dino + edge) / 1e3, 1) == .7
