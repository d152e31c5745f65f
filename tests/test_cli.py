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
"""The command line as a user meets it: help, one-line errors, exit codes, files."""

import json
import os
from pathlib import Path
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from ivm_ros.cli import main, VERBS
from ivm_ros.draw import draw_debug
from ivm_ros.info import brief
from ivm_ros.mask_files import FilesError, names_of, split_words
from ivm_ros.models.checkpoint import save_checkpoint
from ivm_ros.models.checkpoint_info import file_hash
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.text_files import find_text_encoder
from ivm_ros.sample import Mask


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Untrained weights: what they see means nothing, the way there is the real one."""
    path = tmp_path_factory.mktemp('weights') / 'random.safetensors'
    torch.manual_seed(0)
    encoder = {'name': 'test', 'sha256': file_hash(find_text_encoder() / 'model.safetensors')}
    save_checkpoint(path, CompactNet(), encoder, {'command': 'test'}, {})
    return str(path)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (('a.png', (60, 80)), ('b.jpg', (48, 64)), ('tiny.png', (20, 20))):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (*size, 3), np.uint8))
    (folder / 'broken.png').write_text('no picture')
    (folder / 'notes.txt').write_text('left out')
    return folder


def run(code):
    """Run Python in a fresh process."""
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=False, env={**os.environ, 'COLUMNS': '80'})


def test_help_lists_every_verb_and_imports_no_torch():
    answer = run('import sys; from ivm_ros.cli import main; code = main(["--help"]); '
                 'assert "torch" not in sys.modules; assert "tyro" not in sys.modules; '
                 'sys.exit(code)')
    assert answer.returncode == 0, answer.stderr
    for name, verb in VERBS.items():
        assert name in answer.stdout
        assert verb.example in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_nothing_typed_shows_help_and_fails(capsys):
    assert main([]) == 2
    assert 'usage: ivm VERB' in capsys.readouterr().out


@pytest.mark.parametrize(('typed', 'words'), [
    (['maks'], "no verb 'maks' (did you mean 'mask'?)"),
    (['eval'], "no verb 'eval' (did you mean 'eval grounding'?)"),
    (['eval', 'groundin'], "(did you mean 'eval grounding'?)"),
    (['qqq'], "no verb 'qqq'; see"),
])
def test_an_unknown_verb_is_told_the_nearest(typed, words, capsys):
    assert main(typed) == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize('verb', VERBS)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as end:
        main([*verb.split(), '--help'])
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert f'usage: ivm {verb}' in out
    assert VERBS[verb].help in ' '.join(out.split())


def test_a_wrong_option_value_ends_with_two(capsys):
    with pytest.raises(SystemExit) as end:
        main(['mask', 'a.png', 'a cup', '--threshold', '3'])
    assert end.value.code == 2
    assert 'threshold: wanted 0 to 1, got 3.0' in ' '.join(capsys.readouterr().err.split())


@pytest.mark.parametrize(('typed', 'words'), [
    (['mask'], 'wanted pictures and a sentence'),
    (['mask', 'nowhere.png', 'a cup'], "no file 'nowhere.png'"),
    (['train'], 'wanted at least one dataset folder'),
])
def test_user_errors_are_one_line_and_two(typed, words, capsys):
    assert main(typed) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert 'Traceback' not in error


def test_missing_weights_are_one_line(pictures, capsys):
    assert main(['mask', str(pictures), 'a cup', '--weights', '/nowhere.safetensors']) == 2
    assert 'no weights at /nowhere.safetensors' in capsys.readouterr().err


def test_bugs_keep_their_traceback(monkeypatch, pictures):
    """A ValueError that is not one of our own classes is no message to a user."""
    monkeypatch.setattr('ivm_ros.mask_files.split_words', lambda words: int('no number'))
    with pytest.raises(ValueError, match='invalid literal'):
        main(['mask', str(pictures), 'a cup'])


@pytest.mark.slow
def test_a_picture_without_what_is_named_is_not_counted_as_masked(
        weights, pictures, tmp_path, capsys):
    """And it is no failure: 1 says that two of the four files are no pictures to mask."""
    assert main(['mask', str(pictures), 'pick up the red mug', '--weights', weights, '--out',
                 str(tmp_path / 'out'), '--found-threshold', '1']) == 1
    assert '0 of 4 masked' in capsys.readouterr().out


@pytest.mark.slow
def test_mask_writes_three_files_a_picture_and_goes_on_after_a_bad_one(
        weights, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    out = tmp_path / 'out'
    code = main(['mask', str(pictures), 'pick up the red mug', '--weights', weights,
                 '--out', str(out), '--method', 'grayscale', '--threshold', '0',
                 '--found-threshold', '0', '--dilation', '0', '--output-size', '50', '40'])
    said = capsys.readouterr().out
    assert code == 1  # two pictures could not be masked
    assert '2 of 4 masked, method grayscale' in said
    assert 'not a picture that OpenCV can read' in said
    assert 'got 20 x 20' in said
    assert sorted(path.name for path in out.iterdir()) == [
        f'{name}.{kind}.png' for name in 'ab' for kind in ('mask', 'masked', 'side')]
    assert cv2.imread(str(out / 'a.masked.png')).shape == (40, 50, 3)
    assert cv2.imread(str(out / 'a.mask.png'), cv2.IMREAD_UNCHANGED).shape == (60, 80)
    assert cv2.imread(str(out / 'a.side.png')).shape == (60, 3 * 80 + 16, 3)


@pytest.mark.slow
def test_mask_none_gives_the_picture_back_in_its_colours(weights, pictures, tmp_path):
    out = tmp_path / 'out'
    assert main(['mask', str(pictures / 'a.png'), 'a cup', '--weights', weights, '--out',
                 str(out), '--method', 'none']) == 0
    before, after = (cv2.imread(str(path)) for path in (pictures / 'a.png', out / 'a.masked.png'))
    assert (before == after).all()


def test_words_are_files_folders_patterns_and_last_the_sentence(pictures):
    paths, sentence = split_words([str(pictures / '*.jpg'), str(pictures), 'a cup'])
    assert [path.name for path in paths] == ['b.jpg', 'a.png', 'broken.png', 'tiny.png']
    assert sentence == 'a cup'


@pytest.mark.parametrize(('words', 'message'), [
    ([], 'got nothing'),
    (['a cup'], 'wanted pictures and a sentence'),
    (['{a}', '{b}'], 'wanted the sentence last'),
    (['{a}', 'pick', 'up'], "no file 'pick'; the sentence goes last, in quotes"),
    (['{empty}', 'a cup'], 'no pictures'),
])
def test_misplaced_words_are_explained(words, message, pictures):
    (pictures / 'empty').mkdir()
    places = {'a': pictures / 'a.png', 'b': pictures / 'b.jpg', 'empty': pictures / 'empty'}
    with pytest.raises(FilesError, match=message):
        split_words([word.format(**places) for word in words])


def test_results_of_equal_names_do_not_overwrite_each_other():
    paths = [Path('a/x.png'), Path('b/x.png'), Path('x.jpg'), Path('x-2.png'), Path('y.png')]
    assert names_of(paths) == ['x', 'x-2', 'x-3', 'x-2-2', 'y']


@pytest.mark.slow
def test_info_names_what_a_bug_report_needs(weights, capsys):
    assert main(['info', '--json', '--weights', weights]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts['packages']['torch'] == torch.__version__.split('+')[0]
    assert facts['device']['auto'] in ('cpu', 'cuda')
    assert facts['weights']['sha256'] == file_hash(Path(weights))
    assert facts['weights']['provenance'] == {'command': 'test'}
    assert facts['text_encoder']['sha256'] == facts['weights']['text_encoder']['sha256']
    for section, key in (('ros', 'rmw'), ('ros', 'dds_profile'), ('opengl', 'backend')):
        assert key in facts[section] or 'error' in facts[section]


def test_nested_facts_are_cut_short_for_the_eye():
    assert brief({'steps': 3000, 'target': {'mean_iou': .62617}}) == (
        'steps 3000, target.mean_iou 0.626')
    assert brief({str(number): number for number in range(12)}).endswith(
        '9 9, ... 2 more with --json')


@pytest.mark.slow
def test_info_tells_of_a_profile_that_is_set(weights, capsys, monkeypatch):
    pytest.importorskip('rclpy')
    for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(name, raising=False)
    main(['info', '--json', '--weights', weights])
    ros = json.loads(capsys.readouterr().out)['ros']
    assert ros['dds_profile'].startswith('none:')
    monkeypatch.setenv(ros['profile_variable'], ros['shipped_profile'])
    main(['info', '--json', '--weights', weights])
    assert json.loads(capsys.readouterr().out)['ros']['dds_profile'] == ros['shipped_profile']


@pytest.mark.slow
def test_info_succeeds_with_broken_parts_and_names_them(tmp_path, capsys, monkeypatch):
    (tmp_path / 'rclpy.py').write_text('raise ImportError("librcl.so is gone")')
    path = os.environ.get('PYTHONPATH', '')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), path]))
    monkeypatch.setenv('COLUMNS', '200')
    assert main(['info', '--weights', '/nowhere.safetensors']) == 0
    said = capsys.readouterr().out
    assert 'librcl.so is gone' in said
    assert 'no weights at /nowhere.safetensors' in said
    assert 'all-MiniLM-L6-v2' in said


def test_debug_picture_marks_target_red_and_outlines_the_robot_green():
    image = np.full((480, 640, 3), 128, np.uint8)
    target, robot = np.zeros((480, 640), np.float32), np.zeros((480, 640), np.float32)
    target[200:300, 100:200] = 1
    robot[200:300, 400:500] = 1
    out = draw_debug(image, Mask(target, robot, 1.0), ['pick it up'])
    red, green, blue = out[250, 150].astype(int)
    assert red > green
    assert red > blue
    assert tuple(out[200, 450]) == (0, 255, 0)
    assert (out[:60] == 255).all(axis=2).sum() > 10  # the sentence
    assert (draw_debug(image, None, []) == image).all()
