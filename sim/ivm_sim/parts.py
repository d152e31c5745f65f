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
Building bricks of the simulated objects: MuJoCo primitives and small procedural meshes.

Hollow and curved things are one mesh instead of a ring of boxes: fewer geoms, and a software
renderer draws a mesh of 200 faces faster than a cylinder. Lengths in metres, z up, an object
stands on the plane z = 0 of its own frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Shape = Literal['box', 'ellipsoid', 'cylinder', 'capsule', 'mesh']
Point = Sequence[float]


@dataclass(frozen=True)
class Part:
    """
    One geom of an object, in the object's frame.

    Attributes:
        shape (Shape): Kind of geom.
        size (tuple[float, ...]): MuJoCo's half sizes; empty for a mesh.
        pos (tuple[float, ...]): Centre.
        quat (tuple[float, ...]): Rotation, wxyz.
        paint (str): 'main' takes the object's colour; else a name in `objects.PAINTS`.
        vertices (np.ndarray | None): float64 [V, 3] of a mesh.
        faces (np.ndarray | None): int32 [F, 3] of a mesh, counter-clockwise seen from outside.
        chunks (tuple[np.ndarray, ...]): Vertex sets whose convex hulls cover the mesh.
    """

    shape: Shape
    size: tuple[float, ...] = ()
    pos: tuple[float, ...] = (0.0, 0.0, 0.0)
    quat: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)
    paint: str = 'main'
    vertices: np.ndarray | None = None
    faces: np.ndarray | None = None
    chunks: tuple[np.ndarray, ...] = ()

    def scaled(self, scale: float) -> 'Part':
        """Return the part of an object that is `scale` times as large."""
        grow = None if self.vertices is None else self.vertices * scale
        return replace(self, size=tuple(scale * x for x in self.size),
                       pos=tuple(scale * x for x in self.pos), vertices=grow,
                       chunks=tuple(chunk * scale for chunk in self.chunks))

    def hulls(self) -> list[np.ndarray]:
        """Return point sets [n, 3] in the object's frame whose convex hulls cover the part."""
        if self.shape == 'mesh':
            return list(self.chunks)
        return [_surface(self.shape, self.size) @ rotation(self.quat).T + self.pos]


def rotation(quat: Sequence[float]) -> np.ndarray:
    """Return the rotation matrix [3, 3] of a unit quaternion wxyz."""
    w, x, y, z = quat
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])


def turn(axis: Sequence[float], angle: float) -> tuple[float, ...]:
    """Return the quaternion wxyz that turns by `angle` radians about a unit axis."""
    return (float(np.cos(angle / 2)), *(float(np.sin(angle / 2) * x) for x in axis))


def box(size: Point, pos: Point, paint: str = 'main', quat: Point = (1, 0, 0, 0)) -> Part:
    """Make a box of full size x, y, z."""
    return Part('box', tuple(x / 2 for x in size), tuple(pos), tuple(quat), paint)


def ball(radii: Point, pos: Point, paint: str = 'main', quat: Point = (1, 0, 0, 0)) -> Part:
    """Make an ellipsoid of three radii."""
    return Part('ellipsoid', tuple(radii), tuple(pos), tuple(quat), paint)


def disc(radius: float, low: float, high: float, paint: str = 'main',
         at: Point = (0.0, 0.0)) -> Part:
    """Make an upright cylinder from height `low` to `high`."""
    return Part('cylinder', (radius, (high - low) / 2), (*at, (low + high) / 2), paint=paint)


