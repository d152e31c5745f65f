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
"""
Finds an OpenGL backend that really renders, before MuJoCo is imported.

MuJoCo reads `MUJOCO_GL` at import and never falls back, so `choose()` has to run first:
`ivm_sim.mj` calls it. `python -m ivm_sim.gl` prints the backend, or what to install.
"""

from contextlib import suppress
import ctypes
from functools import cache
from importlib.util import find_spec
import os
from pathlib import Path
import subprocess
import sys

PACKAGES = {  # of Debian and Ubuntu, by backend, in the order in which they are tried
    'egl': 'libegl1 libegl-mesa0 libgl1 libgles2',
    'osmesa': 'libosmesa6',
}
BACKENDS = tuple(PACKAGES)
_CHECKED = 'IVM_SIM_GL_CHECKED'
_PROBE = """
import mujoco
plane = '<light pos="0 0 3"/><geom type="plane" size="3 3 1"/>'
model = mujoco.MjModel.from_xml_string(f'<mujoco><worldbody>{plane}</worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    raise SystemExit(0 if renderer.render().max() > 0 else 'rendered a black picture')
"""


class GLError(RuntimeError):
    """MuJoCo cannot draw here; the message says why and what to install."""


@cache
def load_triton() -> None:
    """
    Load Triton's library, which CUDA builds of torch bring, before OpenGL loads Mesa's.

    Both hold LLVM, and loaded in the other order they crash: an environment that has drawn, then
    `import torch`.
    """
    found = find_spec('triton')
    if found is not None and found.origin is not None:
        for path in Path(found.origin).parent.glob('_C/libtriton*.so'):
            with suppress(OSError):
                ctypes.CDLL(str(path))


def choose() -> str:
    """
    Set `MUJOCO_GL` to a backend that renders, and return its name.

    What the user set in `MUJOCO_GL` is tried alone; otherwise EGL, then OSMesa. The answer is kept
    in the environment, so child processes do not probe again.

    Raises:
        GLError: Nothing renders a picture that is not black, or MuJoCo is missing.
    """
    if find_spec('mujoco') is None:
        raise GLError("MuJoCo is not installed: pip install 'ivm_ros[sim]'")
    wanted = os.environ.get('MUJOCO_GL', '').lower()
    if wanted and os.environ.get(_CHECKED) == wanted:
        return wanted
    failures = {}
    for backend in (wanted,) if wanted else BACKENDS:
        problem = probe(backend)
        if not problem:
            os.environ['MUJOCO_GL'] = os.environ[_CHECKED] = backend
            return backend
        failures[backend] = problem
    raise GLError(_refuse(wanted, failures[wanted]) if wanted else _explain(failures))


def probe(backend: str) -> str:
    """Render one small picture in a child process; return '' or the last line of its error."""
    try:
        child = subprocess.run([sys.executable, '-c', _PROBE], text=True, capture_output=True,
                               env={**os.environ, 'MUJOCO_GL': backend}, timeout=60)
    except subprocess.TimeoutExpired:
        return 'no picture after 60 s'
    lines = child.stderr.strip().splitlines() or [f'exit code {child.returncode}']
    return '' if child.returncode == 0 else lines[-1]


def _explain(failures: dict[str, str]) -> str:
    tried = '; '.join(f'{backend}: {problem}' for backend, problem in failures.items())
    cures = ' or '.join(f'{packages} ({backend})' for backend, packages in PACKAGES.items())
    return (f'No OpenGL backend renders here, so MuJoCo cannot draw ({tried}). Install one, on '
            f'Debian or Ubuntu: apt-get install {cures}')


def _refuse(wanted: str, problem: str) -> str:
    cure = (f', or on Debian or Ubuntu: apt-get install {PACKAGES[wanted]}'
            if wanted in PACKAGES else '')
    return (f'MUJOCO_GL is {wanted!r}, which does not render here ({problem}): unset MUJOCO_GL to '
            f'let {" or ".join(BACKENDS)} be chosen{cure}')


if __name__ == '__main__':
    try:
        print(choose())
    except GLError as error:
        raise SystemExit(str(error)) from None
