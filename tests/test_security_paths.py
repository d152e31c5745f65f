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
"""What a file names lies in that file's folder, or is not read; nothing is unpickled."""

import ast
import json
import os
from pathlib import Path
import pickle
import zipfile

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
import torch

from ivm_ros.data.coco import Coco, Refer
from ivm_ros.data.episodes import EpisodesConfig, import_episodes
from ivm_ros.data.ivm_mix import IvmMix
from ivm_ros.data.label_studio import LabelStudio
from ivm_ros.data.labelled import picture_inside
from ivm_ros.data.labelme import Labelme
from ivm_ros.data.shards import DatasetError, encode_image
from ivm_ros.evaluate.questions import egothink_items, vstar_items
from ivm_ros.evaluate.sources import Source
from ivm_ros.files import FileError, inside
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.errors import CheckpointError
from ivm_ros.models.installed import choose, install, weights_home
from ivm_ros.models.ivm_v1_weights import read_tensors
from ivm_ros.models.pretrained import check_files, load_processor, WeightsError
from ivm_sim.furniture import Entry, read_model
from ivm_sim.meshes import load, MeshError

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / 'ivm_ros').rglob('*.py'), *(ROOT / 'sim').rglob('*.py'),
                  *(ROOT / 'launch').glob('*.py')])
HUGE_NAME = 'x' * 300


@pytest.fixture
def house(tmp_path) -> Path:
    """Make a folder to read, and beside it a secret that nothing in it may lead to."""
    secret = encode_image(np.full((40, 60, 3), 200, np.uint8))
    (tmp_path / 'secret.jpg').write_bytes(secret)
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / 'secret.jpg').write_bytes(secret)
    folder = tmp_path / 'house'
    folder.mkdir()
    (folder / 'link.jpg').symlink_to(tmp_path / 'secret.jpg')
    (folder / 'door').symlink_to(tmp_path / 'elsewhere')
    (folder / 'ring').symlink_to(folder / 'ring')
    return folder


@pytest.fixture(params=['../secret.jpg', '/SECRET', 'link.jpg', 'door/secret.jpg',
                        'a/../../secret.jpg', '..\\secret.jpg', 'zero\0byte.jpg', HUGE_NAME,
                        'ring', '.', '..', ''],
                ids=lambda name: name[:20].encode('unicode_escape').decode())
def name(request, house) -> str:
    """Give a name that leads out of the house, or nowhere."""
    return request.param.replace('/SECRET', str(house.parent / 'secret.jpg'))


def test_a_name_leads_nowhere_but_into_its_folder(house, name):
    try:
        found = inside(house, name)
    except FileError:
        return
    assert found.is_relative_to(house.resolve())
    assert not found.is_file()


def test_a_picture_of_labels_is_looked_for_in_its_folder_only(house, name):
    with pytest.raises(DatasetError):
        picture_inside(house, name)
    (house / 'mine.jpg').write_bytes(b'x')
    for way in ('mine.jpg', '../mine.jpg', '/home/someone/mine.jpg', 'C:\\photos\\mine.jpg'):
        assert picture_inside(house, way) == house / 'mine.jpg'  # brought along, it may lie flat


def coco_files(house: Path, name: str) -> tuple[Path, Path]:
    """Write COCO instances and REFER expressions about a picture of that name."""
    instances, refs = house / 'instances.json', house / 'refs.json'
    instances.write_text(json.dumps({
        'images': [{'id': 1, 'file_name': name, 'height': 40, 'width': 60}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1,
                         'segmentation': [[0, 0, 9, 0, 9, 9]]}],
        'categories': [{'id': 1, 'name': 'cup'}]}))
    refs.write_text(json.dumps([{'split': 'val', 'image_id': 1, 'ann_id': 1,
                                 'sentences': [{'sent': 'the cup'}]}]))
    return instances, refs


