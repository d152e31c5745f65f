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
"""A ROS graph of real processes for tests: start programs, publish, listen, change, stop."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
import os
from pathlib import Path
import signal
import subprocess
import sys
from threading import Condition, Thread
import time
from typing import Any
import warnings

import pytest
import yaml

if find_spec('rclpy') is None:
    warnings.warn('tests/ros is left out: rclpy is not installed (source ROS 2 or make test)',
                  stacklevel=1)
    collect_ignore_glob = ['test_*.py']
else:
    from lifecycle_msgs.srv import ChangeState, GetState
    from rcl_interfaces.srv import GetParameters, SetParametersAtomically
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.parameter import Parameter
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    from ivm_ros.nodes import dds

    # Fast DDS reads it when rclpy starts; processes that are to run without it say so.
    os.environ.update(dds.profile_environment())

PATIENCE = 120.0
"""Seconds until a test gives up on an event; reached only where something is broken."""

TRANSITIONS = {'configure': 1, 'cleanup': 2, 'activate': 3, 'deactivate': 4, 'shutdown': 5}


class Inbox:
    """The messages that came on one topic, with the numbers that DDS gave them."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.infos: list[dict[str, Any]] = []
        self._changed = Condition()

    def put(self, message: Any, info: Any) -> None:
        """Take a message; called by rclpy."""
        with self._changed:
            self.messages.append(message)
            self.infos.append(info)
            self._changed.notify_all()

    def wait(self, good: Callable[[Any], bool] = lambda message: True, after: int = 0,
             patience: float = PATIENCE) -> Any:
        """Return the first message from index `after` on that is good; fail if none comes."""
        found: list[Any] = []

        def look() -> bool:
            found[:] = [message for message in self.messages[after:] if good(message)][:1]
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(look, patience):
                last = str(self.messages[-1])[:2000] if self.messages else 'none'
                pytest.fail(f'{len(self.messages)} messages came, none is the one waited for; '
                            f'last: {last}')
        return found[0]

    def __len__(self) -> int:
        """Count what has come."""
        return len(self.messages)


class Program:
    """A started process with its output in a file."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
        self.log = log
        with log.open('w') as stream:
            self.process = subprocess.Popen(arguments, stdout=stream, stderr=subprocess.STDOUT,
                                            env=environment)

    def text(self) -> str:
        """Return the output so far."""
        return self.log.read_text()

    def wait_for(self, text: str, patience: float = PATIENCE) -> None:
        """Wait until the output has a text."""
        end = time.monotonic() + patience
        while text not in self.text():
            if time.monotonic() > end or self.process.poll() is not None:
                assert text in self.text(), f'wanted {text!r} in the output: {self.text()}'
                return
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT, patience: float = 20.0) -> int:
        """Send a signal, wait for the end, return the exit code; kill what does not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -signal.SIGKILL


