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
"""Mask, then ask: what a server on loopback gets to see, and what comes back."""

import cv2
import numpy as np
import pytest

from ivm_ros import client as client_module
from ivm_ros.chat import LlmError
from ivm_ros.client import IvmClient
from ivm_ros.config import ConfigError
from ivm_ros.evaluate.references import hsv_words
from ivm_ros.image import ImageError
from ivm_ros.masker import Masker, MaskerConfig


@pytest.fixture
def image() -> np.ndarray:
    """Draw a red and a blue block."""
    picture = np.full((96, 128, 3), 128, np.uint8)
    picture[10:30, 10:30], picture[50:80, 80:120] = (220, 20, 20), (20, 40, 220)
    return picture


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep answers away from those of the user."""
    monkeypatch.setattr(client_module, 'CACHE', tmp_path / 'cache')


def test_the_model_sees_what_the_question_is_about(image, serve, picture_in, tmp_path):
    server = serve(lambda body: 'rubber')
    client = IvmClient(server.url, 'm', hsv_words)
    answer = client.ask(image, 'What is the red block made of?')
    assert answer.text == 'rubber' and (answer.reply.asked, answer.reply.said) == (100, 3)
    assert answer.shown.outcome == 'masked' and answer.mask.target[20, 20] == 1
    seen = picture_in(server.requests[0]).astype(int)
    assert seen.shape == image.shape
    assert np.abs(seen[20, 20] - image[20, 20]).max() < 12  # the block, as JPEG has it
    assert seen[65, 100].min() > 250  # the other one is painted over
    part = server.requests[0]['messages'][0]['content'][0]
    assert part == {'type': 'text', 'text': 'What is the red block made of?'}
    again = client.ask(image, 'What is the red block made of?')
    assert again.reply.remembered and len(server.requests) == 1
    crop = client.ask(image, 'What is it made of?', 'the blue block', method='overlay_crop')
    assert crop.shown.image.size < image.size
    assert picture_in(server.requests[1]).shape == crop.shown.image.shape
    path = tmp_path / 'blocks.png'
    cv2.imwrite(str(path), image[..., ::-1])
    assert np.array_equal(client.ask(path, 'the red block?').shown.image, answer.shown.image)


def test_it_works_with_a_network(image, serve, small_weights):
    client = IvmClient(serve(lambda body: 'yes').url, 'm',
                       Masker(MaskerConfig(weights=str(small_weights))))
    answer = client.ask(image, 'Is there a red block?')
    assert answer.text == 'yes' and answer.mask.target.shape == image.shape[:2]


def test_what_goes_wrong_has_a_name(image, serve, tmp_path):
    with pytest.raises(ConfigError, match='wanted http://HOST:PORT/v1'):
        IvmClient('localhost:1', 'm', hsv_words)
    client = IvmClient(serve(lambda body: (401, 'no key')).url, 'm', hsv_words)
    with pytest.raises(LlmError, match="status: 401: 'no key'"):
        client.ask(image, 'the red block')
    with pytest.raises(ImageError, match='none that OpenCV can read'):
        client.ask(tmp_path / 'nowhere.jpg', 'the red block')
