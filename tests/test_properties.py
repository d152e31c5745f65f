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
"""What holds for any input: pictures, messages, masks, sentences, settings, answers of models."""

from array import array
from collections.abc import Callable
from dataclasses import fields
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from ivm_ros.annotate.llm_tasks import instructions_of, phrases_of
from ivm_ros.chat_server import LlmError, reply_of
from ivm_ros.config import ConfigError, from_dict, load_yaml
from ivm_ros.deploy import apply, DeployConfig, METHODS
from ivm_ros.files import FileError, inside, parse_json
from ivm_ros.image import (
    from_canvas, GRID, letterbox_of, PADDING, place, to_canvas, valid)
from ivm_ros.language.grammar import GrammarParser
from ivm_ros.language.naming import names_for
from ivm_ros.language.parse import ParseError, ROLES, sentence_of
from ivm_ros.masker import check_instruction, InstructionError
from ivm_ros.models.compact import CompactConfig
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.pixel_formats import ConvertError, LAYOUTS, to_rgb
from ivm_ros.sample import Mask
from ivm_ros.terminal import printable
from ivm_ros.tracker import TrackConfig

patient = settings(deadline=None)  # other work on the machine is no fault of a property
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 90)
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (st.lists(inner, max_size=4)
                   | st.dictionaries(st.text(max_size=8), inner, max_size=4)), max_leaves=12)
WORDS = ('pick up', 'the', 'red', 'mug', 'left of', 'and', 'put it', 'on', 'plate', 'not', ',',
         'all', 'which is', 'behind', 'two', 'between', 'the blue one', 'please', 'then', '.')
sentences = st.text(max_size=200) | st.lists(st.sampled_from(WORDS), max_size=25).map(' '.join)


def outcome(call: Callable[[], Any], named: type[Exception]) -> tuple[Any, Exception | None]:
    """Call something; give its value or the error of that name."""
    try:
        return call(), None
    except named as error:
        return None, error


# --- Pictures and messages ----------------------------------------------------------------------

@patient
@given(sides, sides, st.integers(1, 40), st.integers(1, 40), seeds)
def test_a_letterbox_keeps_the_picture_inside_and_gives_it_back(
        height, width, rows, columns, seed):
    canvas = (GRID * rows, GRID * columns)
    box = letterbox_of((height, width), canvas)
    assert all(start >= 0 and start + side <= limit and side % GRID == 0 == start % GRID
               for start, side, limit in zip(box.offset, box.content, canvas))
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    shown = to_canvas(image, box)
    assert shown.shape == (*canvas, 3)
    assert (shown[~valid(box)] == PADDING).all()
    plane = np.random.default_rng(seed).random(canvas, np.float32)
    for stride in (1, 2, 4):
        back = from_canvas(np.ascontiguousarray(plane[::stride, ::stride]), box)
        assert back.shape == (height, width)
        assert plane.min() <= back.min() + 1e-6 and back.max() <= plane.max() + 1e-6
    even = from_canvas(np.full(canvas, .25, np.float32), box)
    assert np.allclose(even, .25)


