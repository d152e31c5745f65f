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
Record episodes for retraining: pictures and instructions, from ~/start to ~/stop.

    ros2 launch ivm_ros recorder.launch.py images:=/camera/image_raw/compressed folder:=bags
    ros2 service call /ivm_recorder/start std_srvs/srv/Trigger

What is not given here is taken from the parameter file, else from the node's own defaults; see
`ros2 param describe` for all of its parameters.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ivm_ros.config import options
from ivm_ros.nodes import dds
from ivm_ros.nodes.programs import program
from ivm_ros.recording import RecorderConfig

OPTIONS = {option.name: option for option in options(RecorderConfig)}
GIVEN = ('folder', 'rate', 'jpeg_quality')
"""Arguments that are parameters of the node, passed on only when they are given."""


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Start the node with what was given."""
    given = context.launch_configurations
    values: dict[str, object] = {
        # A substitution, for only that is turned into a number.
        name: ParameterValue(LaunchConfiguration(name), value_type=OPTIONS[name].kind)
        for name in GIVEN if given[name]}
    if given['images']:
        values['images'] = given['images'].split(',')
    return [Node(
        **program('ivm_recorder', 'ivm_ros.nodes.recorder_node'), name='ivm_recorder',
        namespace=given['namespace'], output='screen', emulate_tty=True,
        parameters=[*([given['params_file']] if given['params_file'] else []), values],
        remappings=[('instruction', given['instruction_topic'])])]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; `ros2 launch --show-args` prints them."""
    return LaunchDescription([
        DeclareLaunchArgument('images', default_value='', description=(
            f'{OPTIONS["images"].help} Separated by commas. Empty = by params_file, else '
            f'{",".join(OPTIONS["images"].default)}.')),
        DeclareLaunchArgument('instruction_topic', default_value='instruction',
                              description='Topic of the instructions.'),
        *(DeclareLaunchArgument(name, default_value='', description=(
            f'{OPTIONS[name].help} Empty = by params_file, else {OPTIONS[name].default}.'))
          for name in GIVEN),
        DeclareLaunchArgument('namespace', default_value='', description=(
            'Namespace of the node and of its topics.')),
        DeclareLaunchArgument('params_file', default_value='', description=(
            'YAML file of parameters.')),
        *(SetEnvironmentVariable(name, value)
          for name, value in dds.profile_environment().items()),
        OpaqueFunction(function=start),
    ])
