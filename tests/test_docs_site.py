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
"""The documentation site: built with warnings as errors, whole, and right about the code."""

import ast
from functools import cache
from html.parser import HTMLParser
import importlib.util
from pathlib import Path
import re
import subprocess
import sys

import pytest
import yaml

from ivm_ros.config import options
from ivm_ros.deploy import DeployConfig
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.recording import RecorderConfig
from ivm_ros.tracker import TrackConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / 'docs'
SAYS = 'docs/troubleshooting.md'
FOREIGN = ("No module named 'torch'", 'operator torchvision::nms does not exist',
           'error: option --editable not recognized',
           'offering incompatible QoS. No messages will be received from it')
"""Messages on the page of troubleshooting that are not ours."""


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    """Build the site as `make docs` does, in a folder of its own."""
    folder = tmp_path_factory.mktemp('site')
    done = subprocess.run([sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet',
                           '--site-dir', str(folder)], cwd=ROOT, capture_output=True, text=True,
                          timeout=230, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loads(HTMLParser):
    """Collects what a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element."""
        given = dict(attrs)
        if tag in ('script', 'img', 'iframe', 'source', 'video') and given.get('src'):
            self.found.append(given['src'])
        if tag == 'link' and given.get('rel') in ('stylesheet', 'preconnect', 'preload', 'icon'):
            self.found.append(given['href'])


@pytest.mark.slow
def test_the_site_is_whole_and_fetches_nothing_from_elsewhere(site):
    for entry in menu():
        path = entry.removesuffix('.md').replace('README', 'index')
        page = site / path / 'index.html' if not path.endswith('index') else site / f'{path}.html'
        assert page.is_file(), f'{entry} is in the menu and not on the site'
    pages = [page for page in site.rglob('*.html') if 'results/experiment/page' not in str(page)]
    assert len(pages) > 25
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text())
        assert loads.found, page
        for target in loads.found:
            assert not re.match(r'(https?:)?//', target), f'{page}: fetches {target}'
            if not target.startswith('data:'):
                base = site if target.startswith('/') else page.parent
                file = base / target.lstrip('/').partition('?')[0]
                assert file.exists() or page.name == '404.html', f'{page}: no {target}'


def menu() -> list[str]:
    """List the pages of the site's menu."""
    text = re.sub(r'!!python\S*', '', (ROOT / 'mkdocs.yml').read_text())
    found = []
    for section in yaml.safe_load(text)['nav']:
        for entry in next(iter(section.values())):
            found.append(entry if isinstance(entry, str) else next(iter(entry.values())))
    return found


@pytest.mark.slow
def test_every_page_is_in_the_menu_or_left_out_by_name(site):
    left_out = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())['not_in_nav'].split()
    shown = (site / 'index.html').read_text()
    for path in sorted(DOCS.rglob('*.md')):
        name = path.relative_to(DOCS).as_posix()
        if not any(f'/{name}'.startswith(part) for part in left_out):
            place = re.sub(r'(README|index)$', '', name.removesuffix('.md')).rstrip('/')
            assert f'href="{place}/"' in shown or name == 'index.md', f'no menu shows {name}'
    assert [name for name in menu() if not (DOCS / name).exists()] == [
        'reference/topics.md', 'reference/parameters.md', 'reference/verbs.md',
        'contributing.md', 'changelog.md', 'security.md'], 'these are generated'


@cache
def reference():
    """Load the module that writes the reference."""
    spec = importlib.util.spec_from_file_location('docs_reference',
                                                  ROOT / 'scripts' / 'docs_reference.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def graph():
    """Ask the real nodes what they are."""
    return reference().node_graph()


@pytest.mark.slow
def test_parameters_on_the_page_are_those_of_the_code(graph):
    from ivm_ros.nodes.node_config import CameraConfig, NodeConfig
    from ivm_ros.nodes.rerun_node import RerunConfig

    text = reference().parameters(graph)
    sections = dict(part.split('\n', 1) for part in text.split('\n## ')[1:])
    for node, classes in (('ivm_node', (NodeConfig, DeployConfig, MaskerConfig, TrackConfig)),
                          ('ivm_recorder', (RecorderConfig,)),
                          ('ivm_rerun', (RerunConfig,))):
        rows = dict(re.findall(r'^\| `(\w+)` \| `(.*?)` \|', sections[node], re.MULTILINE))
        known = [option for cls in classes for option in options(cls)]
        assert {option.name for option in known} <= rows.keys()
        for option in known:
            default = list(option.default) if option.kind is tuple else option.default
            if option.kind is float:
                default = float(default)
            assert rows[option.name] == reference()._value(default), option.name
            assert option.help.partition('<')[0][:40] in sections[node], option.name
    for option in options(CameraConfig):
        assert f'| `CAMERA.{option.name}` | `' in sections['ivm_node']
    assert '| 0 to 1 |' in sections['ivm_node']


@pytest.mark.slow
def test_topics_of_the_readme_are_those_of_the_node(graph):
    """The README's table is kept by hand, the site's page is not."""
    nodes = [node for label, node in graph.items()
             if label.startswith('ivm_node') and 'cameras' not in label]
    real = {name for node in nodes for role in ('publishes', 'subscribes', 'services')
            for name in node[role]}
    assert set(reference().purposes()) == real
    assert {'image', 'masked/image', '~/reload', 'instruction'} <= real
    page = reference().topics(graph)
    for name in {*real, 'front/masked/image', 'wrist/image'}:
        assert f'| `{name}` |' in page, name


@pytest.mark.slow
def test_every_verb_is_on_the_page_with_its_options():
    from ivm_ros.cli import VERBS

    text = reference().verbs()
    for name, verb in VERBS.items():
        part = text.partition(f'### ivm {name}\n')[2].partition('\n### ')[0]
        assert verb.help.split('.')[0] in ' '.join(part.split()), name
    assert '--experts' in text and '--mask-weights' in text and '\x1b' not in text


@pytest.mark.slow
def test_messages_on_the_page_of_troubleshooting_are_those_of_the_code():
    """`…` stands for what differs; a message is in the first column of its table."""
    messages = [message for line in (ROOT / SAYS).read_text().splitlines()
                if line.startswith('| ') and not line.startswith('| it says')
                for message in re.findall(r'`([^`]+)`', line[2:].split(' | ')[0])
                if ' ' in message and message not in FOREIGN]
    assert len(messages) > 25
    wrong = [message for message in messages if not any(
        all(part.strip() in text for part in message.split('…')) for text in spoken())]
    assert not wrong


@cache
def spoken() -> list[str]:
    """Collect all that the code may say; … where an expression stands in it."""
    found = []
    for path in (path for name in ('ivm_ros', 'sim') for path in (ROOT / name).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append(''.join(part.value if isinstance(part, ast.Constant) else '…'
                                     for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found