@patient
@given(sides, sides, sides, sides, st.booleans(), seeds)
def test_a_picture_is_placed_whole(height, width, rows, columns, stretch, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    out, (top, left, tall, wide) = place(image, (rows, columns), (1, 2, 3), stretch)
    assert out.shape == (rows, columns, 3) and out.flags.c_contiguous
    assert tall >= 1 and wide >= 1 and top + tall <= rows and left + wide <= columns
    bars = np.ones((rows, columns), bool)
    bars[top:top + tall, left:left + wide] = False
    assert (out[bars] == (1, 2, 3)).all()
    assert not stretch or (tall, wide) == (rows, columns)


@patient
@given(st.sampled_from(sorted(LAYOUTS)), st.integers(1, 40), st.integers(1, 40),
       st.integers(0, 9), st.booleans(), seeds)
def test_a_whole_message_of_any_encoding_is_read_or_named(
        encoding, height, width, more, big, seed):
    layout = LAYOUTS[encoding]
    step = width * layout.channels * int(layout.kind[1]) + more
    data = np.random.default_rng(seed).integers(0, 256, height * step, np.uint8)
    message = SimpleNamespace(encoding=encoding, height=height, width=width, step=step,
                              is_bigendian=int(big), data=array('B', data.tobytes()))
    image, error = outcome(lambda: to_rgb(message), ConvertError)
    if error is not None:
        # Some sizes are none of Bayer or YUV; a depth image may hold no valid pixel at all.
        assert layout.depth or layout.to_rgb is not None, error
        assert encoding in str(error)
        return
    assert image.shape == (height, width, 3) and image.dtype == np.uint8
    assert image.flags.c_contiguous
    if encoding == 'rgb8':
        rows = data.reshape(height, step)[:, :width * 3].reshape(height, width, 3)
        assert np.array_equal(image, rows)


@patient
@given(st.text(max_size=20), st.integers(-5, 2**33), st.integers(-5, 2**33),
       st.integers(-5, 2**33), st.binary(max_size=300))
def test_any_other_message_is_refused_by_name(encoding, height, width, step, data):
    message = SimpleNamespace(encoding=encoding, height=height, width=width, step=step,
                              is_bigendian=0, data=data)
    try:
        image = to_rgb(message)
    except ConvertError:
        return
    assert image.shape == (height, width, 3)


@patient
@given(st.text(max_size=20), st.binary(max_size=400))
def test_any_bytes_as_a_compressed_message(kind, data):
    with pytest.raises(ConvertError):
        to_rgb(SimpleNamespace(format=kind, data=data))


# --- Deployment ---------------------------------------------------------------------------------

deployments = st.builds(
    DeployConfig, method=st.sampled_from(sorted(METHODS)),
    color=st.tuples(*[st.integers(0, 255)] * 3), threshold=st.floats(0, 1), soft=st.booleans(),
    dilation=st.floats(0, .25), feather=st.floats(0, .25), blur=st.floats(.002, .5),
    dim=st.floats(0, 1), keep_robot=st.booleans(), found_threshold=st.floats(0, 1),
    on_not_found=st.sampled_from(['keep', 'hold', 'blank']), crop_margin=st.floats(0, 1),
    output_size=st.just((0, 0)) | st.tuples(st.integers(1, 120), st.integers(1, 120)),
    fit=st.sampled_from(['letterbox', 'stretch']))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(deployments, st.integers(32, 120), st.integers(32, 120), st.floats(0, 1),
       st.sampled_from(['noise', 'empty', 'full', 'pixel']), st.booleans(), seeds)
def test_every_method_shows_any_mask_of_any_size(config, height, width, found, kind, held, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    before = image.copy()
    target = {'noise': rng.random((height, width), np.float32),
              'empty': np.zeros((height, width), np.float32),
              'full': np.ones((height, width), np.float32)}.get(kind)
    if target is None:
        target = np.zeros((height, width), np.float32)
        target[rng.integers(height), rng.integers(width)] = 1
    mask = Mask(target, rng.random((height, width), np.float32), found)
    shown = apply(image, mask, config, mask if held else None)
    assert np.array_equal(image, before), 'the picture that came was written into'
    assert shown.image.dtype == np.uint8 and shown.image.ndim == 3 and shown.image.shape[2] == 3
    top, left, tall, wide = shown.roi
    assert top >= 0 and left >= 0 and tall >= 1 and wide >= 1
    assert top + tall <= height and left + wide <= width
    rows, columns = shown.image.shape[:2]
    if config.output_size != (0, 0):
        assert (columns, rows) == config.output_size
    first, side, down, across = shown.content
    assert first >= 0 and first + down <= rows and side >= 0 and side + across <= columns
    assert shown.outcome in ('masked', 'passed', 'held', 'blank')
    if config.method == 'none' and config.output_size == (0, 0):
        assert np.array_equal(shown.image, image)


# --- Words --------------------------------------------------------------------------------------

@patient
@given(sentences)
def test_the_grammar_takes_any_sentence_apart_or_names_why_not(text):
    try:
        parsed = GrammarParser().parse(text)
    except ParseError:
        return
    assert parsed.phrases
    for phrase in parsed.phrases:
        assert phrase.text.strip() and phrase.role in ROLES
    assert sentence_of(parsed).text.strip()


@patient
@given(st.text(max_size=60))
def test_names_for_any_word_begin_with_it(word):
    names = names_for(word)
    assert isinstance(names, tuple) and all(isinstance(name, str) for name in names)


@patient
@given(st.text(max_size=2500))
def test_an_instruction_is_one_line_or_refused(text):
    try:
        line = check_instruction(text)
    except InstructionError:
        assert not text.strip() or len(' '.join(text.split())) > 2000
        return
    assert line == ' '.join(text.split()) and '\n' not in line


@patient
@given(st.text())
def test_text_for_a_log_can_be_printed_and_says_the_same(text):
    line = printable(text)
    assert line.isprintable()
    assert text.isprintable() is (line == text)


# --- Answers, settings, names -------------------------------------------------------------------

@pytest.mark.slow
@patient
@given(odd | st.fixed_dictionaries({'phrases': odd}) | st.fixed_dictionaries({'phrases': st.lists(
    st.fixed_dictionaries({'text': st.text(max_size=40) | odd, 'role': st.sampled_from(
        sorted(ROLES)) | odd, 'head': st.text(max_size=20) | odd}), max_size=3)}))
def test_an_answer_gives_phrases_of_plain_words_or_a_named_error(said):
    phrases, error = outcome(lambda: phrases_of(said, 'take the red cup'), LlmError)
    if error is not None:
        assert error.kind == 'schema'
        return
    assert 1 <= len(phrases) <= 12
    assert all(phrase.text.isprintable() and phrase.role in ROLES for phrase in phrases)


@pytest.mark.slow
@patient
@given(odd | st.fixed_dictionaries({'instructions': odd | st.lists(st.text(max_size=30))}))
def test_an_answer_gives_instructions_or_a_named_error(said):
    texts, error = outcome(lambda: instructions_of(said, 2), LlmError)
    if error is not None:
        assert error.kind == 'schema'
        return
    assert len(texts) == 2 and all(text.isprintable() and text for text in texts)


@patient
@given(st.text() | odd.map(json.dumps) | st.fixed_dictionaries({'choices': odd}).map(json.dumps)
       | st.fixed_dictionaries({'choices': st.lists(st.fixed_dictionaries(
           {'message': odd | st.fixed_dictionaries({'content': odd})}), max_size=2),
           'usage': odd}).map(json.dumps))
def test_whatever_a_server_answers_is_a_reply_or_a_named_error(text):
    reply, error = outcome(lambda: reply_of(text), LlmError)
    if error is not None:
        assert error.kind in ('not JSON', 'schema', 'refusal')
        return
    assert isinstance(reply.text, str)


@pytest.mark.slow
@pytest.mark.parametrize('cls', [DeployConfig, TrackConfig, MaskerConfig, CompactConfig])
def test_settings_from_anything_are_good_or_refused_by_name(cls):
    names = st.sampled_from([field.name for field in fields(cls)])

    @settings(max_examples=60, deadline=None)
    @given(odd | st.dictionaries(names | st.text(max_size=8) | st.integers(), odd, max_size=4))
    def check(values):
        try:
            made = from_dict(cls, values)
        except ConfigError:
            return
        assert isinstance(made, cls)

    check()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | odd.map(lambda some: json.dumps(some).encode())
       | st.text('{}[]:,-&*!%@`"\'| \n\tabc1', max_size=60).map(str.encode))
def test_any_file_of_settings_is_read_or_refused_by_name(tmp_path_factory, data):
    path = tmp_path_factory.mktemp('yaml') / 'x.yaml'
    path.write_bytes(data)
    made, error = outcome(lambda: load_yaml(DeployConfig, path), ConfigError)
    if error is not None:
        assert str(path) in str(error)
        return
    assert isinstance(made, DeployConfig)


@patient
@given(st.text(max_size=400) | st.lists(st.sampled_from(['..', '.', 'a', '', '/', 'b c', '\0']),
                                        max_size=9).map('/'.join))
def test_a_name_lies_in_its_folder_or_is_refused(name):
    root = Path('/nowhere/at/all')
    try:
        path = inside(root, name)
    except FileError:
        return
    assert path.is_relative_to(root)


@patient
@given(st.text(max_size=200))
def test_any_text_is_json_or_a_value_error(text):
    try:
        parse_json(text)
    except ValueError:
        return
    json.loads(text)
