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
Typed settings, written once, used everywhere.

A config is a frozen dataclass whose fields carry their help and range::

    @dataclass(frozen=True)
    class DeployConfig:
        threshold: Annotated[float, Range(0.0, 1.0), Doc('Mask value that counts as seen.')] = 0.5

        def __post_init__(self):
            check(self)

The same class gives the command line (tyro reads `Doc`), the YAML file (`load_yaml`) and the ROS
parameters (`nodes/params.py` reads `options`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, Field, fields, MISSING
import difflib
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints, Literal, TypeVar, Union

from typing_extensions import Doc

__all__ = ['ConfigError', 'Doc', 'Live', 'Option', 'Range', 'check', 'from_dict', 'load_yaml',
           'nearest', 'options']


class ConfigError(ValueError):
    """A setting has a wrong name, type or value; the message says what was wanted and came."""


@dataclass(frozen=True)
class Range:
    """Closed interval of a number; None leaves that side open."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Live:
    """Marks a field that a running node may change."""


@dataclass(frozen=True)
class Option:
    """
    One field of a config class, as the command line, YAML and ROS see it.

    Attributes:
        name (str): Field name.
        kind (type): bool, int, float, str or tuple.
        default (Any): Default value; MISSING where the field has none.
        help (str): Text of the field's `Doc`.
        range (Range | None): Bounds of a number.
        choices (tuple): Allowed values of a `Literal`, empty otherwise.
        live (bool): A running node may change it.
        optional (bool): None is allowed.
    """

    name: str
    kind: type
    default: Any
    help: str
    range: Range | None = None
    choices: tuple[Any, ...] = ()
    live: bool = False
    optional: bool = False


def options(cls: type) -> list[Option]:
    """List the fields of a config class with their help, range and choices."""
    hints = get_type_hints(cls, include_extras=True)
    return [_option(field, hints[field.name]) for field in fields(cls)]


def _option(field: Field[Any], hint: Any) -> Option:
    base, *notes = get_args(hint) if hasattr(hint, '__metadata__') else (hint,)
    optional = get_origin(base) in (Union, UnionType) and type(None) in get_args(base)
    if optional:
        base = next(arm for arm in get_args(base) if arm is not type(None))
    choices = get_args(base) if get_origin(base) is Literal else ()
    kind = type(choices[0]) if choices else (get_origin(base) or base)
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return Option(
        field.name, kind, default,
        help=next((note.documentation for note in notes if isinstance(note, Doc)), ''),
        range=next((note for note in notes if isinstance(note, Range)), None),
        choices=choices, live=any(isinstance(note, Live) for note in notes), optional=optional)


def check(config: Any) -> None:
    """
    Check every field of a config against its type, range and choices.

    Raises:
        ConfigError: Names the field, what was wanted and what came.
    """
    for option in options(type(config)):
        value = getattr(config, option.name)
        if value is None and option.optional:
            continue
        name = f'{type(config).__name__}.{option.name}'
        _check_kind(name, value, option.kind)
        if option.choices and value not in option.choices:
            raise ConfigError(f'{name}: wanted one of {", ".join(map(repr, option.choices))}, got '
                              f'{value!r}{nearest(str(value), map(str, option.choices))}')
        bounds = option.range or (Range() if option.kind is float else None)
        if bounds is not None:
            for number in value if isinstance(value, tuple) else (value,):
                _check_range(name, number, bounds)


def _check_kind(name: str, value: Any, kind: type) -> None:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f'{name}: wanted {kind.__name__}, got {value!r}')


def _check_range(name: str, value: Any, bounds: Range) -> None:
    low = float('-inf') if bounds.low is None else bounds.low
    high = float('inf') if bounds.high is None else bounds.high
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # also refuses NaN
        raise ConfigError(f'{name}: wanted {low:g} to {high:g}, got {value!r}')


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ' (did you mean ...?)' for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f' (did you mean {close[0]!r}?)' if close else ''


Config = TypeVar('Config')


def from_dict(cls: type[Config], values: Any) -> Config:
    """
    Build a config from the values that differ from its defaults.

    Raises:
        ConfigError: No dictionary, an unknown key, a value that is refused, or one is missing.
    """
    if not isinstance(values, dict):
        raise ConfigError(f'{cls.__name__}: wanted a mapping of settings, got '
                          f'{type(values).__name__}')
    known = {option.name: option for option in options(cls)}
    for key in values:
        if key not in known:
            raise ConfigError(f'{cls.__name__} has no setting {key!r}{nearest(str(key), known)}')
    for name, option in known.items():
        if option.default is MISSING and name not in values:
            raise ConfigError(f'{cls.__name__}: wanted the setting {name!r}, got none')
    return cls(**{key: tuple(value) if isinstance(value, list) else value
                  for key, value in values.items()})


def load_yaml(cls: type[Config], path: str | Path) -> Config:
    """
    Read a config from a YAML file that holds only what differs from the defaults.

    Raises:
        ConfigError: It is no YAML in UTF-8, or as `from_dict` says.
    """
    import yaml

    try:
        values = yaml.safe_load(Path(path).read_text(encoding='utf-8')) or {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError(f'{path} is not YAML: {error}') from error
    try:
        return from_dict(cls, values)
    except ConfigError as error:
        raise ConfigError(f'{path}: {error}') from error
