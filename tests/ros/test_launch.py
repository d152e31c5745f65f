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
"""Launch files under a real `ros2 launch`, and the files in config/ that they use."""

import ast
from importlib.util import find_spec
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
from xml.etree import ElementTree

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
import yaml

from ivm_ros.config import from_dict, options
from ivm_ros.deploy import DeployConfig
from ivm_ros.masker import MaskerConfig
from ivm_ros.nodes import dds
from ivm_ros.nodes.convert import to_msg
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.nodes.programs import camera_remappings, program
from ivm_ros.tracker import TrackConfig

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / 'launch'
needs_launch = pytest.mark.skipif(
    find_spec('launch_ros') is None or find_spec('ros2launch') is None,
    reason='launch_ros and ros2launch are not installed: they come with a ROS 2 installation, '
           'not from the Python index')


def ros2(*arguments: str) -> list[str]:
    """Give the command line of `ros2`."""
    found = shutil.which('ros2')
    start = [found] if found else [sys.executable, '-c', 'from ros2cli.cli import main; main()']
    return [*start, *arguments]


def show_arguments(file: str, folder: Path) -> str:
    """Run `ros2 launch FILE --show-args` outside of the source tree."""
    done = subprocess.run(ros2('launch', str(LAUNCH / file), '--show-args'),
                          cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_launch
@pytest.mark.slow
@pytest.mark.parametrize(('file', 'names'), [
    ('ivm.launch.py', ['image', 'camera_info', 'cameras', 'instruction', 'method', 'device',
                       'generator', 'weights', 'precision', 'robot_plane', 'on_out_of_memory',
                       'track', 'track_interval', 'respawn', 'namespace', 'params_file']),
    ('sim.launch.py', ['seed', 'rate', 'instruction', 'method', 'device', 'namespace',
                       'params_file']),
    ('closed_loop.launch.py', ['camera', 'weights', 'task', 'clutter', 'seed', 'episodes', 'pace',
                               'method', 'device', 'params_file']),
    ('recorder.launch.py', ['images', 'instruction_topic', 'folder', 'rate', 'jpeg_quality',
                            'namespace', 'params_file'])])
def test_arguments_are_documented(file, names, tmp_path):
    """Every argument has a description; that of the method comes from its config class."""
    text = show_arguments(file, tmp_path)
    parts = dict(part.split("':\n", 1) for part in text.split("\n    '")[1:])
    assert set(names) <= set(parts)
    assert 'no description' not in text
    if file in ('ivm.launch.py', 'sim.launch.py'):
        method = next(option for option in options(DeployConfig) if option.name == 'method')
        assert method.help in parts['method']
        for option in options(TrackConfig)[:2]:
            assert option.help in parts[option.name]


class Launched:
    """A `ros2 launch` in its own process group."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / 'launch.log'
        environment = {name: value for name, value in os.environ.items()
                       if name != dds.variable()}
        with self.log.open('w') as stream:
            self.process = subprocess.Popen(
                ros2('launch', *arguments), cwd=folder, stdout=stream,
                stderr=subprocess.STDOUT, env=environment)

    def stop(self) -> int:
        """End it as Ctrl-C does; what it said is shown if the test fails."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            print(self.log.read_text())


@needs_launch
@pytest.mark.slow
def test_ivm_launch_masks_a_camera(graph, tmp_path, weights):
    """Arguments win over the parameter file, topics follow, the DDS profile is set."""
    params = tmp_path / 'params.yaml'
    params.write_text(yaml.safe_dump({'/**': {'ros__parameters': {
        'weights': str(weights), 'method': 'grayscale', 'found_threshold': 0.0,
        'threshold': 0.01, 'instruction': 'from the file'}}}))
    launched = Launched(
        tmp_path, str(LAUNCH / 'ivm.launch.py'), 'image:=/cam/image_raw', 'namespace:=left',
        f'params_file:={params}', 'instruction:=123', 'device:=cpu', 'track:=true',
        'track_interval:=7')
    try:
        health = graph.listen(DiagnosticArray, '/diagnostics')
        status = health.wait(lambda one: 'active' in [
            pair.value for pair in one.status[0].values]).status[0]
        values = {pair.key: pair.value for pair in status.values}
        assert values['instruction'] == '123'  # a sentence, though YAML would make it a number
        assert values['method'] == 'grayscale'
        assert values['track'] == 'True'
        assert graph.read('/left/ivm_node', 'track_interval') == 7
        assert values['dds_profile'] == str(dds.shipped_profile())
        assert graph.node.count_subscribers('/cam/image_raw') == 1
        assert graph.node.count_subscribers('/cam/camera_info') == 1
        graph.until(lambda: graph.node.count_publishers('/left/masked/image') == 1, 'output')
    finally:
        code = launched.stop()
    assert code == 0
    assert 'Traceback' not in launched.log.read_text()


@needs_launch
@pytest.mark.slow
def test_sim_launch_shows_a_masked_scene(graph, tmp_path, weights):
    """The simulated camera and the node find each other, and pictures come out."""
    pytest.importorskip('mujoco', reason='the simulated camera needs the part [sim]')
    params = tmp_path / 'params.yaml'
    params.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'weights': str(weights)}}}))
    box = graph.listen(Image, 'masked/image')
    launched = Launched(tmp_path, str(LAUNCH / 'sim.launch.py'), f'params_file:={params}')
    try:
        picture = box.wait()
        assert (picture.width, picture.height) == (640, 480)
    finally:
        code = launched.stop()
    assert code == 0


