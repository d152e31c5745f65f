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
"""RefCOCO, ReasonSeg and our shards as benchmarks of masks: small sets in their true formats."""

import json
from pathlib import Path
import pickle

import cv2
import numpy as np
import pytest

from ivm_ros.cli import main
from ivm_ros.data.shards import DatasetError
from ivm_ros.deploy import DeployConfig
from ivm_ros.evaluate.gallery import Gallery, Shown
from ivm_ros.evaluate.metrics import box_iou
from ivm_ros.evaluate.references import hsv_words
from ivm_ros.evaluate.segmenting import measure_segments, Tally
from ivm_ros.evaluate.segments import reason_cases, refer_cases, shard_cases
from ivm_ros.evaluate.sources import Source
from ivm_ros.sample import Mask

RED, BLUE = (220, 20, 20), (20, 40, 220)
LEFT, RIGHT = (10, 30, 20, 60), (80, 40, 30, 30)  # x, y, width, height


def paint(path: Path, **blocks: tuple[int, int, int, int]) -> None:
    """Write a grey picture with coloured blocks."""
    image = np.full((96, 128, 3), 128, np.uint8)
    for colour, (x, y, width, height) in blocks.items():
        image[y:y + height, x:x + width] = {'red': RED, 'blue': BLUE}[colour]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])


def corners(x: int, y: int, width: int, height: int) -> list[list[float]]:
    """Give the corners of a block as pixels: the last ones belong to it."""
    return [[x, y], [x + width - 1, y], [x + width - 1, y + height - 1], [x, y + height - 1]]


def red_and_blue(images, sentences):
    """Mask by colour words: what people would script, and exact on these pictures."""
    return [hsv_words(image, sentence) for image, sentence in zip(images, sentences)]


@pytest.fixture
def refcoco(tmp_path) -> Path:
    """Write RefCOCO as REFER unpacks it: a folder of the set, pictures of COCO beside."""
    folder = tmp_path / 'refer_seg' / 'refcoco'
    folder.mkdir(parents=True)
    images = tmp_path / 'refer_seg' / 'images' / 'mscoco' / 'images' / 'train2014'
    names = [f'COCO_train2014_{number:012d}.jpg' for number in (1, 2, 3)]
    for name in names[:2]:
        paint(images / name, red=LEFT, blue=RIGHT)
    boxes = {11: (1, LEFT), 12: (1, RIGHT), 21: (2, LEFT), 31: (3, LEFT)}
    (folder / 'instances.json').write_text(json.dumps({
        'images': [{'id': number, 'file_name': name, 'height': 96, 'width': 128}
                   for number, name in enumerate(names, 1)],
        'categories': [{'id': 1, 'name': 'block', 'supercategory': 'thing'}],
        'annotations': [{'id': key, 'image_id': image, 'category_id': 1, 'iscrowd': 0,
                         'bbox': list(box), 'area': box[2] * box[3], 'segmentation': [[
                             x, y, x + w, y, x + w, y + h, x, y + h]]}
                        for key, (image, box) in boxes.items() for x, y, w, h in [box]]}))
    refs = [(11, 1, 'val', ['the red one', 'red block left']), (12, 1, 'val', ['blue']),
            (21, 2, 'testA', ['red']), (31, 3, 'testA', ['red', 'the red block']),
            (21, 2, 'train', ['red thing'])]
    listed = [{'ref_id': number, 'ann_id': ann, 'image_id': image, 'category_id': 1,
               'split': split, 'file_name': names[image - 1].replace('.jpg', f'_{ann}.jpg'),
               'sent_ids': [number], 'sentences': [
                   {'sent_id': number, 'sent': sent, 'raw': sent, 'tokens': sent.split()}
                   for sent in sents]}
              for number, (ann, image, split, sents) in enumerate(refs)]
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(listed, 2))
    return tmp_path / 'refer_seg'


@pytest.fixture
def reasonseg(tmp_path) -> Path:
    """Write ReasonSeg: pictures with labelme's JSON beside them, one of Windows' code page."""
    root = tmp_path / 'ReasonSeg'
    for split in ('train', 'val'):
        paint(root / split / 'a.jpg', red=LEFT, blue=RIGHT)
        shapes = [{'label': 'ignore', 'labels': ['ignore'], 'shape_type': 'polygon',
                   'points': corners(*RIGHT)},
                  {'label': 'target', 'labels': ['target'], 'shape_type': 'polygon',
                   'points': corners(*LEFT)},
                  {'label': 'flag', 'points': [[0, 0], [100, 90]]}]
        (root / split / 'a.json').write_text(json.dumps({
            'text': ['the caf\u00e9\u2019s red and blue blocks', 'unused'], 'is_sentence': True,
            'shapes': shapes}, ensure_ascii=False), encoding='cp1252')
    (root / 'val' / 'lost.json').write_text((root / 'val' / 'a.json').read_text('cp1252'))
    (root / 'explanatory').mkdir()
    (root / 'explanatory' / 'train.json').write_text('[]')
    return root


