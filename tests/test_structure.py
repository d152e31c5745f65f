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
"""The shape of the source: who imports whom, how long things are, what stands where."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / 'ivm_ros'
SIM = ROOT / 'sim' / 'ivm_sim'
PYTHON = sorted({ROOT / 'setup.py', *(
    path for folder in ('ivm_ros', 'sim', 'launch', 'tests', 'scripts')
    for path in (ROOT / folder).rglob('*.py'))})

GROUND = {'auroc', 'config', 'files', 'picture_files', 'sample', 'terminal', 'version'}
PROGRAMS = {'bench', 'bench_blocks', 'bench_cameras', 'bench_carrier', 'bench_cost', 'bench_flops',
            'bench_large', 'bench_models', 'bench_node', 'bench_soak', 'cli', 'download',
            'export', 'info', 'mask_files', 'promote'}
# What each part of ivm_ros may import, itself aside. A new module gets a line here.
MAY_IMPORT = {
    'auroc': set(),
    'config': set(),
    'chat_server': GROUND,
    'chat': GROUND | {'chat_server'},
    'client': GROUND | {'chat', 'image', 'deploy', 'masker'},
    'picture_files': set(),
    'terminal': set(),
    'pixel_formats': {'picture_files'},
    'files': set(),
    'processes': set(),
    'sample': set(),
    'version': set(),
    'episode_bag': GROUND,
    'recording': GROUND | {'episode_bag'},
    'draw': GROUND,
    'image': GROUND,
    'language': GROUND,
    'work': GROUND,
    'ray_work': GROUND | {'work'},
    'deploy': GROUND | {'image'},
    'flow': GROUND,
    'tracker': GROUND | {'flow'},
    'models': GROUND | {'image', 'language', 'flow'},
    'carriers': GROUND | {'flow', 'tracker', 'models'},
    'masker': GROUND | {'image', 'deploy', 'models'},
    'data': GROUND | {'pixel_formats', 'image', 'language', 'work'},
    'audit': GROUND | {'data'},
    'annotate': GROUND | {'chat', 'chat_server', 'image', 'language', 'work', 'ray_work', 'data',
                          'masker', 'models'},
    'train': GROUND | {'image', 'models', 'data', 'language'},
    'study': GROUND | {'image', 'work', 'language', 'models', 'data', 'annotate', 'train',
                       'evaluate'},
    'evaluate': GROUND | {'chat', 'chat_server', 'image', 'draw', 'deploy', 'language', 'models',
                          'data', 'masker', 'train', 'flow', 'tracker', 'carriers', 'work'},
    'nodes': GROUND | {'pixel_formats', 'image', 'draw', 'deploy', 'masker', 'episode_bag',
                       'recording', 'tracker', 'carriers'},
}
MAY_IMPORT.update(dict.fromkeys(PROGRAMS, {*MAY_IMPORT, *PROGRAMS} - {'nodes'}))
SIM_MAY_IMPORT = ('config', 'data', 'deploy', 'draw', 'files', 'image', 'language', 'masker',
                  'models.checkpoint', 'models.installed', 'models.text', 'processes', 'ray_work',
                  'sample', 'terminal', 'version', 'work')
SIM_NODES_MAY_IMPORT = ('nodes.convert', 'nodes.params')
ROS = {'ament_index_python', 'builtin_interfaces', 'cv_bridge', 'diagnostic_msgs', 'geometry_msgs',
       'launch', 'launch_ros', 'lifecycle_msgs', 'rcl_interfaces', 'rclpy', 'sensor_msgs',
       'std_msgs', 'std_srvs'}


@cache
def tree(path: Path) -> ast.Module:
    """Parse a source file."""
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """List line and dotted name of whatever a file imports, inside functions too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: a relative import'
            yield from ((node.lineno, f'{node.module}.{alias.name}') for alias in node.names)


def where(path: Path, line: int) -> str:
    """Spell a place for a message."""
    return f'{path.relative_to(ROOT)}:{line}'


def part_of(path: Path) -> str:
    """Name the module or folder directly below ivm_ros that a file belongs to."""
    return path.relative_to(CORE).parts[0].removesuffix('.py')


def test_every_part_of_the_core_imports_only_what_it_may():
    wrong = []
    for path in CORE.rglob('*.py'):
        part = part_of(path)
        if part == '__init__':
            continue
        assert part in MAY_IMPORT, f'{path.relative_to(ROOT)} has no line in MAY_IMPORT'
        for line, name in imports(path):
            top, _, rest = name.partition('.')
            other = rest.split('.')[0]
            if top == 'ivm_ros' and other not in {part, *MAY_IMPORT[part]}:
                wrong.append(f'{where(path, line)}: {part} imports {other}')
    assert not wrong, '\n'.join(wrong)