@needs_launch
@pytest.mark.slow
def test_recorder_launch_records_what_it_is_told_to(graph, tmp_path):
    """Arguments reach the node as what they are: numbers, topics, a folder."""
    launched = Launched(tmp_path, str(LAUNCH / 'recorder.launch.py'), 'images:=/cam/image_raw',
                        'instruction_topic:=/say', f'folder:={tmp_path / "bags"}', 'rate:=0',
                        'jpeg_quality:=80', 'namespace:=arm')
    try:
        assert graph.call(Trigger, '/arm/ivm_recorder/start', Trigger.Request()).success
        assert graph.read('/arm/ivm_recorder', 'rate') == 0.0
        graph.speak(String, '/say', latched=True, listeners=2).publish(String(data='go'))
        camera = graph.speak(Image, '/cam/image_raw')
        health = graph.listen(DiagnosticArray, '/diagnostics')
        camera.publish(to_msg(np.zeros((48, 64, 3), np.uint8), Header(frame_id='eye')))
        health.wait(lambda one: ('pictures /cam/image_raw/compressed', '1') in [
            (pair.key, pair.value) for pair in one.status[0].values])
        stopped = graph.call(Trigger, '/arm/ivm_recorder/stop', Trigger.Request())
        assert stopped.success and '1 pictures' in stopped.message, stopped.message
    finally:
        code = launched.stop()
    assert code == 0 and 'Traceback' not in launched.log.read_text()
    assert len(list((tmp_path / 'bags').iterdir())) == 1


@needs_launch
@pytest.mark.slow
def test_ivm_launch_starts_a_killed_node_again(graph, tmp_path, weights):
    """With respawn: the next process masks, without anybody's help."""
    launched = Launched(tmp_path, str(LAUNCH / 'ivm.launch.py'), f'weights:={weights}',
                        'device:=cpu', 'instruction:=go', 'respawn:=true')
    try:
        health = graph.listen(DiagnosticArray, '/diagnostics')
        health.wait(lambda one: ('state', 'active') in [
            (pair.key, pair.value) for pair in one.status[0].values])
        said = launched.log.read_text()
        pid = int(said.split('process started with pid [')[1].split(']')[0])
        os.kill(pid, signal.SIGKILL)
        graph.until(lambda: launched.log.read_text().count('active: ') == 2, 'the second one')
    finally:
        code = launched.stop()
    assert code == 0