def measured(cases):
    """Measure cases by colour words."""
    return measure_segments(cases, red_and_blue, DeployConfig(), Gallery(2), 0)


def test_refcoco_is_measured_by_split_and_lost_pictures_are_listed(refcoco):
    source = Source(refcoco / 'refcoco')  # the set's own folder; pictures lie above it
    with pytest.raises(StopIteration):
        next(refer_cases('refcoco', Source(refcoco / 'refcoco', images=str(refcoco))))
    figures = measured(refer_cases('refcoco', source))
    assert set(figures) == {'val', 'testA'}  # nobody measures on what is trained on
    assert figures['val']['n'] == 3 and figures['val']['images'] == 1
    assert figures['testA']['n'] == 1
    for row in figures.values():
        assert row['giou'] > .97 and row['ciou'] > .97 and row['iou50'] == row['box50'] == 1
    assert [entry['name'] for entry in source.lost] == ['COCO_train2014_000000000003.jpg']
    assert 'is not in' in source.lost[0]['why']
    one = list(refer_cases('refcoco', Source(refcoco, splits=('train',))))
    assert [case.sentences for case in one] == [('red thing',)]


def test_another_set_and_another_partition_are_looked_for_by_name(refcoco, tmp_path):
    with pytest.raises(DatasetError, match=r'is not refcocog: looked for refs\(umd\)\.p, '
                       r'refs\(google\)\.p, refcocog/refs\(umd\)\.p, .*found images/, refcoco/'):
        next(refer_cases('refcocog', Source(refcoco)))
    with pytest.raises(DatasetError, match=r'looked for refs\(google\)\.p'):
        next(refer_cases('refcoco', Source(refcoco, partition='google')))
    with pytest.raises(DatasetError, match='found no such folder'):
        next(refer_cases('refcoco', Source(tmp_path / 'nowhere')))
    with pytest.raises(DatasetError, match='has no split testZ; it has testA, train, val'):
        next(refer_cases('refcoco', Source(refcoco, splits=('testZ',))))


class Evil:
    """What a malicious pickle holds."""

    def __reduce__(self) -> tuple:
        """Have the reader call something."""
        return (print, ('executed',))


def test_a_malicious_pickle_is_refused_at_the_command_line(refcoco, small_weights, capfd):
    (refcoco / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps([Evil()]))
    assert main(['eval', 'benchmark', '--dataset', 'refcoco', '--root', str(refcoco), '--weights',
                 str(small_weights)]) == 2
    said = capfd.readouterr()
    assert 'not a pickle of plain containers: it asks for builtins.print' in said.err
    assert 'executed' not in said.out + said.err


def test_reasonseg_counts_targets_and_neither_what_is_ignored_nor_flags(reasonseg):
    source = Source(reasonseg.parent)
    cases = list(reason_cases(source))
    assert [(case.split, case.name, case.sentences) for case in cases] == [
        ('val', 'val/a.jpg', ('the caf\u00e9\u2019s red and blue blocks',))]
    assert cases[0].truths[0].sum() == LEFT[2] * LEFT[3]
    assert (~cases[0].counts).sum() == RIGHT[2] * RIGHT[3]
    # The mask covers both blocks, red and blue; the blue one does not count.
    assert measured(cases)['val']['ciou'] > .97
    assert [entry['name'] for entry in source.lost] == ['val/lost.jpg']
    with pytest.raises(DatasetError, match=r'is not ReasonSeg: looked for val/NAME\.json'):
        next(reason_cases(Source(reasonseg / 'val')))
    (reasonseg / 'val' / 'a.json').write_text('{"shapes": []}')
    with pytest.raises(DatasetError, match=r'a\.json is no file of ReasonSeg: wanted "text"'):
        list(reason_cases(Source(reasonseg)))


def test_small_shapes_lie_on_large_ones_whatever_their_order(reasonseg):
    path = reasonseg / 'val' / 'a.json'
    told = json.loads(path.read_text('cp1252'))
    inner = (15, 40, 10, 10)
    told['shapes'] = [{'label': 'ignore', 'points': corners(*inner)}, told['shapes'][1]]
    path.write_text(json.dumps(told))
    case = next(reason_cases(Source(reasonseg)))
    assert case.truths[0].sum() == LEFT[2] * LEFT[3] - 100 and (~case.counts).sum() == 100


