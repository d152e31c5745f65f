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
"""What holds for any file of other people's labels, and for any list of experts."""

from base64 import b64encode
import json
from pathlib import Path

from hypothesis import example, given, settings, strategies as st
import numpy as np
from PIL import Image
import pytest

from ivm_ros.annotate.experts import EXPERTS, split_names
from ivm_ros.config import ConfigError
from ivm_ros.data.coco import Coco, mask_of
from ivm_ros.data.label_studio import _labels_of, LabelStudio
from ivm_ros.data.labelled import item_of
from ivm_ros.data.labelme import Labelme, mask_of_shape, POINTS
from ivm_ros.data.png_folders import _colours_of, _numbers_of
from ivm_ros.data.png_masks import class_colours, class_numbers, plain_mask
from ivm_ros.data.shards import DatasetError, encode_image, encode_mask, MaskError

patient = settings(deadline=None)
fewer = settings(max_examples=50, deadline=None)  # each writes a file
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 30)
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (st.lists(inner, max_size=4)
                   | st.dictionaries(st.text(max_size=8), inner, max_size=4)), max_leaves=12)
numbers = st.integers(-40, 40) | st.floats(-40, 40) | st.floats() | st.integers()
points = st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=5)
words = st.from_regex(r'[a-z][a-z 0-9_]{0,8}[a-z]', fullmatch=True)
PICTURE = encode_image(np.zeros((40, 40, 3), np.uint8))


def some_mask(height: int, width: int, seed: int) -> np.ndarray:
    """Make a mask, uint8 [height, width], 255 inside."""
    blobs = np.random.default_rng(seed).random((height, width)) < .4
    return blobs * np.uint8(255)


def is_mask(mask: np.ndarray, shape: tuple[int, int]) -> bool:
    """Tell whether it is what readers of masks promise."""
    return mask.dtype == np.uint8 and mask.shape == shape and set(np.unique(mask)) <= {0, 255}


# --- COCO -------------------------------------------------------------------------------------

@patient
@given(sides, sides, seeds, st.booleans())
def test_run_lengths_give_back_the_mask(height, width, seed, pressed):
    from pycocotools import mask as rle

    mask = some_mask(height, width, seed)
    coded = rle.encode(np.asfortranarray(mask > 0))
    if not pressed:  # as lists: lengths of 0 and 1 in turn, down the columns
        flat = np.concatenate([[0], (mask > 0).ravel(order='F'), [2]]).astype(int)
        edges = np.flatnonzero(np.diff(flat))
        runs = np.diff(np.concatenate([[0], edges])).tolist()
        coded = {'size': [height, width], 'counts': runs}
    info = {'height': height, 'width': width}
    assert np.array_equal(mask_of({'segmentation': coded}, info), mask)


@patient
@given(sides, sides, st.data())
def test_a_rectangle_in_whole_numbers_is_filled_to_the_pixel(height, width, data):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = (data.draw(st.integers(left + 1, width)),
                     data.draw(st.integers(top + 1, height)))
    wanted = np.zeros((height, width), np.uint8)
    wanted[top:bottom, left:right] = 255
    outline = [[left, top, right, top, right, bottom, left, bottom]]
    assert np.array_equal(mask_of({'segmentation': outline}, {'height': height, 'width': width}),
                          wanted)


@patient
@given(odd | st.lists(st.lists(numbers, max_size=9), max_size=3) | st.fixed_dictionaries(
    {'counts': odd | st.lists(st.integers(-2, 300)) | st.text('0123456789:;<=>?@PQ_abco')},
    optional={'size': odd | st.just([12, 9])}))
@example({'counts': [2**62] * 4 + [12 * 9]})  # 64 bits overflow to the right sum
def test_any_outline_is_a_mask_of_its_picture_or_refused(outline):
    try:
        mask = mask_of({'segmentation': outline}, {'height': 12, 'width': 9})
    except MaskError:
        return
    assert is_mask(mask, (12, 9))


