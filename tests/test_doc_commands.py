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
Every command block of the documents runs, or a comment before it says why not.

Blocks are what stands in ```bash fences or is indented by four spaces. Those of a page run in one
folder, in their order. A comment before a block changes that:

    <!-- small: --episodes 1; dataset --scenes 3 -->  run with these options instead; a group may
                                                      begin with the last word of its verb
    <!-- small: exit 1 -->                            run, and end with this code
    <!-- parsed: hours -->                            only parsed, by the parsers of the programs
    <!-- not run: robot -->                           has nothing that could be parsed here
    <!-- run by: tests/ros/test_turn.py -->           another test runs it

`pytest -s tests/test_doc_commands.py -k listed` lists them all.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from importlib import import_module
from pathlib import Path
import re
import shlex
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'SECURITY.md',
         *sorted((ROOT / 'docs').rglob('*.md'))]
REASONS = {
    'set-up': 'changes this machine or its environment',
    'ros2': 'wants the command line of an installed ROS 2, which does not come as wheels',
    'docker': 'wants Docker', 'gpu': 'wants a GPU', 'cluster': 'wants several machines',
    'weights': 'wants weights that are not here', 'network': 'fetches from the network',
    'server': 'wants a server of a language model', 'data': 'wants data of other people',
    'hours': 'takes hours', 'minutes': 'takes minutes', 'tests': 'runs tests again'}
TAG = re.compile(r'<!-- (small|parsed|not run|run by): (.+?) -->$')
PROGRAMS = ('ivm', 'ivm-sim')


@dataclass(frozen=True)
class Block:
    """
    Commands of a document.

    Attributes:
        page (Path): Where.
        line (int): Of its first command.
        text (str): The commands.
        how (str): 'run', or what its tag says.
        why (str): What stands behind the colon of the tag.
        python (bool): Not of the shell.
    """

    page: Path
    line: int
    text: str
    how: str = 'run'
    why: str = ''
    python: bool = False

    @property
    def place(self) -> str:
        """Where it stands."""
        return f'{self.page.relative_to(ROOT)}:{self.line}'

    def commands(self) -> list[list[str]]:
        """Split into words, a list for each command; comments and settings of variables go."""
        found, open_lines = [], ''
        for line in re.sub(r'\\\n\s*', ' ', self.text).splitlines():
            try:
                words = shlex.split(open_lines + line, comments=True)
            except ValueError:  # a quote goes on in the next line
                open_lines += line + '\n'
                continue
            open_lines = ''
            if 'ivm_ros.cli' in words:  # behind torchrun
                words = ['ivm', *words[words.index('ivm_ros.cli') + 1:]]
            while words and re.fullmatch(r'[A-Z_]+=\S*', words[0]):
                words.pop(0)
            if words:
                found.append(words)
        return found


def blocks_of(page: Path) -> Iterator[Block]:
    """Find the command blocks of a page, and those of Python."""
    lines = page.read_text().splitlines()
    number, tag = 0, ('run', '')
    while number < len(lines):
        line = lines[number]
        fence = re.match(r'(```|~~~)(\w*)', line)
        start = number + 1
        if fence:
            end = next(at for at in range(start, len(lines)) if lines[at].startswith(fence[1]))
            if fence[2] in ('bash', 'sh', 'console', 'python'):
                yield Block(page, start + 1, '\n'.join(lines[start:end]), *tag,
                            fence[2] == 'python')
            number = end
        elif line.startswith('    ') and (not number or not lines[number - 1].strip()):
            end = number
            while end < len(lines) and lines[end].startswith('    '):
                end += 1
            yield Block(page, start, '\n'.join(part[4:] for part in lines[number:end]), *tag)
            number = end - 1
        if line.strip():  # a tag holds for what comes next, over empty lines
            found = TAG.match(line)
            tag = (found[1], found[2]) if found else ('run', '')
        number += 1


ALL = [block for page in PAGES for block in blocks_of(page)]
SHELL = [block for block in ALL if not block.python]
RUN = [block for block in ALL if block.how in ('run', 'small')
       and (not block.python or block.page.name in ('tutorial.md', 'README.md'))]


def test_tags_are_listed_and_known():
    count = Counter((block.how, block.why if block.how in ('parsed', 'not run') else '')
                    for block in SHELL)
    for (how, why), number in sorted(count.items()):
        print(f'{number:3} {how}: {why} {REASONS.get(why, "")}')
    for block in ALL:
        if block.how in ('parsed', 'not run'):
            assert block.why in REASONS, f'{block.place}: no reason {block.why!r}'
        elif block.how == 'run by':
            assert (ROOT / block.why.split()[0]).is_file(), f'{block.place}: no {block.why}'
    for page in PAGES:
        for line in page.read_text().splitlines():
            assert '<!--' not in line or TAG.match(line) or 'SPDX' in line, f'{page}: {line}'


def test_tests_that_documents_name_are_there():
    for page in PAGES:
        for name in re.findall(r'\btests/[\w/]+\.py\b', page.read_text()):
            assert (ROOT / name).is_file(), f'{page.relative_to(ROOT)} names {name}'


def test_what_needs_no_parser_says_so_rightly():
    """`not run` is for blocks without commands of ours: those can be parsed, and are."""
    for block in SHELL:
        ours = [words for words in block.commands() if words[0] in PROGRAMS]
        if block.how == 'not run':
            assert not ours, f'{block.place}: `parsed` says more than `not run`: {ours[0]}'
        elif block.how == 'parsed':
            assert ours, f'{block.place}: nothing to parse'


@pytest.mark.slow
@pytest.mark.parametrize('block', [block for block in SHELL if block.how == 'parsed'],
                         ids=lambda block: block.place)
