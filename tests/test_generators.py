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
"""What all large generators share: one door, offline, a robot's plane, a full GPU, `ivm` verbs."""

import json
import logging
from pathlib import Path
import re
import shutil
import sys

import cv2
import numpy as np
import pytest
import torch

from ivm_ros.annotate.experts import make_expert, Picture
from ivm_ros.bench import BenchConfig
from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.data.shards import Row
from ivm_ros.download import download, DownloadConfig
from ivm_ros.language.grammar import GrammarParser
from ivm_ros.masker import Masker, MaskerConfig, MemoryFullError
from ivm_ros.models.memory import Careful
from ivm_ros.models.pretrained import load_pretrained, WeightsError
from ivm_ros.models.registry import make_generator, module_of, parts_of
from ivm_ros.models.robot_plane import PHRASE
from ivm_ros.models.settings import GENERATORS

pytestmark = pytest.mark.slow

LARGE = [name for name in GENERATORS if name != 'compact' and parts_of(name)]  # with weights
ROOT = Path(__file__).parents[1]
CPU = torch.device('cpu')
ROUNDING = {'grounded_edgetam': 1e-4}  # its miniature is deep: batches round otherwise


def picture(seed=0, size=(60, 80)):
    rows = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.kron(rows, np.ones((size[0] // 6, size[1] // 8, 1), np.uint8))


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Write random weights of every large generator through the command line."""
    folder = tmp_path_factory.mktemp('tiny')
    for name in LARGE:
        assert main(['download', name, '--tiny', '--out', str(folder / name)]) == 0
    return folder


def config(tiny, name, **words):
    return MaskerConfig(str(tiny / name), generator=name, **words)


@pytest.fixture(scope='module', params=LARGE)
def masker(request, tiny):
    """Make each of them as a user does."""
    return Masker(config(tiny, request.param))


def test_masks_are_of_their_pictures_and_repeat(masker):
    images = [picture(0), picture(1, (96, 64)), picture(2, (36, 480))]
    masks = masker(images, ['pick up the red mug', 'the duck', 'put the cup on the plate'])
    for image, mask, again in zip(images, masks, masker(images, [
            'pick up the red mug', 'the duck', 'put the cup on the plate'])):
        for plane in (mask.target, mask.robot):
            assert plane.shape == image.shape[:2]
            assert plane.dtype == np.float32
            assert plane.min() >= 0 and plane.max() <= 1
        assert 0 <= mask.found <= 1
        assert np.array_equal(mask.target, again.target)
    assert {'generator', 'weights', 'sha256', 'device', 'threads', 'torch', 'provenance',
            'quality', 'robot_plane'} <= set(masker.info)


def test_the_robot_is_that_of_the_compact_model(masker):
    image = picture()
    assert np.array_equal(masker(image, 'the mug').robot, Masker()(image, PHRASE).robot)


@pytest.mark.parametrize('name', LARGE)
def test_the_robot_may_be_asked_for_by_a_phrase_or_be_left_out(tiny, name):
    asking, plain = (Masker(config(tiny, name, robot_plane=plane)) for plane in ('phrase', 'none'))
    images, texts = [picture(), picture(1)], ['the mug', 'the duck']
    close = ROUNDING.get(name, 1e-5)
    for mask, image, text in zip(asking(images, texts), images, texts):
        assert np.abs(mask.robot - plain(image, PHRASE).target).max() < close
        assert np.abs(mask.target - plain(image, text).target).max() < close
        assert not plain(image, text).robot.any()


@pytest.mark.parametrize('name', LARGE)
def test_missing_weights_are_asked_for_by_a_command(name, tmp_path, monkeypatch):
    """Nothing is fetched unasked: the network is not even tried."""
    monkeypatch.setattr('socket.socket.connect', lambda *given: pytest.fail('tried the network'))
    for weights in ('', str(tmp_path)):
        with pytest.raises(WeightsError, match=f'"ivm download {name}" fetches it'):
            Masker(MaskerConfig(weights, generator=name))


@pytest.mark.parametrize('name', LARGE)
def test_each_states_memory_licence_and_weights_in_at_most_150_lines(name):
    module = module_of(name)
    assert len(Path(module.__file__).read_text().splitlines()) <= 150
    text = ' '.join(module.__doc__.split())
    assert 'emory' in text
    for part in parts_of(name).values():
        assert part.repo in text
        assert part.licence and all(named in text for named in part.licence.split(' and '))
        assert f'{part.gigabytes:g} GB' in text or part.gigabytes < .1
    page = (ROOT / 'docs' / 'generators.md').read_text()
    assert f'`{name}`' in page
    assert all(part.repo in page for part in parts_of(name).values())


def test_unknown_generators_and_combinations_are_refused():
    with pytest.raises(ConfigError, match=r"got 'ivm-v1' .did you mean 'ivm_v1'"):
        MaskerConfig(generator='ivm-v1')
    with pytest.raises(ConfigError, match='onnx computes the compact generator only'):
        MaskerConfig(generator='clipseg', runtime='onnx')


@pytest.mark.parametrize(('package', 'precision'), [('peft', 'auto'), ('bitsandbytes', 'int8')])
def test_a_package_that_is_not_installed_is_named(tiny, monkeypatch, package, precision):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(WeightsError, match=f'needs the package {package}; pip install '
                                           r'"ivm_ros\[foundation\]"'):
        Masker(config(tiny, 'ivm_v1', precision=precision))


def test_names_that_old_files_have_too_many_are_no_difference(tiny, tmp_path):
    """Older releases of transformers saved constants that newer ones compute."""
    from safetensors.torch import load_file, save_file
    from transformers import CLIPSegForImageSegmentation

    folder = shutil.copytree(tiny / 'clipseg' / 'clipseg', tmp_path / 'old')
    arrays = load_file(folder / 'model.safetensors')
    arrays['clip.text_model.embeddings.position_ids'] = torch.arange(77)[None]
    save_file(arrays, folder / 'model.safetensors', {'format': 'pt'})
    load_pretrained(CLIPSegForImageSegmentation, folder)
    arrays['head.weight'] = torch.zeros(1)
    save_file(arrays, folder / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(WeightsError, match=r'1 arrays left over \(head\.weight\)'):
        load_pretrained(CLIPSegForImageSegmentation, folder)


def test_the_generator_of_the_page_works_as_it_stands_there(tmp_path, monkeypatch):
    page = (ROOT / 'docs' / 'generators.md').read_text()
    code, = re.findall(r'```python\n(.*?)```', page, re.DOTALL)
    assert len(code.splitlines()) <= 30
    (tmp_path / 'colours_of_the_page.py').write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(GENERATORS, 'colours', 'colours_of_the_page')
    image = np.full((60, 80, 3), 255, np.uint8)
    image[:30, :40], image[30:, 40:] = (200, 40, 40), (40, 70, 200)
    mask = Masker(MaskerConfig(generator='colours'))(image, 'take the red cube')
    assert mask.target[:30, :40].min() > .99
    assert mask.target[30:].max() < .01
    assert mask.found > .99
    assert mask.robot.shape == mask.target.shape


@pytest.mark.parametrize('name', LARGE)
def test_each_is_an_expert_of_annotation(tiny, name):
    """Under its own name, asked for the sentence or for its phrases."""
    sentence = GrammarParser().parse('put the duck on the plate')
    row = Row('1', b'', sentence.instruction, 'plain', None, None, None, 'test', 'none')
    masker = Masker(config(tiny, name))
    for expert, asked in ((name, [sentence.instruction]),
                          (f'{name}-phrases', ['the duck', 'the plate'])):
        candidates, = make_expert(expert, config(tiny, name)).propose(
            [Picture(picture(), row)], [sentence])
        assert {one.expert for one in candidates} == {expert}
        assert [one.phrase.text for one in candidates] == asked
        for one, text in zip(candidates, asked):
            assert np.abs(one.mask - masker(picture(), text).target).max() < 1e-4


def test_weights_go_to_the_expert_that_generator_names(tiny):
    assert make_expert('compact', config(tiny, 'clipseg')).masker.info['generator'] == 'compact'
    with pytest.raises(WeightsError, match='ivm download ivm_v1'):
        make_expert('ivm_v1', config(tiny, 'clipseg'))


EYES = {'ivm_v1': lambda made: made.net.sam,
        'clipseg': lambda made: made.net.clip.vision_model,
        'grounded_sam2': lambda made: made.sam.vision_encoder,
        'grounded_edgetam': lambda made: made.sam.vision_encoder,
        'sam3': lambda made: made.net.vision_encoder,
        'sam3_lite': lambda made: made.net.vision_encoder}
"""What each sees pictures with, all of a batch at once."""


class Gpu:
    """Stands for a GPU whose memory holds `room` pictures: there is none on most machines."""

    def __init__(self, tiny, name, room):
        self.made, self.room, self.batches = [], room, []
        self.config = config(tiny, name)

    def make(self, device):
        """Make the generator on the CPU; if for CUDA, with the error that PyTorch would raise."""
        self.made.append(device.type)
        generator = make_generator(self.config, CPU, 1).generator
        if device.type == 'cuda':
            if not self.room:
                raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. Of')
            EYES[self.config.generator](generator.generator).register_forward_pre_hook(
                self._fill, with_kwargs=True)
        return generator

    def _fill(self, module, given, words):
        count = len([*given, *words.values()][0])
        self.batches.append(count)
        if count > self.room:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. Of')


CUDA = torch.device('cuda')
IMAGES, TEXTS = [picture(seed) for seed in range(5)], ['the mug', 'a duck', 'cup', 'pan', 'fork']


@pytest.mark.parametrize('name', LARGE)
def test_a_full_gpu_makes_batches_smaller(tiny, name, caplog):
    gpu = Gpu(tiny, name, 2)
    careful = Careful(gpu.make, CUDA, 'split')
    masks = careful.generate(IMAGES, TEXTS)
    assert gpu.batches == [5, 2, 3, 1, 2]
    close = ROUNDING.get(name, 1e-5)
    for mask, wanted in zip(masks, make_generator(gpu.config, CPU, 1).generate(IMAGES, TEXTS)):
        assert np.abs(mask.target - wanted.target).max() < close
    assert 'pictures are masked as' in careful.info['trouble']
    assert [record.levelno for record in caplog.records].count(logging.WARNING) >= 1


def test_a_full_gpu_hands_over_to_the_cpu_for_good(tiny, caplog):
    gpu = Gpu(tiny, 'clipseg', 2)
    careful = Careful(gpu.make, CUDA, 'cpu')
    assert len(careful.generate(IMAGES, TEXTS)) == len(careful.generate(IMAGES, TEXTS)) == 5
    assert gpu.made == ['cuda', 'cpu'] and gpu.batches == [5]
    assert 'on the CPU from now on' in careful.info['trouble']
    assert 'on the CPU from now on' in caplog.text
    weights = Careful(Gpu(tiny, 'clipseg', 0).make, CUDA, 'cpu')
    assert 'the weights do not fit' in weights.info['trouble']
    assert len(weights.generate(IMAGES, TEXTS)) == 5


def test_a_full_gpu_that_no_rule_helps_says_so(tiny):
    with pytest.raises(MemoryFullError, match='weights do not fit into the memory of cuda'):
        Careful(Gpu(tiny, 'clipseg', 0).make, CUDA, 'split')
    careful = Careful(Gpu(tiny, 'clipseg', 2).make, CUDA, 'fail')
    with pytest.raises(MemoryFullError, match=r'memory of cuda is full with 5 .*on_out_of_memory'):
        careful.generate(IMAGES, TEXTS)
    assert len(careful.generate(IMAGES[:2], TEXTS[:2])) == 2
    assert 'trouble' not in careful.info


@pytest.mark.parametrize('name', LARGE)
def test_ivm_mask_runs_each_from_its_tiny_configuration(tiny, name, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'a.png'), picture())
    assert main(['mask', str(tmp_path / 'a.png'), 'the red mug', '--generator', name, '--weights',
                 str(tiny / name), '--out', str(tmp_path / 'out')]) == 0
    said = cv2.imread(str(tmp_path / 'out' / 'a.mask.png'), cv2.IMREAD_GRAYSCALE)
    wanted = Masker(config(tiny, name))(
        cv2.cvtColor(picture(), cv2.COLOR_BGR2RGB), 'the red mug').target
    assert np.abs(said - 255 * wanted).max() <= .501


def test_download_lists_refuses_and_stays_offline_where_it_is_told_to(capsys):
    assert main(['download']) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in GENERATORS)
    for name, said in (('clipseq', "did you mean 'clipseg'"), ('compact', 'nothing to fetch')):
        with pytest.raises(ConfigError, match=said):
            download(DownloadConfig(name))
    with pytest.raises(ConfigError, match='wanted --out FOLDER'):
        download(DownloadConfig('clipseg', tiny=True))
    with pytest.raises(WeightsError, match='HF_HUB_OFFLINE'):
        download(DownloadConfig('clipseg'))


@pytest.mark.parametrize('name', LARGE)
def test_ivm_bench_times_each_with_random_weights(name, tmp_path, capsys):
    path = tmp_path / 'bench.json'
    assert main(['bench', '--generator', name, '--tiny', '--quick', '--json', str(path)]) == 0
    report = json.loads(path.read_text())
    assert (report['generator'], report['made'], report['device']) == (name, 'tiny', str(CPU))
    for key in ('1_sentences_ms', '4_sentences_ms'):
        assert report[key]['n'] == 1
        assert report[key]['median'] > 1
    assert report['peak_process_mib'] > 100
    assert len(report['sha256']) == 64
    assert report['gflops'] > 0
    assert report['1_sentences_ms']['cpu'] > 1
    assert f'{report["1_sentences_ms"]["median"]:.1f}' in capsys.readouterr().out


@pytest.mark.parametrize(('words', 'said'), [
    ({'tiny': True}, 'wanted a large generator'),
    ({'tiny': True, 'random': True}, 'wanted one of them'),
    ({'random': True, 'masker': MaskerConfig('a', generator='clipseg')}, "no weights, got 'a'")])
def test_ivm_bench_refuses_random_weights_that_make_no_sense(words, said):
    with pytest.raises(ConfigError, match=said):
        BenchConfig(**words)
