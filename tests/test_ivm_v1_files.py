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
"""Files of the paper's generator that are torn, of another model or hostile: what is said."""

import json
import pickle
import shutil

import pytest
import torch

from ivm_ros.masker import CheckpointError, Masker, MaskerConfig
from ivm_ros.models.ivm_v1 import FILE, write_random
from ivm_ros.models.ivm_v1_random import CHANNELS
from ivm_ros.models.ivm_v1_weights import read_tensors
from ivm_ros.models.pretrained import WeightsError

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Write the miniature."""
    folder = tmp_path_factory.mktemp('ivm_v1')
    write_random(folder)
    return folder


@pytest.fixture
def copy(tiny, tmp_path):
    """Give a folder of the miniature that may be spoilt."""
    shutil.copytree(tiny, tmp_path / 'copy')
    return tmp_path / 'copy'


class Bomb:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f'open({str(self.path)!r}, "w").close()',)


def test_a_pickle_of_more_than_tensors_is_refused_and_runs_nothing(tmp_path):
    bomb, path = tmp_path / 'exploded', tmp_path / FILE
    for save in (lambda: torch.save({'a': Bomb(bomb)}, path),
                 lambda: path.write_bytes(pickle.dumps({'a': Bomb(bomb)}))):
        save()
        with pytest.raises(WeightsError, match=r'refused: .*could run code'):
            read_tensors(path)
        assert not bomb.exists()
    for made, said in (([torch.zeros(1)], 'got list'), ({'epoch': 3}, "'epoch' is none"),
                       ({1: torch.zeros(1)}, "'1' is none")):
        torch.save(made, path)
        with pytest.raises(WeightsError, match=said):
            read_tensors(path)


NAME = 'mask_decoder.mask_tokens.weight'


@pytest.mark.parametrize(('spoil', 'said'), [
    (lambda made: made.pop(NAME), f'1 arrays missing ({NAME})'),
    (lambda made: made.update(discriminator=torch.zeros(1)), '1 arrays left over (discriminator)'),
    (lambda made: made.update({NAME: torch.zeros(32, CHANNELS)}),
     f'1 arrays of another shape ({NAME}: wanted [1, {CHANNELS}], got [32, {CHANNELS}])')])
def test_wrong_arrays_are_named(copy, spoil, said):
    path = copy / 'ivm' / FILE
    made = torch.load(path, weights_only=True)
    spoil(made)
    torch.save(made, path)
    with pytest.raises(CheckpointError) as caught:
        Masker(MaskerConfig(str(copy), generator='ivm_v1'))
    assert said in str(caught.value)


def test_half_a_download_is_named(copy):
    path = copy / 'ivm' / FILE
    whole = path.read_bytes()
    for part in (whole[:len(whole) // 2], whole[:100], b''):
        path.write_bytes(part)
        with pytest.raises(WeightsError, match=r'IVM-V1\.0\.bin is (half downloaded|refused)'):
            Masker(MaskerConfig(str(copy), generator='ivm_v1'))
    path.unlink()
    with pytest.raises(WeightsError, match='"ivm download ivm_v1" fetches it'):
        Masker(MaskerConfig(str(copy), generator='ivm_v1'))


def test_base_models_that_are_torn_pickled_or_others_are_named(copy):
    def refused(said):
        with pytest.raises(WeightsError, match=said):
            Masker(MaskerConfig(str(copy), generator='ivm_v1'))

    file = copy / 'sam' / 'model.safetensors'
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    refused(r'sam/model\.safetensors is truncated')
    file.unlink()
    (copy / 'sam' / 'pytorch_model.bin').write_bytes(b'')
    refused('pickled weights .* of a base model are never loaded')
    shutil.copy(copy / 'llava' / 'model.safetensors', file)
    refused(r'sam is not the SamVisionModel that was wanted: \d+ arrays missing')
    index = copy / 'llava' / 'model.safetensors.index.json'
    index.write_text(json.dumps({'weight_map': {'a': 'model-00002-of-00002.safetensors'}}))
    refused('1 of 2 files are missing, first model-00002-of-00002')
    index.unlink()
    file.write_bytes(whole)
    (copy / 'ivm' / 'IVM-V1.0.json').write_text('{"rang": 3}')
    refused("V1Config has no setting 'rang' .did you mean 'rank'")
    (copy / 'llava' / 'tokenizer.json').unlink()
    refused('llava: no processor can be made')
