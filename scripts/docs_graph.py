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
Starts the real nodes under rclpy and prints as JSON what they are to the rest of the graph.

Of each node: topics published and subscribed to, services, and parameters with default, type,
range and help, as `ros2 node info` and `ros2 param describe` would tell them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import json
import os
from pathlib import Path
import sys
import tempfile
from typing import Any

import cv2
import numpy as np
from rcl_interfaces.msg import ParameterDescriptor
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from ivm_ros.nodes.image_player import ImagePlayer
from ivm_ros.nodes.lifecycle import IvmNode
from ivm_ros.nodes.recorder_node import RecorderNode
from ivm_ros.nodes.rerun_node import RerunNode
from ivm_ros.processes import reserve_domain

VARIANTS: dict[str, dict[str, Any]] = {
    'ivm_node': {}, **{f'ivm_node, {name}': {name: True} for name in (
        'compressed_input', 'compressed_output', 'depth_input')},
    'ivm_node, cameras': {'cameras': ['front', 'wrist']}}
"""Settings that change which topics there are; a label ends with what it sets."""
EVERYONE = ('/rosout', '/parameter_events', 'parameter', 'type_description', 'logger_level',
            'change_state', 'get_state', 'get_available', 'transition_event',
            'get_transition_graph', 'use_sim_time', 'start_type_description', 'qos_overrides')
"""Parts of names that every node or every lifecycle node has: left out."""


def main() -> None:
    """Print what the nodes are to the graph, by name."""
    domain, _lock = reserve_domain()
    os.environ.update(ROS_DOMAIN_ID=str(domain), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
    rclpy.init(args=[])
    told = {}
    with tempfile.TemporaryDirectory() as folder, _nodes(Path(folder)) as nodes:
        for label, node in nodes:
            told[label] = _tell(node)
    rclpy.try_shutdown()
    json.dump(told, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # Mesa's clean-up hangs now and then


@contextmanager
def _nodes(folder: Path) -> Iterator[list[tuple[str, Node]]]:
    """Start all nodes, each in a namespace of its own, with what they need to come up."""
    cv2.imwrite(str(folder / 'picture.png'), np.zeros((64, 64, 3), np.uint8))
    started: list[tuple[str, Node]] = []
    for label, settings in VARIANTS.items():
        node = IvmNode(namespace=f'/n{len(started)}', parameter_overrides=_given(settings))
        node.start()
        started.append((label, node))
    started.append(('ivm_recorder', RecorderNode(namespace='/recorder')))
    started.append(('image_player', ImagePlayer(namespace='/player', parameter_overrides=_given(
        {'path': str(folder / 'picture.png')}))))
    started.append(('ivm_rerun', RerunNode(namespace='/rerun', parameter_overrides=_given(
        {'file': str(folder / 'x.rrd')}))))
    started.append(('sim_node', _sim_node()))
    try:
        yield started
    finally:
        for _, node in started:
            if isinstance(node, (IvmNode, RerunNode)):
                node.close()
            node.destroy_node()


def _sim_node() -> Node:
    from ivm_sim.nodes.sim_node import SimNode  # after torch: see ivm_sim.gl.load_triton

    return SimNode(namespace='/sim')


def _given(settings: dict[str, Any]) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in settings.items()]


def _tell(node: Node) -> dict[str, Any]:
    """Tell of one node; names relative to it, private ones with `~`."""
    me = node.get_name(), node.get_namespace()
    described = node.describe_parameters(_own([*node._parameters]))
    return {
        'publishes': _named(node, node.get_publisher_names_and_types_by_node(*me)),
        'subscribes': _named(node, node.get_subscriber_names_and_types_by_node(*me)),
        'services': _named(node, node.get_service_names_and_types_by_node(*me)),
        'qos': _qos(node),
        'parameters': [_parameter(node, item) for item in described]}


def _qos(node: Node) -> dict[str, str]:
    """Give the reliability and durability of its topics by name, as the graph knows them."""
    found = {}
    for topic, _ in node.get_topic_names_and_types():
        ends = [end for end in (*node.get_publishers_info_by_topic(topic),
                                *node.get_subscriptions_info_by_topic(topic))
                if (end.node_name, end.node_namespace) == (node.get_name(), node.get_namespace())]
        profiles = dict.fromkeys(
            f'{end.qos_profile.reliability.name}, {end.qos_profile.durability.name}'.lower()
            for end in ends)
        found[topic] = [' or '.join(profiles).replace('_', ' ')]
    return _named(node, [*found.items()])


def _own(names: list[str]) -> list[str]:
    return [name for name in names if not any(part in name for part in EVERYONE)]


def _named(node: Node, pairs: list[tuple[str, list[str]]]) -> dict[str, str]:
    """Give types, or what else is told of them, by name."""
    found = {}
    for name, kinds in pairs:
        if _own([name]):
            short = name.replace(node.get_fully_qualified_name() + '/', '~/', 1)
            found[short.removeprefix(node.get_namespace() + '/')] = kinds[0]
    return dict(sorted(found.items()))


def _parameter(node: Node, item: ParameterDescriptor) -> dict[str, Any]:
    value = node.get_parameter(item.name)
    bounds = [*item.floating_point_range, *item.integer_range]
    default = list(value.value) if value.type_.name.endswith('_ARRAY') else value.value
    if item.name in node._parameter_overrides:
        default = ''  # a picture of ours, to play something
    return {'name': item.name, 'type': value.type_.name.lower(), 'default': default,
            'range': [bounds[0].from_value, bounds[0].to_value] if bounds else None,
            'help': item.description}


if __name__ == '__main__':
    main()
