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
"""Other people's datasets: IVM-Mix-1M, COCO and RefCOCO files in their true formats."""

import json
from pathlib import Path
import pickle

import cv2
import numpy as np
from pycocotools import mask as rle
import pytest

from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.data.coco import Coco, load_plain, Refer
from ivm_ros.data.importer import import_dataset, ImportConfig
from ivm_ros.data.ivm_mix import IvmMix, normalise_mask
from ivm_ros.data.loader import Batches, Scenes
from ivm_ros.data.shards import DatasetError, decode_image, decode_mask, read_info, read_rows
from ivm_ros.train.batch import check_training_data

SIZE = (120, 160)


def disc(row: int, column: int, radius: int = 25) -> np.ndarray:
    """Draw a filled circle, uint8 [h, w], 1 inside."""
    return cv2.circle(np.zeros(SIZE, np.uint8), (column, row), radius, 1, -1)


def picture(path: Path, *discs: np.ndarray) -> None:
    """Write a grey picture with light discs."""
    image = np.full((*SIZE, 3), 60, np.uint8)
    for inside in discs:
        image[inside > 0] = (40, 90, 220)
    cv2.imwrite(str(path), image)


@pytest.fixture
def mix(tmp_path) -> Path:
    """Write a part of IVM-Mix-1M: three pictures, one with an all-black mask."""
    folder = tmp_path / 'HumanLabelData'
    folder.mkdir()
    lines = [{'uuid': 'a1', 'instruction': ['pick up the disc', 'take the round thing']},
             {'uuid': 7, 'instruction': ['nothing here'], 'image': 'sub/other.jpg'},
             {'uuid': 'c3', 'instruction': 'one sentence', 'boxes': [[.1, .2, .5, .6]]}]
    (folder / 'sub').mkdir()
    picture(folder / 'img_a1.jpg', disc(60, 80))
    picture(folder / 'sub' / 'other.jpg')
    picture(folder / 'img_c3.jpg', disc(40, 40))
    for name, mask in (('a1', disc(60, 80) * 170), ('7', np.zeros(SIZE, np.uint8)),
                       ('c3', cv2.resize(disc(40, 40) * 255, (80, 60)))):
        cv2.imwrite(str(folder / f'mask_{name}.jpg'), mask)
    path = folder / 'human.jsonl'
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n')
    return path


# --- IVM-Mix-1M ------------------------------------------------------------------------------

def test_masks_are_brightened_and_stretched_and_black_ones_stay_black():
    grey = np.uint8([[10, 90, 170]])
    assert normalise_mask(grey).tolist() == [[0, 128, 255]]  # (135 - 15) / (255 - 15)
    assert not normalise_mask(np.zeros((4, 4), np.uint8)).any()
    assert (normalise_mask(np.full((4, 4), 200, np.uint8)) == 255).all()


def test_lines_pictures_and_masks_are_read_as_released(mix):
    items = [IvmMix(mix)[index] for index in range(len(IvmMix(mix)))]
    assert [item.labels[0].instructions for item in items] == [
        ('pick up the disc', 'take the round thing'), ('nothing here',), ('one sentence',)]
    assert all(item.is_human for item in items)
    assert items[2].extra == {'uuid': 'c3', 'boxes': [[.1, .2, .5, .6]]}
    inside = items[0].labels[0].mask > 127
    assert (inside & (disc(60, 80) > 0)).sum() / (inside | (disc(60, 80) > 0)).sum() > .95
    assert not items[1].labels[0].mask.any()


def test_it_becomes_a_dataset_that_training_reads(mix, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['data', 'import', '--source', str(mix), '--layout', 'ivm-mix', '--out',
                 str(out), '--shard', '2']) == 0
    rows = list(read_rows(out))
    assert [row.instruction for row in rows] == [
        'pick up the disc', 'take the round thing', 'nothing here', 'one sentence']
    assert [row.found for row in rows] == [True, True, False, True]
    assert {row.annotator for row in rows} == {'person'} and all(row.is_human for row in rows)
    assert rows[0].image_id == rows[1].image_id != rows[2].image_id
    assert decode_mask(rows[3].mask).shape == decode_image(rows[3].image).shape[:2]
    assert read_info(out)['scenes'] == 3
    batch = Batches(Scenes([out]), (96, 128), 2, 2, None, 0)[0]
    assert batch.target.max() == 1 and not batch.labelled.any()
    capsys.readouterr()


