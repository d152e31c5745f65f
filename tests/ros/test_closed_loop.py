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
"""The closed loop in real processes: what happens over topics is what happens in process."""

from contextlib import closing
from dataclasses import replace
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from rich.console import Console
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger
import torch

from ivm_ros.config import ConfigError
from ivm_ros.deploy import DeployConfig
from ivm_ros.masker import Masker
from ivm_sim.clones.policy import ClonePolicy
from ivm_sim.closed_loop import LoopConfig, problems
from ivm_sim.closed_loop import run as run_loop
from ivm_sim.env import TabletopEnv
from ivm_sim.loop_score import Score
from ivm_sim.masked import MaskedCamera
from ivm_sim.nodes.arm_messages import (
    action_message, action_of, ActionError, proprio_of, stamp_of, state_messages)
from ivm_sim.nodes.loop_config import SimConfig
from ivm_sim.policy import run

SIM = SimConfig(task='pick', clutter='few', seed=800_003, size=64, pace='lockstep',
                patience=60.0)


# --- messages and counts -----------------------------------------------------------------------

def test_states_and_actions_come_back_exactly():
    rng = np.random.default_rng(0)
    proprio, action = (rng.normal(size=size).astype(np.float32) for size in (15, 7))
    stamp = 12 * 10**9 + 345
    messages = state_messages(proprio, stamp)
    assert (proprio_of(messages) == proprio).all()
    assert {stamp_of(message) for message in messages.values()} == {stamp}
    message = action_message(action, stamp)
    assert (action_of(message) == action).all() and stamp_of(message) == stamp


def test_what_is_no_action_is_refused():
    message = action_message(np.zeros(7, np.float32), 0)
    message.position = [0.0] * 6
    with pytest.raises(ActionError, match='got 6'):
        action_of(message)
    message.position = [0.0] * 6 + [float('nan')]
    with pytest.raises(ActionError, match='finite'):
        action_of(message)
    message.name = list('abcdefg')
    with pytest.raises(ActionError, match='a b c d e f g'):
        action_of(message)


def test_each_action_is_counted_once_for_what_it_is():
    score = Score()
    score.begin(7, 'pick it up')
    for stamp in (1, 2, 3, 4):
        score.send(stamp)
    assert score.receive(1) and not score.receive(1)  # the second is one too many
    score.use(late=False, gripper=-1.0)
    assert score.receive(2)
    score.use(late=True, gripper=-1.0)
    score.repeat()
    assert not score.receive(99)
    score.step(np.zeros(15), clipped=2)
    score.end(True)
    facts = score.facts()
    assert facts['actions'] == {'sent': 4, 'on_time': 1, 'late': 1, 'repeated': 1, 'lost': 2,
                                'twice': 2, 'refused': 0, 'clipped': 2}
    assert facts['won'] == 1 and facts['episodes'][0]['steps'] == 1
    assert score.gripper == -1.0
    score.begin(8, 'and this')
    assert score.gripper == 1.0 and not score.receive(3)  # of the episode before


# --- processes ---------------------------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.parametrize('camera', ['raw', 'masked'])
def test_over_topics_all_goes_as_in_process(clone_weights, tmp_path, camera):
    """Lockstep: the same seed ends in the same place, to the last bit, masked or not."""
    config = LoopConfig(clone_weights, camera, episodes=1, out=tmp_path, sim=SIM)
    report = run_loop(config, Console(quiet=True))
    torch.set_num_threads(1)
    inner = TabletopEnv(SIM.task, SIM.clutter, SIM.size)
    env = inner if camera == 'raw' else MaskedCamera(inner, Masker(), DeployConfig())
    with closing(inner):
        policy = ClonePolicy(clone_weights, inner.action_space.high)
        *_, last = steps = list(run(env, policy, SIM.seed))
        after = inner._observe()['proprio']
    (episode,) = report['episodes']
    assert episode['steps'] == len(steps) and episode['success'] == last.success
    assert np.array_equal(np.array(episode['proprio'], np.float32), after)
    assert report['actions'] == {
        'sent': len(steps), 'on_time': len(steps), 'late': 0, 'repeated': 0, 'lost': 0,
        'twice': 0, 'refused': 0, 'clipped': 0}
    assert problems(report) == []
    said = (tmp_path / 'logs' / 'policy_node.log').read_text()
    assert ('was trained on raw pictures and is shown masked ones' in said) == (camera != 'raw')
    assert json.loads((tmp_path / 'closed_loop.json').read_text())['n'] == 1


