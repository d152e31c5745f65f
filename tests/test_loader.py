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
"""Batches: which images when, and truth that lies where the image lies."""

import numpy as np
import pytest

from ivm_ros.data.augment import AugmentConfig, jitter, random_box
from ivm_ros.data.instances import centres_of
from ivm_ros.data.loader import Batches
from ivm_ros.data.scenes import Scenes
from ivm_ros.image import letterbox_of

WORDS = ('block', 'red', 'green', 'blue', 'yellow', 'mug')


@pytest.mark.slow
def test_a_batch_is_a_function_of_seed_and_step(toy_dataset):
    def batch(step, seed):
        batches = Batches(Scenes([toy_dataset]), (96, 128), 4, 3, AugmentConfig(), seed)
        for earlier in range(0, step, 3):
            batches[earlier]
        return batches[step]
    assert np.array_equal(batch(7, 1).images, batch(7, 1).images)
    assert not np.array_equal(batch(7, 1).images, batch(7, 2).images)
    assert not np.array_equal(batch(7, 1).images, batch(8, 1).images)


def test_an_epoch_shows_every_image_once(toy_dataset):
    batches = Batches(Scenes([toy_dataset]), (96, 128), 4, 1, None, seed=0)
    images = np.concatenate([batches[step].images for step in range(6)])
    assert len(np.unique(images.reshape(24, -1), axis=0)) == 24


def test_two_shares_make_the_whole_batch(toy_dataset):
    def images(share):
        return Batches(Scenes([toy_dataset]), (96, 128), 4, 2, AugmentConfig(), 0, share)[5].images
    whole = images((0, 1))
    assert np.array_equal(whole[::2], images((0, 2)))
    assert np.array_equal(whole[1::2], images((1, 2)))


def test_truth_lies_where_the_image_lies(toy_dataset):
    """Augmented or not, the target covers the coloured square it names."""
    for augment in (None, AugmentConfig(shrink=1.0, smallest=0.5, gain=0, balance=0, gamma=0,
                                        noise=0, blur=0)):
        arrays = Batches(Scenes([toy_dataset]), (96, 128), 4, 4, augment, seed=2)[0]
        for place, text in enumerate(arrays.sentences):
            if 'red' not in text:
                continue
            image = arrays.images[arrays.image_index[place]].astype(int)
            red = (image[..., 0] - image[..., 1:].max(-1) > 90)[::2, ::2]
            seen = arrays.target[place] > 0.5
            assert (red & seen).sum() / (red | seen).sum() > 0.7


def test_labels_lie_where_the_image_lies(toy_dataset):
    """What a sentence means is its coloured square, where it is, with its names."""
    for augment in (None, AugmentConfig(shrink=1.0, smallest=0.5)):
        arrays = Batches(Scenes([toy_dataset]), (96, 128), 4, 4, augment, seed=2,
                         vocabulary=WORDS)[0]
        for place, text in enumerate(arrays.sentences):
            image, colour = arrays.image_index[place], text.split()[-2]
            meant = np.flatnonzero(arrays.roles[place, 0])
            assert len(meant) == int(arrays.found[place])
            inside = np.isin(arrays.labels[image], meant)
            small = inside.reshape(48, 2, 64, 2).mean((1, 3))
            assert abs(small - arrays.target[place]).mean() < .01
            for label in meant:
                named = {WORDS[word] for word in np.flatnonzero(arrays.names[image, label])}
                assert named == {'block', colour}
                assert arrays.roles[place, 1, label] == 1
        assert not arrays.roles[:, 2].any()


def test_centres_by_hand():
    labels = np.zeros((32, 48), np.uint8)
    labels[8:16, 16:24] = 3  # one whole cell
    labels[0:8, 40:43] = 7  # half a cell beside another thing's
    labels[24:26, 0:5] = 9  # too small to look for
    heat, owners = centres_of(labels)
    assert np.argwhere(heat == 1).tolist() == [[0, 5], [1, 2]]
    assert owners[1, 2] == 3 and owners[0, 5] == 7
    assert (owners > 0).sum() == 2
    assert heat[1, 3] == pytest.approx(np.exp(-1 / (2 * .4 ** 2)))  # the narrowest bell


def test_the_centre_of_a_hollow_thing_lies_on_it():
    labels = np.zeros((64, 64), np.uint8)
    labels[8:56, 8:56] = 1
    labels[12:52, 12:52] = 0
    heat, owners = centres_of(labels)
    row, column = np.argwhere(heat == 1)[0]
    assert labels[row * 8:row * 8 + 8, column * 8:column * 8 + 8].any()
    assert owners[row, column] == 1


def test_jitter_keeps_size_and_type_and_box_keeps_the_grid():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    box = letterbox_of((48, 64), (192, 256))
    for _ in range(50):
        assert jitter(image, AugmentConfig(), rng).shape == image.shape
        moved = random_box(box, AugmentConfig(shrink=1.0), rng)
        assert all(value % 4 == 0 for value in (*moved.content, *moved.offset))
        assert moved.offset[0] + moved.content[0] <= 192
        assert moved.offset[1] + moved.content[1] <= 256


def test_motion_and_compression_change_what_they_should():
    """A bright point becomes a line of the same sum; compression moves no edge."""
    from ivm_ros.data.augment import moved

    point = np.zeros((31, 31, 3), np.uint8)
    point[15, 15] = 240
    for seed in range(20):
        line = moved(point, np.random.default_rng(seed))
        rows, columns = np.nonzero(line[..., 0])
        assert 3 <= len(rows) <= 12 and abs(int(line[..., 0].sum()) - 240) < 16
        assert abs(rows.mean() - 15) <= 1 and abs(columns.mean() - 15) <= 1
    image = np.full((64, 64, 3), 40, np.uint8)
    image[:, 30:] = 200
    still = dict.fromkeys(('gain', 'balance', 'gamma', 'noise', 'blur', 'motion'), 0.0)
    squeezed = jitter(image, AugmentConfig(**still, jpeg=1.0), np.random.default_rng(1))
    assert not np.array_equal(squeezed, image)
    assert ((squeezed[..., 0] > 120) == (image[..., 0] > 120)).mean() > .99
