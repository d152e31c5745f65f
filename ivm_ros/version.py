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
"""Versions of what a result depends on."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
import platform
import subprocess

PACKAGES = ('ivm_ros', 'torch', 'torchvision', 'numpy', 'opencv-python-headless', 'transformers',
            'safetensors', 'pyarrow', 'mujoco')


def versions() -> dict[str, str]:
    """Give the installed versions of Python and the packages that results depend on."""
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """
    Give the git commit that the package's own source is of, wherever the program runs.

    Returns:
        Twelve digits or a tag, '+' behind it when files changed since; '' for an installed copy,
        also where that lies inside somebody's repository, which does not track it.
    """
    source = Path(__file__).resolve()
    known = _git(source.parent, 'ls-files', '--error-unmatch', source.name)
    return known and _git(source.parent, 'describe', '--always', '--abbrev=12', '--dirty=+')


def _git(folder: Path, *words: str) -> str:
    """Ask git about a folder; '' where it is not there or refuses."""
    try:
        answer = subprocess.run(['git', '-C', str(folder), *words], capture_output=True,
                                text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return answer.stdout.strip() if answer.returncode == 0 else ''