near_coco = st.fixed_dictionaries({
    'images': odd | st.just([{'id': 1, 'file_name': 'a.png', 'height': 40, 'width': 40}]),
    'categories': odd | st.just([{'id': 2, 'name': 'cup'}]),
    'annotations': odd | st.lists(st.fixed_dictionaries({
        'id': odd, 'image_id': st.just(1) | odd, 'category_id': st.just(2) | odd,
        'segmentation': odd | st.just([[1, 1, 9, 1, 9, 9]])}), max_size=2)})
near_labelme = st.fixed_dictionaries(
    {'imagePath': st.just('a.png') | odd, 'shapes': odd | st.lists(st.fixed_dictionaries(
        {'label': words | odd, 'points': points | odd},
        optional={'shape_type': st.sampled_from(sorted(POINTS)) | odd, 'mask': odd,
                  'group_id': odd}), max_size=2)},
    optional={'imageData': odd, 'imageHeight': odd | st.just(40)})
near_studio = st.lists(st.fixed_dictionaries(
    {'id': st.just(1) | odd, 'data': st.just({'image': '/x/a.png'}) | odd,
     'annotations': odd | st.lists(st.fixed_dictionaries({'result': odd | st.lists(
         st.fixed_dictionaries({'from_name': st.just('tag') | odd, 'value': odd | st.just(
             {'brushlabels': ['cup']})}), max_size=2)}), max_size=2)}), max_size=2)


@pytest.mark.slow
@pytest.mark.parametrize(('near', 'open_it'), [
    (near_coco, lambda folder: Coco(folder / 'x.json', str(folder), True)),
    (near_labelme, lambda folder: Labelme(folder, '', True)),
    (near_studio, lambda folder: LabelStudio(folder, folder / 'x.json', str(folder), True)),
], ids=['coco', 'labelme', 'label-studio'])
def test_any_json_gives_labels_of_the_size_of_their_picture_or_a_named_error(
        tmp_path, near, open_it):
    (tmp_path / 'a.png').write_bytes(PICTURE)
    (tmp_path / 'task-1-annotation-4-by-1-tag-cup-0.png').write_bytes(
        encode_mask(some_mask(40, 40, 0) > 0))

    @fewer
    @given(odd | near)
    def check(told):
        (tmp_path / 'x.json').write_text(json.dumps(told))
        try:
            read = open_it(tmp_path)
            items = [item_of(index, read) for index in range(len(read))]
        except DatasetError:
            return
        assert items
        for label in (label for item in items for label in item.labels):
            assert is_mask(label.mask, (40, 40)) and all(label.sentences)

    check()


# --- labelme, Label Studio ----------------------------------------------------------------------

@patient
@given(sides, sides, seeds, st.integers(0, 9), st.integers(0, 9))
def test_a_small_mask_of_labelme_lies_where_its_corners_say(height, width, seed, top, left):
    mask = some_mask(height, width, seed)
    item = {'label': 'cup', 'shape_type': 'mask', 'mask': b64encode(encode_mask(mask > 0)),
            'points': [[left, top], [left + width - 1, top + height - 1]]}
    wanted = np.zeros((height + 12, width + 11), np.uint8)
    wanted[top:top + height, left:left + width] = mask
    assert np.array_equal(mask_of_shape(Path('x'), item, wanted.shape), wanted)


@pytest.mark.slow
@patient
@given(odd.filter(lambda some: isinstance(some, dict)) | st.fixed_dictionaries(
    {'label': st.just('cup'), 'points': points | odd},
    optional={'shape_type': st.sampled_from([*sorted(POINTS), 'line']) | odd, 'mask': odd}))
def test_any_shape_of_labelme_is_a_mask_or_refused(item):
    try:
        mask = mask_of_shape(Path('x'), {'label': 'cup', **item}, (12, 9))
    except MaskError:
        return
    assert is_mask(mask, (12, 9))


@patient
@given(words, st.lists(words.map(lambda word: word.replace(' ', '/')), min_size=1, max_size=3))
def test_the_name_of_a_region_gives_back_its_labels(tool, labels):
    task = {'id': 1, 'annotations': [{'result': [
        {'from_name': 'other', 'value': {}},
        {'from_name': tool, 'value': {'brushlabels': labels}}]}]}
    assert _labels_of(task, '-'.join([tool, *labels]).replace('/', '-')) == labels
    with pytest.raises(DatasetError):
        _labels_of(task, f'{tool}-')