@pytest.mark.slow
def test_a_policy_that_dies_ends_the_run_with_its_last_words(clone_weights, tmp_path):
    """And the other processes with it."""
    out = tmp_path / 'out'
    loop = subprocess.Popen(
        [sys.executable, '-m', 'ivm_sim.closed_loop', '--weights', str(clone_weights), '--camera',
         'raw', '--out', str(out), '--sim.task', 'pick', '--sim.size', '64', '--episodes', '50'],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            nodes = _children(loop.pid)
            acting = out / 'logs' / 'policy_node.log'
            if 'sim_node' in nodes and acting.is_file() and loop.poll() is None:
                break
            time.sleep(0.1)
        time.sleep(6)  # the first episode, or on the way to it: it has to be told either way
        os.kill(nodes['policy_node'], signal.SIGKILL)
        said = loop.communicate(timeout=60)[0]
    finally:
        loop.kill()
    assert loop.returncode == 1
    assert 'policy_node ended with code -9' in said
    assert not Path(f'/proc/{nodes["sim_node"]}').exists()


def _children(parent):
    """Pids of the nodes that a process started, by their names."""
    found = {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            above = (folder / 'stat').read_text().rpartition(')')[2].split()[1]
            command = (folder / 'cmdline').read_bytes().decode().split('\0')
        except OSError:  # gone meanwhile
            continue
        if int(above) == parent and '-m' in command:
            found[command[command.index('-m') + 1].rpartition('.')[2]] = int(folder.name)
    return found


@pytest.mark.slow
def test_realtime_without_a_policy_stands_still_and_says_so(graph):
    """Actions that are none are refused; a reset goes on to the next seed; status is JSON."""
    told = graph.listen(DiagnosticArray, 'sim_node/episodes')
    images = graph.listen(Image, 'front/image_raw')
    clock = graph.listen(Clock, '/clock')
    sim = graph.start('ivm_sim.nodes.sim_node', '-p', 'task:=pick', '-p', 'size:=48', '-p',
                      'seed:=800003', '-p', 'episodes:=2')
    actions = graph.speak(JointState, 'action')
    first = images.wait()
    assert (first.height, first.width, first.header.frame_id) == (48, 48, 'front')
    assert stamp_of(first) == 11 * 10**9  # the first episode's beginning
    assert clock.wait().clock == first.header.stamp
    actions.publish(JointState(name=['elbow'], position=[1.0]))
    sim.wait_for('wanted positions named x y z')
    sim.wait_for('the arm stands still')
    reply = graph.call(Trigger, 'sim_node/status', Trigger.Request())
    facts = json.loads(reply.message)
    assert facts['actions']['refused'] == 1 and facts['actions']['on_time'] == 0
    assert facts['actions']['repeated'] >= 25  # three seconds at 10 Hz
    assert [episode['seed'] for episode in facts['episodes']] == [800_003]
    assert graph.call(Trigger, 'sim_node/reset', Trigger.Request()).success
    images.wait(lambda image: stamp_of(image) > 20 * 10**9)  # ten seconds of pause lie between
    assert graph.call(Trigger, 'sim_node/reset', Trigger.Request()).success
    last = told.wait(lambda array: '2' in array.status[0].message.split()[2])
    assert last.status[0].message == '0 of 2 won'


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ConfigError, match='which does not exist'):
        LoopConfig(tmp_path / 'none.safetensors')
    with pytest.raises(ConfigError, match='pace'):
        replace(SIM, pace='slow')
