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
"""The network as an ONNX graph: the same masks, whatever the batch and the sentence."""

from pathlib import Path
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.export import export, ExportConfig, pictures_of
from ivm_ros.masker import DeviceError, Masker, MaskerConfig, OnnxError, TextEncoderError
from ivm_ros.models.checkpoint_info import file_hash, SHIPPED
from ivm_ros.models.onnx_export import INPUTS, OPSET, OUTPUTS
from ivm_ros.models.onnx_generator import graph_path, listener_of

pytestmark = pytest.mark.slow

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def graph(tmp_path_factory) -> Path:
    """Export the shipped weights to where they are kept, and have the listener made beside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('onnx')))
        path = graph_path(file_hash(SHIPPED))
        assert main(['export', '--out', str(path)]) == 0
        assert [*path.parent.iterdir()] == [path]
        assert Masker(MaskerConfig(runtime='onnx')).info['graph'] == str(path)
    return path


@pytest.fixture(scope='module')
def maskers(graph) -> tuple[Masker, Masker]:
    """Give both runtimes."""
    return Masker(MaskerConfig()), Masker(MaskerConfig(runtime='onnx', graph=str(graph)))


@pytest.fixture(scope='module')
def seen() -> list[tuple[np.ndarray, str]]:
    """Draw scenes of different sizes with a sentence about something in each."""
    from ivm_sim.pictures import pictures

    drawn = []
    for index, (height, width) in enumerate(((192, 256), (480, 640), (240, 200))):
        for _, picture in pictures(900_000 + index, [0], 12, height, width):
            sentence = max(picture.sentences, key=lambda s: bool(s.targets) + len(s.text) / 1000)
            drawn.append((picture.image, sentence.text))
    return drawn


def test_masks_are_the_same_within_a_thousandth(maskers, seen):
    torch, onnx_ = maskers
    for count in (1, 2, 3):
        images, texts = [list(part) for part in zip(*seen[:count])]
        for one, other in zip(torch(images, texts), onnx_(images, texts)):
            assert one.target.shape == other.target.shape
            assert np.abs(one.target - other.target).max() < 1e-3
            assert np.abs(one.robot - other.robot).max() < 1e-3
            assert abs(one.found - other.found) < 1e-3
    # Something is found, or equal masks would say nothing.
    assert max(float(mask.target.max()) for mask in torch(images, texts)) > .5


def test_the_graph_has_the_stated_shapes_and_no_branch(graph):
    model = onnx.load(str(graph))
    onnx.checker.check_model(model)
    assert [entry.name for entry in model.graph.input] == list(INPUTS)
    assert [entry.name for entry in model.graph.output] == list(OUTPUTS)
    assert {entry.version for entry in model.opset_import if not entry.domain} == {OPSET}
    assert not {node.op_type for node in model.graph.node} & {'If', 'Loop', 'Scan'}
    free = [[dim.dim_param for dim in entry.type.tensor_type.shape.dim]
            for entry in model.graph.input]
    assert free[0] == ['batch', '', '', ''] and free[1] == ['batch', 'tokens', '']
    assert graph.stat().st_size < 25e6


def test_what_runs_is_told(maskers):
    assert [masker.info['runtime'] for masker in maskers] == ['torch', 'onnx']
    assert maskers[1].info['providers'] == ['CPUExecutionProvider']


def test_what_is_missing_is_made_once_and_kept(graph, monkeypatch):
    """The fixture has found the graph, and made the listener that was missing."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(graph.parents[1]))
    written = {path: path.stat().st_mtime_ns for path in graph.parent.iterdir()}
    assert {*written} == {graph, listener_of(graph)}
    assert Masker(MaskerConfig(runtime='onnx')).info['graph'] == str(graph)
    assert {path: path.stat().st_mtime_ns for path in graph.parent.iterdir()} == written


WITHOUT_TORCH = """
import sys
import numpy as np
sys.modules['torch'] = None  # whoever imports it fails
from ivm_ros.masker import Masker, MaskerConfig
masker = Masker(MaskerConfig(runtime='onnx', graph=sys.argv[1]))
mask = masker(np.load(sys.argv[2]), sys.argv[3])
assert 'ivm_ros.nodes' not in sys.modules
import ivm_ros.nodes.lifecycle
np.save(sys.argv[2], mask.target)
print(masker.info['torch'])
"""


