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
Solids: what objects are to physics, where `parts` are what they look like.

MuJoCo takes every mesh for its convex hull. That is right for what is picked up and wrong for what
things are put into: those get a floor and a wall of convex sectors.
"""

from dataclasses import dataclass

import numpy as np

from ivm_sim.mj import mujoco
from ivm_sim.model import add_part, HIDDEN
from ivm_sim.objects import KINDS
from ivm_sim.parts import Part

MASS = .06  # kg, of every object (our choice: light, as toys are)
FRICTION = (.4, .01, .001)  # sliding, torsional, rolling; higher ones make pushed things topple
SECTOR = 2  # sides of a lathe in one convex piece of a wall
# What would roll away or over: a hidden disc under it lets it stand.
ROUND_KINDS = ('duck', 'ball', 'apple', 'egg', 'mushroom', 'teddy', 'car', 'cone')
LOPSIDED_KINDS = ('mug',)
OPEN_KINDS = ('bowl', 'plate', 'pan', 'pot')  # turned, and things are put into them


@dataclass(frozen=True)
class Bounds:
    """
    How large an object is, metres, in its own frame.

    Attributes:
        radius (float): Of the circle about its z axis that covers it.
        body_radius (float): The same without handles and the like.
        height (float): Of its highest point.
        narrow (float): Extent along y, what the fingers close over.
        low (float): Height of its lowest point.
        discs (tuple[tuple[float, float, float], ...]): x, y, radius of discs that cover it, seen
            from above.
    """

    radius: float
    body_radius: float
    height: float
    narrow: float
    low: float
    discs: tuple[tuple[float, float, float], ...]


def bounds_of(parts: list[Part]) -> Bounds:
    """Measure an object."""
    points = np.vstack([hull for part in parts for hull in part.hulls()])
    body = np.vstack(parts[0].hulls())
    return Bounds(float(np.hypot(points[:, 0], points[:, 1]).max()),
                  float(np.hypot(body[:, 0], body[:, 1]).max()),
                  float(points[:, 2].max()), float(np.ptp(points[:, 1])),
                  float(points[:, 2].min()), _discs(points[:, :2], body[:, :2]))


def _discs(points: np.ndarray, body: np.ndarray) -> tuple[tuple[float, float, float], ...]:
    """Cover points [n, 2] by a disc about the body and small ones about what stands out."""
    radius = float(np.hypot(*body.T).max())
    discs = [(0.0, 0.0, radius)]
    for side in (points[:, 0] > 0, points[:, 0] <= 0):  # handles lie along x
        out = points[side & (np.hypot(*points.T) > radius + .002)]
        if not len(out):
            continue
        ends = np.sort(np.abs(out[:, 0]))[[0, -1]]
        half = float(np.ptp(out[:, 1]) / 2) + .004
        for x in np.arange(radius, ends[1] + half, 2 * half)[:8]:
            discs.append((float(x if side[points[:, 0].argmax()] else -x), 0.0, half * 1.3))
    return tuple(discs)


def add_solid(spec: mujoco.MjSpec, name: str, kind: str, parts: list[Part],
              receives: bool, steady: bool = False) -> None:
    """
    Add an object that falls, is pushed and is held.

    Args:
        spec: World under construction.
        name: Of its body and of its free joint.
        kind: Key of `objects.KINDS`.
        parts: What it looks like.
        receives: Things will be put into it, so its hollow matters.
        steady: It must not topple by itself, as a mug does whose handle is heavy.
    """
    body = spec.worldbody.add_body(name=name, pos=(0, 0, .5))
    body.add_freejoint(name=name)
    hollow = receives and kind in OPEN_KINDS
    for index, part in enumerate(parts):
        _touch(add_part(spec, body, f'{name}_{index}', part), 0 if hollow else MASS / len(parts))
    if hollow:
        _add_hollow(spec, body, name, parts[0], KINDS[kind].floor)
    if kind in ROUND_KINDS or (steady and kind in LOPSIDED_KINDS):
        size = bounds_of(parts)
        _add_disc(body, f'{name}_foot', .7 * size.body_radius, size.low, size.low + .006)


def _touch(geom: mujoco.MjsGeom, mass: float) -> None:
    """Let a geom collide, or only be seen where it has no mass."""
    geom.mass = mass
    geom.friction = FRICTION
    geom.condim = 4
    geom.contype = geom.conaffinity = int(mass > 0)


def _add_hollow(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, part: Part,
                floor: float) -> None:
    """Add an invisible floor and wall in the shape of a turned vessel."""
    pieces = wall_of(part)
    radius = float(np.median([np.hypot(*piece[:, :2].T).min() for piece in pieces]))
    _add_disc(body, f'{name}_floor', radius + .003, 0, floor)
    for index, piece in enumerate(pieces):
        wall = f'{name}_wall_{index}'
        spec.add_mesh(name=wall, uservert=piece.ravel())
        geom = body.add_geom(name=wall, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=wall,
                             group=HIDDEN)
        _touch(geom, MASS / 2 / len(pieces))


def _add_disc(body: mujoco.MjsBody, name: str, radius: float, low: float, high: float) -> None:
    geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_CYLINDER, group=HIDDEN,
                         size=(radius, (high - low) / 2, 0), pos=(0, 0, (low + high) / 2))
    _touch(geom, MASS / 2)


def wall_of(part: Part) -> list[np.ndarray]:
    """Cut the wall of a turned vessel into convex sectors, point sets [n, 3]."""
    if part.vertices is None:
        raise ValueError('wall_of: wanted a turned vessel, got a primitive')
    radius = np.hypot(part.vertices[:, 0], part.vertices[:, 1])
    sides = int((radius > 1e-3).argmax())  # the profile begins on the axis
    rings = part.vertices.reshape(-1, sides, 3)  # [P, S, 3]
    rings = rings[radius.reshape(-1, sides)[:, 0] > .4 * radius.max()]
    return [rings[:, np.arange(start, start + SECTOR + 1) % sides].reshape(-1, 3)
            for start in range(0, sides, SECTOR)]