def labelme_folder(house: Path, name: str) -> Path:
    """Write a file of labelme about a picture of that name."""
    (house / 'a.json').write_text(json.dumps({'imagePath': name, 'imageData': None, 'shapes': [
        {'label': 'cup', 'points': [[1, 1], [9, 9], [1, 9]], 'shape_type': 'polygon'}]}))
    return house


def studio(house: Path, name: str) -> tuple[Path, Path]:
    """Write an export of Label Studio whose task is about a picture of that name."""
    (house / 'task-1-annotation-1-by-1-tag-cup-0.png').write_bytes(
        cv2.imencode('.png', np.eye(40, 60, dtype=np.uint8) * 255)[1].tobytes())
    tasks = house / 'tasks.json'
    result = [{'from_name': 'tag', 'value': {'brushlabels': ['cup']}}]
    tasks.write_text(json.dumps([{'id': 1, 'data': {'image': f'/data/?d={name}'},
                                  'annotations': [{'result': result}]}]))
    return house, tasks


def mix_lines(house: Path, **item: str) -> Path:
    """Write a line of IVM-Mix."""
    path = house / 'mix.jsonl'
    path.write_text(json.dumps({'uuid': 'a', 'instruction': 'the cup', **item}))
    return path


@pytest.mark.parametrize('read', [
    lambda house, name: Coco(coco_files(house, name)[0], str(house), True)[0],
    lambda house, name: Refer(*coco_files(house, name)[::-1], str(house))[0],
    lambda house, name: Labelme(labelme_folder(house, name), '', True)[0],
    lambda house, name: LabelStudio(*studio(house, name), '', True)[0],
    lambda house, name: IvmMix(mix_lines(house, image=name))[0],
    lambda house, name: IvmMix(mix_lines(house, uuid=f'/../{name}'))[0]],
    ids=['coco', 'refcoco', 'labelme', 'label studio', 'ivm-mix', 'ivm-mix uuid'])
def test_labels_cannot_name_a_picture_elsewhere(house, name, read):
    with pytest.raises(DatasetError):
        read(house, name)


def test_questions_cannot_ask_about_a_picture_elsewhere(house, name):
    (house / 'test_questions.jsonl').write_text(json.dumps({
        'image': name, 'text': 'what?\n(A) a\n(B) b', 'category': 'c', 'label': 'A'}))
    (house / 'annotations.json').write_text(json.dumps([
        {'image_path': [f'../{name}'], 'question': 'what?', 'answer': 'that'}]))
    for read in (vstar_items, egothink_items):
        source = Source(house)
        for item in read(source):
            assert source.picture(item.name, item.path) is None


def test_a_lerobot_row_cannot_name_a_picture_elsewhere(house, name):
    (house / 'meta').mkdir()
    (house / 'data' / 'chunk-000').mkdir(parents=True)
    (house / 'meta' / 'info.json').write_text(json.dumps({
        'codebase_version': 'v3.0', 'features': {'front': {'dtype': 'image'}}}))
    pq.write_table(pa.table({'task_index': [0], 'task': ['the cup']}),
                   house / 'meta' / 'tasks.parquet')
    pq.write_table(pa.table({'front': [{'bytes': None, 'path': name}], 'episode_index': [0],
                             'task_index': [0], 'timestamp': pa.array([0.], pa.float32())}),
                   house / 'data' / 'chunk-000' / 'file.parquet')
    with pytest.raises(DatasetError):
        import_episodes(EpisodesConfig((str(house),), str(house.parent / 'out')))