def test_masks_and_the_node_need_no_torch(graph, maskers, seen, tmp_path):
    image, text = seen[0]
    place = tmp_path / 'image.npy'
    np.save(place, image)
    done = subprocess.run([sys.executable, '-c', WITHOUT_TORCH, str(graph), str(place), text],
                          capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == 'not loaded'
    assert np.abs(np.load(place) - maskers[0](image, text).target).max() < 1e-3


def test_where_torch_is_missing_too_the_way_out_is_told(tmp_path, monkeypatch):
    (tmp_path / 'torch.py').write_text('raise ModuleNotFoundError("No module named torch")')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    with pytest.raises(OnnxError, match=r'No module named torch.*"ivm export --listener"'):
        Masker(MaskerConfig(runtime='onnx'))


def test_another_sentence_encoder_is_refused(graph, tmp_path):
    for name in ('model.safetensors', 'tokenizer.json'):
        (tmp_path / name).write_bytes(b'another')
    with pytest.raises(TextEncoderError, match='not the sentence encoder of compact'):
        Masker(MaskerConfig(runtime='onnx', graph=str(graph), text_encoder=str(tmp_path)))


def test_cuda_that_is_not_there_is_told(graph):
    with pytest.raises(DeviceError, match='ONNX Runtime has no CUDA'):
        Masker(MaskerConfig(runtime='onnx', graph=str(graph), device='cuda'))


def test_graphs_of_other_weights_and_broken_ones_are_refused(graph, tmp_path, monkeypatch):
    """Before anything is made that goes with them."""
    monkeypatch.setattr('subprocess.run', lambda *_, **__: pytest.fail('made a listener'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    model = onnx.load(str(graph))
    model.metadata_props[0].value = 'another'
    onnx.save(model, str(tmp_path / 'other.onnx'))
    (tmp_path / 'torn.onnx').write_bytes(graph.read_bytes()[:5000])
    for name, said in (('other', 'from other weights'), ('torn', 'no graph'),
                       ('lost', 'no graph')):
        with pytest.raises(OnnxError, match=said):
            Masker(MaskerConfig(runtime='onnx', graph=str(tmp_path / f'{name}.onnx')))
    assert SHIPPED.is_file()


def test_a_name_without_its_ending_is_refused():
    with pytest.raises(ConfigError, match=r'\.onnx'):
        ExportConfig('compact.pt')


@pytest.fixture(scope='module')
def pictures(tmp_path_factory) -> Path:
    """Write some pictures of the simulation as files, and one that is none."""
    from ivm_sim.pictures import pictures

    folder = tmp_path_factory.mktemp('pictures')
    for index, picture in pictures(900_050, range(16), 1, 192, 256):
        cv2.imwrite(str(folder / f'{index}.png'), picture.image[..., ::-1])
    (folder / 'torn.png').write_bytes(b'no picture')
    return folder


def test_eight_bits_mask_nearly_the_same(pictures, graph, maskers, seen, tmp_path, monkeypatch):
    path = tmp_path / 'int8.onnx'
    # Graph in float32 and listener are those of the fixture; to write each takes half a minute.
    monkeypatch.setattr('ivm_ros.export.write_graph', lambda _, path: shutil.copy(graph, path))
    monkeypatch.setattr('ivm_ros.export.write_listener',
                        lambda _, encoder, path: shutil.copy(listener_of(graph), path))
    assert main(['export', '--out', str(path), '--quantize', 'int8', '--calibration',
                 str(pictures), '--listener']) == 0
    assert listener_of(path).is_file()
    model = onnx.load(str(path))
    assert {entry.key: entry.value for entry in model.metadata_props}['quantize'] == 'int8'
    kinds = [{value.name: value.data_type for value in model.graph.initializer}.get(name)
             for node in model.graph.node if node.op_type == 'DequantizeLinear'
             for name in node.input[:1]]
    assert kinds.count(onnx.TensorProto.INT8) >= 42  # each of the backbone's but the first nine
    plain = {node.input[1] for node in model.graph.node if node.op_type == 'Conv'}
    assert sum('.backbone.blocks.' in name and name.endswith('.weight') for name in plain) == 9
    small = Masker(MaskerConfig(runtime='onnx', graph=str(path)))
    images, texts = [list(part) for part in zip(*seen)]
    for one, other in zip(maskers[1](images, texts), small(images, texts)):
        both = (one.target > .5) & (other.target > .5)
        either = (one.target > .5) | (other.target > .5)
        assert both.sum() > .8 * either.sum()
        assert np.abs(one.target - other.target).max() > 1e-3  # it is another graph


@pytest.mark.parametrize(('settings', 'said'), [
    ({'quantize': 'int8'}, 'needs a folder of pictures'),
    ({'calibration': 'x'}, "got quantize 'none'")])
def test_eight_bits_and_pictures_belong_together(settings, said):
    with pytest.raises(ConfigError, match=said):
        ExportConfig(**settings)


def test_calibration_reads_datasets_and_says_when_there_is_nothing(toy_dataset, tmp_path, capsys):
    with pytest.raises(ConfigError, match='holds no picture'):
        export(ExportConfig(str(tmp_path / 'x.onnx'), quantize='int8',
                            calibration=str(tmp_path)))
    assert not (tmp_path / 'x.onnx').exists()
    assert len([*pictures_of(toy_dataset)]) == 24  # each once, whatever is asked of it
