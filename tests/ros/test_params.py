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
"""Config dataclasses as ROS parameters, on a real node."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import rclpy

from rclpy.exceptions import InvalidParameterValueException
from rclpy.parameter import Parameter

from ivm_ros.config import check, ConfigError, Doc, Live, options, Range
from ivm_ros.deploy import DeployConfig
from ivm_ros.nodes.image_player import PlayerConfig
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.nodes.params import Parameters
from ivm_ros.tracker import TrackConfig


@dataclass(frozen=True)
class Shape:
    """A config with every kind of field."""

    ratio: Annotated[float, Range(0.5, 2.0), Live(), Doc('Width by height.')] = 1.0
    sides: Annotated[int, Range(3, None), Live(), Doc('How many.')] = 4
    name: Annotated[Literal['square', 'star'], Live(), Doc('Looks.')] = 'square'
    color: Annotated[tuple[int, int, int], Range(0, 255), Live(), Doc('Paint.')] = (1, 2, 3)
    filled: Annotated[bool, Live(), Doc('Fill.')] = False
    file: Annotated[str, Doc('Where it lies.')] = ''

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        check(self)
        if self.name == 'star' and self.sides < 5:
            raise ConfigError(f'Shape: a star has at least 5 sides, got {self.sides}')
        if len(self.color) != 3:
            raise ConfigError(f'Shape: wanted three numbers, got {self.color}')


@pytest.fixture
def make_node():
    """Make nodes with given parameters; ROS is shut down in the end."""
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = []

    def make(**values):
        nodes.append(rclpy.create_node('shape', context=context, parameter_overrides=[
            Parameter(name, value=value) for name, value in values.items()]))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown(context=context)


def change(node, **values):
    """Set parameters together, as one request of ROS would."""
    return node.set_parameters_atomically(
        [Parameter(name, value=value) for name, value in values.items()])


def test_defaults_and_given_values(make_node):
    """What is not given has the default of the dataclass; arrays become tuples."""
    assert Parameters(make_node(), [Shape]).get(Shape) == Shape()
    given = Parameters(make_node(ratio=1.5, color=[7, 8, 9], sides=5, name='star'), [Shape])
    assert given.get(Shape) == Shape(1.5, 5, 'star', (7, 8, 9))


def test_descriptors_tell_what_the_dataclass_knows(make_node):
    """Help, range, choices and the time of effect are all in the descriptor."""
    node = make_node()
    Parameters(node, [Shape])
    ratio = node.describe_parameter('ratio')
    assert ratio.description == 'Width by height. Changes live.'
    assert (ratio.floating_point_range[0].from_value,
            ratio.floating_point_range[0].to_value) == (0.5, 2.0)
    assert node.describe_parameter('sides').integer_range[0].from_value == 3
    assert 'One of: square, star.' in node.describe_parameter('name').description
    assert 'Each 0 to 255.' in node.describe_parameter('color').description
    assert 'Takes effect on configure.' in node.describe_parameter('file').description


@pytest.mark.parametrize('cls', [NodeConfig, DeployConfig, PlayerConfig, TrackConfig])
def test_every_setting_of_ours_is_described(make_node, cls):
    """No parameter goes without a description, no number without a range."""
    node = make_node()
    Parameters(node, [cls])
    for option in options(cls):
        descriptor = node.describe_parameter(option.name)
        assert len(descriptor.description) > 20, option.name
        if option.kind in (int, float):
            assert descriptor.integer_range or descriptor.floating_point_range, option.name


def test_live_change_arrives_and_the_old_object_stays(make_node):
    """A change gives a new config object; one in use does not change under its reader."""
    node = make_node()
    parameters = Parameters(node, [Shape])
    before = parameters.get(Shape)
    assert change(node, ratio=1.25, filled=True).successful
    assert parameters.get(Shape) == Shape(1.25, filled=True)
    assert before == Shape()


@pytest.mark.parametrize(('values', 'words'), [
    ({'name': 'stra'}, ["'stra'", "did you mean 'star'?"]), ({'ratio': 3.0}, ['ratio', '3']),
    ({'ratio': float('nan')}, ['ratio']), ({'sides': 2}, ['sides', '2']),
    ({'color': [1, 2, 256]}, ['color', '256']), ({'name': 'star'}, ['at least 5 sides, got 4']),
    ({'filled': 1}, ['wanted bool, got 1']),
    ({'ratio': 'wide'}, ['Shape.ratio: wanted float', "'wide'"]),
])
def test_refused_change_says_why_and_changes_nothing(make_node, values, words):
    """A bad value, a bad combination and a bad type are refused with a reason."""
    node = make_node()
    parameters = Parameters(node, [Shape])
    result = change(node, **values)
    assert not result.successful
    for word in words:
        assert word in result.reason
    assert parameters.get(Shape) == Shape()


def test_changes_are_judged_together(make_node):
    """Two values that only fit together are accepted in one request."""
    node = make_node()
    parameters = Parameters(node, [Shape])
    assert change(node, name='star', sides=5).successful
    assert parameters.get(Shape) == Shape(sides=5, name='star')


def test_what_is_not_live_waits_until_unlocked(make_node):
    """A field without Live is refused while locked, with the reason, and accepted after."""
    node = make_node()
    lock = ['the node is active']
    parameters = Parameters(node, [Shape], lambda: lock[0])
    result = change(node, file='/tmp/x')
    assert not result.successful
    assert result.reason == 'file cannot change now: the node is active'
    assert change(node, ratio=1.5).successful
    lock[0] = ''
    assert change(node, file='/tmp/x').successful
    assert parameters.get(Shape).file == '/tmp/x'


@pytest.mark.parametrize(('values', 'error'), [
    ({'name': 'stra'}, ConfigError), ({'name': 'star'}, ConfigError),
    ({'filled': 1}, ConfigError), ({'ratio': 'wide'}, ConfigError),
    ({'color': [1, 2]}, ConfigError), ({'ratio': 3.0}, InvalidParameterValueException),
])
def test_bad_value_at_start_is_refused(make_node, values, error):
    """The node does not start with a value that it would refuse later."""
    with pytest.raises(error):
        Parameters(make_node(**values), [Shape])


def test_unknown_parameter_is_named_with_the_nearest(make_node):
    """A misspelt parameter does not vanish in silence."""
    node = make_node(ratoi=1.0, use_sim_time=False)
    lines = Parameters(node, [Shape]).unknown(node)
    assert lines == ['parameter ratoi is not one of this node and is ignored '
                     "(did you mean 'ratio'?)"]


def test_whole_number_is_a_float_too(make_node):
    """YAML and `ros2 param set` make 2 a whole number; it is meant as 2.0."""
    node = make_node(ratio=2)
    parameters = Parameters(node, [Shape])
    assert change(node, ratio=1).successful
    assert isinstance(parameters.get(Shape).ratio, float)


def test_deleting_is_refused(make_node):
    """A parameter cannot be taken away from under the node."""
    node = make_node()
    Parameters(node, [Shape])
    result = node.set_parameters_atomically([Parameter('sides', Parameter.Type.NOT_SET)])
    assert not result.successful
    assert node.has_parameter('sides')


def test_one_name_in_two_classes_is_refused(make_node):
    """Two classes must not share a name: a parameter would mean two things."""
    with pytest.raises(ConfigError, match='ratio: wanted in one config class, is in Shape'):
        Parameters(make_node(), [Shape, Shape])