def rod(start: Point, end: Point, radius: float, paint: str = 'main',
        shape: Shape = 'capsule') -> Part:
    """Make a capsule or cylinder from one point to another."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    direction = (b - a) / length
    quat = np.array([1 + direction[2], -direction[1], direction[0], 0.0])
    quat = np.array([0, 1.0, 0, 0]) if quat @ quat < 1e-9 else quat / np.linalg.norm(quat)
    return Part(shape, (radius, length / 2), tuple((a + b) / 2), tuple(quat), paint)


def mesh(vertices: np.ndarray, faces: np.ndarray, paint: str,
         chunks: Sequence[np.ndarray] = ()) -> Part:
    """Make a part of a closed triangle mesh."""
    return Part('mesh', paint=paint, vertices=np.asarray(vertices, float),
                faces=np.asarray(faces, np.int32), chunks=tuple(chunks) or (vertices,))


def lathe(profile: ArrayLike, paint: str = 'main', sides: int = 24) -> Part:
    """
    Turn a profile of (radius, height) about the z axis.

    The profile runs from the axis at the bottom along the outside, and back to the axis inside.
    """
    outline = np.asarray(profile, float)  # [P, 2]
    angle = np.arange(sides) * 2 * np.pi / sides
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)  # [S, 2]
    radius = np.maximum(outline[:, 0], 1e-4)
    ring = radius[:, None, None] * circle  # [P, S, 2]
    height = np.broadcast_to(outline[:, 1, None, None], (*ring.shape[:2], 1))
    vertices = np.concatenate([ring, height], 2).reshape(-1, 3)
    return mesh(vertices, _grid_faces(len(outline), sides), paint)


def tube(path: ArrayLike, radius: ArrayLike, normal: Point = (0, 1, 0),
         paint: str = 'main', closed: bool = False, sides: int = 8) -> Part:
    """Sweep a circle along a path that lies in a plane with the given unit normal."""
    line = np.asarray(path, float)  # [P, 3]
    tangent = (np.roll(line, -1, 0) - np.roll(line, 1, 0)) if closed else np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent, normal)  # [P, 3]
    angle = np.arange(sides) * 2 * np.pi / sides
    offset = (np.cos(angle)[:, None] * side[:, None]
              + np.sin(angle)[:, None] * -np.asarray(normal, float))  # [P, S, 3]
    ring = line[:, None] + np.broadcast_to(radius, len(line))[:, None, None] * offset
    chunks = [ring[i:i + 2].reshape(-1, 3) for i in range(len(line) - 1)]
    faces = _grid_faces(len(line) + closed, sides) % (len(line) * sides)
    if closed:
        return mesh(ring.reshape(-1, 3), faces, paint, [*chunks, ring[[-1, 0]].reshape(-1, 3)])
    ends = [[0, i + 1, i] for i in range(1, sides - 1)]
    last = (len(line) - 1) * sides
    ends += [[last, last + i, last + i + 1] for i in range(1, sides - 1)]
    return mesh(ring.reshape(-1, 3), np.vstack([faces, ends]), paint, chunks)


def prism(outline: ArrayLike, low: float, high: float, paint: str = 'main') -> Part:
    """Extrude a polygon (x, y), star-shaped about the origin, counter-clockwise."""
    flat = np.asarray(outline, float)
    count = len(flat)
    floor = np.column_stack([flat, np.full(count, low)])
    roof = np.column_stack([flat, np.full(count, high)])
    vertices = np.vstack([floor, roof, floor, roof, [[0, 0, low], [0, 0, high]]])
    i, j = np.arange(count), (np.arange(count) + 1) % count
    bottom, top = np.full(count, 4 * count), np.full(count, 4 * count + 1)
    faces = np.vstack([
        np.stack([i, j, j + count], 1), np.stack([i, j + count, i + count], 1),
        np.stack([bottom, j + 2 * count, i + 2 * count], 1),
        np.stack([top, i + 3 * count, j + 3 * count], 1)])
    wedges = [np.vstack([floor[[a, b]], roof[[a, b]], vertices[-2:]]) for a, b in zip(i, j)]
    return mesh(vertices, faces, paint, wedges)


def moved(part: Part, pos: Point = (0, 0, 0), quat: Point = (1, 0, 0, 0)) -> Part:
    """Return a mesh rotated about the origin and then shifted."""
    if part.vertices is None:
        raise ValueError(f'moved: wanted a mesh, got a {part.shape}')
    matrix, shift = rotation(quat), np.asarray(pos, float)
    return replace(part, vertices=part.vertices @ matrix.T + shift,
                   chunks=tuple(chunk @ matrix.T + shift for chunk in part.chunks))


def arc(radius: float, start: float, stop: float, count: int = 9, centre: Point = (0, 0, 0),
        plane: str = 'xz') -> np.ndarray:
    """Return points [count, 3] on part of a circle, from angle to angle, in plane 'xz' or 'xy'."""
    angle = np.linspace(start, stop, count)
    points = np.zeros((count, 3))
    points[:, 0] = np.cos(angle) * radius
    points[:, 'xyz'.index(plane[1])] = np.sin(angle) * radius
    return points + centre


def _grid_faces(rows: int, sides: int) -> np.ndarray:
    """Triangles int [F, 3] between rings of `sides` points each."""
    row, side = np.meshgrid(np.arange(rows - 1), np.arange(sides), indexing='ij')
    nxt = (side + 1) % sides
    a, b = row * sides + side, row * sides + nxt
    c, d = b + sides, a + sides
    return np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)


def _surface(shape: str, size: Sequence[float]) -> np.ndarray:
    """Return points [n, 3] on a primitive, enough for its outline to within 2 %."""
    if shape == 'box':
        corners = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
        return corners * np.asarray(size)
    angle = np.arange(16) * np.pi / 8
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    if shape == 'cylinder':
        flat = circle * size[0]
        return np.vstack([flat + (0, 0, size[1]), flat - (0, 0, size[1])])
    sphere = np.vstack([circle * np.cos(t) + (0, 0, np.sin(t))
                        for t in np.linspace(-np.pi / 2, np.pi / 2, 9)])
    if shape == 'ellipsoid':
        return sphere * np.asarray(size)
    return np.vstack([sphere * size[0] + (0, 0, size[1]), sphere * size[0] - (0, 0, size[1])])
