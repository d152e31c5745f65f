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
"""Masks of any size, depth and colour: each is read as meant, or refused by name."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
import pytest

from ivm_ros.cli import main
from ivm_ros.data.importer import import_dataset, ImportConfig
from ivm_ros.data.loader import Batches, Scenes
from ivm_ros.data.look import GREEN, outlined
from ivm_ros.data.png_masks import plain_mask
from ivm_ros.data.shards import (
    DatasetError, decode_labels, decode_mask, decode_sample, encode_image, encode_mask, MaskError,
    read_rows, Row, write_info, write_shard)
from ivm_ros.sample import Sample

SIZE = (60, 80)
INSIDE = np.zeros(SIZE, bool)
INSIDE[10:30, 20:50] = True
WHITE = INSIDE.astype(np.uint8) * 255
RED, BLUE = (np.uint8([255, 0, 0]) * INSIDE[..., None], np.uint8([0, 0, 255]) * INSIDE[..., None])
SOFT = cv2.GaussianBlur(WHITE, (9, 9), 0)


def png(pixels: np.ndarray) -> bytes:
    """Encode any picture, colours as RGB."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(pixels.shape[2] if pixels.ndim == 3 else 1)
    return cv2.imencode('.png', pixels[..., order] if order else pixels)[1].tobytes()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Write a folder of pictures; masks go beside it."""
    (tmp_path / 'images').mkdir()
    (tmp_path / 'masks').mkdir()
    (tmp_path / 'images' / 'one.jpg').write_bytes(encode_image(np.full((*SIZE, 3), 90, np.uint8)))
    return tmp_path


def brought_in(folder: Path, mask: bytes, out: str = 'out') -> Row:
    """Import one mask of one picture."""
    (folder / 'masks' / 'one.png').write_bytes(mask)
    import_dataset(ImportConfig(str(folder / 'masks'), str(folder / out), 'png', 'people',
                                'take the cup', str(folder / 'images')))
    return next(read_rows(folder / out))


# --- PNG files of people ---------------------------------------------------------------------

@pytest.mark.parametrize('pixels', [
    WHITE, INSIDE.astype(np.uint8), WHITE // 5, np.uint16(INSIDE) * 65535, np.uint16(INSIDE),
    np.uint16(WHITE), RED, BLUE, RED // 255, WHITE[..., None].repeat(3, 2),
    np.dstack([RED, np.full(SIZE, 255, np.uint8)])],
    ids=['white', '1', '51', '65535', '1 of 16 bits', '255 of 16 bits', 'red', 'blue', 'dark red',
         'grey of 3 channels', 'red, opaque'])
def test_what_is_not_black_is_inside_whatever_its_value(folder, pixels):
    row = brought_in(folder, png(pixels))
    assert np.array_equal(decode_mask(row.mask), WHITE)
    assert (row.instruction, row.found, row.is_human) == ('take the cup', True, True)


def test_one_bit_and_palettes_are_read(folder):
    one = Image.fromarray(INSIDE)
    assert one.mode == '1'
    one.save(folder / 'one.png')
    assert np.array_equal(plain_mask(folder / 'one.png'), WHITE)
    named = Image.fromarray(INSIDE.astype(np.uint8)).convert('P')
    named.putpalette([0, 0, 0, 128, 0, 0])
    named.save(folder / 'palette.png')
    assert np.array_equal(plain_mask(folder / 'palette.png'), WHITE)


@pytest.mark.parametrize('scale', [1, 257])
def test_soft_masks_stay_soft(folder, scale):
    row = brought_in(folder, png(SOFT.astype(np.uint16) * scale if scale > 1 else SOFT))
    assert np.array_equal(decode_mask(row.mask), SOFT)


def test_all_black_is_not_there_and_all_white_is_everything(folder):
    row = brought_in(folder, png(WHITE * 0))
    assert row.found is False and not decode_mask(row.mask).any()
    row = brought_in(folder, png(WHITE | 255), 'all')
    assert row.found and (decode_mask(row.mask) == 255).all()
    assert Batches(Scenes([folder / 'all']), (96, 128), 1, 1, None, 0)[0].target.max() == 1


def test_a_mask_of_another_size_fits_if_it_is_as_wide_as_high(folder):
    twice = cv2.resize(WHITE, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(decode_mask(brought_in(folder, png(twice)).mask) > 127, INSIDE)
    with pytest.raises(MaskError, match=r'one\.jpg: the mask is 60 x 80 and the picture, as it is '
                                        'kept, 80 x 60: they do not belong together'):
        brought_in(folder, png(np.ascontiguousarray(WHITE.T)), 'turned')


@pytest.mark.parametrize(('pixels', 'said'), [
    (RED + BLUE[::-1], 'holds 3 colours, and no labelmap.txt'),
    (RED + 7, 'holds 2 colours, .* wanted black and one other'),
    (np.uint8(INSIDE) + INSIDE[::-1] * np.uint8(2), 'numbers of classes, and no class_names'),
    (np.where(INSIDE, 255, np.uint8(INSIDE[::-1])).astype(np.uint8), 'numbers of classes'),
    (np.dstack([RED, WHITE]), 'transparent pixels')])
def test_what_may_mean_several_things_is_refused(folder, pixels, said):
    with pytest.raises(MaskError, match=rf'one\.png.* {said}'):
        brought_in(folder, png(pixels))


def test_broken_and_missing_files_are_named(folder, capsys):
    with pytest.raises(MaskError, match=r'one\.png is no picture'):
        brought_in(folder, png(WHITE)[:60])
    (folder / 'images' / 'one.jpg').rename(folder / 'images' / 'other.jpg')
    with pytest.raises(DatasetError, match=r'holds no picture one .* for the mask one\.png'):
        brought_in(folder, png(WHITE), 'lost')
    arguments = ['data', 'import', '--source', str(folder / 'masks'), '--layout', 'png',
                 '--by', 'people', '--out', str(folder / 'out')]
    assert main(arguments) == 2
    assert 'say with --sentence what all of them show' in capsys.readouterr().err
    assert main([*arguments, '--sentence', 'take it']) == 2
    assert 'say with --images where they are' in capsys.readouterr().err


# --- masks in shards of any writer -----------------------------------------------------------

@pytest.mark.parametrize('pixels', [
    WHITE, RED, BLUE, np.uint16(WHITE) * 257, np.uint16(WHITE), WHITE[..., None].repeat(3, 2),
    np.dstack([BLUE, np.full(SIZE, 255, np.uint8)])])
def test_masks_of_other_writers_keep_what_is_inside(pixels):
    assert np.array_equal(decode_mask(png(pixels)), WHITE)


def test_soft_masks_of_16_bits_keep_their_values():
    assert np.array_equal(decode_mask(png(SOFT.astype(np.uint16) * 257)), SOFT)


def test_masks_and_labels_that_say_nothing_are_refused():
    with pytest.raises(MaskError, match='transparent pixels'):
        decode_mask(png(np.dstack([RED, WHITE])))
    with pytest.raises(MaskError, match='not a PNG mask'):
        decode_mask(b'PNG?')
    assert np.array_equal(decode_labels(png(SOFT)), SOFT)
    for pixels in (RED, np.uint16(WHITE)):
        with pytest.raises(MaskError, match='no palette'):
            decode_labels(png(pixels))


def test_a_row_whose_mask_has_another_size_is_refused_by_its_id(tmp_path, capsys):
    image = encode_image(np.zeros((*SIZE, 3), np.uint8))
    row = Row('1-0000000-0', image, 'the cup', 'plain', encode_mask(INSIDE), None, True, 's', 'me')
    assert np.array_equal(decode_sample(row).mask, WHITE)
    for wrong in (replace(row, mask=encode_mask(INSIDE.T)),
                  replace(row, robot_mask=encode_mask(INSIDE[:9]))):
        with pytest.raises(MaskError, match=r'1-0000000-0: wanted masks of \(60, 80\)'):
            decode_sample(wrong)
    write_shard(tmp_path / 'shard-00000.parquet', [replace(row, mask=encode_mask(INSIDE.T))])
    write_info(tmp_path, {})
    assert main(['data', 'look', str(tmp_path), '--out', str(tmp_path / 'a.png')]) == 2
    assert '1-0000000-0: wanted masks' in capsys.readouterr().err


def test_outlines_go_where_a_soft_mask_is_one_half():
    ramp = np.tile(np.linspace(0, 255, SIZE[1]).astype(np.uint8), (SIZE[0], 1))
    drawn = outlined(Sample('1', np.full((*SIZE, 3), 90, np.uint8), 'it', 'plain', ramp, None,
                            True))
    columns = np.flatnonzero((drawn == GREEN).all(2).any(0))
    assert columns.min() == np.flatnonzero(ramp[0] > 127)[0] == SIZE[1] // 2
