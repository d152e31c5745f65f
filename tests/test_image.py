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
"""A pixel keeps its place on the way to the canvas and back; bad pictures are named."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from ivm_ros.image import (
    check_image, from_canvas, ImageError, letterbox_of, PADDING, place, resize, to_canvas, valid)

CANVAS = (192, 256)
SIZES = [(480, 640), (1080, 1920), (427, 640), (640, 480), (224, 224), (32, 4096), (33, 47)]
sides = st.integers(32, 4096)


def square(size, at, half):
    image = np.zeros((*size, 3), np.uint8)
    image[at[0] - half:at[0] + half, at[1] - half:at[1] + half] = 255
    return image


def centre(plane):
    rows, columns = np.indices(plane.shape)
    return (plane * rows).sum() / plane.sum(), (plane * columns).sum() / plane.sum()


def test_letterbox_of_full_hd():
    box = letterbox_of((1080, 1920), CANVAS)
    assert (box.content, box.offset) == ((144, 256), (24, 0))
    assert box.scale == (144 / 1080, 256 / 1920)


def test_vga_fills_the_canvas():
    box = letterbox_of((480, 640), CANVAS)
    assert (box.content, box.offset) == (CANVAS, (0, 0))
    assert valid(box).all()


@given(sides, sides)
def test_content_lies_inside_on_the_grid_and_keeps_aspect(height, width):
    box = letterbox_of((height, width), CANVAS)
    for axis in (0, 1):
        assert box.content[axis] % 4 == box.offset[axis] % 4 == 0
        assert box.content[axis] >= 4
        assert 0 <= box.offset[axis] <= CANVAS[axis] - box.content[axis]
    scale = min(CANVAS[0] / height, CANVAS[1] / width)
    for axis, side in ((0, height), (1, width)):
        assert abs(box.content[axis] - side * scale) <= max(2, 4 - side * scale)
    assert valid(box).sum() == box.content[0] * box.content[1]


def test_canvas_has_grey_bars_and_the_picture():
    box = letterbox_of((1080, 1920), CANVAS)
    canvas = to_canvas(np.full((1080, 1920, 3), 7, np.uint8), box)
    assert canvas.shape == (192, 256, 3)
    assert (canvas[~valid(box)] == PADDING).all()
    assert (canvas[valid(box)] == 7).all()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('stride', [1, 2, 4])
def test_a_square_comes_back_to_its_place(size, stride):
    at, half = (size[0] // 2 + size[0] // 8, size[1] // 4), min(size) // 8
    box = letterbox_of(size, CANVAS)
    canvas = to_canvas(square(size, at, half), box)[..., 0].astype(np.float32) / 255
    canvas[~valid(box)] = 0.5  # must not leak in
    plane = resize(canvas, (CANVAS[0] // stride, CANVAS[1] // stride))
    back = from_canvas(plane, box)
    assert back.shape == size
    assert back.dtype == np.float32
    inside = np.zeros(size)
    inside[at[0] - half:at[0] + half, at[1] - half:at[1] + half] = 1
    cell = max(stride / scale for scale in box.scale)  # source pixels per plane pixel
    np.testing.assert_allclose(centre(back), (at[0] - 0.5, at[1] - 0.5), atol=0.5 + cell / 8)
    assert np.abs(back.sum() / inside.sum() - 1) < max(0.02, (cell / half) ** 2)


@settings(deadline=None, max_examples=30)
@given(st.integers(32, 700), st.integers(32, 700), st.integers(0, 2**31))
def test_a_plane_never_overshoots(height, width, seed):
    plane = np.random.default_rng(seed).random((48, 64), np.float32)
    back = from_canvas(plane, letterbox_of((height, width), CANVAS))
    assert plane.min() - 1e-6 <= back.min()
    assert back.max() <= plane.max() + 1e-6


def test_resize_takes_means_of_pairs():
    plane = np.array([[0, 2, 8, 8], [4, 6, 8, 8]], np.float32)
    np.testing.assert_array_equal(resize(plane, (1, 2)), [[3, 8]])


def test_resize_uses_every_pixel():
    """One bright line, wherever it lies, keeps its share of the light when shrunk 2.5 times."""
    for row in range(40, 80):
        plane = np.zeros((120, 160), np.float32)
        plane[row] = 1
        share = resize(plane, (48, 64)).mean() / plane.mean()
        assert 0.5 < share < 1.5, row


def test_resize_grows_linearly_with_half_pixel_centres():
    plane = np.array([[0.0, 1.0]], np.float32)
    np.testing.assert_allclose(resize(plane, (1, 4)), [[0, 0.25, 0.75, 1]])


def test_place_letterbox_and_stretch():
    picture = np.full((30, 60, 3), 9, np.uint8)
    out, content = place(picture, (50, 40), (1, 2, 3))
    assert content == (15, 0, 20, 40)
    assert (out[15:35] == 9).all()
    assert (out[:15] == (1, 2, 3)).all()
    assert (out[35:] == (1, 2, 3)).all()
    out, content = place(picture, (50, 40), (1, 2, 3), stretch=True)
    assert content == (0, 0, 50, 40)
    assert (out == 9).all()


@pytest.mark.parametrize(('image', 'words'), [
    (None, 'NoneType'),
    (np.zeros((64, 64, 3), np.float32), 'wanted uint8, got float32'),
    (np.zeros((64, 64), np.uint8), 'grey'),
    (np.zeros((64, 64, 4), np.uint8), 'alpha'),
    (np.zeros((3, 64, 64), np.uint8), 'transpose'),
    (np.zeros((31, 64, 3), np.uint8), 'got 64 x 31'),
    (np.zeros((64, 4097, 3), np.uint8), 'got 4097 x 64'),
    (np.zeros((0, 0, 3), np.uint8), 'got 0 x 0'),
])
def test_bad_pictures_are_named(image, words):
    with pytest.raises(ImageError, match=words):
        check_image(image)


@pytest.mark.parametrize('size', [(32, 32), (4096, 4096), (32, 4096)])
def test_smallest_and_largest_pictures_are_allowed(size):
    check_image(np.zeros((*size, 3), np.uint8))


def test_a_plane_or_picture_of_another_size_is_refused():
    box = letterbox_of((480, 640), CANVAS)
    for plane in ((64, 48), (50, 64), (24, 32), (384, 512), (0, 0)):
        with pytest.raises(ImageError, match='plane'):
            from_canvas(np.zeros(plane, np.float32), box)
    with pytest.raises(ImageError, match='as its letterbox says'):
        to_canvas(np.zeros((640, 480, 3), np.uint8), box)
    with pytest.raises(ImageError, match='multiples of 4'):
        letterbox_of((480, 640), (190, 256))