# --- PNG ----------------------------------------------------------------------------------------

@pytest.mark.slow
@fewer
@given(st.dictionaries(st.integers(0, 2**24 - 1), words, min_size=1, max_size=6), seeds)
def test_a_table_of_colours_names_the_pixels(tmp_path_factory, names, seed):
    folder = tmp_path_factory.mktemp('png')
    (folder / 'labelmap.txt').write_text('# label:color_rgb:parts:actions\n' + '\n'.join(
        f'{name}:{key >> 16},{key >> 8 & 255},{key & 255}::' for key, name in names.items()))
    assert _colours_of(folder / 'labelmap.txt') == names
    pixels = np.random.default_rng(seed).choice(list(names), (5, 7))
    Image.fromarray(np.stack([pixels >> 16, pixels >> 8 & 255, pixels & 255], -1).astype(
        np.uint8)).save(folder / 'x.png')
    assert np.array_equal(class_colours(folder / 'x.png'), pixels)


@patient
@given(st.binary(max_size=80) | st.lists(st.sampled_from(
    ['cup', ':', ',', '1', '-1', '300', '255', '::', '#', '\n', ' ']), max_size=20).map(
        lambda parts: ''.join(parts).encode()))
@example(b'cup:-1,0,0')
def test_any_table_of_names_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / 'names.txt'
    path.write_bytes(data)
    for read, most in ((_colours_of, 2**24), (_numbers_of, len(data) + 1)):
        try:
            names = read(path)
        except DatasetError:
            continue
        assert all(0 <= key < most and isinstance(name, str) for key, name in names.items())


@fewer
@given(sides, sides, seeds, st.integers(1, 255), st.sampled_from(['L', 'P', '1', 'RGB']))
def test_a_mask_of_any_kind_of_png_is_what_is_not_black(
        tmp_path_factory, height, width, seed, value, mode):
    path = tmp_path_factory.getbasetemp() / 'mask.png'
    inside = some_mask(height, width, seed) > 0
    picture = Image.fromarray(inside * np.uint8(value))
    if mode == 'P':
        picture.putpalette([0, 0, 0, *[200, 9, 9] * 255])
    elif mode == '1':
        picture = picture.point(lambda grey: 255 * (grey > 0)).convert('1')
    elif mode == 'RGB':
        picture = picture.convert('RGB')
    picture.save(path)
    assert np.array_equal(plain_mask(path), inside * np.uint8(255))
    if mode in ('L', 'P'):
        assert np.array_equal(class_numbers(path), inside * np.int32(value))


# --- Experts ------------------------------------------------------------------------------------

plain_names = st.sampled_from(sorted(set(EXPERTS) - {'noisy'}))
noise = st.dictionaries(st.sampled_from(['wrong', 'box', 'seed']), st.sampled_from(
    ['.1', '1', '0']), min_size=1).map(
        lambda given: 'noisy:' + ','.join(f'{key}={value}' for key, value in given.items()))
own = st.from_regex(r'[a-z]\w{0,5}(\.[a-z]\w{0,5})?:[A-Za-z]\w{0,5}', fullmatch=True).filter(
    lambda name: name.isascii() and not name.startswith('noisy:'))


@pytest.mark.slow
@patient
@given(st.lists(plain_names | noise | own, min_size=1, max_size=5, unique=True),
       st.sampled_from([',', ', ', ' ,,']))
def test_a_list_of_experts_is_taken_apart_where_it_was_put_together(names, between):
    assert split_names(between.join(names)) == tuple(names)


@patient
@given(st.text(max_size=60) | st.lists(st.sampled_from(
    [*EXPERTS, ',', ':', '=', 'wrong', '.2', ' ', 'a.b']), max_size=12).map(''.join))
def test_any_list_of_experts_is_some_each_once_or_refused(text):
    try:
        names = split_names(text)
    except ConfigError:
        return
    assert names and len(set(names)) == len(names)
    assert split_names(','.join(names)) == names
