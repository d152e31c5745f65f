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
"""RGB-D, a slow model under several cameras, and two nodes in one graph: real nodes."""

import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from ivm_ros.nodes.convert import to_msg, to_rgb
from ivm_ros.pixel_formats import to_depth

pytestmark = pytest.mark.slow

MODULE = 'ivm_ros.nodes.ivm_node'
SHOW = {'found_threshold': 0.0, 'threshold': 0.01, 'soft': True, 'instruction': 'take the cup',
        'dilation': 0.0, 'feather': 0.0, 'keep_robot': False, 'device': 'cpu'}
PICTURE = np.kron(np.random.default_rng(3).integers(0, 256, (15, 20, 3), np.uint8),
                  np.ones((8, 8, 1), np.uint8))


def stamped(number: int, frame_id: str = 'eye') -> Header:
    """Make a header."""
    header = Header(frame_id=frame_id)
    header.stamp.sec = number
    return header


def values(status) -> dict[str, str]:
    """Return the values of a status."""
    return {pair.key: pair.value for pair in status.values}


@pytest.mark.parametrize(('camera', 'encoding', 'kind'), [
    ('', '16UC1', np.uint16), ('front', '32FC1', np.float32)])
def test_depth_is_masked_as_its_picture_is(graph, weights, camera, encoding, kind):
    """What the mask leaves out has no depth, by its stamp; the rest, and the header, stay."""
    cameras = {'cameras': [camera], f'{camera}.depth_input': True} if camera else {
        'depth_input': True}
    here = f'{camera}/' if camera else ''
    graph.start(MODULE, weights=str(weights), **{**SHOW, 'soft': False}, **cameras
                ).wait_for('active: ')
    masks, depths = (graph.listen(Image, f'{here}{name}') for name in ('mask', 'masked/depth'))
    health = graph.listen(DiagnosticArray, '/diagnostics')
    eye, depth = graph.speak(Image, f'{here}image'), graph.speak(Image, f'{here}depth')
    for topic in ('mask', 'masked/depth'):
        graph.until(lambda topic=topic: graph.node.count_publishers(f'{here}{topic}'), topic)
    far = np.random.default_rng(0).integers(500, 4000, (120, 160)).astype(kind)
    graph.until(lambda: not eye.publish(to_msg(PICTURE, stamped(1)))
                and not time.sleep(.1) and len(masks), 'a mask')
    mask = to_rgb(masks.wait())[..., 0]
    middle = int(np.median(mask))  # random weights are sure of nothing: half of it counts as seen
    assert 50 < (mask > middle).sum() < mask.size - 50, 'the mask tells nothing'
    assert graph.change('/ivm_node', threshold=(middle + .5) / 255).successful
    for number, order in ((11, 'eye first'), (12, 'depth first'), (13, 'no picture')):
        message = to_msg(far + kind(number), stamped(number, 'depth'), encoding)
        if order == 'eye first':
            eye.publish(to_msg(PICTURE, stamped(number)))
            masks.wait(lambda one, number=number: one.header.stamp.sec == number)
            depth.publish(message)
        else:
            depth.publish(message)
            time.sleep(.3)
            if order == 'depth first':
                eye.publish(to_msg(PICTURE, stamped(number)))
    eye.publish(to_msg(PICTURE, stamped(14)))
    mask = to_rgb(masks.wait(lambda one: one.header.stamp.sec == 14))[..., 0]
    for number in (11, 12):
        out = depths.wait(lambda one, number=number: one.header.stamp.sec == number)
        assert (out.header.frame_id, out.encoding) == ('depth', encoding)
        got = to_depth(out)
        nothing = kind(0) if encoding == '16UC1' else kind(np.nan)
        np.testing.assert_array_equal(got, np.where(mask > middle, far + kind(number), nothing))
    facts = values(health.wait(
        lambda one: values(one.status[0]).get('depth_unmatched') == '1').status[0])
    assert (facts['depth_in'], facts['depth_out'], facts['depth_lost']) == ('3', '2', '0')
    assert len(depths) == 2


