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
"""Files that claim more than they hold are refused before anything is made of the claim."""

import base64
import io
import json
from pathlib import Path
import resource
import struct
import tarfile
from types import SimpleNamespace
import zlib

import cv2
import numpy as np
import pytest

from ivm_ros.cli import main
from ivm_ros.client import IvmClient
from ivm_ros.data.coco import Coco, mask_of
from ivm_ros.data.compose import compose, CompositeConfig
from ivm_ros.data.cutouts import cut, read_cutouts
from ivm_ros.data.frames import picture_of, PictureError
from ivm_ros.data.ivm_mix import IvmMix
from ivm_ros.data.labelme import Labelme
from ivm_ros.data.png_masks import class_colours, class_numbers, is_coloured, plain_mask
from ivm_ros.data.shards import (
    DatasetError, decode_image, decode_labels, decode_mask, MaskError, read_info)
from ivm_ros.evaluate.sources import Source
from ivm_ros.export import pictures_of
from ivm_ros.files import FileError, parse_json, read_json
from ivm_ros.image import ImageError
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.errors import CheckpointError, TextEncoderError
from ivm_ros.models.ivm_v1_weights import read_tensors
from ivm_ros.models.pretrained import check_files, WeightsError
from ivm_ros.models.text import TextEncoder
from ivm_ros.picture_files import decode, header_of, MOST, PictureFileError, read_picture
from ivm_ros.pixel_formats import ConvertError, to_rgb

SIDE = 30_000  # OpenCV alone would make 2.7 GB of it
SAID = 'too large'


