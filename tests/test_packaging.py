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
"""What pip, colcon and rosdep read agrees, and what is installed is whole."""

import ast
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
import re
import runpy
import shutil
import subprocess
import sys

from catkin_pkg.package import parse_package
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
import pytest
import setuptools

ROOT = Path(__file__).parents[1]
# rosdep's name of each Python package that has one.
KEYS = {
    'numpy': 'python3-numpy',
    'torch': 'python3-pytorch-pip',
    'torchvision': 'python3-torchvision-pip',
    'opencv-python-headless': 'python3-opencv',
    'pillow': 'python3-pil',
    'transformers': 'python3-transformers-pip',
    'rich': 'python3-rich',
    'pyyaml': 'python3-yaml',
    'typing-extensions': 'python3-typing-extensions',
}
ROS_PACKAGES = re.compile(
    r'(rclpy|launch|launch_ros|ament_index_python|\w+_(msgs|interfaces)|std_srvs)$')


@pytest.fixture(scope='module')
def metadata() -> dict:
    """Read what setup.py hands to setuptools."""
    handed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, 'setup', lambda **words: handed.update(words))
        patch.chdir(ROOT)
        runpy.run_path('setup.py')
    return handed


@pytest.fixture(scope='module')
def package():
    """Parse and validate package.xml as colcon does."""
    warnings: list[str] = []
    parsed = parse_package(ROOT / 'package.xml', warnings=warnings)
    assert not warnings, warnings
    return parsed


def names(requirements) -> set[str]:
    """Give the canonical names of requirements."""
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def requirements_file() -> list[str]:
    """List the lines of requirements.txt that are not comments."""
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def test_setup_py_reads_no_other_file(tmp_path, monkeypatch):
    """`colcon build --symlink-install` runs it in a folder that holds links to packages only."""
    shutil.copy(ROOT / 'setup.py', tmp_path)
    monkeypatch.setattr(setuptools, 'setup', lambda **words: None)
    monkeypatch.chdir(tmp_path)
    runpy.run_path('setup.py')


def test_package_xml_says_what_setup_py_says(package, metadata):
    assert package.package_format == 3
    assert package.get_build_type() == 'ament_python'
    assert (package.name, package.version) == (metadata['name'], metadata['version'])
    assert package.licenses == [metadata['license']]
    assert package.maintainers[0].email == metadata['maintainer_email']
    assert ' '.join(package.description.split()) == metadata['description']


def test_what_a_robot_runs_comes_through_rosdep_or_requirements(package, metadata):
    keys = {dependency.name for dependency in package.exec_depends}
    for line in metadata['install_requires']:
        name = canonicalize_name(Requirement(line).name)
        if name in KEYS:
            assert KEYS[name] in keys, f'{name}: package.xml lacks {KEYS[name]}'
        else:
            assert line in requirements_file(), f'{line}: missing in requirements.txt'
    assert names(requirements_file()) <= names(metadata['install_requires']) - KEYS.keys()
    assert {key for key in keys if key.startswith('python3-')} == set(KEYS.values())


@pytest.mark.slow
def test_every_ros_package_that_is_imported_is_a_dependency(package):
    known = {dependency.name for dependency in package.exec_depends}
    found = {name for name in imported('ivm_ros', 'sim', 'launch') if ROS_PACKAGES.match(name)}
    assert found and found - known == set()
    assert 'cv_bridge' in known


def imported(*folders: str) -> set[str]:
    """Collect the top-level names that the sources import, inside functions too."""
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition('.')[0])
    return found


@pytest.mark.slow
def test_every_python_package_that_is_imported_is_a_dependency(metadata):
    extras = metadata['extras_require']
    declared = names(line for group in (metadata['install_requires'], *extras.values())
                     for line in group)
    # LeRobot cannot be installed beside: it wants another transformers.
    ours = {'ivm_ros', 'ivm_sim', 'cv_bridge', 'lerobot'} | sys.stdlib_module_names
    homes = packages_distributions()
    for name in sorted(imported('ivm_ros', 'sim') - ours):
        if ROS_PACKAGES.match(name):
            continue
        packages = {canonicalize_name(home) for home in homes.get(name, ())}
        assert packages & declared, f'{name} is imported, and setup.py declares none of {packages}'


