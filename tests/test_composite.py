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
"""Composites of cut-outs: what is read, drawn, said of it, and written."""

import io
import tarfile

import cv2
import numpy as np
import pytest

from ivm_ros.cli import main
from ivm_ros.data.composite import draw_composite, HIDES, Piece, turned, window
from ivm_ros.data.cutouts import CLIPART, CutOut, noun_in, read_cutouts
from ivm_ros.data.holdout import Holdout, unseen_words
from ivm_ros.data.shards import DatasetError, decode_mask, read_info, read_rows
from ivm_ros.language.colours import colour_of, COLOURS
from ivm_ros.language.nouns import held_out_pair, NOUNS

UNSEEN = ('melon', 'peach', 'razor')


def png(image: np.ndarray) -> bytes:
    """Encode RGBA."""
    return cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))[1].tobytes()


@pytest.fixture(scope='module')
def pool(cutout_folder) -> list[CutOut]:
    """Give drawn cut-outs, some of nouns that are held out."""
    return read_cutouts(cutout_folder)


@pytest.fixture(scope='module')
def cutouts(pool) -> list[CutOut]:
    """Give those that training may show."""
    return [cutout for cutout in pool if cutout.noun not in UNSEEN]


@pytest.mark.parametrize(('left', 'foot', 'shape'), [
    (-5, 3, (3, 15)), (90, 50, (4, 10)), (10, 67, (0, 20)), (10, -1, (0, 20)), (120, 30, (4, 0))])
def test_what_a_piece_covers_ends_at_the_rim(left, foot, shape):
    piece = Piece('pencil', None, '', np.full((4, 20, 4), 255, np.uint8), 1.0, left, foot)
    where, part = window(piece, (60, 100))
    assert part.shape[:2] == shape == np.zeros((60, 100))[where].shape


# --- reading ---------------------------------------------------------------------------------

def test_three_layouts_are_read_and_what_nobody_names_is_left_out(shape, tmp_path):
    (tmp_path / 'named' / 'fruit').mkdir(parents=True)
    (tmp_path / 'named' / 'fruit' / 'Apple-2.png').write_bytes(png(shape('red', 1)))
    (tmp_path / 'named' / 'nonsense.png').write_bytes(png(shape('red', 2)))
    (tmp_path / 'stamps').mkdir()
    for name, line in (('a', 'A ripe banana.'), ('b', 'This is a long line about many things.')):
        (tmp_path / 'stamps' / f'{name}.png').write_bytes(png(shape('yellow', 1)))
        (tmp_path / 'stamps' / f'{name}.txt').write_text(f'{line}\nde=Eine Banane.\n')
    with tarfile.open(tmp_path / 'emoji.tgz', 'w:gz') as archive:
        for name in ('package/assets/1f34e.png', 'package/assets/2602-fe0f.png',
                     'package/assets/1f600.png', 'package/readme.md'):
            data = png(shape('red', 1))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    nouns = {name: [c.noun for c in read_cutouts(tmp_path / name)]
             for name in ('named', 'stamps', 'emoji.tgz')}
    assert nouns == {'named': ['apple'], 'stamps': ['banana'], 'emoji.tgz': ['apple', 'umbrella']}
    cut = read_cutouts(tmp_path / 'named')[0].image
    assert cut[..., 3][0].any() and cut[..., 3][:, 0].any()  # cropped to what is opaque