def test_the_newest_frame_of_each_camera_waits_for_a_slow_model(graph, slow_weights):
    """While a batch is at work: older frames of front give way, side and wrist lose nothing."""
    graph.start(MODULE, weights=str(slow_weights), cameras=['front', 'side', 'wrist'],
                **{'wrist.mask': False}, **SHOW).wait_for('active: /wrist/image')
    boxes = {name: graph.listen(Image, f'{name}/masked/image')
             for name in ('front', 'side', 'wrist')}
    health = graph.listen(DiagnosticArray, '/diagnostics')
    eyes = {name: graph.speak(Image, f'{name}/image') for name in boxes}
    for name in boxes:
        graph.until(lambda name=name: not eyes[name].publish(to_msg(PICTURE, stamped(1)))
                    and not time.sleep(.2) and len(boxes[name]), name)
    time.sleep(1.0)
    graph.until(lambda: len(health) > 1, 'diagnostics')

    def counts() -> dict[str, dict[str, str]]:
        seen = len(health)
        graph.until(lambda: len(health) > seen + 1, 'the last counts')
        return {one.name.split(': ')[1]: values(one) for one in health.messages[-1].status}

    before = counts()
    eyes['front'].publish(to_msg(PICTURE, stamped(10)))
    time.sleep(.15)  # the model is at work on it for some time
    for number in range(11, 15):
        eyes['front'].publish(to_msg(PICTURE, stamped(number)))
    eyes['side'].publish(to_msg(PICTURE, stamped(20)))
    for number in (30, 31, 32):
        eyes['wrist'].publish(to_msg(PICTURE, stamped(number)))
        boxes['wrist'].wait(lambda one, number=number: one.header.stamp.sec == number)
    boxes['front'].wait(lambda one: one.header.stamp.sec == 14)
    boxes['side'].wait(lambda one: one.header.stamp.sec == 20)
    after = counts()
    came = [one.header.stamp.sec for one in boxes['front'].messages if one.header.stamp.sec > 9]
    assert came == sorted(came) and came[-1] == 14
    gave_way, lost = (int(after['front'][name]) - int(before['front'][name])
                      for name in ('frames_stale', 'frames_lost'))
    assert gave_way + lost == 5 - len(came)
    assert gave_way >= 2
    assert after['side']['frames_stale'] == before['side']['frames_stale']
    slow, quick = (float(after[name]['latency_ms_median']) for name in ('front', 'wrist'))
    assert quick < slow / 2  # wrist waits for no model
    assert 'model is slower than the camera' in ' '.join(
        status.message for one in health.messages for status in one.status
        if status.name == 'ivm_node: front')


def test_two_nodes_under_namespaces_do_not_disturb_each_other(graph, weights):
    """Pictures, words, parameters and diagnostics of one never reach the other."""
    spaces = ('/left', '/right')
    for space in spaces:
        graph.start(MODULE, '-r', f'__ns:={space}', weights=str(weights), **SHOW)
    for program in graph.programs:
        program.wait_for('active: ')
    health = graph.listen(DiagnosticArray, '/diagnostics')
    boxes = {space: graph.listen(Image, f'{space}/masked/image') for space in spaces}
    facts = {space: graph.listen(DiagnosticArray, f'{space}/ivm_node/frame_info')
             for space in spaces}
    eyes = {space: graph.speak(Image, f'{space}/image') for space in spaces}
    words = {space: graph.speak(String, f'{space}/instruction', latched=True, listeners=2)
             for space in spaces}
    for space in spaces:
        graph.until(lambda space=space: graph.node.count_publishers(f'{space}/masked/image')
                    and graph.node.count_publishers(f'{space}/ivm_node/frame_info'), space)
    words['/left'].publish(String(data='take the duck'))
    assert graph.change('/right/ivm_node', method='grayscale').successful
    graph.until(lambda: graph.read('/left/ivm_node', 'instruction') == 'take the duck', 'words')
    for number in range(1, 11):
        for offset, space in ((0, '/left'), (100, '/right')):
            eyes[space].publish(to_msg(PICTURE, stamped(offset + number, space)))
            boxes[space].wait(lambda one, want=offset + number: one.header.stamp.sec == want)
    for offset, space in ((0, '/left'), (100, '/right')):
        assert [one.header.stamp.sec for one in boxes[space].messages] == [
            offset + number for number in range(1, 11)]
        assert {one.header.frame_id for one in boxes[space].messages} == {space}
    said = {space: values(facts[space].wait(after=9).status[0]) for space in spaces}
    assert (said['/left']['instruction'], said['/left']['method']) == ('take the duck', 'overlay')
    assert (said['/right']['instruction'], said['/right']['method']) == (
        'take the cup', 'grayscale')
    names = ['left/ivm_node: stream', 'right/ivm_node: stream']
    for name in names:
        status = health.wait(lambda one, name=name: one.status[0].name == name and
                             values(one.status[0])['frames_in'] == '10').status[0]
        assert 'more node(s)' not in status.message
    assert graph.move('/left/ivm_node', 'deactivate')
    eyes['/right'].publish(to_msg(PICTURE, stamped(200)))
    boxes['/right'].wait(lambda one: one.header.stamp.sec == 200)
