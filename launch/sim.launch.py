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
Mask a simulated camera by a sentence: a table with objects, an arm, and instructions about them.

    ros2 launch ivm_ros sim.launch.py

The scene sends an instruction of its own, unless one is given. Needs the part [sim] of ivm_ros.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from ivm_ros.config import options
from ivm_ros.nodes.programs import program
from ivm_sim.nodes.camera_config import CameraConfig

OPTIONS = {option.name: option for option in options(CameraConfig)}
GIVEN = ('seed', 'rate')
"""Arguments that are parameters of the camera, passed on only when they are given."""


def start_camera(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Start the camera; a given instruction is not to be replaced by the scene's own."""
    given = context.launch_configurations
    return [Node(
        **program('camera_node', 'ivm_sim.nodes.camera_node'), name='camera_node',
        namespace=given['namespace'], output='screen', emulate_tty=True,
        parameters=[{name: OPTIONS[name].kind(given[name]) for name in GIVEN if given[name]}],
        remappings=[('instruction', '~/instruction')] if given['instruction'] else [])]


def generate_launch_description() -> LaunchDescription:
    """Declare the camera's arguments; those of the node come with ivm.launch.py."""
    node = str(Path(__file__).with_name('ivm.launch.py'))
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value='', description=(
            f'{OPTIONS[name].help} Empty = {OPTIONS[name].default}.')) for name in GIVEN),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(node)),
        OpaqueFunction(function=start_camera),
    ])