def test_bounds_on_both_sides(metadata):
    """Every range has two ends, or is a pin; lint plugins and calendar versions float."""
    groups = {'': metadata['install_requires'], **metadata['extras_require']}
    for line in (line for group in groups.values() for line in group):
        signs = {part.operator for part in Requirement(line).specifier}
        floats = Requirement(line).name.startswith(('flake8-', 'packaging'))
        assert floats or signs in ({'=='}, {'>=', '<'}), line


def test_what_is_installed_lies_inside_the_ranges(metadata):
    """So bounds that nobody tried any more are noticed; this says nothing of vulnerabilities."""
    groups = {'': metadata['install_requires'], **metadata['extras_require']}
    found = 0
    for line in {line for group in groups.values() for line in group}:
        wanted = Requirement(line)
        if wanted.name.startswith('ros-') and 'ament' not in wanted.name:
            continue  # of one of two distributions
        try:
            there = version(wanted.name)
        except PackageNotFoundError:
            continue
        found += 1
        assert wanted.specifier.contains(there, prereleases=True), f'{line}: {there} is here'
    assert found > 15


def test_constraints_lie_inside_the_ranges(metadata):
    ranges = {Requirement(line).name: Requirement(line).specifier
              for line in metadata['install_requires']}
    lines = (ROOT / 'scripts' / 'constraints.txt').read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith('#')]
    assert {pin.name for pin in pins} == {'torch', 'torchvision'}
    for pin in pins:
        version = str(pin.specifier).removeprefix('==')
        assert version in ranges[pin.name]


@pytest.mark.slow
def test_a_robot_does_not_load_what_only_training_or_simulation_needs(metadata):
    """Start all that a robot runs, and look for what the extras bring."""
    extras = metadata['extras_require']
    optional = names(line for name in ('sim', 'scale', 'ray', 'foundation')
                     for line in extras[name])
    optional -= names(metadata['install_requires']) | {'packaging'}
    code = ('import sys, ivm_ros.masker, ivm_ros.deploy, ivm_ros.nodes.ivm_node;'
            'import ivm_ros.models.compact_generator, ivm_ros.models.onnx_generator;'
            'print(*{name.partition(".")[0] for name in sys.modules})')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True,
                          timeout=120, check=True)
    homes = packages_distributions()
    loaded = {canonicalize_name(home) for name in done.stdout.split()
              for home in homes.get(name, ())}
    assert 'torch' in loaded
    assert loaded & optional == set()


def test_every_program_has_its_function(metadata):
    for line in metadata['entry_points']['console_scripts']:
        module, _, function = line.split(' = ')[1].partition(':')
        folder = ROOT / 'sim' if module.startswith('ivm_sim') else ROOT
        path = folder / (module.replace('.', '/') + '.py')
        defined = {node.name for node in ast.parse(path.read_text()).body
                   if isinstance(node, ast.FunctionDef)}
        assert function in defined, f'{line}: {path} defines no {function}'


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """Install a copy of the sources with plain pip, without dependencies, and give its prefix."""
    source, prefix = tmp_path_factory.mktemp('source') / 'ivm_ros', tmp_path_factory.mktemp('env')
    kept = [path for path in ROOT.iterdir() if path.name in (
        'ivm_ros', 'sim', 'launch', 'config', 'resource') or path.is_file()]
    source.mkdir()
    for path in kept:
        if path.is_dir():
            shutil.copytree(path, source / path.name, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy(path, source)
    # Without --ignore-installed pip first uninstalls what the environment of this test has.
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index',
                    '--ignore-installed', '--no-build-isolation', '--prefix', str(prefix),
                    str(source)], check=True, timeout=300, capture_output=True)
    return prefix


@pytest.mark.slow
def test_pip_puts_the_programs_where_the_shell_finds_them(installed, metadata):
    programs = {line.split(' = ')[0] for line in metadata['entry_points']['console_scripts']}
    assert {path.name for path in (installed / 'bin').iterdir()} == programs
    assert not list(installed.glob('lib/ivm_ros'))


