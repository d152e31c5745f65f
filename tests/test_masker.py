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
"""The one door: sizes, batches, messages."""

import numpy as np
import pytest
import torch

from ivm_ros.image import ImageError
from ivm_ros.masker import (
    CheckpointError, DeviceError, InstructionError, Masker, MaskerConfig, TextEncoderError)
from ivm_ros.models.checkpoint import save_checkpoint
from ivm_ros.models.compact import CompactNet


@pytest.fixture(scope='module')
def masker() -> Masker:
    """Give the masker that users get: shipped weights, no arguments."""
    return Masker()


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize('size', [(32, 32), (33, 57), (480, 640), (600, 40), (32, 4096),
                                  (4096, 32), (2160, 3840)])
def test_masks_have_the_size_of_their_image(masker, size):
    mask = masker(picture(*size), 'pick up the red mug')
    for plane in (mask.target, mask.robot):
        assert plane.shape == size
        assert plane.dtype == np.float32
        assert plane.min() >= 0
        assert plane.max() <= 1
    assert 0 <= mask.found <= 1


def test_a_batch_gives_what_single_images_give(masker):
    images = [picture(120, 160, 1), picture(200, 90, 2), picture(120, 160, 3)]
    sentences = ['the duck', 'put the red mug on the white plate', 'all green cubes']
    for mask, image, sentence in zip(masker(images, sentences), images, sentences):
        alone = masker(image, sentence)
        assert np.abs(mask.target - alone.target).max() < 1e-3
        assert mask.found == pytest.approx(alone.found, abs=1e-3)


def test_an_image_with_several_sentences_is_looked_at_once(masker):
    one, other, sizes = picture(120, 160, 1), picture(200, 90, 2), []
    images, sentences = [one, other, one], ['the duck', 'all green cubes', 'the red mug']
    hook = masker.generator.net.backbone.register_forward_pre_hook(
        lambda module, given: sizes.append(len(given[0])))
    masks = masker(images, sentences)
    hook.remove()
    assert sizes == [2]
    for mask, image, sentence in zip(masks, images, sentences):
        alone = masker(image, sentence)
        assert mask.target.shape == image.shape[:2]
        assert np.abs(mask.target - alone.target).max() < 1e-3
        assert np.abs(mask.robot - alone.robot).max() < 1e-3


def test_one_sentence_serves_all_images(masker):
    assert len(masker([picture(64, 64), picture(64, 64, 1)], 'the duck')) == 2
    assert masker([], 'the duck') == []


def test_images_that_are_not_contiguous_are_fine(masker):
    wide = picture(100, 200)
    assert np.allclose(masker(wide[:, ::2], 'duck').target,
                       masker(wide[:, ::2].copy(), 'duck').target)


@pytest.mark.parametrize('image', [
    np.zeros((64, 64), np.uint8), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3)),
    np.zeros((0, 64, 3), np.uint8), np.zeros((31, 64, 3), np.uint8),
    np.zeros((64, 4097, 3), np.uint8)])
def test_wrong_images_are_refused(masker, image):
    with pytest.raises(ImageError, match='wanted'):
        masker(image, 'duck')


@pytest.mark.parametrize(('text', 'message'), [
    ('', 'got an empty one'), (' \n\t', 'got an empty one'), ('x' * 10_000, 'at most 2000'),
    (7, 'wanted text, got int')])
def test_wrong_sentences_are_refused(masker, text, message):
    with pytest.raises(InstructionError, match=message):
        masker([picture(64, 64)], [text])


@pytest.mark.parametrize('text', ['\U0001f986 please', '\u62ff\u8d77\u7ea2\u8272\u676f\u5b50',
                                  'nimm den roten Becher', 'x' * 2000, 'the\nduck'])
def test_odd_sentences_are_answered(masker, text):
    assert np.isfinite(masker(picture(64, 64), text).target).all()


@pytest.mark.slow
def test_equal_sentences_of_a_batch_are_encoded_once(masker, monkeypatch):
    """Four cameras under two sentences: two are encoded; masks are those of each alone."""
    generator = masker.generator
    encoded, encode = [], generator._encoder.encode
    monkeypatch.setattr(generator._encoder, 'encode',
                        lambda texts: encoded.extend(texts) or encode(texts))
    images = [picture(96, 128, seed) for seed in range(4)]
    texts = ['fetch the green lamp', 'shut the oven', 'fetch the green lamp', 'shut the oven']
    together = masker(images, texts)
    assert sorted(encoded) == ['fetch the green lamp', 'shut the oven']
    masker(images[:1], texts[:1])
    masker(images, texts)
    assert len(encoded) == 2
    for image, text, mask in zip(images, texts, together):
        np.testing.assert_allclose(mask.target, masker(image, text).target, atol=1e-4)


def test_numbers_of_sentences_and_images_must_agree(masker):
    with pytest.raises(InstructionError, match=r'as many as images \(2\), got 3'):
        masker([picture(64, 64)] * 2, ['a', 'b', 'c'])
    with pytest.raises(InstructionError, match='takes one instruction'):
        masker(picture(64, 64), ['a', 'b'])


@pytest.mark.skipif(torch.cuda.is_available(), reason='has CUDA')
def test_cuda_asked_for_and_absent():
    with pytest.raises(DeviceError, match=r'wanted cuda, but torch .* sees no CUDA'):
        Masker(MaskerConfig(device='cuda'))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device on this machine')
def test_half_precision_on_cuda_agrees_with_the_cpu(masker):
    mask = Masker(MaskerConfig(device='cuda'))(picture(240, 320), 'pick up the red mug')
    assert np.abs(mask.target - masker(picture(240, 320), 'pick up the red mug').target
                  ).max() < 0.02


def test_another_sentence_encoder_is_refused(tmp_path):
    path = tmp_path / 'other.safetensors'
    save_checkpoint(path, CompactNet(), {'name': 'other', 'sha256': '0' * 64}, {}, {})
    with pytest.raises(TextEncoderError, match=r'not the sentence encoder of other\.safetensors'):
        Masker(MaskerConfig(weights=str(path)))


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(CheckpointError, match='no weights at'):
        Masker(MaskerConfig(weights=str(tmp_path / 'gone.safetensors')))


def test_info_says_what_a_bug_report_needs(masker):
    assert {'generator', 'weights', 'sha256', 'device', 'threads', 'torch', 'provenance',
            'quality'} <= set(masker.info)