@needs_launch
@pytest.mark.slow
@pytest.mark.parametrize('camera', ['masked', 'raw'])
def test_closed_loop_launch_plays_its_episodes_and_ends(tmp_path, camera, clone_weights):
    """The chain stands by remapping alone; it ends by itself, and every action is counted."""
    launched = Launched(tmp_path, str(LAUNCH / 'closed_loop.launch.py'), f'camera:={camera}',
                        f'weights:={clone_weights}', 'task:=pick', 'size:=64', 'episodes:=1',
                        'pace:=lockstep', 'patience:=60')
    try:
        code = launched.process.wait(180)
    finally:
        launched.stop()
    said = launched.log.read_text()
    assert code == 0 and 'Traceback' not in said and 'failed to terminate' not in said
    assert ('ivm_node' in said) == (camera == 'masked')
    assert '"lost": 0' in said and '"repeated": 0' in said and '"on_time": 90' in said


@needs_launch
@pytest.mark.slow
def test_closed_loop_launch_ends_when_its_policy_does(tmp_path):
    launched = Launched(tmp_path, str(LAUNCH / 'closed_loop.launch.py'), 'camera:=raw',
                        'weights:=nowhere.safetensors', 'size:=64')
    try:
        launched.process.wait(120)
    finally:
        launched.stop()
    assert 'wanted a file of' in launched.log.read_text()


@needs_launch
@pytest.mark.slow
def test_ivm_launch_masks_several_cameras(graph, tmp_path, weights):
    """Names with commas; {camera} in a topic is the name of each."""
    params = tmp_path / 'params.yaml'
    params.write_text(yaml.safe_dump({'/**': {'ros__parameters': {
        'weights': str(weights), 'wrist.mask': False}}}))
    launched = Launched(tmp_path, str(LAUNCH / 'ivm.launch.py'), 'cameras:=front,wrist',
                        'image:=/{camera}/color/image_raw', f'params_file:={params}')
    try:
        health = graph.listen(DiagnosticArray, '/diagnostics')
        statuses = health.wait(lambda one: len(one.status) == 3).status
        assert [one.name for one in statuses] == [
            'ivm_node: front', 'ivm_node: wrist', 'ivm_node: batch']
        for name in ('front', 'wrist'):
            assert graph.node.count_subscribers(f'/{name}/color/image_raw') == 1
            assert graph.node.count_publishers(f'/{name}/masked/image') == 1
    finally:
        code = launched.stop()
    assert code == 0


def test_topics_of_cameras_are_those_that_were_given():
    """`{camera}` is the name of each; a topic for all would be that of none."""
    assert camera_remappings('', '/cam/image_raw', '') == [
        ('image', '/cam/image_raw'), ('image/compressed', '/cam/image_raw/compressed'),
        ('camera_info', '/cam/camera_info')]
    assert camera_remappings('', 'image', '/info')[2] == ('camera_info', '/info')
    assert camera_remappings('wrist', '/{camera}/color/image_raw', '') == [
        ('wrist/image', '/wrist/color/image_raw'),
        ('wrist/image/compressed', '/wrist/color/image_raw/compressed'),
        ('wrist/camera_info', '/wrist/color/camera_info')]
    assert camera_remappings('wrist', '/{camera}/rgb', '/{camera}/info')[2] == (
        'wrist/camera_info', '/wrist/info')
    assert camera_remappings('wrist', 'image', '') == [
        (f'wrist/{name}', f'wrist/{name}') for name in ('image', 'image/compressed',
                                                        'camera_info')]