@pytest.mark.slow
def test_the_environment_of_the_tests_still_has_the_package(installed):
    subprocess.run([sys.executable, '-c', 'import ivm_ros, ivm_sim'], cwd=installed, check=True,
                   timeout=60)


@pytest.mark.slow
def test_an_installed_package_is_whole(installed):
    packages = next(installed.glob('lib/python*/site-packages'))
    for source, target in ((ROOT / 'ivm_ros', packages / 'ivm_ros'),
                           (ROOT / 'sim' / 'ivm_sim', packages / 'ivm_sim'),
                           (ROOT / 'launch', installed / 'share/ivm_ros/launch'),
                           (ROOT / 'config', installed / 'share/ivm_ros/config')):
        for path in source.rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                assert (target / path.relative_to(source)).is_file(), f'{path} is not installed'
    share = installed / 'share'
    assert (share / 'ament_index/resource_index/packages/ivm_ros').is_file()
    assert (share / 'ivm_ros/package.xml').is_file()
    notices = {path.name for path in packages.glob('ivm_ros-*.dist-info/**/*')}
    assert {'LICENSE', 'NOTICE'} <= notices


def test_continuous_integration_runs_make_test_and_nothing_else():
    lines = (ROOT / '.ci' / 'run').read_text().splitlines()
    assert [line for line in lines if not line.startswith('#')] == [
        'cd "$(dirname "$0")/.." && exec make test']


def test_set_up_refuses_an_old_python_in_one_line(tmp_path):
    old = tmp_path / 'python-old'
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.8.10\nexit 1\n')
    old.chmod(0o755)
    done = set_up(tmp_path, PYTHON=str(old))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f'set-up: wanted Python 3.10 or newer, {old} is Python 3.8.10: make PYTHON=python3.12']


def test_set_up_names_the_choices_of_ros(tmp_path):
    done = set_up(tmp_path, ROS='foxy')
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["set-up: ROS: wanted kilted or jazzy, got 'foxy'"]


def test_set_up_does_not_exchange_ros_under_an_environment(tmp_path):
    (tmp_path / 'venv').mkdir()
    (tmp_path / 'venv' / '.ivm_ros').write_text('humble, sourced\n')
    done = set_up(tmp_path)
    assert done.returncode == 1
    assert "was made with ROS 2 'humble, sourced', this shell offers 'kilted" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / 'venv' / '.ivm_ros').exists()


def set_up(folder: Path, **settings: str) -> subprocess.CompletedProcess:
    """Run the set-up for an environment in a folder of its own."""
    environment = {'PATH': '/usr/local/bin:/usr/bin:/bin', 'PYTHON': sys.executable,
                   'VENV': str(folder / 'venv'), **settings}
    return subprocess.run(['bash', str(ROOT / 'scripts' / 'setup.sh')], env=environment,
                          capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(('changes', 'said', 'code'), [
    ({}, '3 of 4 packages looked up', 0),
    ({'torch': {'vulns': [{'id': 'CVE-1', 'fix_versions': ['9.1']}]}}, 'CVE-1, mended in 9.1', 1),
    ({'numpy': {'skip_reason': 'not found'}}, 'not looked up: numpy', 2)])
def test_an_audit_that_looked_nothing_up_is_not_a_good_one(changes, said, code):
    """It ended well where the service knew none of the packages."""
    script = runpy.run_path(str(ROOT / 'scripts' / 'audit.py'))
    assert {'torch', 'numpy', 'pillow'} <= script['asked_for']()
    assert not {'mujoco', 'rclpy'} & script['asked_for']()
    known = {'torch': {'vulns': []}, 'numpy': {'vulns': []}, 'pillow': {'vulns': []},
             'action-msgs': {'skip_reason': 'not found'}} | changes
    lines, ended = script['judge']({'dependencies': [
        {'name': name, 'version': '1', **facts} for name, facts in known.items()]},
        {'torch', 'numpy', 'pillow'})
    assert ended == code and said in '\n'.join(lines)
