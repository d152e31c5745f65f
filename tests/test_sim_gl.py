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
"""A backend that renders is found, or one line says what to install."""

import os
import subprocess
import sys

import pytest

BACKENDS = ('egl', 'osmesa')


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new Python with only the given GL variables set."""
    clean = {name: value for name, value in os.environ.items()
             if name not in ('MUJOCO_GL', 'PYOPENGL_PLATFORM', 'IVM_SIM_GL_CHECKED')}
    return subprocess.run([sys.executable, '-c', code], env={**clean, **environment}, text=True,
                          capture_output=True, timeout=120)


def module(name: str, *arguments: str) -> str:
    """Code that runs a module as `python -m` does."""
    return f'import runpy, sys; sys.argv = {[name, *arguments]!r}; ' \
           f'runpy.run_module({name!r}, run_name="__main__", alter_sys=True)'


RENDER = """
import os, sys
import numpy as np
from ivm_sim.scene import Scene
scene = Scene()
scene.sample(np.random.default_rng(0))
print(scene.render(48, 64).std() > 10, os.environ['MUJOCO_GL'],
      *(name for name in ('mujoco.egl', 'mujoco.osmesa') if name in sys.modules))
"""


@pytest.mark.slow
def test_the_backend_found_by_itself_renders():
    """With nothing set; a scene left open makes no noise at exit."""
    found = run(module('ivm_sim.gl'))
    assert found.returncode == 0, found.stderr
    backend = found.stdout.strip()
    assert backend in BACKENDS
    drawn = run(RENDER)
    assert (drawn.stdout, drawn.stderr) == (f'True {backend} mujoco.{backend}\n', '')


@pytest.mark.slow
@pytest.mark.parametrize('backend', BACKENDS)
def test_a_backend_asked_for_is_the_one_used(backend):
    found = run(module('ivm_sim.gl'), MUJOCO_GL=backend)
    if found.returncode:
        pytest.skip(f'{backend} does not render here: {found.stderr.strip()}')
    assert found.stdout.strip() == backend
    drawn = run(RENDER, MUJOCO_GL=backend)
    assert (drawn.stdout, drawn.stderr) == (f'True {backend} mujoco.{backend}\n', '')


@pytest.mark.slow
@pytest.mark.parametrize('wanted', ['direct3d', 'off'])
def test_a_wrong_backend_is_refused_by_name(wanted):
    found = run(module('ivm_sim.gl'), MUJOCO_GL=wanted)
    assert found.returncode == 1
    assert found.stdout == ''
    assert len(found.stderr.strip().splitlines()) == 1
    for part in (f"MUJOCO_GL is '{wanted}'", 'egl', 'osmesa', 'unset MUJOCO_GL'):
        assert part in found.stderr


@pytest.mark.slow
def test_where_nothing_renders_the_message_names_packages(tmp_path):
    """Told to use a third backend, PyOpenGL refuses both."""
    found = run(module('ivm_sim.cli', 'dataset', '--out', str(tmp_path), '--scenes', '1'),
                PYOPENGL_PLATFORM='none')
    assert found.returncode == 2
    assert 'Traceback' not in found.stderr
    last = found.stderr.strip().splitlines()[-1]
    for part in ('error: No OpenGL backend', 'apt-get install', 'libegl1', 'libosmesa6'):
        assert part in last


@pytest.mark.slow
def test_help_needs_no_opengl_and_datasets_no_torch():
    shown = run(module('ivm_sim.cli', 'dataset', '--help'), MUJOCO_GL='direct3d')
    assert shown.returncode == 0, shown.stderr
    assert '--scenes' in shown.stdout
    loaded = run('import sys, ivm_sim.dataset, ivm_sim.pictures, ivm_sim.cli;'
                 'print([name for name in ("torch", "rclpy") if name in sys.modules])')
    assert loaded.stdout.strip() == '[]', loaded.stderr


@pytest.mark.slow
def test_the_choice_is_made_once_for_all_child_processes():
    code = ('import os, subprocess, sys; from ivm_sim import gl; first = gl.choose();'
            'subprocess.run = None; assert gl.choose() == first;'
            'print(first, os.environ["MUJOCO_GL"])')
    chosen = run(code)
    assert chosen.returncode == 0, chosen.stderr
    assert len(set(chosen.stdout.split())) == 1


@pytest.mark.slow
def test_torch_can_be_loaded_after_something_was_drawn():
    """Triton's LLVM and Mesa's crash where the wrong one comes first."""
    code = """
from ivm_sim.env import TabletopEnv
env = TabletopEnv('pick', size=48)
seen, _ = env.reset(seed=0)
from ivm_ros.masker import Masker
print(Masker()(seen['front'], seen['instruction']).target.shape)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0 and '(48, 48)' in done.stdout, done.stderr
