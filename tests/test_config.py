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
"""Settings: one default, refused by name where they are wrong, the same from YAML."""

from dataclasses import asdict, dataclass, fields, FrozenInstanceError, MISSING, replace
import math
from typing import Annotated, Any, Literal

from hypothesis import given, settings, strategies as st
import pytest
import yaml

from ivm_ros.config import (
    check, ConfigError, Doc, from_dict, Live, load_yaml, nearest, options, Range)
from ivm_ros.deploy import DeployConfig


@dataclass(frozen=True)
class Settings:
    """One of each kind."""

    share: Annotated[float, Range(0.0, 1.0), Live(), Doc('A share.')] = 0.5
    count: Annotated[int, Range(1, None), Doc('At least one.')] = 3
    mode: Annotated[Literal['keep', 'hold', 'blank'], Doc('A choice.')] = 'keep'
    name: Annotated[str, Doc('Free text.')] = ''
    on: Annotated[bool, Doc('A switch.')] = True
    limit: Annotated[float | None, Range(0.0, None), Doc('Optional.')] = None
    color: Annotated[tuple[int, int, int], Range(0, 255), Doc('Three.')] = (1, 2, 3)

    def __post_init__(self):
        check(self)


def test_options_say_what_the_annotations_say():
    found = {option.name: option for option in options(Settings)}
    assert list(found) == [field.name for field in fields(Settings)]
    share, mode, limit = found['share'], found['mode'], found['limit']
    assert (share.kind, share.default, share.help, share.range, share.live) == (
        float, 0.5, 'A share.', Range(0.0, 1.0), True)
    assert (mode.kind, mode.choices, mode.live) == (str, ('keep', 'hold', 'blank'), False)
    assert (limit.kind, limit.optional, limit.default) == (float, True, None)
    assert found['color'].kind is tuple


def test_a_field_without_default_says_so():
    @dataclass(frozen=True)
    class Needs:
        path: Annotated[str, Doc('Needed.')]

    option, = options(Needs)
    assert option.default is MISSING


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_closed_range_takes_exactly_what_lies_in_it(value):
    if 0 <= value <= 1:
        assert Settings(share=value).share == value
    else:
        with pytest.raises(ConfigError, match=r'Settings\.share: wanted 0 to 1, got'):
            Settings(share=value)


@given(st.integers())
def test_an_open_side_has_no_bound(value):
    if value >= 1:
        assert Settings(count=value).count == value
    else:
        with pytest.raises(ConfigError, match=r'Settings\.count: wanted 1 to inf'):
            Settings(count=value)


def test_nan_is_in_no_range():
    with pytest.raises(ConfigError, match='got nan'):
        Settings(share=math.nan)
    with pytest.raises(ConfigError, match='got nan'):
        Settings(limit=math.nan)


@given(st.tuples(*[st.integers(-5, 260)] * 3))
def test_every_number_of_a_tuple_is_checked(color):
    if all(0 <= value <= 255 for value in color):
        assert Settings(color=color).color == color
    else:
        with pytest.raises(ConfigError, match=r'Settings\.color: wanted 0 to 255'):
            Settings(color=color)


@pytest.mark.parametrize(('field', 'value'), [
    ('share', '0.5'), ('share', True), ('share', None), ('count', 2.0), ('count', True),
    ('name', 3), ('on', 1), ('on', 'yes'), ('limit', 'none'), ('color', [1, 2, 3]),
])
def test_a_wrong_type_is_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=f'Settings.{field}: wanted .*, got '):
        Settings(**{field: value})


def test_whole_numbers_pass_for_floats_and_none_where_it_may():
    assert Settings(share=1).share == 1
    assert Settings(limit=None).limit is None
    assert Settings(limit=7).limit == 7


def test_a_choice_close_to_a_known_one_is_named():
    with pytest.raises(ConfigError, match=r"'keep', 'hold', 'blank', got 'kep' .*mean 'keep'"):
        Settings(mode='kep')
    with pytest.raises(ConfigError) as error:
        Settings(mode='xyzzy')
    assert 'did you mean' not in str(error.value)


def test_configs_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Settings().share = 0.1


@given(st.sampled_from([field.name for field in fields(DeployConfig)]), st.data())
def test_a_key_with_one_letter_missing_is_told_its_name(name, data):
    at = data.draw(st.integers(0, len(name) - 1))
    typed = name[:at] + name[at + 1:]
    if typed in {field.name for field in fields(DeployConfig)}:
        return
    with pytest.raises(ConfigError, match=f'DeployConfig has no setting {typed!r}') as error:
        from_dict(DeployConfig, {typed: 1})
    assert f'did you mean {name!r}' in str(error.value)


def test_nearest_says_nothing_about_a_stranger():
    assert nearest('qqqq', ['keep', 'hold']) == ''


good: dict[str, st.SearchStrategy[Any]] = {
    'share': st.floats(0, 1), 'count': st.integers(1, 10**6),
    'mode': st.sampled_from(['keep', 'hold', 'blank']),
    'name': st.text(st.characters(codec='utf-8', exclude_categories=['Cs', 'Cc'])),
    'on': st.booleans(), 'limit': st.none() | st.floats(0, 1e9),
    'color': st.tuples(*[st.integers(0, 255)] * 3)}


@settings(max_examples=25, deadline=None)
@given(st.fixed_dictionaries({}, optional=good))
def test_yaml_brings_back_what_was_written(tmp_path_factory, values):
    """Only differences are written; the rest comes from the defaults."""
    path = tmp_path_factory.mktemp('config') / 'settings.yaml'
    path.write_text(yaml.safe_dump({key: list(value) if isinstance(value, tuple) else value
                                    for key, value in values.items()}, allow_unicode=True))
    assert load_yaml(Settings, path) == Settings(**values)
    assert asdict(replace(Settings(), **values)) == asdict(load_yaml(Settings, path))


def test_an_empty_yaml_is_the_default(tmp_path):
    path = tmp_path / 'empty.yaml'
    path.write_text('# nothing\n')
    assert load_yaml(Settings, path) == Settings()


@pytest.mark.parametrize(('text', 'words'), [
    ('- share\n- 1\n', 'wanted a mapping of settings, got list'),
    ('shar: 0.2\n', r"has no setting 'shar' .*'share'"),
    ('share: 2\n', 'Settings.share: wanted 0 to 1, got 2'),
    ('share: .nan\n', 'got nan'),
    ('mode: Keep\n', "did you mean 'keep'"),
])
def test_a_wrong_yaml_is_refused(tmp_path, text, words):
    path = tmp_path / 'wrong.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_yaml(Settings, path)


def test_a_word_among_the_numbers_of_a_tuple_is_refused_by_name():
    with pytest.raises(ConfigError, match=r'Settings\.color'):
        Settings(color=('red', 2, 3))


def test_broken_yaml_is_refused_by_file_name(tmp_path):
    path = tmp_path / 'broken.yaml'
    path.write_text('share: [0.1\n')
    with pytest.raises(ConfigError, match=r'broken\.yaml'):
        load_yaml(Settings, path)
