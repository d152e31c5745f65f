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
"""Pages of the reference, written from the code: topics and services, parameters, verbs."""

from collections.abc import Iterable
import contextlib
import io
import json
import os
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROLES = (('subscribes', 'in'), ('publishes', 'out'), ('services', 'service'))
UNBOUNDED = 2 ** 53  # a bound from which on it stands for "none"

Graph = dict[str, Any]


def pages() -> dict[str, str]:
    """Write all pages; their text by path in the site."""
    graph = node_graph()
    return {'reference/topics.md': topics(graph), 'reference/parameters.md': parameters(graph),
            'reference/verbs.md': verbs()}


def node_graph() -> Graph:
    """
    Start the nodes in a process of their own and ask what they are.

    Raises:
        RuntimeError: They did not come up; the message is what they said.
    """
    path = os.pathsep.join([str(ROOT), str(ROOT / 'sim'), os.environ.get('PYTHONPATH', '')])
    done = subprocess.run([sys.executable, str(ROOT / 'scripts' / 'docs_graph.py')],
                          capture_output=True, text=True, timeout=180, check=False,
                          env={**os.environ, 'PYTHONPATH': path})
    if done.returncode:
        raise RuntimeError(f'the nodes did not come up: {done.stderr}')
    graph: Graph = json.loads(done.stdout)
    return graph


def purposes() -> dict[str, str]:
    """Read from the README's tables what the topics and services of `ivm_node` are for."""
    text = (ROOT / 'README.md').read_text().partition('## The node')[2].partition('\n## ')[0]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split(' | ')]
        if line.startswith('|') and len(cells) == 3:
            for name in re.findall(r'`([^`]+)`', cells[0]):
                found[name] = re.sub(r'^(in, out|in|out)(, |: )?', '', cells[2]).strip()
    return found


def topics(graph: Graph) -> str:
    """Write the page of topics and services."""
    plain, why = graph['ivm_node'], purposes()
    switches = [label.partition(', ')[2] for label in graph if ', ' in label]
    lines = ['# Topics and services', '',
             'Written from the running nodes when this site was built. Names are relative: they '
             'follow the namespace of the node and can be remapped. `~` stands for the name of '
             'the node. QoS is that of a node without a camera; once one is there, `image` and '
             '`depth` are listened to as it offers them.', '', '## ivm_node', '',
             '| name | type | | QoS | what it is for |', '|---|---|---|---|---|']
    for role, verb in ROLES:
        found = {name: (kind, _quality(plain, role, name), '')
                 for name, kind in plain[role].items()}
        for switch in switches:
            other = graph[f'ivm_node, {switch}']
            for name, kind in other[role].items():
                if switch != 'cameras':
                    found.setdefault(
                        name, (kind, _quality(other, role, name), f'(with `{switch}`)'))
        lines += [f'| `{name}` | `{_short(kind)}` | {verb} | {quality} | '
                  f'{_purpose(why.get(name, ""), note)} |'
                  for name, (kind, quality, note) in sorted(found.items())]
    lines += ['', '## ivm_node with `cameras: [front, wrist]`', '', *_plainly(
        graph['ivm_node, cameras'])]
    for label in graph:
        if not label.startswith('ivm_node'):
            lines += ['', f'## {label}', '', *_plainly(graph[label])]
    return '\n'.join([*lines, '', 'Left out: what every node of ROS 2 has, and the services and '
                      'the event of a lifecycle node (`ros2 lifecycle`).', ''])


def _plainly(node: Graph) -> list[str]:
    """Tabulate what a node has."""
    return ['| name | type | | QoS |', '|---|---|---|---|', *(
        f'| `{name}` | `{_short(kind)}` | {verb} | {_quality(node, role, name)} |'
        for role, verb in ROLES for name, kind in node[role].items())]


def _purpose(why: str, note: str) -> str:
    """Join what a topic is for and what switches it on, unless the first says so too."""
    return why if note.strip('()') in why else f'{why} {note}'.strip()


def _quality(node: Graph, role: str, name: str) -> str:
    """Give the QoS of a topic; services have none of interest."""
    return '' if role == 'services' else str(node['qos'][name])


def parameters(graph: Graph) -> str:
    """Write the page of parameters."""
    lines = ['# Parameters', '',
             'Written from the running nodes when this site was built: what `ros2 param '
             'describe` says of each. "Takes effect on configure" means: `ros2 lifecycle set '
             '/ivm_node deactivate`, `cleanup`, then `configure` and `activate`, or a new start.']
    for label, node in graph.items():
        if ', ' in label:
            continue
        lines += ['', f'## {label}', '', '| parameter | default | range | what it does |',
                  '|---|---|---|---|']
        lines += map(_row, node['parameters'])
        if label == 'ivm_node':
            lines += ['', '### of each of its `cameras`', '',
                      '| parameter | default | range | what it does |', '|---|---|---|---|']
            lines += [_row({**item, 'name': item['name'].replace('front.', 'CAMERA.', 1)})
                      for item in graph['ivm_node, cameras']['parameters']
                      if item['name'].startswith('front.')]
    return '\n'.join([*lines, ''])


def _row(item: dict[str, Any]) -> str:
    return (f'| `{item["name"]}` | `{_value(item["default"])}` | {_range(item["range"])} | '
            f'{_cell(item["help"])} |')


def verbs() -> str:
    """Write the page of the command line: what each verb's --help prints."""
    for folder in (ROOT / 'sim', ROOT):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    from ivm_ros import cli
    from ivm_sim import cli as sim_cli

    lines = ['# Commands', '', 'What `--help` prints, written when this site was built.']
    for program, module in (('ivm', cli), ('ivm-sim', sim_cli)):
        lines += ['', f'## {program}']
        for name in sorted(module.VERBS):
            lines += ['', f'### {program} {name}', '', '```text',
                      *_help(module.main, [*name.split(), '--help']), '```']
    return '\n'.join([*lines, ''])


def _help(main: Any, words: list[str]) -> Iterable[str]:
    """Print the help of a verb, as plain text of a hundred columns."""
    said = io.StringIO()
    before = dict(os.environ)
    os.environ.update(COLUMNS='100', NO_COLOR='1')
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main(words)
    finally:
        os.environ.clear()
        os.environ.update(before)
    plain = re.sub(r'\x1b\[[0-9;]*m', '', said.getvalue())
    return [line.rstrip() for line in plain.strip().splitlines()]


def _short(kind: str) -> str:
    return kind.replace('/msg/', '/').replace('/srv/', '/')


def _value(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value or "''"


def _range(bounds: list[float] | None) -> str:
    if bounds is None:
        return ''
    low, high = (None if abs(end) >= UNBOUNDED else f'{end:g}' for end in bounds)
    if low is None or high is None:
        return f'from {low}' if high is None else f'up to {high}'
    return f'{low} to {high}'


def _cell(text: str) -> str:
    return text.replace('|', '\\|').replace('<', '&lt;')


if __name__ == '__main__':
    print(pages()[sys.argv[1]])
