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
The lifecycle node behind `ivm_node`: parameters, instruction, model and diagnostics.

What happens to a frame stands in `stream` and `masking`.
"""

import gc
import traceback
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.timer import Timer
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from ivm_ros.deploy import DeployConfig
from ivm_ros.masker import MaskerConfig
from ivm_ros.nodes import dds
from ivm_ros.nodes.diagnostics import Health, lost_frames, stream_status
from ivm_ros.nodes.masking import FrameMasker
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.nodes.outputs import Outputs
from ivm_ros.nodes.params import Parameters
from ivm_ros.nodes.reload import load_masker, Reload
from ivm_ros.nodes.stats import Stats
from ivm_ros.nodes.stream import QUIET, Stream
from ivm_ros.nodes.watchdog import Watchdog
from ivm_ros.tracker import TrackConfig

SAFETY = ('masking is not a safety function: it may hide what matters; never rely on it to keep '
          'people or things from harm')
DONE, FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class IvmNode(LifecycleNode):
    """
    Lifecycle node: configure loads the model, activate subscribes, cleanup frees.

    Raises:
        ConfigError, rclpy ParameterException: A parameter given at start is refused.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('ivm_node', **kwargs)
        self._phase, self._error, self._broken = 'unconfigured', '', ''
        self._settings = Parameters(self, (NodeConfig, DeployConfig, MaskerConfig, TrackConfig),
                                    self._locked)
        self.add_post_set_parameters_callback(self._say_changes)
        for line in self._settings.unknown(self):
            self.get_logger().warning(line)
        self._stats = Stats()
        self._masker: Watchdog | None = None
        self._outputs: Outputs | None = None
        self._stream: Stream | None = None
        self._frames: FrameMasker | None = None
        self._health = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._tick_timer = self._start_ticking()
        self.create_service(SetBool, '~/enable', self._enable)
        reload = Reload(self, self._load, lambda: self._masker, self._use)
        # In a group of its own: while it waits for the weights, all others of its group wait.
        self.create_service(Trigger, '~/reload', reload.answer,
                            callback_group=MutuallyExclusiveCallbackGroup())
        self._listen_to_instruction()
        self.get_logger().info(SAFETY)

    def start(self) -> None:
        """Configure and activate, if `autostart` says so."""
        if not self._settings.get(NodeConfig).autostart:
            self.get_logger().info('autostart is off: waiting to be configured and activated')
        elif self.trigger_configure() == DONE:
            self.trigger_activate()

    def close(self) -> None:
        """Stop the worker thread; the node is to be destroyed next."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    # Lifecycle ------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and advertise the topics."""
        try:
            self._masker = self._load()
        except ValueError as error:
            return self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - rclpy swallows what leaves a transition
            traceback.print_exc()
            return self._fail(f'{type(error).__name__}: {error}')
        self._outputs = Outputs(self, self._settings.get(NodeConfig))
        self.destroy_timer(self._tick_timer)
        self._tick_timer = self._start_ticking()
        self._phase, self._error, self._broken = 'inactive', '', ''
        info = self._masker.info
        self.get_logger().info(f'model loaded: {info["generator"]} on {info["device"]}, '
                               f'{info["threads"]} thread(s), weights {info["weights"]}')
        if 'keys' in info:  # which arrays of other people's weights went where
            self.get_logger().info(f'weights: {info["keys"]}')
        self.get_logger().info('inactive: nothing is masked or published until activated')
        return DONE

    def _load(self) -> Watchdog:
        return load_masker(self._settings.get(MaskerConfig),
                           lambda: self._settings.get(NodeConfig).watchdog)

    def _use(self, masker: Watchdog) -> None:
        """Take another model; a frame at work is finished with the one it began with."""
        self._masker = masker
        if self._frames is not None:
            self._frames.use(masker)

    def _fail(self, problem: str) -> TransitionCallbackReturn:
        self._masker, self._error = None, problem
        self.get_logger().error(
            f'cannot configure: {problem}. Nothing is published. Change the parameter, then: '
            f'ros2 lifecycle set {self.get_fully_qualified_name()} configure')
        return FAILED

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        if self._masker is None or self._outputs is None:
            return FAILED
        self._stats = Stats()
        self._frames = FrameMasker(self._masker)
        self._stream = Stream(self, self._settings, self._frames, self._outputs, self._stats,
                              self._give_up)
        self._phase, self._broken = 'active', ''
        self.get_logger().info(
            f'active: {self._stream.topic} -> {self._outputs.image.topic_name}, method '
            f'{self._settings.get(DeployConfig).method}')
        return DONE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and let the frame at work finish."""
        self.close()
        self._phase = 'inactive'
        self.get_logger().info('inactive: nothing is masked or published until activated')
        return DONE

    def _give_up(self, reason: str) -> None:
        """Deactivate, in the executor's thread: the model failed, and on_fault is stop."""
        stream = self._stream

        def stop() -> None:
            if stream is None or self._stream is not stream:
                return  # it is over already
            self._broken = f'stopped, as on_fault says: {reason}'
            self.get_logger().error(
                f'{self._broken}. Nothing is published. When the model is well again: ros2 '
                f'lifecycle set {self.get_fully_qualified_name()} activate')
            self.trigger_deactivate()

        if self.executor is not None:
            self.executor.create_task(stop)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and take the topics back."""
        self.close()
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = self._masker = self._frames = None
        self._broken = ''
        gc.collect()
        self._phase = 'unconfigured'
        return DONE

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, whatever the state."""
        self.on_cleanup(state)
        self._phase = 'finalized'
        return DONE

    # Parameters, instruction, service -------------------------------------------------------

    def _locked(self) -> str:
        """Say why what is read on configure cannot change now."""
        if self._phase == 'unconfigured':
            return ''
        name = self.get_fully_qualified_name()
        steps = ['cleanup'] if self._phase == 'inactive' else ['deactivate', 'cleanup']
        return f'the node is {self._phase}; first ' + ' and '.join(
            f'"ros2 lifecycle set {name} {step}"' for step in steps)

    def _say_changes(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            text = repr(parameter.value)
            self.get_logger().info(
                f'{parameter.name} = {text if len(text) <= 100 else text[:97] + "..."}')

    def _listen_to_instruction(self) -> None:
        """
        Subscribe twice: a transient local subscription alone would not hear volatile publishers.

        Those are what `ros2 topic pub` and `create_publisher(String, 'instruction', 1)` make.
        """
        for durability in (DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE):
            self.create_subscription(String, 'instruction', self._on_instruction,
                                     QoSProfile(depth=1, durability=durability))

    def _on_instruction(self, message: String) -> None:
        if message.data != self._settings.get(NodeConfig).instruction:
            self.set_parameters([Parameter('instruction', value=message.data)])

    def _ask_for_instruction(self, config: NodeConfig) -> None:
        self.get_logger().warning(
            f'no instruction yet: on_fault = {config.on_fault} for every frame. Send one: ros2 '
            f'topic pub --once {self.resolve_topic_name("instruction")} std_msgs/msg/String '
            f'"{{data: pick up the red mug}}"', throttle_duration_sec=6 * QUIET)

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        result, = self.set_parameters([Parameter('enabled', value=request.data)])
        response.success = result.successful
        response.message = result.reason or (
            'masking' if request.data else 'frames pass on as they come')
        return response

    # Diagnostics ----------------------------------------------------------------------------

    def _start_ticking(self) -> Timer:
        # Steady time: with a simulated clock that stands still the node has to say so.
        return self.create_timer(self._settings.get(NodeConfig).diagnostics_period, self._tick,
                                 clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _failure(self) -> str:
        """Say how the model fails now, or why it was stopped; '' while all is well."""
        hangs = self._masker.trouble if self._masker is not None else ''
        return self._broken or (self._stream.broken if self._stream is not None else '') or hangs

    def _tick(self) -> None:
        config, deploy = self._settings.get(NodeConfig), self._settings.get(DeployConfig)
        publishers, counts = self._stream.look() if self._stream is not None else (0, True)
        wrong = [self._stream.problem] if self._stream is not None else []
        me = self.get_name(), self.get_namespace()
        twins = self.get_node_names_and_namespaces().count(me) - 1
        if twins > 0:
            wrong.append(f'{twins} more node(s) are called {self.get_fully_qualified_name()}: '
                         f'give each its own name with -r __node:=NAME')
            self.get_logger().warning(wrong[-1], throttle_duration_sec=QUIET)
        info = self._masker.info if self._masker is not None else {}
        wrong.append(info.get('trouble', ''))
        report = self._stats.report()
        health = Health(
            self._phase, self._error, self._stream.topic if self._stream is not None else '',
            publishers, counts, config.stale_after, config.instruction,
            tuple(filter(None, wrong)),
            {'method': deploy.method, 'enabled': config.enabled, 'on_fault': config.on_fault,
             'device': info.get('device', ''), 'threads': info.get('threads', ''),
             'generator': info.get('generator', ''), 'dds_profile': dds.profile_in_use(),
             'track': self._settings.get(TrackConfig).track,
             **(self._frames.facts if self._frames is not None else {})}, self._failure())
        if self._phase == 'active' and not config.instruction.strip():
            self._ask_for_instruction(config)
        if lost := lost_frames(report):
            self.get_logger().warning(lost, throttle_duration_sec=QUIET)
        status = stream_status(self.get_name(), report, health)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._health.publish(message)