@pytest.mark.parametrize('place', ['../other/other.mcap', '/ABSOLUTE', '..'])
def test_a_bag_cannot_name_a_file_elsewhere(tmp_path, place):
    """The metadata of a bag lists its files."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for folder in ('bag', 'other'):
        with Writer(tmp_path / folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            link = writer.add_connection('/instruction', 'std_msgs/msg/String', typestore=store)
            text = store.types['std_msgs/msg/String'](folder)
            writer.write(link, 1, store.serialize_cdr(text, 'std_msgs/msg/String'))
    (tmp_path / 'bag' / 'bag.mcap').unlink()
    metadata = tmp_path / 'bag' / 'metadata.yaml'
    there = place.replace('/ABSOLUTE', str(tmp_path / 'other' / 'other.mcap'))
    text = metadata.read_text()
    assert 'bag.mcap' in text
    metadata.write_text(text.replace('bag.mcap', there))
    with pytest.raises(DatasetError, match='not a readable bag'):
        import_episodes(EpisodesConfig((str(tmp_path / 'bag'),), str(tmp_path / 'out')))


@pytest.mark.parametrize('name', ['../x', '/etc/x', '.', '..', '', 'a/b', 'current', 'shipped',
                                  'x' * 65, 'a\0b', '-x', 'ä', 'x\n'])
def test_weights_are_promoted_under_names_that_are_no_paths(tmp_path, small_weights, monkeypatch,
                                                            name):
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path))
    before = sorted(tmp_path.parent.rglob('*.safetensors'))
    if name:
        with pytest.raises(CheckpointError, match='weights cannot be called'):
            install(small_weights, name, {})
    if name != 'shipped':
        with pytest.raises(CheckpointError):
            choose(name)
    assert sorted(tmp_path.parent.rglob('*.safetensors')) == before
    assert weights_home().is_relative_to(tmp_path)


def test_the_pointer_to_weights_in_use_is_a_name_too(tmp_path, small_weights, monkeypatch):
    from ivm_ros.models.installed import weights_path

    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path))
    install(small_weights, 'mine', {})
    (weights_home() / 'current').write_text('../../../elsewhere\n')
    with pytest.raises(CheckpointError, match='weights cannot be called'):
        weights_path('')


@pytest.mark.slow
def test_household_meshes_stay_in_their_cache_and_archives_in_theirs(tmp_path):
    (tmp_path / 'cache').mkdir()
    np.savez(tmp_path / 'evil.npz', points_0=np.zeros((3, 3)), faces_0=[[0, 1, 2]],
             colour_0=[1, 2, 3])
    row = {'name': '../evil', 'noun': 'cup', 'licence': 'x', 'creator': 'x'}
    (tmp_path / 'cache' / 'objects.json').write_text(json.dumps({'objects': [row]}))
    with pytest.raises(MeshError, match='leads out'):
        load(tmp_path / 'cache')
    cube = 'v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n'
    with zipfile.ZipFile(tmp_path / 'x.sh3f', 'w') as archive:
        archive.writestr('../../escaped.obj', cube)
        archive.writestr('m/cup.obj', cube)
        archive.writestr('big/cup.obj', cube)
        archive.writestr('big/zeros', bytes(300 << 20), zipfile.ZIP_DEFLATED)
    (tmp_path / 'outside.obj').write_text(cube)

    def entry(model: str) -> Entry:
        return Entry('BlendSwap-CC-0', 'x', 'cup', model, (.1, .1, .1), np.eye(3), 'x')

    assert read_model(tmp_path / 'x.sh3f', entry('m/cup.obj'), 100).noun == 'cup'
    for model in ('../../escaped.obj', str(tmp_path / 'outside.obj'), '../outside.obj'):
        with pytest.raises(FileError, match='leads out'):
            read_model(tmp_path / 'x.sh3f', entry(model), 100)
    with pytest.raises(ValueError, match='unpacked it has more than'):
        read_model(tmp_path / 'x.sh3f', entry('big/cup.obj'), 100)
    assert not list(tmp_path.parents[0].rglob('escaped.obj'))


def test_an_index_of_weights_names_files_beside_it_only(tmp_path, small_weights):
    folder = tmp_path / 'model'
    folder.mkdir()
    (tmp_path / 'evil.safetensors').write_bytes(small_weights.read_bytes())
    for name in ('../evil.safetensors', str(tmp_path / 'evil.safetensors'), 5):
        (folder / 'model.safetensors.index.json').write_text(
            json.dumps({'weight_map': {'a': name}}))
        with pytest.raises(WeightsError, match='is no index of weights'):
            check_files(folder)


# --- Nothing is unpickled, no code of a model's folder runs -----------------------------------

class _Evil:
    """What a malicious pickle holds: reading it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        """Have the reader call something."""
        return (os.mkdir, (str(self.path),))


