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
"""Masks that people drew: what CVAT, labelme and Label Studio export."""

from base64 import b64encode
from io import BytesIO
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from PIL import Image
import pytest

from ivm_ros.data.importer import import_dataset, ImportConfig
from ivm_ros.data.loader import Batches, Scenes
from ivm_ros.data.shards import DatasetError, decode_mask, MaskError, read_rows, Row

SIZE = (120, 160)


def disc(row: int, column: int, radius: int = 25) -> np.ndarray:
    """Draw a filled circle, bool [h, w]."""
    rows, columns = np.ogrid[:SIZE[0], :SIZE[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius ** 2


LEFT, RIGHT, LOW = disc(40, 40), disc(40, 115), disc(95, 80, 18)


def picture(path: Path, size: tuple[int, int] = SIZE) -> bytes:
    """Write a grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(0).integers(90, 120, (*size, 3), dtype=np.uint8)
    cv2.imwrite(str(path), image)
    return path.read_bytes()


def png(path: Path, pixels: np.ndarray, palette: list[int] | None = None) -> None:
    """Write a PNG with Pillow, as all three tools do; with a palette where there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image = image.convert('P') if image.mode != 'P' else image
        image.putpalette(palette)
    image.save(path)


def voc_palette() -> list[int]:
    """Give Pascal VOC's colours: bits 0, 3, 6 .. of a number are the high bits of its red."""
    return [sum((number >> 3 * bit + channel & 1) << 7 - bit for bit in range(8))
            for number in range(256) for channel in range(3)]


def painted(*parts: tuple[np.ndarray, tuple[int, int, int]]) -> np.ndarray:
    """Paint colours on black."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    for inside, colour in parts:
        pixels[inside] = colour
    return pixels


def imported(source: Path, layout: str, **settings) -> list[Row]:
    """Import into a new folder; all rows must be marked as made by people, and be trainable."""
    with TemporaryDirectory() as out:
        import_dataset(ImportConfig(str(source), out, layout, by='people', **settings))
        rows = list(read_rows(Path(out)))
        Batches(Scenes([Path(out)]), (96, 128), 1, 2, None, 0)[0]
    assert all(row.is_human and row.annotator == 'person' for row in rows)
    assert all(row.found == (decode_mask(row.mask) > 127).any() for row in rows)
    return rows


def masks_of(source: Path, layout: str, **settings) -> dict[str, np.ndarray]:
    """Import, and give masks uint8 [h, w] by sentence."""
    return {row.instruction: decode_mask(row.mask) for row in imported(source, layout, **settings)}


def same(mask: np.ndarray, inside: np.ndarray) -> bool:
    """Tell whether a mask is exactly so."""
    return np.array_equal(mask, inside.astype(np.uint8) * 255)


# --- CVAT ------------------------------------------------------------------------------------

@pytest.fixture
def cvat(tmp_path) -> Path:
    """Write an export "Segmentation mask 1.1" with images, two of whose colours are pure."""
    folder = tmp_path / 'cvat'
    picture(folder / 'JPEGImages' / 'front' / 'one.jpg')
    picture(folder / 'JPEGImages' / 'two.png')
    (folder / 'labelmap.txt').write_text(
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\nbowl:0,0,255::\nknife:255,0,0::\n'
        'tea cup:250,250,55::\n')
    (folder / 'ImageSets' / 'Segmentation').mkdir(parents=True)
    (folder / 'ImageSets' / 'Segmentation' / 'default.txt').write_text('front/one\ntwo\n')
    red, blue, yellow = (255, 0, 0), (0, 0, 255), (250, 250, 55)
    png(folder / 'SegmentationClass' / 'front' / 'one.png',
        painted((LEFT, red), (RIGHT, red), (LOW, blue)))
    png(folder / 'SegmentationObject' / 'front' / 'one.png',
        painted((LEFT, (128, 0, 0)), (RIGHT, (0, 128, 0)), (LOW, (128, 128, 0))))
    png(folder / 'SegmentationClass' / 'two.png', painted((RIGHT, yellow)))
    png(folder / 'SegmentationObject' / 'two.png', painted((RIGHT, (128, 0, 0))))
    return folder


def test_colours_of_cvat_are_labels_and_pure_ones_are_not_lost(cvat):
    masks = masks_of(cvat, 'png')
    assert set(masks) == {'the knives', 'the bowl', 'the tea cup'}  # two things are red
    assert same(masks['the knives'], LEFT | RIGHT) and same(masks['the bowl'], LOW)
    assert same(masks['the tea cup'], RIGHT)


def test_a_sentence_of_ones_own_takes_the_label_as_it_stands(cvat):
    assert set(masks_of(cvat, 'png', sentence='put {} away')) == {
        'put knife away', 'put bowl away', 'put tea cup away'}


def test_numbers_instead_of_colours_count_the_lines(cvat):
    png(cvat / 'SegmentationClass' / 'two.png', np.uint8(RIGHT) * 3 + np.uint8(LEFT))
    masks = masks_of(cvat, 'png')
    assert same(masks['the tea cup'], RIGHT)
    png(cvat / 'SegmentationClass' / 'two.png', np.uint8(RIGHT) * 4)
    with pytest.raises(MaskError, match=r'two\.png holds class 4, and labelmap\.txt has 4 lines'):
        masks_of(cvat, 'png')


def test_a_colour_without_a_name_is_refused(cvat):
    png(cvat / 'SegmentationClass' / 'two.png', painted((RIGHT, (1, 2, 3))))
    with pytest.raises(MaskError, match=r'two\.png holds the colour \(1, 2, 3\), which labelmap'):
        masks_of(cvat, 'png')


def test_lines_of_labelmap_that_do_not_fit_are_named(cvat):
    (cvat / 'labelmap.txt').write_text('knife:red::\n')
    with pytest.raises(DatasetError, match='line 1: wanted name:red,green,blue'):
        masks_of(cvat, 'png')
    (cvat / 'labelmap.txt').write_text('knife:1,2,3::\nfork:1,2,3::\n')
    with pytest.raises(DatasetError, match="line 2: 'fork' has the colour of another"):
        masks_of(cvat, 'png')


def test_cvat_coco_with_masks_polygons_and_a_box(tmp_path):
    picture(tmp_path / 'images' / 'default' / 'one.jpg')
    runs = np.flatnonzero(np.diff(np.r_[0, LEFT.T.ravel(), 0])).tolist()
    shared = {'image_id': 1, 'attributes': {'occluded': False}, 'area': 1, 'bbox': [0, 0, 1, 1]}
    told = {'licenses': [], 'info': {}, 'categories': [{'id': 1, 'name': 'cup'}],
            'images': [{'id': 1, 'file_name': 'default/one.jpg', 'height': 120, 'width': 160,
                        'license': 0, 'flickr_url': '', 'coco_url': '', 'date_captured': 0}],
            'annotations': [{'id': 1, 'category_id': 1, 'iscrowd': 1, **shared, 'segmentation': {
                'counts': np.diff([0, *runs, LEFT.size]).tolist(), 'size': list(SIZE)}}]}
    path = tmp_path / 'annotations' / 'instances_default.json'
    path.parent.mkdir()
    path.write_text(json.dumps(told))
    masks = masks_of(path, 'coco', images=str(tmp_path / 'images'))
    assert set(masks) == {'the cup'} and same(masks['the cup'], LEFT)
    told['annotations'].append({'id': 2, 'category_id': 1, 'iscrowd': 0, **shared,
                                'segmentation': []})
    path.write_text(json.dumps(told))
    with pytest.raises(MaskError, match='annotation 2 is a box or points without an outline'):
        import_dataset(ImportConfig(str(path), str(tmp_path / 'o'), 'coco', by='people',
                                    images=str(tmp_path / 'images')))


# --- labelme ---------------------------------------------------------------------------------

def test_palettes_of_labelme2voc_are_numbers(tmp_path):
    folder = tmp_path / 'voc'
    for name in ('one', 'two'):
        picture(folder / 'JPEGImages' / f'{name}.jpg')
    (folder / 'class_names.txt').write_text('_background_\ncup\nspoon')
    classes = np.zeros(SIZE, np.uint8)
    classes[LEFT], classes[RIGHT], classes[LOW] = 1, 2, 255  # -1, __ignore__
    png(folder / 'SegmentationClassPNG' / 'one.png', classes, voc_palette())
    png(folder / 'SegmentationClassPNG' / 'two.png', np.zeros(SIZE, np.uint8), voc_palette())
    masks = masks_of(folder, 'png')  # nothing is labelled in the second
    assert set(masks) == {'the cup', 'the spoon'}
    assert np.array_equal(masks['the cup'] > 127, LEFT)
    assert (masks['the cup'][LOW] == 127).all() and not masks['the cup'][RIGHT].any()
    (folder / 'class_names.txt').write_text('_background_\ncup')
    with pytest.raises(MaskError, match=r'holds class 2, which class_names\.txt does not name'):
        masks_of(folder, 'png')


def shape(label: str, kind: str, points: list, **more) -> dict:
    """Give a shape as labelme writes it."""
    return {'label': label, 'points': points, 'group_id': None, 'description': '',
            'shape_type': kind, 'flags': {}, 'mask': None, **more}


@pytest.fixture
def labelme(tmp_path) -> Path:
    """Write a JSON of labelme, whose picture lies in another folder, with shapes of all kinds."""
    picture(tmp_path / 'shots' / 'one.jpg')
    small = BytesIO()
    Image.fromarray(LOW[77:114, 62:99]).save(small, 'PNG')
    told = {'version': '5.5.0', 'flags': {}, 'imagePath': '..\\shots\\one.jpg', 'imageData': None,
            'imageHeight': 120, 'imageWidth': 160, 'shapes': [
                shape('cup', 'polygon', [[10.0, 10.0], [50.4, 10.0], [50.4, 30.0], [10.0, 30.0]]),
                shape('cup', 'rectangle', [[30.0, 60.0], [10.0, 40.0]]),
                shape('plate', 'circle', [[115.0, 40.0], [115.0, 65.0]]),
                shape('fork', 'mask', [[62.0, 77.0], [98.0, 113.0]],
                      mask=b64encode(small.getvalue()).decode()),
                shape('lid', 'polygon', [[100, 80], [110, 80], [110, 90]], group_id=1),
                shape('lid', 'polygon', [[120, 80], [130, 80], [130, 90]], group_id=1)]}
    path = tmp_path / 'labels' / 'one.json'
    path.parent.mkdir()
    path.write_text(json.dumps(told))
    return path


def test_shapes_of_labelme_are_filled_and_groups_are_one_thing(labelme):
    masks = masks_of(labelme.parent, 'labelme', images=str(labelme.parents[1] / 'shots'))
    assert set(masks) == {'the cups', 'the plate', 'the fork', 'the lid'}
    cups = np.zeros(SIZE, bool)
    cups[10:31, 10:51] = cups[40:61, 10:31] = True  # labelme draws the outline too
    assert same(masks['the cups'], cups) and same(masks['the fork'], LOW)
    plate = masks['the plate'] > 0
    assert (plate & RIGHT).sum() / (plate | RIGHT).sum() > .95
    assert masks['the lid'][82, [109, 115, 129]].tolist() == [255, 0, 255]


def test_a_picture_inside_the_json_is_taken(labelme):
    told = json.loads(labelme.read_text())
    data = (labelme.parents[1] / 'shots' / 'one.jpg').read_bytes()
    with pytest.raises(DatasetError, match='leads out of'):
        masks_of(labelme.parent, 'labelme')
    labelme.write_text(json.dumps({**told, 'imageData': b64encode(data).decode()}))
    rows = imported(labelme.parent, 'labelme')
    assert len(rows) == 4 and rows[0].image == data


@pytest.mark.parametrize(('change', 'said'), [
    ({'shapes': [shape('rim', 'line', [[1, 1], [9, 9]])]}, "'rim' is a line, which has no inside"),
    ({'shapes': [shape('rim', 'polygon', [[1, 1], [9, 9]])]}, 'polygon of 2 points'),
    ({'shapes': [shape('rim', 'mask', [[1, 1], [9, 9]], mask='AAAA')]}, 'a shape is broken'),
    ({'shapes': [shape('rim', 'polygon', [['a', 1], [9, 9], [3, 3]])]}, 'a shape is broken'),
    ({'shapes': []}, 'with a shape in it'), ({'shapes': [{}]}, 'is no file of labelme'),
    ({'imageData': '?'}, None), ({'imageWidth': 99}, 'is about a picture of 99 x 120')])
def test_broken_files_of_labelme_are_named(labelme, change, said):
    labelme.write_text(json.dumps({**json.loads(labelme.read_text()), **change}))
    images = str(labelme.parents[1] / 'shots') if said else ''
    with pytest.raises(DatasetError, match=said or 'imageData is broken'):
        masks_of(labelme.parent, 'labelme', images=images)


# --- Label Studio ----------------------------------------------------------------------------

@pytest.fixture
def studio(tmp_path) -> Path:
    """Write both exports of a project with brush labels; two tools have names with dashes."""
    folder = tmp_path / 'brush'
    for name in ('frame one.jpg', 'two.png'):
        picture(tmp_path / 'images' / name)

    def region(tool: str, *labels: str) -> dict:
        return {'from_name': tool, 'to_name': 'image', 'type': 'brushlabels', 'origin': 'manual',
                'original_height': 120, 'original_width': 160,
                'value': {'format': 'rle', 'rle': [0], 'brushlabels': [*labels]}}

    tasks = [{'id': 3, 'file_upload': '61148fa2-frame_one.jpg', 'data': {
                'image': '/data/upload/1/61148fa2-frame%20one.jpg'}, 'annotations': [
                    {'id': 7, 'completed_by': 1, 'result': [
                        region('my-tag', 'tea-cup'), region('my-tag', 'tea-cup'),
                        region('my-tag', 'knife', 'fork')]}]},
             {'id': 4, 'data': {'image': '/data/local-files/?d=shots/two.png', 'number': 5},
              'annotations': [{'id': 8, 'result': [region('tag', 'knife')]}]},
             {'id': 5, 'data': {'image': 'x.jpg'}, 'annotations': []}]
    (tmp_path / 'project.json').write_text(json.dumps(tasks))
    for name, inside in (('task-3-annotation-7-by-1-my-tag-tea-cup-0', LEFT),
                         ('task-3-annotation-7-by-1-my-tag-tea-cup-1', RIGHT),
                         ('task-3-annotation-7-by-1-my-tag-knife-fork-0', LOW),
                         ('task-4-annotation-8-by-a@b.org-tag-knife-0', LEFT)):
        png(folder / f'{name}.png', inside.astype(np.uint8) * 255)
    return folder


def test_brush_labels_of_label_studio_find_their_pictures(studio):
    rows = imported(studio, 'png', tasks=str(studio.parent / 'project.json'),
                    images=str(studio.parent / 'images'))
    masks = {row.instruction: decode_mask(row.mask) for row in rows}
    assert set(masks) == {'the tea-cup', 'the knife', 'the fork'}
    assert same(masks['the tea-cup'], LEFT | RIGHT) and same(masks['the fork'], LOW)
    assert [(row.extra['name'], row.extra['task']) for row in rows] == [
        ('frame one.jpg', 3)] * 3 + [('two.png', 4)]


def test_names_of_label_studio_need_the_json_of_the_same_project(studio):
    with pytest.raises(DatasetError, match='export "JSON" too, and name it with --tasks'):
        masks_of(studio, 'png', images=str(studio.parent / 'images'))
    tasks = studio.parent / 'project.json'
    told = json.loads(tasks.read_text())

    def refused(said: str, content: object) -> None:
        tasks.write_text(json.dumps(content))
        with pytest.raises(DatasetError, match=said):
            masks_of(studio, 'png', tasks=str(tasks), images=str(studio.parent / 'images'))

    refused('of task 3, which .* does not hold', told[1:])
    refused('lacks what is needed', [{'id': 3, 'image': 'x.jpg', 'tag': []}])
    refused("has no brush label 'my-tag-knife-fork'", [{**told[0], 'annotations': []}, told[1]])
    refused('about gone.jpg, and .* none of these',
            [{**told[0], 'data': {'image': 'gone.jpg'}, 'file_upload': None}, told[1]])