class Graph:
    """A node of the test's own, and the programs that it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Program] = []
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('tester', context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def start(self, module: str, *arguments: str, profile: bool = True,
              environment: dict[str, str] | None = None, **parameters: Any) -> Program:
        """Start a program of ours, as `python -m module`, with ROS parameters from a YAML file."""
        number = len(self.programs)
        file = self.folder / f'{number}.yaml'
        values = {name: list(value) if isinstance(value, tuple) else value
                  for name, value in parameters.items()}
        file.write_text(yaml.safe_dump({'/**': {'ros__parameters': values}}))
        given = {**os.environ, 'PYTHONUNBUFFERED': '1', **(environment or {})}
        if not profile:
            given.pop(dds.variable(), None)
        extra = ['--params-file', str(file)] if values else []
        program = Program([sys.executable, '-m', module, '--ros-args', *extra, *arguments],
                          self.folder / f'{number}-{module.split(".")[-1]}.log', given)
        self.programs.append(program)
        return program

    def listen(self, kind: type, topic: str, depth: int = 50) -> Inbox:
        """Collect the messages of a topic."""
        inbox = Inbox()
        self.node.create_subscription(
            kind, topic, lambda message, info: inbox.put(message, info),
            QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE))
        return inbox

    def speak(self, kind: type, topic: str, latched: bool = False, reliable: bool = True,
              listeners: int = 1) -> Any:
        """Make a publisher and wait for those who listen."""
        publisher = self.node.create_publisher(kind, topic, QoSProfile(
            depth=5, reliability=ReliabilityPolicy.RELIABLE if reliable else
            ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.TRANSIENT_LOCAL
            if latched else DurabilityPolicy.VOLATILE))
        self.until(lambda: publisher.get_subscription_count() >= listeners,
                   f'{listeners} subscriptions of {topic}')
        return publisher

    def until(self, good: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Wait until something is so."""
        end = time.monotonic() + patience
        while not good():
            if time.monotonic() > end:
                pytest.fail(f'waited in vain for {what}')
            time.sleep(0.02)

    def call(self, kind: type, name: str, request: Any, patience: float = PATIENCE) -> Any:
        """Call a service and return its answer."""
        client = self.node.create_client(kind, name)
        try:
            assert client.wait_for_service(patience), f'no service {name}'
            future = client.call_async(request)
            self.until(future.done, f'an answer of {name}', patience)
            return future.result()
        finally:
            self.node.destroy_client(client)

    def change(self, node: str, **values: Any) -> Any:
        """Set parameters of a node together; return its SetParametersResult."""
        parameters = [Parameter(name, value=value).to_parameter_msg()
                      for name, value in values.items()]
        return self.call(SetParametersAtomically, f'{node}/set_parameters_atomically',
                         SetParametersAtomically.Request(parameters=parameters)).result

    def read(self, node: str, name: str) -> Any:
        """Read one parameter of a node."""
        answer = self.call(GetParameters, f'{node}/get_parameters',
                           GetParameters.Request(names=[name]))
        return rclpy.parameter.parameter_value_to_python(answer.values[0])

    def move(self, node: str, transition: str) -> bool:
        """Ask a lifecycle node for a transition; return whether it succeeded."""
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[transition]
        return self.call(ChangeState, f'{node}/change_state', request).success

    def state(self, node: str) -> str:
        """Return the state of a lifecycle node."""
        return self.call(GetState, f'{node}/get_state', GetState.Request()).current_state.label

    def close(self) -> None:
        """Stop everything that was started."""
        for program in self.programs:
            program.stop()
        self._executor.shutdown()
        self._thread.join(5)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Graph]:
    """Start and end a graph for one test."""
    made = Graph(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope='module')
def shared_graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """Start and end a graph for the tests of one file."""
    made = Graph(tmp_path_factory.mktemp('graph'))
    yield made
    made.close()


def write_random(folder: Path, **config: int) -> Path:
    """Write a real checkpoint of random weights."""
    import torch

    from ivm_ros.models.checkpoint import save_checkpoint
    from ivm_ros.models.compact import CompactConfig, CompactNet
    from ivm_ros.models.checkpoint_info import file_hash
    from ivm_ros.models.text_files import find_text_encoder, NAME

    torch.manual_seed(0)
    path = folder / 'random.safetensors'
    encoder = {'name': NAME, 'sha256': file_hash(find_text_encoder() / 'model.safetensors')}
    save_checkpoint(path, CompactNet(CompactConfig(**config)), encoder, {'command': 'random'}, {})
    return path


@pytest.fixture(scope='session')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write weights for tests to which it does not matter what masks show."""
    return write_random(tmp_path_factory.mktemp('weights'))


@pytest.fixture(scope='session')
def slow_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write weights with a canvas 21 times as large as the usual: a really slow model."""
    return write_random(tmp_path_factory.mktemp('slow'), height=1024, width=1024)


@pytest.fixture(scope='session')
def slower_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write weights that take half a second on a core of twice the speed of ours, too."""
    return write_random(tmp_path_factory.mktemp('slower'), height=1024, width=1024,
                        proposals=128)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Repeat a failed test of this folder twice: other work on the machine can outrun a node."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=2))


@pytest.fixture(scope='session')
def clone_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a policy of random weights: it moves, and that is all that is asked of it here."""
    import torch

    from ivm_sim.clones.config import CloneConfig, CloneTraining
    from ivm_sim.clones.net import CloneNet
    from ivm_sim.clones.train import save

    torch.manual_seed(0)
    model = CloneConfig(size=32, points=8, hidden=32, wrist=True)
    return save(tmp_path_factory.mktemp('clone') / 'random.safetensors', CloneNet(model),
                CloneTraining(model=model), 0, 0)