def test_no_reader_of_weights_runs_what_a_pickle_holds(tmp_path, small_weights):
    from ivm_sim.clones.train import load as load_clone

    ran = tmp_path / 'ran'
    files = {'torch': tmp_path / 'x.pth', 'plain': tmp_path / 'y.bin',
             'named': tmp_path / 'z.safetensors'}
    torch.save({'a': torch.zeros(2), 'b': _Evil(ran)}, files['torch'])
    for name in ('plain', 'named'):
        files[name].write_bytes(pickle.dumps({'b': _Evil(ran)}))
    files['named'].with_suffix('.json').write_bytes(
        small_weights.with_suffix('.json').read_bytes())
    for path in files.values():
        with pytest.raises(WeightsError):
            read_tensors(path)
        with pytest.raises(CheckpointError):
            load_checkpoint(path)
        with pytest.raises(Exception, match=r'.'):
            load_clone(path)
    assert not ran.exists()
    pickle.loads(files['plain'].read_bytes())  # noqa: S301 - the test: it would have
    assert ran.is_dir()


def test_arrays_of_objects_are_refused(tmp_path):
    from ivm_ros.evaluate.sequences import read_video

    ran = tmp_path / 'ran'
    (tmp_path / 'dataset.json').write_text('{"rate": 10, "stride": 4}')
    (tmp_path / 'objects.json').write_text(json.dumps({'objects': [
        {'name': 'motion-0', 'noun': 'cup', 'licence': 'x', 'creator': 'x'}]}))
    evil = np.array([_Evil(ran)], object)
    np.savez(tmp_path / 'motion-0.npz', flow=evil, points_0=evil, faces_0=evil, colour_0=evil)
    with pytest.raises(MeshError):
        load(tmp_path)
    from ivm_ros.data.shards import encode_mask, Row, write_shard
    mask = encode_mask(np.zeros((40, 40), bool))
    write_shard(tmp_path / 'shard-0.parquet', [Row(
        '0-0', encode_image(np.zeros((40, 40, 3), np.uint8)), 'x', 'x', mask, mask, False, 'x',
        'x')])
    with pytest.raises(DatasetError, match='is torn'):
        read_video(tmp_path / 'shard-0.parquet')
    assert not ran.exists()


@pytest.mark.slow
def test_code_in_the_folder_of_a_model_does_not_run(tmp_path):
    """A processor's settings may name Python files to load."""
    ran = tmp_path / 'ran'
    (tmp_path / 'evil.py').write_text(f'import os\nos.mkdir({str(ran)!r})\n')
    auto = {'AutoProcessor': 'evil.Evil', 'AutoConfig': 'evil.Evil', 'AutoTokenizer': [
        'evil.Evil', None], 'AutoImageProcessor': 'evil.Evil'}
    for name in ('config.json', 'processor_config.json', 'preprocessor_config.json',
                 'tokenizer_config.json'):
        (tmp_path / name).write_text(json.dumps({'model_type': 'evil', 'auto_map': auto}))
    with pytest.raises(WeightsError, match='no processor'):
        load_processor(tmp_path)
    assert not ran.exists()


