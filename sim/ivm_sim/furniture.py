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
`ivm-sim fetch-objects`: household meshes from Debian's `sweethome3d-furniture`.

The package's libraries are zip files of OBJ models with names and sizes. Those of one library are
CC0; the others are CC-BY and ask for their authors' names, which stay with each object. Nothing of
it is in this repository. What stands in `assets/furniture.csv` is taken, made small enough for a
table, and written into a cache that scenes read (`meshes`).
"""

from collections.abc import Iterator
import csv
from dataclasses import dataclass
from importlib.resources import files
import json
from pathlib import Path
import re
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from ivm_ros.config import check, Doc, Range
from ivm_ros.files import inside, replace_file
from ivm_ros.terminal import printable
from ivm_ros.work import progress_of
from ivm_sim.meshes import cache_folder, INDEX, Mesh, MeshError, save

PACKAGE = 'sweethome3d-furniture'
LIBRARIES = {'BlendSwap-CC-0': 'CC0-1.0', 'BlendSwap-CC-BY': 'CC-BY-3.0',
             'KatorLegaz': 'CC-BY-3.0', 'Scopia': 'CC-BY-3.0'}
FREE = ('CC0-1.0',)
SMALLEST, LARGEST = .05, .17  # m of the longest side, on our table (our choice)
BIGGEST = 1 << 28  # bytes of a model and its pictures, unpacked
MOST_PARTS = 10  # colours of an object
LINE = re.compile(r'(\w+)#(\d+)=(.*)')


@dataclass(frozen=True)
class FetchConfig:
    """Unpack household meshes from Debian's sweethome3d-furniture into a cache."""

    source: Annotated[str, Doc("Folder of the package's .sh3f files.")] = (
        '/usr/share/sweethome3d/furniture')
    out: Annotated[str, Doc('Cache to write; empty: the usual one.')] = ''
    attribution: Annotated[bool, Doc(
        'Also those under CC-BY; their authors are listed in NOTICE.txt of the cache.')] = False
    faces: Annotated[int, Range(100, 100_000), Doc('Triangles of an object, at most.')] = 4000

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


@dataclass(frozen=True)
class Entry:
    """
    A model of a library's catalogue.

    Attributes:
        library (str): Key of `LIBRARIES`.
        id (str): Its id there.
        noun (str): What it is, key of `NOUNS`.
        model (str): Its OBJ file in the zip.
        size (tuple[float, float, float]): Width, depth, height in metres.
        turned (np.ndarray): Rotation [3, 3] that the catalogue gives its model.
        creator (str): Its author.
    """

    library: str
    id: str
    noun: str
    model: str
    size: tuple[float, float, float]
    turned: np.ndarray
    creator: str


def fetch_objects(config: FetchConfig) -> Path:
    """
    Unpack what the table names; return the cache's folder.

    Raises:
        MeshError: The package is not installed, or no model could be read.
    """
    source = Path(config.source)
    found = [source / f'{name}.sh3f' for name, licence in LIBRARIES.items()
             if (config.attribution or licence in FREE) and (source / f'{name}.sh3f').is_file()]
    if not found:
        raise MeshError(f'{source} holds no furniture libraries; "sudo apt install '
                        f'{PACKAGE}" brings them, or give their folder with --source. Scenes '
                        'without household meshes need nothing of this')
    folder = Path(config.out) if config.out else cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    listed: list[dict[str, Any]] = []
    dropped: list[str] = []
    entries = [(path, entry) for path in found for entry in catalogue(path)]
    with progress_of('objects') as progress:
        bar = progress.add_task(printable(folder), total=len(entries))
        for path, entry in entries:
            try:
                mesh = read_model(path, entry, config.faces)
            except (ValueError, IndexError, KeyError, OSError, BadZipFile) as error:
                dropped.append(f'{entry.id} ({error})')
            else:
                save(folder, mesh)
                listed.append({'name': mesh.name, 'noun': mesh.noun, 'licence': mesh.licence,
                               'creator': mesh.creator})
            progress.advance(bar)
    if not listed:
        raise MeshError(f'none of {len(entries)} models could be read: {"; ".join(dropped[:3])}')
    with replace_file(folder / INDEX) as part:
        part.write_text(json.dumps({'package': PACKAGE, 'objects': listed, 'dropped': dropped},
                                   indent=1) + '\n')
    with replace_file(folder / 'NOTICE.txt') as part:
        part.write_text(f"Models of Debian's {PACKAGE}, simplified and scaled.\n\n" + ''.join(
            f'{row["name"]}: {row["creator"]}, {row["licence"]}\n' for row in listed))
    return folder


