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
"""The annotation expert of CONTRIBUTING.md, taken from the page and used as it says."""

from pathlib import Path
import re
import shlex

import pytest

from ivm_ros.cli import main
from ivm_ros.data.compose import compose, CompositeConfig
from ivm_ros.data.shards import decode_image, decode_mask, read_rows

PAGE = (Path(__file__).parents[1] / 'CONTRIBUTING.md').read_text()


@pytest.mark.slow
def test_an_expert_of_ones_own(cutout_folder, tmp_path, monkeypatch):
    section = PAGE.partition('## Add an annotation expert')[2].partition('\n## ')[0]
    code, commands = (re.search(rf'```{kind}\n(.*?)```', section, re.DOTALL)[1]
                      for kind in ('python', 'bash'))
    (tmp_path / 'red_things.py').write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as PYTHONPATH=. does
    compose(CompositeConfig(out='data/scenes', cutouts=(str(cutout_folder),), scenes=6, seed=3))
    lines = [shlex.split(line.removeprefix('PYTHONPATH=. ')) for line in commands.splitlines()]
    assert [line[0] for line in lines] == ['ivm', 'ivm']
    for line in lines:
        assert main(line[1:]) == 0
    rows = [row for row in read_rows(Path('data/labelled')) if row.mask is not None]
    red = [row for row in rows if 'red-things' in row.extra['scores']]
    assert rows and red, 'the expert had nothing to say of any red thing'
    assert all('red' in row.instruction.split() for row in red)
    assert all(decode_mask(row.mask).shape == decode_image(row.image).shape[:2] for row in red)
