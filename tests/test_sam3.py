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
"""SAM 3 and its lite form: the numbers of plain transformers, phrases, their union."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoProcessor, Sam3LiteTextModel, Sam3Model

from ivm_ros.models import sam3, sam3_lite
from ivm_ros.models.phrases import phrases_of
from ivm_ros.models.sam3 import SURE
from ivm_ros.models.sam3_random import config_of, lite_config_of
from ivm_ros.models.settings import MaskerConfig

pytestmark = pytest.mark.slow

SENTENCES = ['pick up the red mug', 'put the duck on the large white plate', 'cup']
IMAGES = [np.kron(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8),
                  np.ones((8 + seed, 8, 1), np.uint8)) for seed in range(3)]


FORMS = {'sam3': (sam3, Sam3Model, config_of), 'sam3_lite': (sam3_lite, Sam3LiteTextModel,
                                                             lite_config_of)}


@pytest.fixture(scope='module', params=FORMS)
def name(request):
    return request.param


@pytest.fixture(scope='module')
def tiny(tmp_path_factory, name):
    """Write the miniature."""
    folder = tmp_path_factory.mktemp(name)
    FORMS[name][0].write_random(folder)
    return folder


@pytest.fixture(scope='module')
def generator(tiny, name):
    """Make the generator as `make_generator` does."""
    return FORMS[name][0].make(MaskerConfig(str(tiny), generator=name), torch.device('cpu'), 1)


@pytest.mark.parametrize('number', range(3))
@torch.no_grad()
def test_the_mask_is_that_of_plain_transformers(generator, tiny, name, number):
    """The union of what the library's own post-processing keeps, and the masks before it."""
    image, text = IMAGES[number], SENTENCES[number]
    net = FORMS[name][1].from_pretrained(tiny / name).eval()
    processor = AutoProcessor.from_pretrained(tiny / name)
    hard, soft, best = [], [], []
    for phrase in phrases_of(text):
        said = net(**{name: value for name, value in processor(
            images=image, text=phrase, return_tensors='pt').items() if name != 'original_sizes'})
        kept, = processor.post_process_instance_segmentation(
            said, threshold=SURE, target_sizes=[image.shape[:2]])
        hard += kept['masks']
        best += kept['scores'].tolist()
        scores = said.pred_logits.sigmoid() * said.presence_logits.sigmoid()
        soft += said.pred_masks.sigmoid()[scores > SURE]
    assert len(phrases_of(text)) == (2 if number == 1 else 1)
    assert len(hard) == len(soft) > 0
    wanted = functional.interpolate(torch.stack(soft)[None], image.shape[:2],
                                    mode='bilinear')[0].amax(0).numpy()
    mask, = generator.generate([image], [text])
    assert wanted.std() > .03
    assert np.abs(mask.target - wanted).max() < 1e-5
    clear = np.abs(wanted - .5) > 1e-4
    assert np.array_equal((mask.target > .5)[clear],
                          torch.stack(hard).amax(0).bool().numpy()[clear])
    assert mask.found == pytest.approx(max(best), abs=1e-5)


def test_the_mask_depends_on_the_sentence_and_not_on_its_neighbours(generator):
    together = generator.generate([IMAGES[0]] * 3, SENTENCES)
    assert np.abs(together[0].target - together[1].target).max() > .02
    for mask, text in zip(together, SENTENCES):
        alone, = generator.generate([IMAGES[0]], [text])
        assert np.abs(mask.target - alone.target).max() < 1e-5
        assert mask.found == pytest.approx(alone.found, abs=1e-5)


def test_a_picture_with_several_sentences_is_encoded_once(generator):
    seen = []
    hook = generator.net.vision_encoder.register_forward_pre_hook(
        lambda module, given, words: seen.append(len(given[0])), with_kwargs=True)
    generator.generate([IMAGES[0], IMAGES[1], IMAGES[0]], SENTENCES)
    hook.remove()
    assert seen == [2]


def test_a_phrase_is_read_once(tiny, name):
    fresh = FORMS[name][0].make(MaskerConfig(str(tiny), generator=name), torch.device('cpu'), 1)
    read = []
    hook = fresh.net.text_encoder.register_forward_pre_hook(
        lambda module, given, words: read.append(len(words['input_ids'])), with_kwargs=True)
    for _ in range(2):
        fresh.generate(IMAGES, ['take the red mug', 'put the red mug on the plate', 'the plate'])
    hook.remove()
    assert read == [1, 1]  # of two phrases, each once


def test_nothing_is_masked_where_nothing_is_sure(generator, monkeypatch):
    """Neither where the network says that the thing is not in view at all."""
    bias = generator.net.detr_decoder.presence_head.layer3.bias
    kept = bias.clone()
    with torch.no_grad():
        bias.fill_(-4)
        mask, = generator.generate(IMAGES[:1], SENTENCES[:1])
        bias.copy_(kept)
    assert not mask.target.any()
    assert mask.found < .1


def test_a_long_sentence_is_cut_where_the_network_ends(generator):
    mask, = generator.generate(IMAGES[:1], ['take the ' + 'very large ' * 40 + 'mug'])
    assert np.isfinite(mask.target).all()


def test_half_precision_is_near(generator, tiny, name, monkeypatch):
    monkeypatch.setattr('ivm_ros.models.sam3.dtype_of', lambda *given: torch.bfloat16)
    half = FORMS[name][0].make(MaskerConfig(str(tiny), generator=name), torch.device('cpu'), 1)
    assert half.net.dtype == torch.bfloat16
    wanted, = generator.generate(IMAGES[:1], SENTENCES[:1])
    mask, = half.generate(IMAGES[:1], SENTENCES[:1])
    assert mask.found == pytest.approx(wanted.found, abs=.05)


@pytest.mark.parametrize(('name', 'wanted'), [('sam3', (840.4, 3.4, 1.7)),
                                              ('sam3_lite', (548.1, 2.2, 1.1))])
def test_parameters_and_memory_are_what_docstring_and_page_say(name, wanted):
    with torch.device('meta'):
        net = FORMS[name][1](FORMS[name][2](tiny=False))
    millions = sum(value.numel() for value in net.parameters()) / 1e6
    assert wanted == (round(millions, 1), round(4 * millions / 1e3, 1),
                      round(2 * millions / 1e3, 1))
