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
"""The linters: ruff, mypy, and those that `colcon test` of a ROS package runs."""

import configparser
import importlib.util
from pathlib import Path
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [name for name in ('ivm_ros', 'sim/ivm_sim', 'launch', 'tests', 'scripts', 'setup.py')
           if (ROOT / name).suffix == '.py' or any((ROOT / name).rglob('*.py'))]
# Google's sections contradict the first three; D401 takes no account of properties here, and
# ament_flake8 checks it with that account.
DOCSTRING_RULES_LEFT_OUT = ['D406', 'D407', 'D413', 'D401']


def run(*command: str) -> str:
    """Run a program in the root; return '' where it is content, else all that it says."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600,
                          check=False)
    return '' if done.returncode == 0 else done.stdout + done.stderr or f'{command} failed'


def module(name: str, *arguments: str) -> str:
    """Run an installed Python module as a program."""
    assert importlib.util.find_spec(name), f'{name} is not installed: pip install -e ".[dev]"'
    return run(sys.executable, '-m', name, *arguments)


def ament(name: str, *arguments: str) -> str:
    """Run one of ament's linters, which have no __main__."""
    assert importlib.util.find_spec(name), f'{name} is not installed: pip install -e ".[dev]"'
    said = run(sys.executable, '-c', f'import sys; from {name}.main import main; '
               f'sys.exit(main(sys.argv[1:]))', *arguments)
    places = [line for line in said.splitlines() if re.match(r'\S+\.py:\d+', line)]
    return '\n'.join(places) or said


def test_ruff():
    said = module('ruff', 'check', '--quiet', '--output-format', 'concise', '.')
    assert not said, said


def test_mypy():
    said = module('mypy')
    assert not said, said


@pytest.mark.slow
def test_ament_flake8():
    said = ament('ament_flake8', '--config', 'setup.cfg', *SOURCES)
    assert not said, said


def test_our_flake8_rules_are_those_of_ament():
    """Only our packages' names are added, and A003: a dataset's column is named `id`."""
    spec = importlib.util.find_spec('ament_flake8')
    theirs = read_flake8(Path(spec.submodule_search_locations[0], 'configuration',
                              'ament_flake8.ini'))
    ours = read_flake8(ROOT / 'setup.cfg')
    assert ours.pop('application-import-names') == 'ivm_ros,ivm_sim'
    assert set(ours.pop('extend-ignore').split(',')) == {
        'A003', *theirs.pop('extend-ignore').split(',')}
    assert ours == theirs


def read_flake8(path: Path) -> dict[str, str]:
    """Read the flake8 section of a file."""
    parser = configparser.RawConfigParser()
    assert parser.read(path), path
    return dict(parser['flake8'])


@pytest.mark.slow
def test_ament_pep257():
    from ament_pep257.main import _ament_ignore

    said = ament('ament_pep257', '--ignore', *_ament_ignore, *DOCSTRING_RULES_LEFT_OUT, '--',
                 *SOURCES)
    assert not said, said


def test_ament_copyright():
    if not importlib.util.find_spec('ament_copyright'):
        pytest.skip('ament_copyright comes with ROS 2 only; test_structure.py compares the '
                    'notices, this file the texts of the license')
    said = ament('ament_copyright', '.')
    assert not said, said


def test_license_and_contributing_are_the_texts_that_ament_copyright_knows():
    text = ' '.join((ROOT / 'LICENSE').read_text().split())
    assert text.startswith('Apache License Version 2.0, January 2004')
    assert text.endswith('See the License for the specific language governing permissions and '
                         'limitations under the License.')
    contributing = ' '.join((ROOT / 'CONTRIBUTING.md').read_text().split())
    assert ('5. Submission of Contributions. Unless You explicitly state otherwise, any '
            'Contribution intentionally submitted for inclusion in the Work by You to the '
            'Licensor shall be under the terms and conditions of this License') in contributing


@pytest.mark.parametrize('path', sorted(
    path.relative_to(ROOT).as_posix() for pattern in ('*.xml', 'config/*.xml', 'sim/**/*.xml')
    for path in ROOT.glob(pattern)))
def test_xml_is_well_formed(path):
    assert ElementTree.parse(ROOT / path).getroot().tag


def test_shell_scripts_parse():
    for script in (*(ROOT / 'scripts').glob('*.sh'), ROOT / '.ci' / 'run'):
        assert not run('bash', '-n', str(script))
        assert script.stat().st_mode & 0o111, f'{script} is not executable'
