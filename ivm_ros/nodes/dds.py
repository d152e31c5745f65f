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
Where the shared-memory profile of Fast DDS lies, how to use it, what to tell who runs without it.

The default segment is 512 KiB, a 640x480 picture 900 KiB: at best effort about half the frames
are lost, at reliable they arrive late. `config/fastdds.xml` asks for 64 MiB.
"""

import os
from pathlib import Path
import re
import sys


def _prefixes() -> list[Path]:
    """Return where ROS packages may be installed: by ROS itself, or as wheels."""
    sourced = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    return [*(Path(prefix) for prefix in sourced if prefix), Path(sys.prefix)]


def variable() -> str:
    """
    Name the environment variable that points Fast DDS to a profile here.

    Measured: Fast DDS 2 (up to Jazzy, rmw_fastrtps_cpp 8) reads only the old name; 3 (Kilted)
    reads both and complains about the old one.
    """
    for prefix in _prefixes():
        manifest = prefix / 'share' / 'rmw_fastrtps_cpp' / 'package.xml'
        if manifest.is_file():
            version = re.search(r'<version>\s*(\d+)', manifest.read_text())
            if version is not None and int(version[1]) < 9:
                return 'FASTRTPS_DEFAULT_PROFILES_FILE'
            break
    return 'FASTDDS_DEFAULT_PROFILES_FILE'


def profile_in_use() -> str:
    """Return the profile file that Fast DDS reads in this environment, '' for none."""
    return os.environ.get(variable(), '')


def shipped_profile() -> Path | None:
    """Find `config/fastdds.xml`: in the source tree, or as installed by pip or colcon."""
    places = [Path(__file__).parents[2], *(prefix / 'share' / 'ivm_ros' for prefix in _prefixes())]
    files = (place / 'config' / 'fastdds.xml' for place in places)
    return next((file for file in files if file.is_file()), None)


def profile_environment() -> dict[str, str]:
    """
    Return what to add to the environment of a process that sends or receives pictures.

    Empty where the user has chosen a profile; raises FileNotFoundError without the shipped one.
    """
    if profile_in_use():
        return {}
    profile = shipped_profile()
    if profile is None:
        raise FileNotFoundError('config/fastdds.xml of ivm_ros is not installed: install ivm_ros '
                                'with pip or colcon, or run from its source tree')
    return {variable(): str(profile)}


def advice() -> str:
    """Say in one line what to do about lost frames."""
    if profile_in_use():
        return (f'the DDS profile {profile_in_use()} is in use here: the camera needs it too, or '
                f'the machine is too busy')
    return (f'the default shared memory of Fast DDS is too small for images: start camera and '
            f'node with {variable()}={shipped_profile() or "config/fastdds.xml of ivm_ros"}')
