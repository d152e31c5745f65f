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
"""Grounding DINO and SAM 2.1: the same numbers as plain transformers, whatever is in the batch."""

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, GroundingDinoForObjectDetection, Sam2Model

from ivm_ros.models.grounded_sam2 import make, SURE, write_random
from ivm_ros.models.grounded_sam2_random import dino_config, sam_config
from ivm_ros.models.once import Once
from ivm_ros.models.settings import MaskerConfig

SENTENCES = ['pick up the red mug', 'put the duck on the large white plate', 'cup']
PROMPTS = ['red mug.', 'duck. large white plate.', 'cup.']
IMAGES = [np.kron(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8),
                  np.ones((8 + seed, 8, 1), np.uint8)) for seed in range(3)]
CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Write the miniature."""
    folder = tmp_path_factory.mktemp('grounded')
    write_random(folder)
    return folder


@pytest.fixture(scope='module')
def generator(tiny):
    """Make the generator as `make_generator` does."""
    return make(MaskerConfig(str(tiny), generator='grounded_sam2'), CPU, 1)


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
    sam = Sam2Model.from_pretrained(tiny / 'sam2').eval()
    looker = AutoProcessor.from_pretrained(tiny / 'sam2')
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


def test_the_mask_depends_on_the_sentence_and_not_on_its_neighbours(generator):
    """Sentences of other lengths, pictures of other sizes: padding moves nothing."""
    one, other = generator.generate([IMAGES[0]] * 2, SENTENCES[:2])
    assert np.abs(one.target - other.target).max() > .02
    large = np.kron(IMAGES[1], np.ones((2, 1, 1), np.uint8))
    images, texts = [*IMAGES, large, IMAGES[0]], [*SENTENCES, *SENTENCES[1::-1]]
    for mask, image, text in zip(generator.generate(images, texts), images, texts):
        alone, = generator.generate([image], [text])
        assert np.abs(mask.target - alone.target).max() < 1e-4
        assert mask.found == pytest.approx(alone.found, abs=1e-5)


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


def test_half_precision_is_of_sam_alone_and_near(generator, tiny, monkeypatch):
    monkeypatch.setattr('ivm_ros.models.grounded_sam2.dtype_of', lambda *given: torch.bfloat16)
    half = make(MaskerConfig(str(tiny), generator='grounded_sam2'), CPU, 1)
    assert (half.dino.dtype, half.sam.dtype) == (torch.float32, torch.bfloat16)
    wanted, = generator.generate(IMAGES[:1], SENTENCES[:1])
    mask, = half.generate(IMAGES[:1], SENTENCES[:1])
    assert mask.found == wanted.found
    assert 0 < np.abs(mask.target - wanted.target).max() < .1


def test_parameters_and_memory_are_what_docstring_and_page_say():
    with torch.device('meta'):
        dino, sam = (sum(value.numel() for value in net.parameters()) / 1e6 for net in (
            GroundingDinoForObjectDetection(dino_config(tiny=False)),
            Sam2Model(sam_config(tiny=False))))
    assert (round(dino, 1), round(sam, 1)) == (172.3, 216.9)
    assert (round(4 * (dino + sam) / 1e3, 1), round((4 * dino + 2 * sam) / 1e3, 1)) == (1.6, 1.1)
