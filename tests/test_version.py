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
"""Which commit a result is of: that of the package, not of where it was made."""

from pathlib import Path
import runpy
import shutil
import subprocess

import pytest

from ivm_ros import version


def git(folder: Path, *words: str) -> str:
    """Call git as somebody whose settings do not matter."""
    done = subprocess.run(
        ['git', '-c', 'user.name=a', '-c', 'user.email=a@example.org', '-c',
         'commit.gpgsign=false', '-C', str(folder), *words],
        capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def commit_of(package: Path) -> str:
    """Have the copy of `version.py` in a folder say what it is of."""
    return runpy.run_path(str(package / 'version.py'))['commit']()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository that holds the package, and stand outside it."""
    for name in ('GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path))
    root = tmp_path / 'repository'
    copied(root / 'ivm_ros')
    git(root, 'init', '-q')
    git(root, 'add', '.')
    git(root, 'commit', '-q', '-m', 'one')
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    return root


def copied(folder: Path) -> Path:
    """Copy `version.py` into a new folder."""
    folder.mkdir(parents=True)
    shutil.copy(version.__file__, folder)
    return folder


def test_the_commit_is_that_of_the_source_wherever_one_stands(repository):
    assert commit_of(repository / 'ivm_ros') == git(repository, 'rev-parse', '--short=12', 'HEAD')
    (repository / 'ivm_ros' / 'version.py').open('a').write('# changed\n')
    assert commit_of(repository / 'ivm_ros').endswith('+')


def test_an_installed_copy_has_none_wherever_one_stands(repository, monkeypatch):
    installed = copied(repository / '.venv' / 'site-packages' / 'ivm_ros')
    assert commit_of(installed) == ''  # inside a repository that does not track it
    monkeypatch.chdir(repository)
    assert commit_of(copied(repository.parent / 'site-packages' / 'ivm_ros')) == ''
    monkeypatch.setenv('PATH', '')
    assert commit_of(repository / 'ivm_ros') == ''  # git is not there
