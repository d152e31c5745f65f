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
"""The node as a process: killed, interrupted at every stage, its lifecycle called at random."""

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
from threading import Event, Lock, Thread
import time

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ivm_ros.nodes.convert import to_msg
from ivm_ros.nodes.shared_memory import free_left_behind

pytestmark = pytest.mark.slow

NODE, MODULE = '/ivm_node', 'ivm_ros.nodes.ivm_node'
PLAYER, RECORDER = 'ivm_ros.nodes.image_player', 'ivm_ros.nodes.recorder_node'
SHOW = {'instruction': 'pick up the red mug', 'found_threshold': 0.0, 'device': 'cpu',
        'watchdog': 30.0}
PICTURE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
TRANSITIONS = {'configure': 1, 'cleanup': 2, 'activate': 3, 'deactivate': 4}
MOVES = {('unconfigured', 'configure'): 'inactive', ('inactive', 'activate'): 'active',
         ('active', 'deactivate'): 'inactive', ('inactive', 'cleanup'): 'unconfigured'}


class Camera:
    """Publishes numbered frames at a steady rate in a thread; holding `lock`, nothing comes."""

    def __init__(self, graph, rate: float) -> None:
        self.times: list[float] = []
        self.lock = Lock()
        self._publisher = graph.node.create_publisher(Image, 'image', 5)
        self._period, self._end = 1 / rate, Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(self._period):
            with self.lock:
                self.send()

    def send(self) -> int:
        """Publish the next frame; return its number."""
        header = Header(frame_id='eye')
        header.stamp.sec = len(self.times)
        self.times.append(time.monotonic())
        self._publisher.publish(to_msg(PICTURE, header))
        return header.stamp.sec

    def close(self) -> int:
        """Stop; return how many were sent."""
        self._end.set()
        self._thread.join()
        return len(self.times)


@contextmanager
def camera_at(graph, rate: float) -> Iterator[Camera]:
    """Have a camera while a block runs."""
    camera = Camera(graph, rate)
    try:
        yield camera
    finally:
        camera.close()


def segments(pid: int) -> set[str]:
    """
    Name the segments of Fast DDS that a process has mapped; empty when it is gone.

    Ports are left out: small, shared by number, and used again.
    """
    try:
        maps = Path(f'/proc/{pid}/maps').read_text()
    except OSError:
        return set()
    return set(re.findall(r'/dev/shm/(fast(?:dds|rtps)_(?!port)\w+)', maps))