def test_program_is_found_however_installed(tmp_path, monkeypatch):
    """Built by colcon: lib/ivm_ros; else the module, by the Python that launches."""
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    module = {'executable': sys.executable, 'arguments': ['-m', 'ivm_ros.nodes.ivm_node']}
    assert program('ivm_node', 'ivm_ros.nodes.ivm_node') == module
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'ivm_ros'
    index.parent.mkdir(parents=True)
    index.touch()
    assert program('ivm_node', 'ivm_ros.nodes.ivm_node') == module
    built = tmp_path / 'lib' / 'ivm_ros' / 'ivm_node'
    built.parent.mkdir(parents=True)
    built.touch()
    assert program('ivm_node', 'ivm_ros.nodes.ivm_node') == {
        'package': 'ivm_ros', 'executable': 'ivm_node'}
    monkeypatch.delenv('AMENT_PREFIX_PATH')
    assert program('ivm_node', 'ivm_ros.nodes.ivm_node') == module


def test_profile_holds_dozens_of_pictures_and_keeps_udp():
    """64 MiB of shared memory, and UDP for other machines beside it."""
    space = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'
    root = ElementTree.parse(ROOT / 'config' / 'fastdds.xml').getroot()
    sizes = [int(size.text) for size in root.iter(f'{space}segment_size')]
    assert sizes == [64 * 2**20]
    kinds = {kind.text for kind in root.iter(f'{space}type')}
    assert kinds == {'SHM', 'UDPv4'}
    used = {use.text for use in root.find(f'.//{space}userTransports')}
    assert used == {name.text for name in root.iter(f'{space}transport_id')}


def test_example_parameters_are_ours_and_say_the_defaults():
    """config/ivm.yaml holds known names only, and differs from the defaults where it says so."""
    loop = yaml.safe_load((ROOT / 'config' / 'closed_loop.yaml').read_text())
    known = {option.name for cls in (NodeConfig, DeployConfig) for option in options(cls)}
    assert set(loop['/**']['ros__parameters']) - known == {'use_sim_time'}
    values = yaml.safe_load((ROOT / 'config' / 'ivm.yaml').read_text())['/**']['ros__parameters']
    assert {'generator', 'precision', 'robot_plane', 'on_out_of_memory'} <= set(values)
    for cls in (NodeConfig, DeployConfig, MaskerConfig, TrackConfig):
        mine = {option.name: values.pop(option.name) for option in options(cls)
                if option.name in values}
        assert mine
        config = from_dict(cls, mine)
        assert {name for name in mine if getattr(config, name) != getattr(cls(), name)} == (
            {'instruction'} if cls is NodeConfig else set())
        assert cls is not TrackConfig or {'track', 'track_interval'} <= set(mine)
    assert not values


def test_arguments_of_ivm_launch_are_parameters_of_the_node():
    """Read, not run: it holds where ROS 2 is not installed, too."""
    source = ast.parse((LAUNCH / 'ivm.launch.py').read_text())
    given = next(node.value for node in source.body if isinstance(node, ast.Assign)
                 and node.targets[0].id == 'GIVEN')
    kinds = {key.value: value.id for key, value in zip(given.keys, given.values)}
    known = {option.name: option.kind for cls in (NodeConfig, DeployConfig, MaskerConfig,
                                                  TrackConfig) for option in options(cls)}
    assert {'instruction', 'method', 'device', 'track', 'track_interval'} <= set(kinds)
    assert kinds == {name: known[name].__name__ for name in kinds}


@pytest.mark.parametrize(('version', 'name'), [
    ('8.4.3', 'FASTRTPS_DEFAULT_PROFILES_FILE'), ('9.3.3', 'FASTDDS_DEFAULT_PROFILES_FILE')])
def test_profile_variable_follows_the_distribution(tmp_path, monkeypatch, version, name):
    """Jazzy reads the old name only, Kilted the new one; a profile that is set is left alone."""
    place = tmp_path / 'share' / 'rmw_fastrtps_cpp'
    place.mkdir(parents=True)
    (place / 'package.xml').write_text(f'<package><version>{version}</version></package>')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    for variable in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(variable, raising=False)
    assert dds.profile_environment() == {name: str(ROOT / 'config' / 'fastdds.xml')}
    monkeypatch.setenv(name, '/mine.xml')
    assert dds.profile_environment() == {}
    assert '/mine.xml' in dds.advice()
