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
"""How launch files start our programs, however ivm_ros was installed. Knows no launch itself."""

from pathlib import Path
import sys
from typing import Any


def program(executable: str, module: str) -> dict[str, Any]:
    """
    Give the arguments by which `launch_ros.actions.Node` starts a program.

    Built by colcon it stands in lib/ivm_ros, with the Python that built it; installed by pip, or
    run from the source tree, it is started as a module of the Python that launches.

    Args:
        executable: Name of the entry point.
        module: The module that it runs.
    """
    from ament_index_python.packages import get_package_prefix, PackageNotFoundError

    try:
        built = Path(get_package_prefix('ivm_ros')) / 'lib' / 'ivm_ros' / executable
    except (PackageNotFoundError, OSError):  # OSError: no ROS is sourced at all
        built = None
    if built is not None and built.exists():
        return {'package': 'ivm_ros', 'executable': executable}
    return {'executable': sys.executable, 'arguments': ['-m', module]}


def camera_remappings(camera: str, image: str, camera_info: str) -> list[tuple[str, str]]:
    """
    Lead the inputs of a camera of `ivm_node` to the topics that were given.

    Args:
        camera: Its name, '' for the only one.
        image: Topic of its pictures; for a camera with a name, `{camera}` stands for that, and a
            topic without it leaves the camera's own.
        camera_info: The same; '' is camera_info beside the pictures.
    """
    inside = f'{camera}/' if camera else ''
    if camera and '{camera}' not in image:  # not given: the camera's own topics stay
        image, camera_info = f'{camera}/image', ''
    image = image.replace('{camera}', camera)
    folder, slash, _ = image.rpartition('/')
    camera_info = camera_info.replace('{camera}', camera) or f'{folder}{slash}camera_info'
    return [(f'{inside}image', image), (f'{inside}image/compressed', f'{image}/compressed'),
            (f'{inside}camera_info', camera_info)]
