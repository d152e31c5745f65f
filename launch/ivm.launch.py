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
Mask a camera by a sentence.

    ros2 launch ivm_ros ivm.launch.py image:=/camera/color/image_raw \
        instruction:="pick up the red mug"

Several cameras that share one model:

    ros2 launch ivm_ros ivm.launch.py cameras:=front,wrist image:="/{camera}/color/image_raw" \
        instruction:="pick up the red mug"

What is not given here is taken from the parameter file, else from the node's own defaults; see
`ros2 param describe` for all of its parameters.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ivm_ros.config import options
from ivm_ros.deploy import DeployConfig
from ivm_ros.models.settings import GENERATORS, MaskerConfig
from ivm_ros.nodes import dds
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.nodes.programs import camera_remappings, program
from ivm_ros.tracker import TrackConfig

OPTIONS = {option.name: option for cls in (NodeConfig, DeployConfig, MaskerConfig, TrackConfig)
           for option in options(cls)}
MODEL = ('generator', 'weights', 'precision', 'robot_plane', 'on_out_of_memory')
GIVEN = {'instruction': str, 'method': str, 'device': str, 'generator': str, 'weights': str,
         'precision': str, 'robot_plane': str, 'on_out_of_memory': str, 'track': bool,
         'track_interval': int, 'track_by': str, 'track_weights': str}
"""Arguments that are parameters of the node, passed on only when they are given."""


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Start the node with what was given."""
    given = context.launch_configurations
    cameras = [name.strip() for name in given['cameras'].split(',') if name.strip()]
    parameters = [given['params_file']] if given['params_file'] else []
    if cameras:
        parameters.append({'cameras': cameras})
    # A substitution, for launch turns only those into numbers and truth values.
    parameters.append({name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                       for name, kind in GIVEN.items() if given[name]})
    return [Node(
        **program('ivm_node', 'ivm_ros.nodes.ivm_node'), name='ivm_node',
        namespace=given['namespace'], parameters=parameters, output='screen', emulate_tty=True,
        respawn=given['respawn'] == 'true', respawn_delay=1.0,
        remappings=[rule for name in cameras or [''] for rule in camera_remappings(
            name, given['image'], given['camera_info'])])]


def model_argument(name: str) -> DeclareLaunchArgument:
    """Declare a setting of the model: what it is and may be, empty for the parameter file's."""
    option = OPTIONS[name]
    choices = tuple(GENERATORS) if name == 'generator' else option.choices
    default = f' Empty = by params_file, else {option.default}.' if option.default else ''
    return DeclareLaunchArgument(name, default_value='', description=option.help + default,
                                 choices=['', *choices] if choices else None)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; `ros2 launch --show-args` prints them."""
    method = OPTIONS['method']
    return LaunchDescription([
        DeclareLaunchArgument('image', default_value='image', description=(
            'Topic of the camera, such as /camera/color/image_raw; compressed images are taken '
            'from image/compressed below it (parameter compressed_input). With several cameras '
            '{camera} stands for the name of each, as in /{camera}/color/image_raw; without it '
            'each has the topic image below its name.')),
        DeclareLaunchArgument('camera_info', default_value='', description=(
            'Topic of its camera_info, with {camera} as in image; empty = camera_info beside the '
            'image.')),
        DeclareLaunchArgument('cameras', default_value='', description=(
            f'{OPTIONS["cameras"].help} Here with commas: front,wrist. Empty = by params_file.')),
        DeclareLaunchArgument('instruction', default_value='',
                              description=OPTIONS['instruction'].help),
        DeclareLaunchArgument('method', default_value='', choices=['', *method.choices],
                              description=f'{method.help} Empty = by params_file, '
                                          f'else {method.default}.'),
        DeclareLaunchArgument('device', default_value='', choices=['', 'auto', 'cpu', 'cuda'],
                              description='Where the network runs. Empty = by params_file, else '
                                          'cuda where there is one.'),
        *map(model_argument, (*MODEL, 'track_by', 'track_weights')),
        DeclareLaunchArgument('track', default_value='', choices=['', 'true', 'false'],
                              description=f'{OPTIONS["track"].help} Empty = by params_file, else '
                                          f'false.'),
        DeclareLaunchArgument('track_interval', default_value='', description=(
            f'{OPTIONS["track_interval"].help} Empty = by params_file, else '
            f'{OPTIONS["track_interval"].default}.')),
        DeclareLaunchArgument('respawn', default_value='false', choices=['true', 'false'],
                              description='Start the node again, a second later, when it ends '
                                          'without being asked to.'),
        DeclareLaunchArgument('namespace', default_value='', description=(
            'Namespace of the node and of its topics, one for each camera.')),
        DeclareLaunchArgument('params_file', default_value='', description=(
            'YAML file of parameters, such as config/ivm.yaml of this package.')),
        *(SetEnvironmentVariable(name, value)
          for name, value in dds.profile_environment().items()),
        OpaqueFunction(function=start),
    ])
