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
"""The paper's discriminator on a miniature of its language model."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.masker import MaskerConfig
from ivm_ros.models.ivm_v1 import make, write_random
from ivm_ros.models.ivm_v1_discriminator import head_of, shown, V1Discriminator
from ivm_ros.models.ivm_v1_random import WIDTH
from ivm_ros.models.pretrained import load_processor

SENTENCES = ['pick up the red block', 'take the duck and then put it on the large white plate',
             'cup']
SIZE = (40, 56)


def block(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a red block on noise, uint8 [H, W, 3], and where it is, float32 [H, W]."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 120, (*SIZE, 3), np.uint8)
    mask = np.zeros(SIZE, np.float32)
    row, column = rng.integers(0, SIZE[0] - 20), rng.integers(0, SIZE[1] - 20)
    mask[row:row + 20, column:column + 20] = 1
    image[mask > 0] = (220, 30, 30)
    return image, mask


@pytest.fixture(scope='module')
def judge(tmp_path_factory) -> V1Discriminator:
    """Make it around the language model of a random generator, whose weights stay."""
    folder = tmp_path_factory.mktemp('ivm_v1')
    write_random(folder)
    made = make(MaskerConfig(str(folder), generator='ivm_v1'), torch.device('cpu'), 1)
    torch.manual_seed(0)
    return V1Discriminator(made.net.llava, load_processor(folder / 'llava'))


def test_the_mask_decides_what_is_shown():
    image, mask = block(0)
    assert (shown(image, mask)[mask == 0] == 255).all()
    assert np.array_equal(shown(image, mask)[mask == 1], image[mask == 1])
    grey = shown(np.full((2, 2, 3), 100, np.uint8), np.full((2, 2), .4))
    assert (grey == 193).all()  # .4 x 100 + .6 x 255
    with pytest.raises(ValueError, match=r'wanted a mask of \(40, 56\)'):
        shown(image, mask[:-1])


@torch.no_grad()
def test_it_sees_the_mask_the_sentence_and_the_picture(judge):
    (image, mask), (other, elsewhere) = block(0), block(1)
    logits = judge([image, image, image, other], [SENTENCES[0]] * 2 + [SENTENCES[1]]
                   + [SENTENCES[0]], [mask, elsewhere, mask, mask])
    assert logits.shape == (4,) and logits.dtype == torch.float32
    assert ((logits[1:] - logits[0]).abs() > 1e-3).all()


@torch.no_grad()
@pytest.mark.parametrize('side', ['left', 'right'])
def test_a_batch_gives_what_each_gives_alone(judge, monkeypatch, side):
    monkeypatch.setattr(judge._processor.tokenizer, 'padding_side', side)
    images, masks = zip(*(block(number) for number in range(3)))
    together = judge(images, SENTENCES, masks)
    alone = [judge([image], [text], [mask]) for image, text, mask in zip(images, SENTENCES, masks)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_the_head_at_true_size_and_in_small(judge):
    with torch.device('meta'):
        head = head_of(4096)
    count = sum(value.numel() for value in head.parameters())
    assert count == 4096 * 1024 + 1024 + 1024 + 1
    assert judge.head[0].in_features == WIDTH


def test_the_head_alone_learns_right_from_wrong(judge):
    """Half of the masks lie where the block is in another picture; what reads stays as it was."""
    pairs = [block(number) for number in range(12)]
    images = [image for image, _ in pairs] * 2
    masks = [mask for _, mask in pairs] + [mask for _, mask in (*pairs[1:], pairs[0])]
    right = torch.tensor([1.] * 12 + [0.] * 12)
    before = {name: value.clone() for name, value in judge.llava.state_dict().items()}
    assert not any(value.requires_grad for value in judge.llava.parameters())
    optimizer = torch.optim.AdamW(judge.head.parameters(), lr=1e-3)
    seen, losses = judge.look(images, SENTENCES[:1] * 24, masks), []
    for _ in range(60):
        loss = F.binary_cross_entropy_with_logits(judge.head(seen).squeeze(1), right)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < .7 * losses[0], losses
    after = judge.llava.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
