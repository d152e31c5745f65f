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
"""A real graph against what we say of it: SROS 2's policy, viewers' files, parameters, the log."""

from importlib.util import find_spec
import json
from pathlib import Path
import struct
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters, ListParameters
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger
import yaml

ROOT = Path(__file__).parents[2]
MODULES = {'ivm_node': 'ivm_ros.nodes.ivm_node', 'ivm_recorder': 'ivm_ros.nodes.recorder_node',
           'image_player': 'ivm_ros.nodes.image_player'}
if find_spec('rerun') is not None:
    MODULES['ivm_rerun'] = 'ivm_ros.nodes.rerun_node'
NUMBERS = (ParameterType.PARAMETER_INTEGER, ParameterType.PARAMETER_DOUBLE)
OF_ROS = ('use_sim_time', 'start_type_description_service')
HOSTILE = 'take it\n[ERROR] [1] [arm]: stopped\x1b[2J\u202e'
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def running(shared_graph, weights, tmp_path_factory):
    """Start all nodes, `ivm_node` with all its topics; give the graph and their programs."""
    folder = tmp_path_factory.mktemp('episodes')
    (folder / 'one.png').write_bytes(cv2.imencode('.png', np.zeros((40, 40), np.uint8))[1])
    settings = {
        'ivm_node': {'weights': str(weights), 'compressed_output': True, 'depth_input': True},
        'ivm_recorder': {'folder': str(folder)}, 'ivm_rerun': {'file': str(folder / 'x.rrd')},
        'image_player': {'path': str(folder / 'one.png'), 'wait_for': 100}}  # it sends nothing
    programs = {name: shared_graph.start(module, **settings[name])
                for name, module in MODULES.items()}
    programs['ivm_recorder'].wait_for('ready to record')
    programs['ivm_node'].wait_for('active: /image')
    for name in MODULES:
        shared_graph.until(lambda name=name: name in shared_graph.node.get_node_names(), name)
    return shared_graph, programs


def spoken(graph, name: str) -> dict[str, set[str]]:
    """List what a node publishes, subscribes to and serves, by full names."""
    ask = graph.node
    ways = {'publish': ask.get_publisher_names_and_types_by_node,
            'subscribe': ask.get_subscriber_names_and_types_by_node,
            'reply': ask.get_service_names_and_types_by_node,
            'request': ask.get_client_names_and_types_by_node}
    return {way: {topic for topic, _ in list_them(name, '/')} for way, list_them in ways.items()}


def allowed() -> dict[str, dict[str, set[str]]]:
    """Read the policy: full names by node and by what may be done; checks its form on the way."""
    root = ElementTree.parse(ROOT / 'config' / 'sros2' / 'policy.xml').getroot()
    assert (root.tag, root.attrib) == ('policy', {'version': '0.2.0'})
    found: dict[str, dict[str, set[str]]] = {}
    for enclave in root.find('enclaves'):
        profile = enclave.find('profiles/profile')
        name = profile.get('node')
        assert enclave.get('path') == f'/ivm/{name}' and profile.get('ns') == '/'
        rules = found.setdefault(name, {'publish': set(), 'subscribe': set(), 'reply': set(),
                                        'request': set()})
        for group in profile:
            assert group.tag in ('topics', 'services') and len(group)
            for way, word in group.attrib.items():
                assert word == 'ALLOW'
                assert (way in ('publish', 'subscribe')) == (group.tag == 'topics')
                for item in group:
                    assert item.tag == group.tag[:-1] and '*' not in item.text
                    text = item.text.replace('~/', f'/{name}/')
                    rules[way].add(text if text.startswith('/') else f'/{text}')
    return found


@pytest.mark.parametrize('name', MODULES)
def test_the_policy_allows_what_a_node_does_and_no_more(running, name):
    graph, _ = running
    rules = allowed()[name]
    graph.until(lambda: rules['publish'] <= spoken(graph, name)['publish'], 'all publishers')
    does = spoken(graph, name)
    assert not does['request'] and not rules['request']
    assert does['publish'] == rules['publish']
    # The clock is heard only in simulated time; one of both forms of the picture is.
    optional = {'/clock', '/image/compressed'}
    assert does['subscribe'] - rules['subscribe'] == set()
    assert rules['subscribe'] - does['subscribe'] <= optional
    assert does['reply'] - rules['reply'] == set()
    # Asked for by ros2cli; of Jazzy on, and off by default in some releases.
    assert rules['reply'] - does['reply'] <= {f'/{name}/get_type_description'}


