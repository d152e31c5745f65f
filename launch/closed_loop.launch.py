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
The closed loop: a simulated arm, a cloned policy, and ivm_node between camera and policy.

    ros2 launch ivm_ros closed_loop.launch.py task:=cup_on_pan clutter:=many camera:=masked

camera:=raw leaves ivm_node out and gives the policy the camera's own pictures: one remapping. All
ends when the last episode is played, or when one of the nodes dies. Needs the part [sim].
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from ivm_ros.config import options
from ivm_ros.nodes.programs import program
from ivm_sim.evaluation.config import shipped_clone
from ivm_sim.nodes.loop_config import PolicyConfig, SimConfig

HERE = Path(__file__).resolve().parent
OPTIONS = {option.name: option for option in options(SimConfig)}
GIVEN = ('task', 'clutter', 'seed', 'episodes', 'size', 'rate', 'pace', 'patience')
"""Arguments that are parameters of the arm, passed on only when they are given."""


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Start arm and policy, and what masks between them."""
    given = context.launch_configurations
    arm = {name: OPTIONS[name].kind(given[name]) for name in GIVEN if given[name]}
    rate = int(arm.get('rate', OPTIONS['rate'].default))
    masked = given['camera'] == 'masked'
    policy = {'weights': given['weights'] or str(shipped_clone(given['camera'])),
              'camera': given['camera'], 'max_shift': 0.5 / rate, 'max_turn': 5.0 / rate}
    nodes: list[LaunchDescriptionEntity] = [
        Node(**program('sim_node', 'ivm_sim.nodes.sim_node'), name='sim_node', output='screen',
             emulate_tty=True, parameters=[arm],
             on_exit=Shutdown(reason='the arm has played its last episode')),
        Node(**program('policy_node', 'ivm_sim.nodes.policy_node'), name='policy_node',
             output='screen', emulate_tty=True, parameters=[policy],
             remappings=[('image', 'masked/image' if masked else 'front/image_raw')],
             on_exit=Shutdown(reason='the policy has ended'))]
    if masked:
        nodes.append(IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(HERE / 'ivm.launch.py')),
            launch_arguments={'image': 'front/image_raw',
                              'params_file': LaunchConfiguration('params_file'),
                              'method': LaunchConfiguration('method'),
                              'device': LaunchConfiguration('device')}.items()))
    return nodes


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; `ros2 launch --show-args` prints them."""
    weights = next(option for option in options(PolicyConfig) if option.name == 'weights')
    return LaunchDescription([
        DeclareLaunchArgument('camera', default_value='masked', choices=['masked', 'raw'],
                              description='What the policy sees.'),
        DeclareLaunchArgument('weights', default_value='', description=(
            f'{weights.help} Empty = the shipped one that was trained on such pictures.')),
        *(DeclareLaunchArgument(name, default_value='', description=(
            f'{OPTIONS[name].help} Empty = {OPTIONS[name].default}.')) for name in GIVEN),
        DeclareLaunchArgument('method', default_value='', description=(
            'How the mask is shown; the shipped policies learnt with overlay. Empty = by '
            'params_file.')),
        DeclareLaunchArgument('device', default_value='', description=(
            'Where the masks are made. Empty = by params_file.')),
        DeclareLaunchArgument('params_file', default_value=str(
            HERE.parent / 'config' / 'closed_loop.yaml'), description=(
            'YAML file of parameters of ivm_node: it keeps simulated time and loses nothing.')),
        OpaqueFunction(function=start),
    ])
