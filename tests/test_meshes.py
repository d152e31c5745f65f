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
"""Household meshes: unpacked from a furniture library, drawn in scenes, said by name."""

from contextlib import closing
import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from ivm_ros.data.holdout import Holdout
from ivm_ros.language.nouns import NOUNS
from ivm_sim.cli import main
from ivm_sim.furniture import fetch_objects, FetchConfig, LARGEST, SMALLEST
from ivm_sim.meshes import load, MeshError
from ivm_sim.scene import Scene
from ivm_sim.sight import see
from ivm_sim.style import Style

CATALOGUE = """
id#1=Blend Swap CC-0#teddy
name#1=Teddy bear
model#1=/models/teddy/teddy.obj
width#1=33
depth#1=21
height#1=32
creator#1=A. Author
id#2=Blend Swap CC-0#sofa
name#2=Sofa
model#2=/models/teddy/teddy.obj
width#2=200
depth#2=80
height#2=70
id#3=Blend Swap CC-0#comb
name#3=Comb
model#3=/models/comb/comb.obj
modelRotation#3=0 0 1 0 1 0 -1 0 0
width#3=3
depth#3=1
height#3=1
id#4=Blend Swap CC-0#plant
name#4=Little plant
model#4=/models/teddy/teddy.obj
width#4=10
depth#4=10
height#4=20
id#5=Blend Swap CC-0#rock
name#5=Rock
model#5=/models/lost.obj
width#5=10
depth#5=10
height#5=20
"""
MATERIALS = """
newmtl body
Kd 0.8 0.05 0.05
newmtl face
Kd 0.9 0.9 0.9
"""


def blob(material: str, centre: tuple[float, float, float], first: int, rings: int = 40) -> str:
    """Write a sphere as OBJ text, y up."""
    lines = []
    for row in range(rings + 1):
        for column in range(rings):
            up, round_ = np.pi * row / rings, 2 * np.pi * column / rings
            x, y, z = (np.sin(up) * np.cos(round_), np.cos(up), np.sin(up) * np.sin(round_))
            lines.append(f'v {centre[0] + x} {centre[1] + y} {centre[2] + z}')
    lines.append(f'usemtl {material}')
    for row in range(rings):
        for column in range(rings):
            a, b = row * rings + column, row * rings + (column + 1) % rings
            corners = [first + place for place in (a, b, b + rings, a + rings)]
            lines.append('f ' + ' '.join(map(str, corners)))
    return '\n'.join(lines) + '\n'


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """Write a furniture library."""
    folder = tmp_path_factory.mktemp('furniture')
    with ZipFile(folder / 'BlendSwap-CC-0.sh3f', 'w') as archive:
        archive.writestr('PluginFurnitureCatalog.properties', CATALOGUE)
        archive.writestr('models/teddy/teddy.mtl', MATERIALS)
        archive.writestr('models/teddy/teddy.obj', 'mtllib teddy.mtl\n' + blob(
            'body', (0, 0, 0), 1) + blob('face', (0, 1.3, 0), 1 + 41 * 40))
        archive.writestr('models/comb/comb.mtl', MATERIALS)
        archive.writestr('models/comb/comb.obj', 'mtllib comb.mtl\n' + blob(
            'face', (5, 5, 5), 1, 12))
    return folder


@pytest.fixture(scope='module')
def cache(source, tmp_path_factory) -> Path:
    """Unpack it."""
    return fetch_objects(FetchConfig(str(source), str(tmp_path_factory.mktemp('objects'))))


