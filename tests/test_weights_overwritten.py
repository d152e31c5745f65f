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
"""Weights whose file is overwritten while they are in use: in a process that may die of it."""

import subprocess
import sys

import pytest

CODE = """
from pathlib import Path
import shutil
import sys

import numpy as np

from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.installed import weights_path
from ivm_ros.models.registry import module_of
from ivm_ros.models.settings import GENERATORS
from ivm_ros.models.text_files import find_text_encoder

image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
for name in GENERATORS:
    folder = Path(sys.argv[1]) / name
    folder.mkdir()
    if name == 'compact':
        for path in (weights_path(''), weights_path('').with_suffix('.json')):
            shutil.copy(path, folder)
        shutil.copytree(find_text_encoder(), folder / 'text')
        given = {'weights': str(next(folder.glob('*.safetensors'))),
                 'text_encoder': str(folder / 'text')}
    else:
        module_of(name).write_random(folder)
        given = {'weights': str(folder)}
    config = MaskerConfig(generator=name, device='cpu', **given)
    wanted = Masker(config)(image, 'pick up the red mug')
    masker = Masker(config)
    for path in folder.rglob('*'):
        if path.is_file():
            path.write_bytes(b'garbage')
    assert np.array_equal(masker(image, 'pick up the red mug').target, wanted.target)
    try:
        Masker(config)
    except ValueError:
        print(name, 'masks on, and is not loaded again', flush=True)
"""


@pytest.mark.slow
def test_weights_in_use_outlive_garbage_in_their_files(tmp_path):
    """Of every generator: masks stay the same to the bit, and loading the garbage is refused."""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', CODE, str(tmp_path)], text=True,
                          capture_output=True, timeout=230, check=False)
    assert done.returncode == 0, f'code {done.returncode}: {done.stdout}{done.stderr[-2000:]}'
    from ivm_ros.models.settings import GENERATORS

    assert done.stdout.splitlines() == [
        f'{name} masks on, and is not loaded again' for name in GENERATORS]