def test_the_table_of_imports_has_no_circle():
    left = {part: set(below) for part, below in MAY_IMPORT.items() if part not in PROGRAMS}
    while left:
        free = {part for part, below in left.items() if not below & left.keys()}
        assert free, f'these import each other: {sorted(left)}'
        for part in free:
            del left[part]


def test_nothing_in_the_core_imports_the_simulation():
    wrong = [where(path, line) for path in CORE.rglob('*.py') for line, name in imports(path)
             if name.split('.')[0] == 'ivm_sim']
    assert not wrong, wrong


def test_the_simulation_imports_only_the_doors_of_the_core():
    wrong = []
    for path in SIM.rglob('*.py'):
        doors = SIM_MAY_IMPORT
        if 'nodes' in path.relative_to(SIM).parts:
            doors += SIM_NODES_MAY_IMPORT
        wrong += [f'{where(path, line)}: {name}' for line, name in imports(path)
                  if name.split('.')[0] == 'ivm_ros'
                  and not name.startswith(tuple(f'ivm_ros.{door}.' for door in doors))]
    assert not wrong, '\n'.join(wrong)


def test_only_nodes_folders_and_launch_files_import_ros():
    wrong = [f'{where(path, line)}: {name}' for folder in (CORE, SIM)
             for path in folder.rglob('*.py') if 'nodes' not in path.relative_to(folder).parts
             for line, name in imports(path) if name.split('.')[0] in ROS]
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('modules', [
    ['ivm_ros', 'ivm_ros.deploy', 'ivm_ros.image', 'ivm_ros.nodes.convert'],
    ['.'.join(path.relative_to(SIM.parent).with_suffix('').parts)
     for path in sorted(SIM.glob('*.py')) if path.stem not in ('__init__', '__main__')],
], ids=['core', 'sim'])
def test_simulation_and_conversion_start_without_torch(modules):
    code = f'import sys, {", ".join(modules)}; sys.exit("torch" in sys.modules)'
    path = [str(ROOT), str(SIM.parent), *sys.path]
    done = subprocess.run([sys.executable, '-c', f'import sys; sys.path = {path!r}; {code}'],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr or f'one of {modules} imports torch'


def test_every_file_begins_with_the_same_notice_and_says_what_it_is_for():
    notice = (ROOT / 'tests' / 'conftest.py').read_text().partition('"""')[0]
    assert notice.startswith('# Copyright') and 'apache.org/licenses/LICENSE-2.0' in notice
    for path in PYTHON:
        text = path.read_text()
        assert text.startswith(notice), f'{path.relative_to(ROOT)}: notice missing or different'
        empty = path.name == '__init__.py' and text == notice
        assert empty or ast.get_docstring(tree(path)), f'{path.relative_to(ROOT)}: no docstring'


def test_files_and_functions_stay_short():
    wrong = []
    for path in PYTHON:
        lines = len(path.read_text().splitlines())
        most = 400 if 'tests' in path.parts else 300  # tests of one part stay together
        if lines > most:
            wrong.append(f'{where(path, 1)}: {lines} lines, at most {most}')
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                if length > 50:
                    wrong.append(f'{where(path, node.lineno)}: {node.name} has {length} lines, '
                                 f'at most 50')
    assert not wrong, '\n'.join(wrong)


def test_no_room_without_a_name_and_no_package_that_hides_one_of_ros():
    for path in PYTHON:
        assert path.stem not in ('utils', 'util', 'helpers', 'misc', 'common'), path
    assert not (ROOT / 'launch' / '__init__.py').exists(), "it would hide ROS' launch"
    assert not (ROOT / 'tests' / '__init__.py').exists()


def test_launch_files_take_defaults_from_the_configs():
    """A default typed again in a launch file drifts away from the node's."""
    wrong = []
    for path in (ROOT / 'launch').glob('*.py'):
        for node in ast.walk(tree(path)):
            if not (isinstance(node, ast.Call)
                    and getattr(node.func, 'id', '') == 'DeclareLaunchArgument'):
                continue
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else ''
            default = {word.arg: word.value for word in node.keywords}.get('default_value')
            if (name in config_fields() and isinstance(default, ast.Constant) and default.value):
                wrong.append(f'{where(path, node.lineno)}: {name}={default.value!r}')
    assert not wrong, f'take these from the config class: {wrong}'


@cache
def config_fields() -> set[str]:
    """Collect the names of all fields of the core's config classes, read from the source."""
    return {field.target.id for path in CORE.rglob('*.py') for node in ast.walk(tree(path))
            if isinstance(node, ast.ClassDef) and node.name.endswith('Config')
            for field in node.body if isinstance(field, ast.AnnAssign)}