def test_of_open_clip_art_only_what_was_chosen_is_read(shape, tmp_path):
    chosen = 'food/fruit/an_apple_01.png'
    for name in (chosen, 'food/fruit/banana_unknown.png', 'transportation/horse.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(shape('red', 1)))
    assert [(c.noun, c.name) for c in read_cutouts(tmp_path)] == [('apple', chosen)]


def test_no_clip_art_shows_a_held_out_noun():
    assert len(CLIPART) > 300 and len(set(CLIPART.values())) > 150
    assert not [file for file, noun in CLIPART.items() if NOUNS[noun].held_out]


@pytest.mark.parametrize(('line', 'noun'), [
    ('An apple.', 'apple'), ('A red apple.', 'apple'), ('Teddy bear', 'teddy'),
    ("A hen's egg", 'egg'), ('Salt shaker', 'salt'), ('A dog barking at the tall tree', None),
    ('', None), ('Something else', None)])
def test_a_line_names_a_noun_at_its_end(line, noun):
    assert noun_in(line) == noun


def test_pictures_without_transparency_and_broken_ones_are_left_out(tmp_path):
    cv2.imwrite(str(tmp_path / 'apple.png'), np.full((60, 60, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / 'cup.png'), np.full((60, 60, 4), 255, np.uint8))  # no hole
    (tmp_path / 'duck.png').write_bytes(b'\x89PNG and no more')
    with pytest.raises(DatasetError, match='holds no cut-outs that a noun names'):
        read_cutouts(tmp_path)


# --- drawing ---------------------------------------------------------------------------------

def test_equal_seeds_draw_equal_pictures_and_others_do_not(cutouts):
    first, again, other = (draw_composite(np.random.default_rng(seed), cutouts, (), 5)
                           for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert first.sentences == again.sentences
    assert not np.array_equal(first.image, other.image)


@pytest.mark.slow
def test_labels_are_where_the_things_are_and_none_is_hidden(cutouts):
    for seed in range(12):
        made = draw_composite(np.random.default_rng(seed), cutouts, (), 6)
        for thing in made.things:
            inside = made.labels == thing.id
            assert inside.sum() == thing.pixels
            rows = np.nonzero(inside)[0]
            assert abs((rows.mean() + .5) / 192 - thing.row) < 1e-6
            assert thing.pixels > (1 - HIDES) ** 4 * .7 * thing.full
        assert len(made.things) == len({t.id for t in made.things}) <= len(made.cutouts)


@pytest.mark.slow
def test_colours_that_are_said_are_those_of_the_pixels(cutouts):
    right = total = 0
    for seed in range(25):
        made = draw_composite(np.random.default_rng(seed), cutouts, (), 6)
        for thing in made.things:
            pixels = made.image[cv2.erode((made.labels == thing.id).astype(np.uint8),
                                          np.ones((3, 3))) > 0]
            if thing.colour and len(pixels) > 40:
                seen = colour_of(pixels)
                right += seen == thing.colour or {seen, thing.colour} in (
                    {'brown', 'orange'}, {'white', 'gray'}, {'black', 'gray'}, {'teal', 'green'},
                    {'blue', 'teal'}, {'purple', 'blue'}, {'purple', 'pink'}, {'pink', 'red'},
                    {'brown', 'red'}, {'brown', 'yellow'}, {'yellow', 'orange'})
                total += 1
    assert total > 60
    assert right > .9 * total, (right, total)


def test_a_cut_out_keeps_its_colour_at_the_rim(shape):
    """What is transparent is black in the file and must not darken the edge."""
    small = turned(shape('white', 1), 30, np.random.default_rng(0))
    solid = small[..., 3] > 200
    assert small[solid][:, :3].min() > 215


@pytest.mark.parametrize(('colour', 'rgb'), [
    ('red', (200, 20, 20)), ('yellow', (240, 210, 20)), ('green', (20, 140, 40)),
    ('blue', (30, 60, 200)), ('purple', (110, 30, 160)), ('white', (240, 240, 240)),
    ('black', (15, 15, 15)), ('orange', (240, 120, 10)), ('brown', (100, 60, 25)),
    ('pink', (250, 130, 180)), ('teal', (10, 150, 150)), ('gray', (120, 120, 122))])
def test_pixels_are_named_as_people_would(colour, rgb):
    pixels = np.tile(np.uint8(rgb), (50, 1))
    assert colour_of(pixels) == colour
    other = (20, 140, 40) if colour != 'green' else (200, 20, 20)
    assert colour_of(np.vstack([pixels, np.tile(np.uint8(other), (50, 1))])) is None


@pytest.mark.slow
def test_photographs_are_used_as_backgrounds(cutouts):
    photograph = np.zeros((300, 400, 3), np.uint8)
    photograph[..., 1] = 255
    green = 0
    for seed in range(30):
        image = draw_composite(np.random.default_rng(seed), cutouts, [photograph], 3).image
        green += ((image[..., 1] > 160) & (image[..., 0] < 60)).mean() > .2
    assert 8 < green < 30


# --- what is held out ------------------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.parametrize('holdout', [Holdout(), Holdout(nouns=True), Holdout(pairs=True),
                                     Holdout(words=True)])
def test_held_out_things_and_words_are_there_only_when_asked_for(pool, holdout):
    for seed in range(6):
        made = draw_composite(np.random.default_rng(seed), pool, (), 6, holdout=holdout)
        kinds = {thing.id: thing.kind for thing in made.things}
        pairs = {t.id for t in made.things if t.colour and held_out_pair(t.colour, t.kind)}
        unseen = [label for label, kind in kinds.items() if NOUNS[kind].held_out]
        assert holdout.nouns or not unseen
        assert holdout.pairs or not pairs
        for sentence in made.sentences:
            targets = {*sentence.targets}
            assert holdout.words or holdout.nouns or not unseen_words(sentence.text)
            if holdout.nouns:
                assert targets & {*unseen}
            if holdout.pairs:
                assert targets & pairs
            if holdout.words:
                assert unseen_words(sentence.text)


# --- writing ---------------------------------------------------------------------------------

@pytest.mark.slow
def test_the_command_line_writes_a_dataset_that_reads_back(cutout_folder, tmp_path, capsys):
    words = ['data', 'composite', '--cutouts', str(cutout_folder), '--out', str(tmp_path / 'd'),
             '--scenes', '5', '--seed', '7', '--shard', '2', '--sentences', '4']
    assert main(words) == 0
    assert 'wrote' in capsys.readouterr().out
    rows = list(read_rows(tmp_path / 'd'))
    info = read_info(tmp_path / 'd')
    assert info['rows'] == len(rows) and info['seed'] == 7 and info['command'].split()[0] == 'ivm'
    assert {*NOUNS, *COLOURS} == {*info['words']}
    assert not {*UNSEEN} & {*info['nouns']}
    for row in rows:
        labels = decode_mask(row.labels)
        target = decode_mask(row.mask) > 0
        assert target.any() == row.found
        assert not (decode_mask(row.robot_mask) > 0).any()
        assert {*np.unique(labels)} - {0} == {int(label) for label in row.extra['things']}
    before = {path.name: path.read_bytes() for path in (tmp_path / 'd').glob('*.parquet')}
    (tmp_path / 'd' / 'shard-00001.parquet').unlink()
    assert main(words) == 0
    assert before == {p.name: p.read_bytes() for p in (tmp_path / 'd').glob('*.parquet')}


@pytest.mark.parametrize(('change', 'said'), [
    (['--cutouts', '/nowhere'], 'holds no cut-outs'), (['--seed', '8'], 'was begun with'),
    (['--backgrounds', '/nowhere'], 'holds no photographs')])
def test_mistakes_end_in_one_line(cutout_folder, tmp_path, capsys, change, said):
    words = ['data', 'composite', '--cutouts', str(cutout_folder), '--out', str(tmp_path / 'd'),
             '--scenes', '2', '--seed', '7']
    assert main(words) == 0
    assert main([*words, *change]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()[-1]) < 400


def test_impossible_numbers_are_refused(cutout_folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(['data', 'composite', '--cutouts', str(cutout_folder), '--out', str(tmp_path / 'd'),
              '--fewest', '9', '--most', '4'])
    assert 'wanted at least fewest' in capsys.readouterr().err