def test_what_the_table_names_is_unpacked_small_upright_and_simplified(cache):
    meshes = {mesh.noun: mesh for mesh in load(cache)}
    assert set(meshes) == {'teddy', 'hair comb', 'potted plant'}  # no sofa, and no lost model
    teddy = meshes['teddy']
    points = np.vstack([part[0] for part in teddy.parts])
    extent = np.ptp(points, 0)
    assert np.allclose(extent, np.array([33, 21, 32]) / 33 * LARGEST, rtol=.03)
    assert abs(points[:, 2].min()) < 1e-6 and np.abs(points[:, :2].mean(0)).max() < .01
    assert sum(len(part[1]) for part in teddy.parts) <= 4400
    colours = {part[2]: part[0][:, 2].mean() for part in teddy.parts}
    red = next(colour for colour in colours if colour[1] < 100)
    assert len(colours) == 2
    assert colours[red] < max(colours.values())  # the face is above the body: y became z
    comb = np.vstack([part[0] for part in meshes['hair comb'].parts])
    assert abs(np.ptp(comb, 0).max() - SMALLEST) < .002
    assert (teddy.licence, teddy.creator) == ('CC0-1.0', 'A. Author')


def test_the_cache_says_what_it_holds_and_what_was_dropped(cache):
    index = json.loads((cache / 'objects.json').read_text())
    assert len(index['objects']) == 3 and len(index['dropped']) == 1
    assert 'rock' in index['dropped'][0]
    assert 'A. Author, CC0-1.0' in (cache / 'NOTICE.txt').read_text()
    held_out = [mesh.noun for mesh in load(cache) if not Holdout().shows(mesh.noun)]
    assert held_out == ['potted plant']


def test_colours_are_told_by_area(cache):
    assert {mesh.noun: mesh.colour for mesh in load(cache)}['hair comb'] == 'white'


@pytest.mark.slow
def test_meshes_lie_in_scenes_as_other_things_do(cache):
    meshes = tuple(mesh for mesh in load(cache) if Holdout().shows(mesh.noun))
    seen = 0
    with closing(Scene(5, Style(meshes))) as scene:
        for seed in range(14):
            scene.sample(np.random.default_rng(seed))
            labels = scene.segment()
            things = {thing.id: thing for thing in see(scene, labels)}
            for state, slot in zip(scene.objects, scene.slots):
                if not slot.mesh:
                    assert state.colour is not None
                    continue
                assert state.kind in ('teddy', 'hair comb')
                assert NOUNS[state.kind].words
                if state.id in things and slot.kind == 'teddy':
                    assert things[state.id].colour == slot.colour
                    pixels = scene.render()[labels == state.id]
                    seen += len(pixels) > 50 and pixels.std(0).max() > 20  # red and white
        assert seen >= 5


@pytest.mark.slow
def test_scenes_without_meshes_are_as_they_were(cache):
    """Meshes come after all else is drawn, so the pool of a variant stays the same."""
    with closing(Scene(5)) as bare, closing(Scene(5, Style(tuple(load(cache))))) as full:
        for slot, other in zip(*(list(scene._pool.values())[:30] for scene in (bare, full))):
            assert [s.scale for s in slot] == [s.scale for s in other]


@pytest.mark.slow
def test_the_command_line_unpacks_and_uses_them(source, tmp_path, capsys):
    assert main(['fetch-objects', '--source', str(source), '--out', str(tmp_path / 'o')]) == 0
    assert main(['dataset', '--out', str(tmp_path / 'd'), '--scenes', '3', '--objects',
                 str(tmp_path / 'o'), '--height', '96', '--width', '128']) == 0
    info = json.loads((tmp_path / 'd' / 'dataset.json').read_text())
    # A potted plant is held out, and so is a comb in white.
    assert info['objects'] == ['BlendSwap_CC_0_teddy']
    capsys.readouterr()


@pytest.mark.parametrize(('words', 'said'), [
    (['fetch-objects', '--source', '/nowhere'], 'sudo apt install sweethome3d-furniture'),
    (['dataset', '--out', 'd', '--objects', '/nowhere'], '"ivm-sim fetch-objects"')])
def test_absent_meshes_end_in_one_line(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert said in ' '.join(capsys.readouterr().err.split())


def test_a_library_that_is_none_is_refused(tmp_path):
    (tmp_path / 'BlendSwap-CC-0.sh3f').write_bytes(b'no zip')
    with pytest.raises(MeshError, match='no furniture library'):
        fetch_objects(FetchConfig(str(tmp_path), str(tmp_path / 'o')))