def test_pictures_become_small_enough_to_train_on(mix, tmp_path):
    big = cv2.resize(cv2.imread(str(mix.parent / 'img_a1.jpg')), (1600, 1200))
    cv2.imwrite(str(mix.parent / 'img_a1.jpg'), big)
    assert main(['data', 'import', '--source', str(mix), '--layout', 'ivm-mix', '--out',
                 str(tmp_path / 'out'), '--pictures', '1']) == 0
    row = next(read_rows(tmp_path / 'out'))
    assert decode_image(row.image).shape == (480, 640, 3)
    inside, wanted = decode_mask(row.mask) > 127, cv2.resize(disc(60, 80), (640, 480)) > 0
    assert (inside & wanted).sum() / (inside | wanted).sum() > .95


@pytest.mark.parametrize(('line', 'said'), [
    ('{"uuid": 1}', 'line 2'), ('not json', 'line 2'), ('{"uuid": 1, "instruction": []}', 'empty'),
    ('{"uuid": 1, "instruction": ["a"], "image": "../../x.jpg"}', 'leads out'),
    ('{"uuid": "lost", "instruction": ["a"]}', 'img_lost.jpg')])
def test_broken_lines_are_named(mix, line, said):
    mix.write_text(mix.read_text().splitlines()[0] + f'\n{line}\n')
    with pytest.raises(DatasetError, match=said):
        IvmMix(mix)[1]


# --- COCO and RefCOCO ------------------------------------------------------------------------

