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
"""Files for machines that are not here: GitHub's workflow and the Dockerfile are well-formed."""

from pathlib import Path
import re
import subprocess

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / '.github' / 'workflows').glob('*.yml'))
KNOWN = {'FROM', 'ARG', 'RUN', 'ENV', 'WORKDIR', 'COPY', 'ENTRYPOINT', 'USER', 'CMD'}


def shell(script: str) -> str:
    """Return what bash says of a script's syntax, '' if nothing."""
    return subprocess.run(['bash', '-n'], input=script, capture_output=True, text=True,
                          check=False).stderr


def instructions() -> list[tuple[str, str]]:
    """Read the Dockerfile's instructions."""
    text = re.sub(r'^#.*\n', '', (ROOT / 'Dockerfile').read_text(), flags=re.MULTILINE)
    lines = re.sub(r'\\\n\s*', ' ', text).splitlines()
    return [(line.partition(' ')[0], line.partition(' ')[2]) for line in lines if line.strip()]


def steps(job: dict) -> list[str]:
    """Give the scripts of a job; expressions of the matrix are a word."""
    return [re.sub(r'\$\{\{.*?\}\}', 'value', step['run']) for step in job['steps']
            if 'run' in step]


@pytest.mark.parametrize('path', WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_what_make_knows(path):
    jobs = yaml.safe_load(path.read_text())['jobs']
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    for name, job in jobs.items():
        assert {'runs-on', 'steps', 'timeout-minutes'} <= job.keys(), name
        for script in steps(job):
            assert not shell(script), f'{name}: {shell(script)}'
            called = set(re.findall(r'\bmake (\S+)', script))
            assert called <= targets, f'{name}: {called - targets}'
        assert any('make ' in script for script in steps(job)), f'{name} makes nothing'


def test_workflows_cover_the_releases_of_ros():
    text = '\n'.join(path.read_text() for path in WORKFLOWS)
    jobs = yaml.safe_load(text)['jobs']
    assert jobs['ros']['strategy']['matrix']['ros'] == ['jazzy', 'kilted']
    assert jobs['humble']['container'] == 'ros:humble'


def test_the_dockerfile_is_well_formed():
    given = instructions()
    assert {name for name, _ in given} <= KNOWN
    assert given[0][0] == 'ARG' and given[1] == ('FROM', 'ros:${ROS}')
    for name, rest in given:
        if name == 'RUN':
            assert not shell(rest), rest
    last = yaml.safe_load(next(rest for name, rest in given if name == 'ENTRYPOINT'))
    assert last[:2] == ['/bin/bash', '-c'] and not shell(last[2])
    assert 'ivm.launch.py' in last[2] and (ROOT / 'launch' / 'ivm.launch.py').is_file()
    ignored = (ROOT / '.dockerignore').read_text().split()
    needed = {'setup.py', 'package.xml', 'ivm_ros', 'sim', 'launch', 'config', 'resource'}
    assert not needed & set(ignored)
    names = [name for name, _ in given]
    assert names.index('USER') > max(at for at, name in enumerate(names) if name == 'RUN')