def test_a_dataset_of_ours_is_a_split(toy_dataset, tmp_path):
    figures = measured(shard_cases(Source(toy_dataset, items=5)))
    assert list(figures) == [toy_dataset.name] and figures[toy_dataset.name]['images'] == 5
    (tmp_path / 'held-out').symlink_to(toy_dataset)
    (tmp_path / 'train').symlink_to(toy_dataset)
    assert list(measured(shard_cases(Source(tmp_path, items=1)))) == ['held-out']
    with pytest.raises(DatasetError, match=r'looked for dataset\.json, SPLIT/dataset\.json'):
        next(shard_cases(Source(tmp_path / 'none')))


def test_figures_by_hand():
    tally, seen = Tally(), np.zeros((10, 10), bool)
    seen[:4, :5] = True  # 20 pixels
    half, far = seen.copy(), seen.copy()
    half[2:4] = False  # 10 of them: IoU 0.5, box 0.5, neither is above
    far[9, 9] = True  # 21 pixels: IoU 20/21, box 20/100
    for truth in (seen, half, far):
        tally.add('a', seen, truth)
    tally.add('b', ~seen & False, ~seen & False)  # nothing meant, nothing shown: 1
    figures = tally.figures(0)
    assert figures['ciou'] == (20 + 10 + 20) / (20 + 20 + 21)
    assert figures['giou'] == pytest.approx((1 + .5 + 20 / 21 + 1) / 4)
    assert figures['iou50'] == 3 / 4 and figures['box50'] == 2 / 4
    assert (figures['n'], figures['images']) == (4, 2)
    assert box_iou(seen, far) == 20 / 100 and box_iou(seen, half & False) == 0


def test_the_gallery_keeps_the_best_the_worst_and_random_ones():
    gallery, drawn = Gallery(3, seed=1), []
    for number in range(200):
        score = (number * 37 % 200) / 200

        def draw(score=score):
            drawn.append(score)
            return Shown(str(score), '', '')

        gallery.add(score, draw)
    shown = {name: [float(item.title) for item in items]
             for name, items in gallery.sections.items()}
    assert shown['best'] == [.995, .99, .985] and shown['worst'] == [0, .005, .01]
    assert len({*shown['random']}) == 3 and len(drawn) < 80  # nearly all were never drawn


@pytest.mark.slow
def test_each_set_runs_from_the_command_line(refcoco, reasonseg, toy_dataset, small_weights,
                                             tmp_path, capsys):
    for dataset, root in (('refcoco', refcoco), ('reasonseg', reasonseg),
                          ('shards', toy_dataset)):
        path = tmp_path / 'out' / f'{dataset}.json'
        assert main(['eval', 'benchmark', '--dataset', dataset, '--root', str(root), '--json',
                     str(path), '--items', '3', '--weights', str(small_weights)]) == 0
        figures = json.loads(path.read_text())
        assert all({'ciou', 'giou', 'iou50', 'box50'} <= set(row)
                   for row in figures['splits'].values())
        page = path.with_suffix('.html').read_text()
        assert page.count('data:image/jpeg;base64') >= 3 and 'Worst' in page
        assert all(entry['name'] in page for entry in figures['lost'])
        said = capsys.readouterr().out
        assert 'cIoU' in said and ('1 could not be used' in said) == (dataset != 'shards')


@pytest.mark.slow
@pytest.mark.parametrize(('dataset', 'partition', 'more'), [
    ('refcoco+', 'unc', ()), ('refcocog', 'umd', ()),
    ('refcocog', 'google', ('--partition', 'google'))])
def test_sisters_of_refcoco_run_from_the_command_line(dataset, partition, more, refcoco,
                                                      small_weights, tmp_path):
    folder = (refcoco / 'refcoco').rename(refcoco / dataset)
    (folder / 'refs(unc).p').rename(folder / f'refs({partition}).p')
    path = tmp_path / 'out.json'
    assert main(['eval', 'benchmark', '--dataset', dataset, '--root', str(refcoco), '--json',
                 str(path), '--weights', str(small_weights), *more]) == 0
    figures = json.loads(path.read_text())
    assert {split: row['n'] for split, row in figures['splits'].items()} == {'testA': 1, 'val': 3}
    assert [entry['name'] for entry in figures['lost']] == ['COCO_train2014_000000000003.jpg']


def test_a_mask_is_compared_from_one_half_on(refcoco):
    faint = [Mask(np.full((96, 128), .5, np.float32), np.zeros((96, 128), np.float32), 1.0)]
    row = measure_segments(refer_cases('refcoco', Source(refcoco, splits=('testA',))),
                           lambda images, sentences: faint, DeployConfig(), Gallery(0), 0)['testA']
    assert row['ciou'] == row['giou'] == row['box50'] == 0