UNPICKLERS = {'Unpickler', '_Unpickler'}
FORBIDDEN = {'eval', 'exec', 'compile', '__import__'}
FORBIDDEN_IN = {
    'pickle': {'load', 'loads'}, 'marshal': {'load', 'loads'}, 'shelve': {'open'},
    'dill': {'load', 'loads'}, 'cloudpickle': {'load', 'loads'}, 'joblib': {'load'},
    'pd': {'read_pickle'}, 'pandas': {'read_pickle'}, 'os': {'system', 'popen'},
    'yaml': {'load', 'load_all', 'unsafe_load', 'full_load'}, 'tempfile': {'mktemp'}}


def wrong_calls(path: Path) -> list[str]:
    """List the calls in a source file by which a file of a stranger could run code."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        words = {word.arg: word.value for word in node.keywords}
        said = {name: isinstance(value, ast.Constant) and value.value
                for name, value in words.items()}
        bad = said.get('shell') or said.get('trust_remote_code') or said.get('allow_pickle')
        if isinstance(node.func, ast.Name):
            bad = bad or node.func.id in FORBIDDEN
        elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            place, name = node.func.value.id, node.func.attr
            bad = bad or name in FORBIDDEN_IN.get(place, ())
            bad = bad or ((place, name) == ('torch', 'load')
                          and said.get('weights_only') is not True)
            bad = bad or ((place, name) == ('np', 'load')
                          and ('allow_pickle' not in said or bool(said['allow_pickle'])))
            bad = bad or ((place, name) == ('jinja2', 'Environment')
                          and 'autoescape' not in said)
            bad = bad or (place == 'cv2' and name in ('imread', 'imdecode')
                          and path.name not in ('picture_files.py', 'augment.py'))
        if bad:
            found.append(f'{path.name}:{node.lineno}: {ast.unparse(node)[:80]}')
    return found


def unpicklers(path: Path) -> tuple[list[str], list[str]]:
    """Name the classes of a file that unpickle and refuse every class; list other unpicklers."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    refusing = {
        id(base): made.name for made in nodes if isinstance(made, ast.ClassDef)
        for method in made.body if getattr(method, 'name', '') == 'find_class'
        and [type(line) for line in method.body] == [ast.Expr, ast.Raise] for base in made.bases}
    named = [node for node in nodes if UNPICKLERS & {
        getattr(node, kind, '') for kind in ('attr', 'id', 'name')}]
    named += [node for node in nodes if isinstance(node, ast.ImportFrom)
              and {name.name for name in node.names} & FORBIDDEN_IN.get(node.module, set())]
    return ([refusing[id(node)] for node in named if id(node) in refusing],
            [ast.unparse(node) for node in named if id(node) not in refusing])


@pytest.mark.slow
def test_no_call_in_the_package_runs_what_a_file_holds():
    wrong = [line for path in SOURCES for line in wrong_calls(path)]
    assert not wrong, '\n'.join(wrong)
    found = {path.name: unpicklers(path) for path in SOURCES}
    assert {name: lists for name, lists in found.items() if any(lists)} == {
        'coco.py': (['_Plain'], [])}


@pytest.mark.parametrize('line', [
    'torch.load(p)', 'torch.load(p, weights_only=False)', 'np.load(p)', 'yaml.load(x)',
    'np.load(p, allow_pickle=True)', 'pickle.loads(x)', 'subprocess.run(x, shell=True)',
    'AutoModel.from_pretrained(x, trust_remote_code=True)', 'eval(x)', 'os.system(x)',
    'jinja2.Environment()', 'cv2.imread(p)', 'pickle.Unpickler(x).load()',
    'from pickle import Unpickler', 'from pickle import loads', 'class A(pickle.Unpickler): pass',
    'class A(pickle.Unpickler):\n  def find_class(self, a, b):\n    "It is."\n    return print'])
def test_the_search_finds_each_of_them(tmp_path, line):
    (tmp_path / 'x.py').write_text(line)
    assert wrong_calls(tmp_path / 'x.py') or unpicklers(tmp_path / 'x.py')[1]
