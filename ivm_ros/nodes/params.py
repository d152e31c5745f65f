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
Config dataclasses as ROS parameters: one default, one help text, one check for both.

Every field of a config class becomes a parameter with its description and range. A change is
tried on the dataclass first; what the class refuses, ROS refuses with the same sentence.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
import math
from typing import Any, TypeVar

from rcl_interfaces.msg import (FloatingPointRange, IntegerRange, ParameterDescriptor,
                                SetParametersResult)
from rclpy.node import Node
from rclpy.parameter import Parameter

from ivm_ros.config import ConfigError, nearest, Option, options

Config = TypeVar('Config')


class Parameters:
    """
    The parameters of one or more config classes on a node, always valid together.

    Args:
        node: Declares the parameters; overrides of command line and YAML apply.
        classes: Frozen config dataclasses; no field name may stand in two of them.
        locked: Returns why fields that are not `Live` cannot change now, '' when they can.
        prefix: Stands before each field's name, such as `front.`.

    Raises:
        ConfigError: A given value is refused.
    """

    def __init__(self, node: Node, classes: Iterable[type],
                 locked: Callable[[], str] = lambda: '', prefix: str = '') -> None:
        self._locked = locked
        self._owner: dict[str, tuple[type, Option]] = {}
        self._configs: dict[type, Any] = {}
        for cls in classes:
            for option in options(cls):
                name = prefix + option.name
                if name in self._owner:
                    raise ConfigError(f'parameter {name}: wanted in one config class, is '
                                      f'in {self._owner[name][0].__name__} and '
                                      f'{cls.__name__}')
                self._owner[name] = cls, option
                node.declare_parameter(name, _to_ros(option.default), describe(option))
            self._configs[cls] = cls(**{
                option.name: _from_ros(node.get_parameter(prefix + option.name).value, option)
                for option in options(cls)})
        node.add_on_set_parameters_callback(self._judge)
        node.add_post_set_parameters_callback(self._take)

    def get(self, cls: type[Config]) -> Config:
        """Return the values of one class as they are now; the object never changes."""
        config: Config = self._configs[cls]
        return config

    def unknown(self, node: Node) -> list[str]:
        """
        Say which given parameters nobody reads, with the nearest known name.

        ROS drops them without a word. They are not refused, as one file may serve many nodes.
        """
        given: dict[str, Any] = getattr(node, '_parameter_overrides', {})
        return [f'parameter {name} is not one of this node and is ignored'
                f'{nearest(name, self._owner)}' for name in given
                if not node.has_parameter(name) and not name.startswith('qos_overrides.')]

    def _changed(self, parameters: Iterable[Parameter]) -> dict[type, Any]:
        """Return the configs as they would be after a change."""
        changes: dict[type, dict[str, Any]] = {}
        for parameter in parameters:
            if parameter.name in self._owner:
                cls, option = self._owner[parameter.name]
                changes.setdefault(cls, {})[option.name] = _from_ros(parameter.value, option)
        return {cls: replace(self._configs[cls], **values) for cls, values in changes.items()}

    def _judge(self, parameters: list[Parameter]) -> SetParametersResult:
        reason = self._locked()
        fixed = [parameter.name for parameter in parameters
                 if parameter.name in self._owner and not self._owner[parameter.name][1].live]
        if reason and fixed:
            return SetParametersResult(
                successful=False, reason=f'{", ".join(fixed)} cannot change now: {reason}')
        try:
            self._changed(parameters)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, parameters: list[Parameter]) -> None:
        # A new dictionary: the worker thread may be reading the old one.
        self._configs = {**self._configs, **self._changed(parameters)}


def describe(option: Option) -> ParameterDescriptor:
    """Describe one field for ROS: help, choices, range, and when a change takes effect."""
    bounds = option.range
    notes = [option.help]
    if option.choices:
        notes.append(f'One of: {", ".join(map(str, option.choices))}.')
    if bounds is not None and option.kind is tuple:
        notes.append(f'Each {_bound(bounds.low, -math.inf):g} to '
                     f'{_bound(bounds.high, math.inf):g}.')
    notes.append('Changes live.' if option.live else 'Takes effect on configure.')
    # Dynamic, so that types are judged by the dataclass: it takes 1 for 1.0, and says what is
    # wrong better than "expected '3' got '4'".
    descriptor = ParameterDescriptor(name=option.name, description=' '.join(notes),
                                     dynamic_typing=True)
    if bounds is not None and option.kind is float:
        descriptor.floating_point_range = [FloatingPointRange(
            from_value=_bound(bounds.low, -math.inf), to_value=_bound(bounds.high, math.inf))]
    if bounds is not None and option.kind is int:
        descriptor.integer_range = [IntegerRange(
            from_value=int(_bound(bounds.low, -2**63)), step=1,
            to_value=int(_bound(bounds.high, 2**63 - 1)))]
    return descriptor


def _bound(value: float | None, default: float) -> float:
    return default if value is None else value


def _to_ros(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _from_ros(value: Any, option: Option) -> Any:
    if value is None:
        raise ConfigError(f'parameter {option.name}: wanted {option.kind.__name__}, got nothing')
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return float(value) if option.kind is float else value
    return value if isinstance(value, float) else tuple(value)