def faulty() -> dict:
    """Give the environment in which `faulty_node` is found."""
    return {'PYTHONPATH': os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')])}


@pytest.mark.alone
def test_killed_and_started_again(graph):
    """SIGKILL costs the frames until the next one is up, and leaves no memory behind for good."""
    out = graph.listen(Image, 'masked/image', depth=200)
    # With a quick model: no frame is late on a busy machine.
    given = {'environment': faulty(), 'generator': 'faulty', **SHOW}
    first = graph.start('faulty_node', **given)
    first.wait_for('active: /image')
    with camera_at(graph, 3) as camera:
        out.wait(lambda one: one.header.stamp.sec >= 0)
        seen = len(out)
        graph.until(lambda: len(out) >= seen + 10, 'ten frames')
        mine, sent = segments(first.process.pid) - segments(os.getpid()), len(camera.times)
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
        killed = len(camera.times)
        left = [name for name in mine if Path('/dev/shm', name).exists()]
        assert left, 'nothing to free: then free_left_behind is not needed any more'
        for name in left:  # as if it had run for longer
            os.utime(Path('/dev/shm', f'{name}_el'), (0, 0))
        second = graph.start('faulty_node', **given)
        second.wait_for('active: /image')
        up = len(camera.times)
        seen = len(out)
        graph.until(lambda: len(out) >= seen + 10, 'ten frames more')
    came = {one.header.stamp.sec for one in out.messages}
    gone = sorted(set(range(min(came), max(came))) - came)
    # In flight when it was killed: one at work, one waiting. The next one is found by the camera
    # within three seconds of saying that it is up.
    assert gone and gone[0] >= sent - 2 and gone[-1] <= up + 15, (gone, sent, killed, up)
    assert gone == list(range(gone[0], gone[-1] + 1))
    assert not [name for name in left if Path('/dev/shm', name).exists()]
    assert len(out) == len(came)  # none twice


def test_only_what_nobody_holds_is_freed(tmp_path):
    """Held, young, and ports stay; what is left over is deleted, both files."""
    for name in ('fastdds_held', 'fastdds_young', 'fastdds_port7400', 'fastrtps_old',
                 'fastdds_old'):
        (tmp_path / name).write_bytes(bytes(1000))
        lock = tmp_path / f'{name}_el'
        lock.touch()
        if 'young' not in name:
            os.utime(lock, (0, 0))
    with (tmp_path / 'fastdds_held_el').open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert free_left_behind(tmp_path) == 2000
    assert {path.name.removesuffix('_el') for path in tmp_path.iterdir()} == {
        'fastdds_held', 'fastdds_young', 'fastdds_port7400'}


def interrupted(graph, program, patience: float = 2.0) -> None:
    """Send Ctrl-C; hold the time that it takes, and what is left of the process's memory."""
    theirs, pid = set(), program.process.pid
    begin = time.monotonic()
    program.process.send_signal(signal.SIGINT)
    while program.process.poll() is None and time.monotonic() < begin + 20:
        theirs |= segments(pid)
        time.sleep(0.005)
    took = time.monotonic() - begin
    assert program.process.poll() == 0, f'{program.process.poll()}: {program.text()}'
    assert took < patience, f'took {took:.1f} s: {program.text()}'
    left = {name for name in theirs if Path('/dev/shm', name).exists()}
    # The test's own end of a connexion goes on living.
    assert not left - segments(os.getpid()), left
    assert 'Traceback' not in program.text()


def stage_importing(graph, weights, slow_weights, folder):
    """While torch is being imported."""
    program = graph.start(MODULE, weights=str(weights), **SHOW)
    graph.until(lambda: 'libtorch' in Path(
        f'/proc/{program.process.pid}/maps').read_text(), 'torch')
    return program


def stage_loading(graph, weights, slow_weights, folder):
    """While the model is being loaded."""
    program = graph.start(MODULE, weights=str(weights), **SHOW)
    program.wait_for('masking is not a safety function')
    return program


def stage_inactive(graph, weights, slow_weights, folder):
    """While it waits to be activated."""
    program = graph.start(MODULE, weights=str(weights), autostart=False, **SHOW)
    program.wait_for('autostart is off')
    assert graph.move(NODE, 'configure')
    return program


def stage_at_a_slow_frame(graph, weights, slow_weights, folder):
    """While the model takes long for a frame."""
    program = graph.start(MODULE, weights=str(slow_weights), **SHOW)
    program.wait_for('active: /image')
    graph.listen(Image, 'masked/image')
    graph.until(lambda: graph.node.count_publishers('masked/image') > 0, 'outputs')
    speaker = graph.speak(Image, 'image')
    for _ in range(3):
        speaker.publish(to_msg(PICTURE, Header()))
        time.sleep(0.1)
    return program


def stage_reloading(graph, weights, slow_weights, folder):
    """While other weights are being loaded."""
    program = graph.start(MODULE, weights=str(weights), **SHOW)
    program.wait_for('active: /image')
    client = graph.node.create_client(Trigger, f'{NODE}/reload')
    assert client.wait_for_service(20)
    client.call_async(Trigger.Request())
    time.sleep(0.1)
    return program


def stage_recording(graph, weights, slow_weights, folder):
    """Start the recorder, in the middle of an episode."""
    program = graph.start(RECORDER, folder=str(folder), keep_free_megabytes=0.0)
    program.wait_for('ready to record')
    assert graph.call(Trigger, '/ivm_recorder/start', Trigger.Request()).success
    speaker = graph.speak(Image, 'image')
    speaker.publish(to_msg(PICTURE, Header()))
    return program


def stage_playing(graph, weights, slow_weights, folder):
    """Start the player, while somebody listens."""
    import cv2

    cv2.imwrite(str(folder / 'one.png'), PICTURE)
    box = graph.listen(Image, 'image')
    program = graph.start(PLAYER, path=str(folder), rate=30.0, wait_for=1)
    box.wait()
    return program


@pytest.mark.alone
@pytest.mark.parametrize('stage', [
    stage_importing, stage_loading, stage_inactive, stage_at_a_slow_frame, stage_reloading,
    stage_recording, stage_playing], ids=lambda stage: stage.__name__.removeprefix('stage_'))
def test_ctrl_c_at_every_stage(graph, weights, slow_weights, tmp_path, stage):
    """Ends with code 0 within two seconds; no process and no shared memory stay behind."""
    interrupted(graph, stage(graph, weights, slow_weights, tmp_path))


def test_cameras_and_recorders_start_without_torch():
    """Seconds at start, and hundreds of megabytes, that only the node itself needs."""
    code = ('import sys, ivm_ros.nodes.image_player, ivm_ros.nodes.recorder_node; '
            'sys.exit("torch" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_two_hundred_lifecycle_calls_at_random(graph):
    """The state is always the one that the calls lead to; each frame comes out while active."""
    rng = np.random.default_rng(7)
    program = graph.start('faulty_node', environment=faulty(), generator='faulty',
                          autostart=False, **SHOW)
    program.wait_for('autostart is off')
    out = graph.listen(Image, 'masked/image', depth=200)
    client = graph.node.create_client(ChangeState, f'{NODE}/change_state')
    assert client.wait_for_service(20)
    state, calls, visits = 'unconfigured', 0, 0
    with camera_at(graph, 30) as camera:
        while calls < 200:
            names = rng.choice(list(TRANSITIONS), rng.integers(1, 5)).tolist()  # some at once
            futures = []
            for name in names:
                request = ChangeState.Request()
                request.transition.id = TRANSITIONS[name]
                futures.append(client.call_async(request))
            calls += len(names)
            for name, future in zip(names, futures):
                graph.until(future.done, f'an answer to {name}')
                wanted = MOVES.get((state, name))
                assert future.result().success == (wanted is not None), (state, name)
                state = wanted or state
            assert graph.state(NODE) == state
            if state == 'active':
                visits += 1
                number = len(camera.times)
                out.wait(lambda one, number=number: one.header.stamp.sec >= number, patience=30)
                with camera.lock:  # one after the other: none overtakes another
                    for _ in range(3):
                        number = camera.send()
                        out.wait(lambda one, number=number: one.header.stamp.sec == number,
                                 patience=30)
    assert visits > 10
    health = graph.listen(DiagnosticArray, '/diagnostics')
    health.wait(lambda one: ('state', state) in [
        (pair.key, pair.value) for pair in one.status[0].values])
    assert 'Traceback' not in program.text()
    assert graph.move(NODE, 'shutdown')
    assert graph.state(NODE) == 'finalized'
    interrupted(graph, program)


def test_configure_and_cleanup_keep_the_memory(graph, weights):
    """Real weights, six times: what is freed is freed, threads and file handles too."""
    program = graph.start(MODULE, weights=str(weights), autostart=False, **SHOW)
    program.wait_for('autostart is off')
    place, seen = Path('/proc') / str(program.process.pid), []
    out = graph.listen(Image, 'masked/image')
    with camera_at(graph, 10):
        for _ in range(6):
            assert graph.move(NODE, 'configure') and graph.move(NODE, 'activate')
            count = len(out)
            graph.until(lambda count=count: len(out) > count, 'a frame')
            assert graph.move(NODE, 'deactivate') and graph.move(NODE, 'cleanup')
            time.sleep(0.2)
            seen.append((int((place / 'statm').read_text().split()[1]) * 4096 / 1e6,
                         len(list((place / 'task').iterdir())),
                         len(list((place / 'fd').iterdir()))))
    memory, threads, handles = (np.array(values) for values in zip(*seen))
    assert memory[-1] < 1.03 * memory[1], seen
    assert threads[-1] <= threads[1] and handles[-1] <= handles[1] + 1, seen
