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
"""CLIPSeg: the same numbers as plain transformers, phrases of the sentence, their union."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoProcessor, CLIPSegForImageSegmentation

from ivm_ros.models.clipseg import make, write_random
from ivm_ros.models.clipseg_random import config_of
from ivm_ros.models.phrases import phrases_of
from ivm_ros.models.settings import MaskerConfig

pytestmark = pytest.mark.slow

SENTENCES = ['pick up the red mug', 'put the duck on the large white plate', 'cup']
IMAGES = [np.kron(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8),
                  np.ones((8 + seed, 8, 1), np.uint8)) for seed in range(3)]


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Write the miniature."""
    folder = tmp_path_factory.mktemp('clipseg')
    write_random(folder)
    return folder


@pytest.fixture(scope='module')
def generator(tiny):
    """Make the generator as `make_generator` does."""
    return make(MaskerConfig(str(tiny), generator='clipseg'), torch.device('cpu'), 1)


def test_a_sentence_gives_what_is_acted_on_and_where_it_goes():
    assert phrases_of('put the duck on the large white plate') == ('duck', 'large white plate')
    assert phrases_of('take the cup left of the pan') == ('cup',)
    assert phrases_of('do not touch the knife, take the fork') == ('fork',)


@pytest.mark.parametrize('number', range(3))
@torch.no_grad()
def test_the_mask_is_that_of_plain_transformers(generator, tiny, number):
    """The union of the phrases, each segmented by itself and without any padding."""
    image, text = IMAGES[number], SENTENCES[number]
    net = CLIPSegForImageSegmentation.from_pretrained(tiny / 'clipseg').eval()
    processor = AutoProcessor.from_pretrained(tiny / 'clipseg')
    planes = [net(**processor(text=[phrase], images=[image], return_tensors='pt')
                  ).logits.reshape(1, 1, 64, 64) for phrase in phrases_of(text)]
    union = torch.cat(planes).amax(0, keepdim=True)
    wanted = functional.interpolate(union, image.shape[:2], mode='bilinear')[0, 0].sigmoid()
    wanted = wanted.numpy()
    mask, = generator.generate([image], [text])
    assert wanted.std() > .03
    assert len(planes) == (2 if number == 1 else 1)
    assert np.abs(mask.target - wanted).max() < 1e-5
    assert mask.found == mask.target.max()


def test_the_mask_depends_on_the_sentence_and_not_on_its_neighbours(generator):
    together = generator.generate([IMAGES[0]] * 3, SENTENCES)
    assert np.abs(together[0].target - together[2].target).max() > .01
    for mask, text in zip(together, SENTENCES):
        alone, = generator.generate([IMAGES[0]], [text])
        assert np.abs(mask.target - alone.target).max() < 1e-5


def test_a_picture_with_several_sentences_is_encoded_once(generator):
    seen = []
    hook = generator.net.clip.vision_model.register_forward_pre_hook(
        lambda module, given, words: seen.append(len(words['pixel_values'])), with_kwargs=True)
    generator.generate([IMAGES[0], IMAGES[1], IMAGES[0]], SENTENCES)
    hook.remove()
    assert seen == [2]


def test_parameters_and_memory_are_what_docstring_and_page_say():
    with torch.device('meta'):
        net = CLIPSegForImageSegmentation(config_of(tiny=False))
    assert round(sum(value.numel() for value in net.parameters()) / 1e6, 1) == 150.7
