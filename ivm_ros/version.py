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
    """Give the git commit of the working tree, '+' behind it when files changed, or ''."""
    try:
        answer = subprocess.run(['git', 'describe', '--always', '--abbrev=12', '--dirty=+'],
                                capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ''
    return answer.stdout.strip()
