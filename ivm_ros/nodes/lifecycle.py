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
The lifecycle node behind `ivm_node`: parameters, model, cameras and services.

What happens to a frame stands in `stream`, `camera_stream` and `masking`.
"""

import gc
import traceback
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from std_srvs.srv import SetBool, Trigger

from ivm_ros.carriers import load_carriers
from ivm_ros.deploy import DeployConfig
from ivm_ros.masker import MaskerConfig
from ivm_ros.nodes.camera_settings import CameraSettings
from ivm_ros.nodes.model import SharedModel
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.nodes.outputs import Outputs
from ivm_ros.nodes.params import Parameters
from ivm_ros.nodes.reload import load_masker, load_while, Reload
from ivm_ros.nodes.reporter import NodeState, Reporter
from ivm_ros.nodes.stream import Stream
from ivm_ros.nodes.watchdog import Watchdog
from ivm_ros.tracker import TrackConfig

SAFETY = ('masking is not a safety function: it may hide what matters; never rely on it to keep '
          'people or things from harm')
RCLError = rclpy_implementation.RCLError
DONE, FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def refuse_impossible(node: LifecycleNode) -> None:
    """
    Answer no to a transition that the node's state has not, as rclpy does since Kilted.

    In Jazzy the error leaves the executor, and a second `ros2 lifecycle set ... activate` ends
    the process.
    """
    change = node._service_change_state.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change(request, response)
        except RCLError as error:
            node.get_logger().warning(f'lifecycle: {error}')
            response.success = False
            return response

    node._service_change_state.callback = answer


class IvmNode(LifecycleNode):
    """
    Lifecycle node: configure loads the model, activate subscribes, cleanup frees.

    Raises:
        ConfigError, rclpy ParameterException: A parameter given at start is refused.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('ivm_node', **kwargs)
        refuse_impossible(self)
        self._phase, self._error, self._broken = 'unconfigured', '', ''
        self._settings = Parameters(self, (NodeConfig, DeployConfig, MaskerConfig, TrackConfig),
                                    self._locked)
        self._known: dict[str, CameraSettings] = {}
        self._cameras: list[CameraSettings] = []
        self._choose_cameras()
        self.add_post_set_parameters_callback(self._say_changes)
        for line in self._settings.unknown(self):
            self.get_logger().warning(line)
        self._masker: Watchdog | None = None
        self._model: SharedModel | None = None
        self._outputs: dict[CameraSettings, Outputs] = {}
        self._stream: Stream | None = None
        self._reporter = Reporter(self)
        self._tick_timer = self._start_ticking()
        self.create_service(SetBool, '~/enable', self._enable)
        reload = Reload(self, self._load, lambda: self._masker, self._use)
        # In a group of its own: while it waits for the weights, all others of its group wait.
        self.create_service(Trigger, '~/reload', reload.answer,
                            callback_group=MutuallyExclusiveCallbackGroup())
        self.get_logger().info(SAFETY)

    def start(self) -> None:
        """Configure and activate, if `autostart` says so."""
        if not self._settings.get(NodeConfig).autostart:
            self.get_logger().info('autostart is off: waiting to be configured and activated')
        elif self.trigger_configure() == DONE:
            self.trigger_activate()

    def close(self) -> None:
        """Stop the worker thread; the node is to be destroyed next."""
        if self._stream is not None and self._phase == 'active':
            self._stream.close()
            self._phase = 'inactive'

    def destroy_node(self) -> None:
        """Destroy the node, and what rclpy forgets: it would keep DDS and its shared memory."""
        super().destroy_node()
        self.__dict__.pop('_state_machine', None)

    # Lifecycle ------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and advertise the topics."""
        try:
            self._choose_cameras()
            self._masker = load_while(self.context.ok, self._load)
            carrier = load_carriers(self._settings.get(TrackConfig),
                                    self._settings.get(MaskerConfig))
        except ValueError as error:
            return self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - rclpy swallows what leaves a transition
            traceback.print_exc()
            return self._fail(f'{type(error).__name__}: {error}')
        self._model = SharedModel(self._masker, carrier)
        self._outputs = {camera: Outputs(self, camera.now[0], camera.name, camera.depth_input)
                         for camera in self._cameras}
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
        """Take another model; frames at work are finished with the one they began with."""
        self._masker = masker
        if self._model is not None:
            self._model.use(masker)

    def _fail(self, problem: str) -> TransitionCallbackReturn:
        self._masker, self._error = None, problem
        self.get_logger().error(
            f'cannot configure: {problem}. Nothing is published. Change the parameter, then: '
            f'ros2 lifecycle set {self.get_fully_qualified_name()} configure')
        return FAILED

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras."""
        if self._model is None:
            return FAILED
        self._stream = Stream(self, self._settings, self._model, self._outputs, self._give_up)
        self._phase, self._broken = 'active', ''
        for camera, outputs in self._outputs.items():
            self.get_logger().info(
                f'active: {self._stream.cameras[camera.name].topic} -> '
                f'{outputs.image.topic_name}, method {camera.now[1].method}'
                f'{"" if camera.now[0].enabled else ", not masked"}')
        return DONE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and let the frames at work finish."""
        self.close()
        self._phase = 'inactive'
        self.get_logger().info('inactive: nothing is masked or published until activated')
        return DONE

    def _give_up(self, reason: str) -> None:
        """Deactivate, in the executor's thread: the model failed, and on_fault is stop."""
        stream = self._stream

        def stop() -> None:
            if stream is None or self._stream is not stream or self._phase != 'active':
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
        for outputs in self._outputs.values():
            outputs.destroy()
        self._outputs = {}
        self._masker = self._model = self._stream = None
        self._broken = ''
        gc.collect()
        self._phase = 'unconfigured'
        return DONE

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, whatever the state."""
        self.on_cleanup(state)
        self._phase = 'finalized'
        return DONE

    # Parameters and services ----------------------------------------------------------------

    def _locked(self) -> str:
        """Say why what is read on configure cannot change now."""
        if self._phase == 'unconfigured':
            return ''
        name = self.get_fully_qualified_name()
        steps = ['cleanup'] if self._phase == 'inactive' else ['deactivate', 'cleanup']
        return f'the node is {self._phase}; first ' + ' and '.join(
            f'"ros2 lifecycle set {name} {step}"' for step in steps)

    def _choose_cameras(self) -> None:
        """Declare the parameters and instruction topics of cameras that are new."""
        names = self._settings.get(NodeConfig).cameras
        # The one without a name is there always: its instruction is that of all.
        for name in ('', *names):
            if name not in self._known:
                self._known[name] = CameraSettings(self, self._settings, name, self._locked)
        self._cameras = [self._known[name] for name in names or ('',)]

    def _say_changes(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            text = repr(parameter.value)
            said = f'{parameter.name} = {text if len(text) <= 100 else text[:97] + "..."}'
            if parameter.name.endswith('instruction'):  # some planners repeat themselves at 1 kHz
                self.get_logger().info(said, throttle_duration_sec=0.2)
            else:
                self.get_logger().info(said)

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

    def _tick(self) -> None:
        info: dict[str, Any] = {}
        hangs = ''
        if self._masker is not None:
            info, hangs = self._masker.info, self._masker.trouble
        self._reporter.publish(NodeState(self._phase, self._error, info, self._stream,
                                         self._broken, hangs), self._cameras)