def catalogue(path: Path) -> Iterator[Entry]:
    """
    List the models of a library that stand in our table.

    Raises:
        MeshError: It is no furniture library.
    """
    text = (files('ivm_sim') / 'assets' / 'furniture.csv').read_text(encoding='utf-8')
    nouns = {row['name']: row['noun'] for row in csv.DictReader(text.splitlines(), delimiter=';')
             if row['library'] == path.stem}
    try:
        with ZipFile(path) as archive:
            lines = archive.read('PluginFurnitureCatalog.properties').decode('latin-1')
    except (BadZipFile, KeyError, OSError) as error:
        raise MeshError(f'{path} is no furniture library ({error})') from error
    rows: dict[str, dict[str, str]] = {}
    for match in LINE.finditer(lines):
        rows.setdefault(match[2], {})[match[1]] = match[3].strip()
    for row in rows.values():
        noun = nouns.get(row.get('name', ''))
        if noun is None or 'model' not in row:
            continue
        width, depth, height = (float(row[key]) / 100 for key in ('width', 'depth', 'height'))
        turned = np.array(row.get('modelRotation', '1 0 0 0 1 0 0 0 1').split(), float)
        yield Entry(path.stem, row['id'], noun, row['model'].lstrip('/'), (width, depth, height),
                    turned.reshape(3, 3), row.get('creator', 'unknown'))


def read_model(path: Path, entry: Entry, faces: int) -> Mesh:
    """
    Read one model: simplified, z up, its foot at the origin, as large as fits a table.

    Raises:
        ValueError: It has no surface.
    """
    import trimesh

    with TemporaryDirectory() as place:
        model = inside(Path(place), entry.model)
        with ZipFile(path) as archive:
            folder = entry.model.rpartition('/')[0] + '/'
            members = [member for member in archive.infolist()
                       if member.filename.startswith(folder)]
            if sum(member.file_size for member in members) > BIGGEST:
                raise ValueError(f'unpacked it has more than {BIGGEST} bytes')
            archive.extractall(place, members)
        scene = trimesh.load_scene(model, process=False, group_material=True)
        parts = [(mesh, colour_of(mesh)) for mesh in scene.geometry.values() if len(mesh.faces)]
    if not parts:
        raise ValueError('it has no surface')
    total = sum(len(mesh.faces) for mesh, _ in parts)
    shapes = [(_simple(mesh, len(mesh.faces) * faces // total), colour) for mesh, colour in parts]
    return _on_table(entry, _joined(shapes))


def colour_of(mesh: Any) -> tuple[int, int, int]:
    """Give a surface's colour, the mean of its picture where it has one; RGB in 0..255."""
    material = getattr(mesh.visual, 'material', mesh.visual)  # some surfaces have only a colour
    picture = getattr(material, 'image', None)
    if picture is not None:
        pixels = np.asarray(picture.convert('RGBA').resize((32, 32)), float).reshape(-1, 4)
        weights = pixels[:, 3:] + 1e-3
        red, green, blue = (pixels[:, :3] * weights).sum(0) / weights.sum()
    else:
        red, green, blue = (float(value) for value in material.main_color[:3])
    return round(red), round(green), round(blue)


def _simple(mesh: Any, faces: int) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal corners and simplify to about so many triangles."""
    mesh.visual = type(mesh.visual)()  # corners that differ in texture alone are equal
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    wanted = max(faces, 16)
    if len(mesh.faces) > wanted:
        mesh = mesh.simplify_quadric_decimation(face_count=wanted)
    mesh.update_faces(mesh.nondegenerate_faces())
    mesh.remove_unreferenced_vertices()
    return np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int32)


def _joined(shapes: list[tuple[tuple[np.ndarray, np.ndarray], tuple[int, int, int]]]
            ) -> list[tuple[np.ndarray, np.ndarray, tuple[int, int, int]]]:
    """Join surfaces of equal colour, and the smallest ones into the largest's colour."""
    groups: dict[tuple[int, int, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for shape, colour in shapes:
        if len(shape[1]) >= 4:
            groups.setdefault(colour, []).append(shape)
    order = sorted(groups, key=lambda colour: -sum(len(faces) for _, faces in groups[colour]))
    for colour in order[MOST_PARTS:]:
        groups[order[0]] += groups.pop(colour)
    joined = []
    for colour, members in groups.items():
        offsets = np.cumsum([0, *(len(points) for points, _ in members)])
        joined.append((np.vstack([points for points, _ in members]),
                       np.vstack([faces + offset for (_, faces), offset
                                  in zip(members, offsets)]).astype(np.int32), colour))
    return joined


def _on_table(entry: Entry, parts: list[tuple[np.ndarray, np.ndarray, tuple[int, int, int]]]
              ) -> Mesh:
    """Turn y up to z up, scale to the catalogue's size or what fits, and set the foot down."""
    if not parts:
        raise ValueError('it has no surface')
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ entry.turned
    turned = [points @ upright.T for points, *_ in parts]
    low, high = np.vstack(turned).min(0), np.vstack(turned).max(0)
    extent = high - low
    if not (extent > 0).all():
        raise ValueError('it is flat')
    scale = np.array(entry.size) / extent
    longest = float(max(entry.size))
    scale *= np.clip(longest, SMALLEST, LARGEST) / longest
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    name = re.sub(r'\W+', '_', f'{entry.library}_{entry.id.split("#")[-1]}')
    return Mesh(name, entry.noun, LIBRARIES[entry.library], entry.creator,
                tuple(((points - foot) * scale, faces, colour)
                      for points, (_, faces, colour) in zip(turned, parts)))
