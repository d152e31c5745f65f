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
"""Household meshes in a cache: what `furniture` writes and scenes show."""

from dataclasses import dataclass
from functools import cache
import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ivm_ros.files import inside, read_json, replace_file
from ivm_ros.language.colours import colour_of
from ivm_ros.language.nouns import NOUNS
from ivm_sim.parts import mesh as mesh_part, Part

INDEX = 'objects.json'
ELSE = 'IVM_OBJECTS'
"""Environment variable with the cache's folder."""


class MeshError(ValueError):
    """Household meshes are missing or cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Mesh:
    """
    One object.

    Attributes:
        name (str): Its file's name.
        noun (str): What it is, key of `NOUNS`.
        licence (str): SPDX name.
        creator (str): Its author.
        parts (tuple): Vertices float64 [V, 3] in metres, z up, on z = 0; faces int32 [F, 3];
            colour (r, g, b) in 0..255.
    """

    name: str
    noun: str
    licence: str
    creator: str
    parts: tuple[tuple[np.ndarray, np.ndarray, tuple[int, int, int]], ...]

    @property
    def colour(self) -> str | None:
        """Its one colour, by area; None where it has several."""
        pixels = []
        for points, faces, colour in self.parts:
            corners = points[faces]
            normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            area = float(np.linalg.norm(normals, axis=1).sum() / 2)
            pixels.append(np.tile(np.array(colour, np.uint8), (max(1, round(area * 1e5)), 1)))
        return colour_of(np.vstack(pixels))

    def draw(self, scale: float) -> list[Part]:
        """Give its parts, `scale` times as large."""
        drawn = []
        for points, faces, (red, green, blue) in self.parts:
            part = mesh_part(points, faces, f'#{red:02x}{green:02x}{blue:02x}', (_hull(points),))
            drawn.append(part.scaled(scale))
        return drawn


def _hull(points: np.ndarray) -> np.ndarray:
    """Take the corners of the convex hull; all of them where it is flat."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except QhullError:
        return points


def cache_folder() -> Path:
    """Give the folder of the cache: `IVM_OBJECTS`, else in the user's cache."""
    home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return Path(os.environ.get(ELSE) or home / 'ivm_ros' / 'objects')


def save(folder: Path, mesh: Mesh) -> None:
    """Write an object into a cache."""
    arrays: dict[str, Any] = {}
    for index, (points, faces, colour) in enumerate(mesh.parts):
        arrays |= {f'points_{index}': np.float32(points), f'faces_{index}': faces,
                   f'colour_{index}': np.array(colour, np.uint8)}
    with replace_file(folder / f'{mesh.name}.npz') as part, part.open('wb') as file:
        np.savez_compressed(file, **arrays)


@cache
def load(folder: Path) -> tuple[Mesh, ...]:
    """
    Read a cache.

    Raises:
        MeshError: It is not there, or torn.
    """
    try:
        rows = read_json(folder / INDEX)['objects']
        return tuple(_load(folder, row) for row in rows)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise MeshError(f'{folder} holds no household meshes ({error}); "ivm-sim fetch-objects" '
                        'unpacks them') from error


def _load(folder: Path, row: dict[str, str]) -> Mesh:
    with np.load(inside(folder, f'{row["name"]}.npz'), allow_pickle=False) as arrays:
        count = len(arrays.files) // 3
        parts = tuple((arrays[f'points_{i}'].astype(float), arrays[f'faces_{i}'],
                       (int(c[0]), int(c[1]), int(c[2])))
                      for i in range(count) for c in (arrays[f'colour_{i}'],))
    if row['noun'] not in NOUNS:
        raise KeyError(f'no noun {row["noun"]!r}')
    return Mesh(row['name'], row['noun'], row['licence'], row['creator'], parts)