def png_bomb(side: int = SIDE) -> bytes:
    """Write a PNG that claims to be of any size, and ends after a few rows."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack(
            '>I', zlib.crc32(name + data))

    head = struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head)
            + chunk(b'IDAT', zlib.compress(bytes((side + 1) * 10))) + chunk(b'IEND', b''))


def jpeg_bomb(side: int = SIDE) -> bytes:
    """Let a small JPEG claim to be a large one."""
    data = bytearray(cv2.imencode('.jpg', np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    place = data.index(b'\xff\xc0') + 5
    data[place:place + 4] = struct.pack('>HH', side, side)
    return bytes(data)


BOMBS = {'png': png_bomb(), 'jpg': jpeg_bomb()}


@pytest.fixture(params=BOMBS)
def bomb(request, tmp_path) -> Path:
    """Write a bomb to a file; reading it must not take memory."""
    path = tmp_path / f'bomb.{request.param}'
    path.write_bytes(BOMBS[request.param])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield path
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1_500_000, f'{grown} kB were taken'  # a model may have been loaded


@pytest.mark.parametrize(('read', 'error'), [
    (lambda path: decode(path.read_bytes()), PictureFileError), (read_picture, PictureFileError),
    (lambda path: decode_image(path.read_bytes()), DatasetError),
    (lambda path: decode_mask(path.read_bytes()), MaskError),
    (lambda path: decode_labels(path.read_bytes()), MaskError),
    (plain_mask, MaskError), (class_numbers, MaskError), (class_colours, MaskError),
    (is_coloured, MaskError), (lambda path: picture_of(path.read_bytes()), PictureError),
    (lambda path: to_rgb(SimpleNamespace(format='jpeg', data=path.read_bytes())), ConvertError),
    (lambda path: IvmClient('http://localhost:1', 'm', masker=print).ask(path, 'x'), ImageError),
    (lambda path: compose(CompositeConfig(
        str(path.parent / 'out'), (str(path.parent),), backgrounds=(str(path.parent),))),
     DatasetError)])
def test_a_picture_that_claims_to_be_huge_is_not_decoded(bomb, read, error):
    with pytest.raises(error):
        read(bomb)
    with pytest.raises(PictureFileError, match=SAID):
        header_of(bomb.read_bytes())


@pytest.mark.slow
def test_where_others_go_on_the_huge_picture_is_left_out(bomb, capsys):
    assert cut(bomb.read_bytes()) is None
    assert list(pictures_of(bomb.parent)) == []
    source = Source(bomb.parent)
    assert source.decoded('it', bomb.read_bytes()) is None
    assert SAID in source.lost[0]['why']
    assert main(['mask', str(bomb), 'the cup', '--out', str(bomb.parent / 'out')]) == 1
    assert 'failed' in capsys.readouterr().out


def test_a_picture_of_the_greatest_size_is_read():
    assert header_of(png_bomb(8192)).size == (8192, 8192) and MOST == 8192**2
    with pytest.raises(PictureFileError, match='8193 x 8193 pixels, wanted at most'):
        header_of(png_bomb(8193))
    assert decode(cv2.imencode('.png', np.zeros((20, 30), np.uint8))[1].tobytes(),
                  cv2.IMREAD_UNCHANGED).shape == (20, 30)


def test_other_decoders_than_those_that_are_named_are_never_reached():
    """A GIF is a picture, but no camera sends one."""
    gif = cv2.imencode('.gif', np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    with pytest.raises(PictureFileError, match='no JPEG, PNG'):
        decode(gif)


@pytest.mark.parametrize('kind', BOMBS)
def test_labels_of_others_with_a_huge_picture_or_mask(tmp_path, kind):
    picture = BOMBS[kind]
    shape = {'label': 'cup', 'points': [[1, 1], [9, 9], [1, 9]], 'shape_type': 'polygon'}
    told = {'imagePath': 'x', 'imageData': base64.b64encode(picture).decode(), 'shapes': [shape]}
    (tmp_path / 'a.json').write_text(json.dumps(told))
    with pytest.raises(DatasetError, match=SAID):
        Labelme(tmp_path, '', True)[0]
    small = base64.b64encode(cv2.imencode('.png', np.zeros((32, 32, 3), np.uint8))[1]).decode()
    shape.update(shape_type='mask', mask=told['imageData'], points=[[0, 0], [9, 9]])
    (tmp_path / 'a.json').write_text(json.dumps(told | {'imageData': small}))
    with pytest.raises(MaskError, match='a shape is broken'):
        Labelme(tmp_path, '', True)[0]
    (tmp_path / 'mix.jsonl').write_text('{"uuid": "a", "instruction": "the cup"}')
    (tmp_path / 'img_a.jpg').write_bytes(picture)
    (tmp_path / 'mask_a.jpg').write_bytes(picture)
    with pytest.raises(DatasetError, match=SAID):
        IvmMix(tmp_path / 'mix.jsonl')[0]


@pytest.mark.parametrize(('height', 'width'), [
    (10**6, 10**6), (-1, 5), (0, 5), (1.5, 5), ('9', 5), (True, 5), (None, 5), (2**63, 1)])
def test_a_size_in_a_label_file_that_no_picture_has(tmp_path, height, width):
    path = tmp_path / 'instances.json'
    annotation = {'id': 1, 'image_id': 1, 'category_id': 1, 'segmentation': [[0, 0, 9, 0, 9, 9]]}
    path.write_text(json.dumps({
        'images': [{'id': 1, 'file_name': 'a.jpg', 'height': height, 'width': width}],
        'annotations': [annotation], 'categories': [{'id': 1, 'name': 'cup'}]}))
    with pytest.raises(DatasetError, match='no COCO instance file'):
        Coco(path, str(tmp_path), True)
    with pytest.raises(MaskError):
        mask_of(annotation, {'height': height, 'width': width})


@pytest.mark.parametrize('outline', [
    [[0, 0, 1e12, 0, 1e12, 1e12]],  # pycocotools dies of it by a segmentation fault
    [[float('nan'), 0, 5, 0, float('inf'), 9]],  # .. eats all memory
    [[0, 0, 5e6, 0, 0, 5e6] * 9], [[0, 0, 5]], [['x', 0, 5, 0]], [[]], 'text', {}, {'counts': 5},
    {'counts': [0, 5], 'size': [10, 10]},  # .. shows what lay in its memory
    {'counts': [0, 10**9], 'size': [10, 10]}, {'counts': [-5, 105], 'size': [10, 10]},
    {'counts': '05', 'size': [10, 10]}, {'counts': 'oooooooooooooo', 'size': [10, 10]},
    {'counts': '\x00', 'size': [10, 10]}, {'counts': 'é', 'size': [10, 10]},
    {'counts': [2**80], 'size': [10, 10]}, {'counts': [100], 'size': [10**6, 10**6]}])
def test_outlines_that_crash_what_fills_them_are_refused(outline):
    with pytest.raises(MaskError):
        mask_of({'id': 1, 'segmentation': outline}, {'height': 10, 'width': 10})


def test_run_lengths_are_read_as_pycocotools_reads_them():
    from pycocotools import mask as rle

    for seed in range(20):
        rng = np.random.default_rng(seed)
        mask = cv2.resize(rng.integers(0, 2, (6, 8), np.uint8), (80, 60),
                          interpolation=cv2.INTER_NEAREST)
        coded = rle.encode(np.asfortranarray(mask))
        for counts in (coded['counts'], coded['counts'].decode()):
            found = mask_of({'segmentation': {'counts': counts, 'size': [60, 80]}},
                            {'height': 60, 'width': 80})
            assert np.array_equal(found, mask * 255)


def test_an_archive_member_that_claims_gigabytes_is_passed_over(tmp_path):
    cup = np.zeros((60, 60, 4), np.uint8)
    cup[10:50, 10:50] = (200, 20, 20, 255)
    data = cv2.imencode('.png', cup)[1].tobytes()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w') as archive:
        for name in ('cup.png', '../../apple.png'):  # the name is only a name: nothing is unpacked
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    huge = tarfile.TarInfo('banana.png')
    huge.size = 8 << 30
    raw = stream.getvalue()
    (tmp_path / 'x.tar').write_bytes(huge.tobuf() + raw)
    with pytest.raises(DatasetError, match=r'holds no cut-outs|torn or no archive'):
        read_cutouts(tmp_path / 'x.tar')
    (tmp_path / 'y.tar').write_bytes(raw)
    assert [item.noun for item in read_cutouts(tmp_path / 'y.tar')] == ['cup', 'apple']
    assert not (tmp_path.parents[1] / 'apple.png').exists()
    (tmp_path / 'z.tgz').write_bytes(b'\x1f\x8b torn')
    with pytest.raises(DatasetError, match='torn or no archive'):
        read_cutouts(tmp_path / 'z.tgz')


def test_json_has_limits_of_size_and_of_depth(tmp_path):
    path = tmp_path / 'x.json'
    path.write_text('[' * 100_000)
    for text in ('[' * 100_000, '{"a":' * 100_000):
        with pytest.raises(FileError, match='nested too deep'):
            parse_json(text)
    path.write_bytes(b'"' + b'x' * 100 + b'"')
    with pytest.raises(FileError, match='at most 50 bytes'):
        read_json(path, 50)
    path.write_bytes(b'"\xff\xfe"')
    with pytest.raises(ValueError, match='utf-8'):
        read_json(path)
    (tmp_path / 'dataset.json').write_text('[' * 100_000)
    with pytest.raises(DatasetError, match='cannot be read'):
        read_info(tmp_path)


@pytest.mark.parametrize('length', [2**63, 2**62, 1 << 40, 200 << 20])
def test_weights_whose_header_claims_gigabytes(tmp_path, small_weights, length):
    """Eight bytes say how long the header is."""
    path = tmp_path / 'model.safetensors'
    path.write_bytes(struct.pack('<Q', length) + b'{' + bytes(1000))
    path.with_suffix('.json').write_bytes(small_weights.with_suffix('.json').read_bytes())
    with pytest.raises(CheckpointError, match='truncated or not safetensors'):
        load_checkpoint(path)
    with pytest.raises(WeightsError):
        check_files(tmp_path)
    with pytest.raises(WeightsError):
        read_tensors(path)
    (tmp_path / 'tokenizer.json').write_text('{}')
    (tmp_path / 'config.json').write_text('{}')
    with pytest.raises(TextEncoderError, match='torn or another one'):
        TextEncoder(str(tmp_path))


@pytest.mark.parametrize('config', [
    {'dim': 10**9}, {'height': 10**9}, {'depth': 10**9}, {'proposals': 10**9}, {'dim': 'x'}])
def test_a_network_is_not_made_as_large_as_its_json_says(tmp_path, small_weights, config):
    path = tmp_path / 'model.safetensors'
    path.write_bytes(small_weights.read_bytes())
    told = json.loads(small_weights.with_suffix('.json').read_text())
    path.with_suffix('.json').write_text(json.dumps(told | {'config': config}))
    with pytest.raises(CheckpointError, match='CompactConfig'):
        load_checkpoint(path)


def test_tensors_that_overlap_or_lie_behind_the_end_are_refused(tmp_path):
    def write(**tensors):
        head = json.dumps({name: {'dtype': 'F32', 'shape': shape, 'data_offsets': place}
                           for name, (shape, place) in tensors.items()}).encode()
        path = tmp_path / 'x.safetensors'
        path.write_bytes(struct.pack('<Q', len(head)) + head + bytes(64))
        return path

    for tensors in ({'a': ([2**40], [0, 2**42])}, {'a': ([16], [0, 64]), 'b': ([16], [0, 64])},
                    {'a': ([2**62, 4], [0, 64])}, {'a': ([-1], [0, 64])}):
        with pytest.raises(WeightsError):
            read_tensors(write(**tensors))