def test_what_is_too_long_to_run_is_parsed(block):
    for words in block.commands():
        if words[0] in PROGRAMS:
            parse(words)


def parse(words: list[str]) -> None:
    """Have the command line of a program take its words, and go no further."""
    import tyro

    from ivm_ros.cli import VERBS
    from ivm_sim import cli as sim

    try:
        if words[0] == 'ivm-sim':
            tyro.extras.subcommand_cli_from_dict(sim.VERBS, args=words[1:])
            return
        name = next(name for name in VERBS
                    if words[1:2 + name.count(' ')] == name.split())
        verb = VERBS[name]
        tyro.cli(getattr(import_module(verb.module), verb.config),
                 args=words[2 + name.count(' '):])
    except SystemExit as error:
        pytest.fail(f'{shlex.join(words)}: refused ({error.code})')


def test_what_ros_would_start_is_there():
    setup, launch = (ROOT / 'setup.py').read_text(), ROOT / 'launch'
    targets = re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    seen = 0
    for block in SHELL:
        for words in block.commands():
            if words[:3] == ['ros2', 'launch', 'ivm_ros']:
                text = (launch / words[3]).read_text()
                for name in (word.partition(':=')[0] for word in words[4:] if ':=' in word):
                    assert f"'{name}'" in text, f'{block.place}: {words[3]} takes no {name}'
                seen += 1
            elif words[:3] == ['ros2', 'run', 'ivm_ros']:
                assert f"'{words[3]} = " in setup, f'{block.place}: no program {words[3]}'
                seen += 1
            elif words[0] == 'make' and len(words) > 1 and '=' not in words[1]:
                assert words[1] in targets, f'{block.place}: no target {words[1]}'
                seen += 1
    assert seen > 5


@pytest.fixture
def workshop(tmp_path, monkeypatch, cutout_folder, toy_dataset):
    """Be in a folder with what the documents take for granted: pictures, cut-outs, a dataset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'home'))
    rng = np.random.default_rng(0)
    Path('photos').mkdir()
    for number in range(2):
        picture = np.full((120, 160, 3), 120, np.uint8)
        picture[40:80, 30 + 40 * number:70 + 40 * number] = (40, 40, 200)
        picture += rng.integers(0, 9, picture.shape).astype(np.uint8)
        cv2.imwrite(f'photos/{number}.jpg', picture)
    shutil.copy('photos/0.jpg', 'photo.jpg')
    shutil.copytree(cutout_folder, 'cutouts')
    shutil.copytree(toy_dataset, 'data/toy')
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize('page', sorted({block.page for block in RUN}),
                         ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_run(page, workshop):
    for block in RUN:
        if block.page == page:
            run(block)


def run(block: Block) -> None:
    """Run a block; every command must end as it should."""
    if block.python:
        exec(compile(block.text, block.place, 'exec'),
             {'image': cv2.imread('photo.jpg')[..., ::-1]})
        return
    options, code = small(block)
    for words in block.commands():
        words = [path for word in words
                 for path in (sorted(glob(word)) or [word] if '*' in word else [word])]
        for verb, given in options:
            if not verb or verb in words[1:3]:
                words = replaced(words, given)
        print('+', shlex.join(words))
        assert call(words) == code, f'{block.place}: {shlex.join(words)}'


def call(words: list[str]) -> int:
    """Run a command: ours in this process, which has loaded torch already."""
    from ivm_ros.cli import main
    from ivm_sim.cli import main as simulate

    if words[0] in PROGRAMS:
        return (main if words[0] == 'ivm' else simulate)(words[1:])
    assert words[0] == 'python', f'tag the block: {words[0]} is nothing that this test runs'
    return subprocess.run([sys.executable, *words[1:]], timeout=120, check=False).returncode


def small(block: Block) -> tuple[list[tuple[str, list[str]]], int]:
    """Read a tag `small`: options by the last word of their verb, and the exit code."""
    options, code = [], 0
    for group in block.why.split(';') if block.how == 'small' else []:
        words = shlex.split(group)
        if words[0] == 'exit':
            code = int(words[1])
        elif words[0].startswith('-'):
            options.append(('', words))
        else:
            options.append((words[0], words[1:]))
    return options, code


def replaced(words: list[str], given: list[str]) -> list[str]:
    """Give words with the values of some options exchanged, or added where they are missing."""
    words, option = list(words), ''
    for word in given:
        if word.startswith('--'):
            option = word
            if option in words:  # its values go
                at = words.index(option)
                end = next((place for place in range(at + 1, len(words))
                            if words[place].startswith('--')), len(words))
                del words[at:end]
        words.append(word)
    assert option, f'{given}: no option'
    return words


def test_options_are_replaced_where_they_stand():
    assert replaced(['ivm', 'x', 'a', '--n', '3', '--b', 'c', 'd'], ['--n', '1', '--e', '2']) == [
        'ivm', 'x', 'a', '--b', 'c', 'd', '--n', '1', '--e', '2']


def test_untagged_blocks_are_found_and_not_overlooked(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('# A\n\n    make demo\n\n<!-- not run: robot -->\n```bash\nros2 \\\n  x\n'
                    '```\n\n```bash\nivm info  # a\nA=1 ivm b\n```\n~~~\nnothing\n~~~\n')
    found = list(blocks_of(page))
    assert [(block.line, block.how, block.why) for block in found] == [
        (3, 'run', ''), (7, 'not run', 'robot'), (12, 'run', '')]
    assert [block.commands() for block in found] == [
        [['make', 'demo']], [['ros2', 'x']], [['ivm', 'info'], ['ivm', 'b']]]
