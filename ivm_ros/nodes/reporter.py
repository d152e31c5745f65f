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
"""Puts together what `ivm_node` says on /diagnostics: a status a camera, and one of the batch."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from ivm_ros.nodes import dds
from ivm_ros.nodes.camera_settings import CameraSettings
from ivm_ros.nodes.camera_stream import QUIET
from ivm_ros.nodes.diagnostics import (
    batch_status, Health, lost_frames, nothing_found, silence, stream_status)
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.nodes.stats import Stats
from ivm_ros.nodes.stream import Stream


@dataclass(frozen=True)
class NodeState:
    """
    Where the node stands.

    Attributes:
        phase (str): 'unconfigured', 'inactive' or 'active'.
        error (str): Why it could not be configured.
        info (dict[str, Any]): Of the model; empty while there is none.
        stream (Stream | None): The live one, or the last one.
        broken (str): Why it was stopped, '' where it was not.
        hangs (str): How the model hangs now, '' where it does not.
    """

    phase: str
    error: str
    info: dict[str, Any]
    stream: Stream | None
    broken: str
    hangs: str


class Reporter:
    """
    Publishes /diagnostics and warns in the log.

    Args:
        node: Owns the publisher.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._idle = Stats()  # of cameras that have not been listened to yet

    @property
    def _name(self) -> str:
        """The node's name with its namespace: several nodes speak on one topic."""
        full: str = self._node.get_fully_qualified_name()
        return full.lstrip('/')

    def publish(self, state: NodeState, cameras: Iterable[CameraSettings]) -> None:
        """Say how the node and each camera are."""
        cameras = list(cameras)
        shared = [*filter(None, (self._twins(), state.info.get('trouble', '')))]
        statuses = [self._camera(state, camera, shared) for camera in cameras]
        if state.stream is not None and cameras[0].name:
            config, _ = cameras[0].now
            statuses.append(batch_status(self._name, {
                'cameras': len(cameras), 'batch_window': config.batch_window,
                'sync_slop': config.sync_slop, **state.stream.batches.facts}))
        message = DiagnosticArray(status=statuses)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _twins(self) -> str:
        """Say whether other nodes have this one's name; '' where none has."""
        me = self._node.get_name(), self._node.get_namespace()
        twins = self._node.get_node_names_and_namespaces().count(me) - 1
        if twins < 1:
            return ''
        problem = (f'{twins} more node(s) are called {self._node.get_fully_qualified_name()}: '
                   f'give each its own name with -r __node:=NAME')
        self._node.get_logger().warning(problem, throttle_duration_sec=QUIET)
        return problem

    def _camera(self, state: NodeState, settings: CameraSettings, shared: list[str]
                ) -> DiagnosticStatus:
        config, deploy = settings.now
        live = state.stream.cameras.get(settings.name) if state.stream is not None else None
        report = (live.stats if live is not None else self._idle).report()
        active = live if state.phase == 'active' else None
        publishers, counts = active.look() if active is not None else (0, True)
        failing = active.broken if active is not None else ''
        health = Health(
            state.phase, state.error, f'{settings.name}/image'.lstrip('/'),
            active.topic if active is not None else '', publishers, counts, config.stale_after,
            config.instruction, config.enabled or not settings.name,
            (*filter(None, [active.problem if active is not None else '']), *shared),
            {'method': deploy.method, 'enabled': config.enabled, 'on_fault': config.on_fault,
             'device': state.info.get('device', ''), 'threads': state.info.get('threads', ''),
             'generator': state.info.get('generator', ''), 'dds_profile': dds.profile_in_use(),
             'track': settings.track.track, 'track_by': settings.track.track_by,
             **(live.facts if live is not None else {})},
            state.broken or failing or (state.hangs if config.enabled else ''))
        log = self._node.get_logger()
        if active is not None and health.masks:
            if not config.instruction.strip():
                self._ask_for_instruction(settings.name, config)
            elif missing := nothing_found(report, deploy, settings.name):
                log.warning(missing, throttle_duration_sec=6 * QUIET)
        if lost := lost_frames(report):
            log.warning(lost, throttle_duration_sec=QUIET)
        if silent := silence(report, health):
            log.warning(silent, throttle_duration_sec=6 * QUIET)
        return stream_status(self._name, report, health, settings.name)

    def _ask_for_instruction(self, camera: str, config: NodeConfig) -> None:
        topic = self._node.resolve_topic_name('instruction')
        self._node.get_logger().warning(
            f'no instruction yet{f" for {camera}" if camera else ""}: on_fault = '
            f'{config.on_fault} for every frame. Send one: ros2 topic pub --once {topic} '
            f'std_msgs/msg/String "{{data: pick up the red mug}}"',
            throttle_duration_sec=6 * QUIET)