@pytest.mark.parametrize('name', MODULES)
def test_rqt_can_show_every_parameter(running, name):
    """By the service that rqt asks: each has a description, each number a range."""
    graph, _ = running
    names = graph.call(ListParameters, f'/{name}/list_parameters',
                       ListParameters.Request()).result.names
    ours = [each for each in names if each not in OF_ROS and not each.startswith('qos_overrides')]
    assert len(ours) >= 6
    told = graph.call(DescribeParameters, f'/{name}/describe_parameters',
                      DescribeParameters.Request(names=ours)).descriptors
    for descriptor in told:
        assert len(descriptor.description) > 20, descriptor.name
        if descriptor.type in NUMBERS:
            assert descriptor.integer_range or descriptor.floating_point_range, descriptor.name


def test_what_a_message_says_stays_one_line_of_the_log(running):
    graph, programs = running
    graph.listen(Image, 'masked/image')  # without a listener the node leaves frames alone
    speaker = graph.speak(String, 'instruction', listeners=2)
    speaker.publish(String(data=HOSTILE))
    graph.until(lambda: graph.read('/ivm_node', 'instruction') == HOSTILE, 'the instruction')
    graph.speak(Image, 'image', listeners=2).publish(
        Image(height=40, width=40, step=120, encoding=HOSTILE, data=bytes(4800)))
    programs['ivm_node'].wait_for('first frame from')
    answer = graph.call(Trigger, '/ivm_recorder/start', Trigger.Request())
    assert answer.success and '\n' not in answer.message and '\x1b' not in answer.message
    graph.call(Trigger, '/ivm_recorder/stop', Trigger.Request())
    assert all('take it' in programs[name].text() for name in ('ivm_node', 'ivm_recorder'))
    for program in programs.values():
        text = program.text()
        assert not {'\x1b[2J', '\u202e'} & {word for word in ('\x1b[2J', '\u202e') if word in text}
        assert not [line for line in text.splitlines() if line.startswith('[ERROR] [1] [arm]')]


def test_a_picture_that_claims_to_be_huge_is_passed_by(graph, weights):
    """The node lives on, says why, and masks the next one."""
    node = graph.start(MODULES['ivm_node'], weights=str(weights), compressed_input=True,
                       instruction='take the cup', on_fault='drop')
    node.wait_for('active: /image')
    inbox = graph.listen(Image, 'masked/image')
    speaker = graph.speak(CompressedImage, 'image/compressed')
    good = cv2.imencode('.jpg', np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    bomb = bytearray(good)
    place = bomb.index(b'\xff\xc0') + 5
    bomb[place:place + 4] = struct.pack('>HH', 30_000, 30_000)
    speaker.publish(CompressedImage(format='jpeg', data=bytes(bomb)))
    node.wait_for('too large')
    speaker.publish(CompressedImage(format='jpeg', data=good))
    inbox.wait()
    with open(f'/proc/{node.process.pid}/status') as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith('VmHWM'))
    assert peak < 2_000_000, f'{peak} kB'


def topics_in(place: object) -> set[str]:
    """Find all names of topics in a document of a viewer: texts that begin with one /."""
    if isinstance(place, dict):
        return set().union(*(topics_in(value) for value in place.values()), set())
    if isinstance(place, list):
        return set().union(*(topics_in(value) for value in place), set())
    return {place} if isinstance(place, str) and place.startswith('/') else set()


@pytest.mark.parametrize('file', ['ivm.rviz', 'foxglove.json'])
def test_every_topic_of_a_viewer_is_one_that_the_node_speaks(running, file):
    graph, _ = running
    text = (ROOT / 'config' / file).read_text()
    topics = topics_in(json.loads(text) if file.endswith('json') else yaml.safe_load(text))
    does = spoken(graph, 'ivm_node')
    assert {'/image', '/mask', '/masked/image'} <= topics
    assert topics <= does['publish'] | does['subscribe'], topics


def test_every_picture_of_rviz_has_its_place():
    """Where panels lie is kept by their names; without that RViz switches all of them on."""
    config = yaml.safe_load((ROOT / 'config' / 'ivm.rviz').read_text())
    places = bytes.fromhex(config['Window Geometry']['QMainWindow State'])
    names = [display['Name'] for display in config['Visualization Manager']['Displays']]
    assert names == ['Raw', 'Mask', 'Masked', 'Debug']
    assert all(name.encode('utf-16-be') in places for name in names)