@pytest.fixture
def coco(tmp_path) -> Path:
    """Write a COCO instance file: polygons, RLE and a crowd."""
    discs = [disc(40, 40), disc(40, 110), disc(90, 80, 20)]
    picture(tmp_path / 'one.jpg', *discs)
    picture(tmp_path / 'two.jpg', disc(60, 60))
    outline = cv2.findContours(discs[0], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
    compressed = rle.encode(np.asfortranarray(discs[1]))
    runs = np.flatnonzero(np.diff(np.r_[0, discs[2].T.ravel(), 0])).tolist()
    counts = np.diff([0, *runs, discs[2].size]).tolist()
    segmentations = [[outline.reshape(-1).tolist()],
                     {'size': list(SIZE), 'counts': compressed['counts'].decode()},
                     {'size': list(SIZE), 'counts': counts}]
    annotations = [{'id': 10 + i, 'image_id': 1, 'category_id': category, 'iscrowd': int(i == 2),
                    'segmentation': outline, 'bbox': [0, 0, 1, 1], 'area': 1}
                   for i, (category, outline) in enumerate(zip((5, 5, 9), segmentations))]
    path = tmp_path / 'instances.json'
    path.write_text(json.dumps({
        'images': [{'id': number, 'file_name': f'{name}.jpg', 'height': SIZE[0], 'width': SIZE[1]}
                   for number, name in ((1, 'one'), (2, 'two'))],
        'categories': [{'id': 5, 'name': 'knife'}, {'id': 9, 'name': 'dining table'}],
        'annotations': annotations}))
    return path


def refs() -> list[dict]:
    """List refs as REFER has them."""
    return [{'ref_id': 1, 'ann_id': 10, 'image_id': 1, 'category_id': 5, 'split': 'val',
             'file_name': 'one_1.jpg', 'sent_ids': [0, 1], 'sentences': [
                 {'sent_id': 0, 'sent': 'left disc', 'raw': 'left disc', 'tokens': ['left']},
                 {'sent_id': 1, 'sent': 'the one on the left', 'raw': '', 'tokens': []}]},
            {'ref_id': 2, 'ann_id': 11, 'image_id': 1, 'category_id': 5, 'split': 'testA',
             'file_name': 'one_2.jpg', 'sent_ids': [2], 'sentences': [
                 {'sent_id': 2, 'sent': 'right disc', 'raw': 'right disc', 'tokens': []}]}]


def test_categories_are_asked_for_by_name_in_singular_and_plural(coco):
    item = Coco(coco, str(coco.parent), True)[0]
    assert len(Coco(coco, str(coco.parent), True)) == 1  # the other picture has no annotation
    labels = {label.instructions[0]: label.mask > 0 for label in item.labels}
    assert set(labels) == {'the knives', 'the dining tables'}
    assert np.abs(labels['the knives'].sum() - disc(40, 40).sum() - disc(40, 110).sum()) < 220
    assert np.array_equal(labels['the dining tables'], disc(90, 80, 20) > 0)


@pytest.mark.parametrize('suffix', ['.p', '.json'])
def test_expressions_mean_their_instance(coco, suffix, tmp_path):
    path = coco.parent / f'refs(unc){suffix}'
    path.write_bytes(pickle.dumps(refs(), 2) if suffix == '.p' else json.dumps(refs()).encode())
    item = Refer(path, coco, str(coco.parent))[0]
    assert [label.instructions for label in item.labels] == [
        ('left disc', 'the one on the left'), ('right disc',)]
    assert np.array_equal(item.labels[1].mask > 0, disc(40, 110) > 0)
    assert len(Refer(path, coco, str(coco.parent), 'testA')[0].labels) == 1
    out = tmp_path / 'out'
    assert main(['data', 'import', '--source', str(path), '--layout', 'refcoco', '--images',
                 str(coco.parent), '--split', 'val', '--evaluation', '--out', str(out)]) == 0
    rows = list(read_rows(out))
    assert [(row.instruction, row.split) for row in rows] == [
        ('left disc', 'eval'), ('the one on the left', 'eval')]
    with pytest.raises(DatasetError, match='evaluation only'):
        check_training_data([read_info(out)], [out])


class _Evil:
    """What a malicious pickle holds."""

    def __reduce__(self) -> tuple:
        """Have the reader call something."""
        return (print, ('executed',))


def test_a_pickle_that_calls_anything_is_refused(coco, capsys):
    with pytest.raises(DatasetError, match=r'builtins\.print'):
        load_plain(pickle.dumps([_Evil()]))
    path = coco.parent / 'refs(google).p'
    path.write_bytes(pickle.dumps([_Evil()]))
    with pytest.raises(DatasetError, match='asks for'):
        Refer(path, coco, str(coco.parent))
    assert 'executed' not in capsys.readouterr().out
    with pytest.raises(DatasetError, match='plain containers'):
        load_plain(b'\x80\x04 torn')


@pytest.mark.parametrize(('change', 'said'), [
    (lambda told: told.pop('images'), 'no COCO instance file'),
    (lambda told: told['annotations'][0].update(segmentation=[['x']]), 'neither polygons nor RLE'),
    (lambda told: told['images'][0].update(file_name='../../etc/passwd'), 'leads out'),
    (lambda told: told['images'][0].update(file_name='lost.jpg'), 'lost.jpg is not in'),
    (lambda told: told['images'][0].update(height=50), 'its mask is'),
    (lambda told: told['annotations'][0].update(category_id=77), 'no COCO instance file')])
def test_broken_files_are_named(coco, change, said):
    told = json.loads(coco.read_text())
    change(told)
    if said == 'its mask is':  # polygons have no size of their own
        told['annotations'] = told['annotations'][1:]
    coco.write_text(json.dumps(told))
    with pytest.raises(DatasetError, match=said):
        Coco(coco, str(coco.parent), True)[0]


def test_the_command_line_says_what_is_wrong(tmp_path, capsys):
    (tmp_path / 'x.json').write_text('{}')
    assert main(['data', 'import', '--source', str(tmp_path / 'x.json'), '--layout', 'coco',
                 '--by', 'people', '--out', str(tmp_path / 'o')]) == 2
    assert 'no COCO instance file' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(['data', 'import', '--source', '/nowhere', '--layout', 'coco', '--out', 'o'])
    assert 'is no file' in capsys.readouterr().err


def test_only_masks_by_people_are_marked_human_and_coco_does_not_say_who_made_its(coco, tmp_path):
    with pytest.raises(ConfigError, match='wanted --by people or --by machine'):
        ImportConfig(str(coco), str(tmp_path / 'o'), 'coco')
    for by, human in (('people', True), ('machine', False)):
        out = tmp_path / by
        import_dataset(ImportConfig(str(coco), str(out), 'coco', by=by))
        assert {(row.is_human, row.annotator) for row in read_rows(out)} == {
            (human, 'person' if human else 'machine')}


def test_ivm_mix_says_who_made_its_masks_unless_told(mix):
    other = mix.parents[1] / 'RobotMachineData' / 'robot.jsonl'
    other.parent.mkdir()
    other.write_text(mix.read_text())
    for name in ('img_a1.jpg', 'mask_a1.jpg'):
        (other.parent / name).write_bytes((mix.parent / name).read_bytes())
    assert IvmMix(mix)[0].is_human and not IvmMix(mix, is_human=False)[0].is_human
    assert not IvmMix(other)[0].is_human and IvmMix(other, is_human=True)[0].is_human
