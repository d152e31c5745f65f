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
What an arena looks like: surfaces, light and the front camera.

Usual looks are what demonstrations are recorded in; unseen ones have textures, walls, light and a
camera that no demonstration had.
"""

from dataclasses import dataclass

import numpy as np

from ivm_sim.mesh_arm import MESH
from ivm_sim.mj import mujoco
from ivm_sim.model import CLUTTER, HIDDEN, SURFACES
from ivm_sim.stage import paint_arm
from ivm_sim.view import View

Rng = np.random.Generator
USUAL, UNSEEN = range(0, 4), range(4, SURFACES)  # surfaces of the table
WALLS = ('floor', 'wall_0', 'wall_1', 'wall_2', 'wall_3')


@dataclass(frozen=True)
class Look:
    """
    How a world is dressed.

    Attributes:
        surfaces (int): Which set of textures.
        table (int): Texture of the table, below `model.SURFACES`.
        walls (int): Texture of floor and walls.
        table_tint (tuple[float, ...]): Colour on it, RGB in [0, 1].
        wall_tint (tuple[float, ...]): The same of floor and walls.
        repeat (float): Tiles of the table's texture.
        level (float): Brightness, 1 is usual.
        warm (float): Tone of the lamps, 0 is white.
        lamp (tuple[float, float]): Azimuth and elevation of the main lamp (rad).
        shadow (bool): It casts shadows.
        view (View): The front camera.
    """

    surfaces: int
    table: int
    walls: int
    table_tint: tuple[float, ...]
    wall_tint: tuple[float, ...]
    repeat: float
    level: float
    warm: float
    lamp: tuple[float, float]
    shadow: bool
    view: View


def usual_look(rng: Rng) -> Look:
    """Draw a look as in the demonstrations: one of four tables, a steady camera."""
    return Look(0, int(rng.choice(USUAL)), 4, _tint(rng, .80, .95), _tint(rng, .75, .9), 3.0,
                rng.uniform(.92, 1.05), rng.normal(0, .02),
                (rng.uniform(-.4, .4), rng.uniform(1.0, 1.3)), False, _view(rng, .01))


def unseen_look(rng: Rng) -> Look:
    """Draw a look that no demonstration has."""
    return Look(1, int(rng.choice(UNSEEN)), int(rng.integers(SURFACES)), _tint(rng, .45, 1.0),
                _tint(rng, .3, .9), rng.uniform(1.0, 6.0), rng.uniform(.8, 1.12),
                rng.normal(0, .07), (rng.uniform(-np.pi, np.pi), rng.uniform(.7, 1.4)),
                bool(rng.random() < .5), _view(rng, .035))


def _tint(rng: Rng, low: float, high: float) -> tuple[float, ...]:
    return tuple(float(value) for value in rng.uniform(low, high) * (1 - .1 * rng.random(3)))


def _view(rng: Rng, spread: float) -> View:
    """Look back at the robot from over the far edge of the table."""
    x, y, z = rng.normal(0, spread, 3)
    return View((x + .01, y, .02), rng.normal(0, spread), np.deg2rad(48) + rng.normal(0, spread),
                1.12 * (1 + z), np.deg2rad(38))


def wear(model: mujoco.MjModel, look: Look) -> None:
    """Dress a compiled world."""
    for name in ('table', *WALLS):
        geom = model.geom(name).id
        number, tint = ((look.table, look.table_tint) if name == 'table'
                        else (look.walls, look.wall_tint))
        model.geom_matid[geom] = model.material(f'surface_{number}').id
        model.geom_rgba[geom, :3] = tint
    model.mat_texrepeat[model.material(f'surface_{look.table}').id] = look.repeat
    for index in range(CLUTTER):
        model.geom_group[model.geom(f'clutter_{index}').id] = HIDDEN
    arm = [(geom, model.geom(geom).name.rsplit('_', 1)[1]) for geom in range(model.ngeom)
           if model.geom(geom).name.startswith('robot')
           and not model.geom(geom).name.startswith(MESH)]
    paint_arm(model, arm, np.random.default_rng(5))  # one robot has one livery
    _light(model, look)
    camera, quat = model.camera('front').id, np.empty(4)
    mujoco.mju_mat2Quat(quat, look.view.axes.ravel())
    model.cam_pos[camera], model.cam_quat[camera] = look.view.position, quat
    model.cam_fovy[camera] = np.rad2deg(look.view.fovy)


def _light(model: mujoco.MjModel, look: Look) -> None:
    model.vis.headlight.ambient[:] = .38 * look.level
    model.vis.headlight.diffuse[:] = .15 * look.level
    model.vis.headlight.specular[:] = .1
    azimuth, height = look.lamp
    for name, strength, turned in (('key', .55, 0.0), ('fill', .17, 2.2)):
        lamp = model.light(name).id
        direction = -np.array([np.cos(azimuth + turned) * np.cos(height),
                               np.sin(azimuth + turned) * np.cos(height), np.sin(height)])
        model.light_dir[lamp], model.light_pos[lamp] = direction, -2.0 * direction
        model.light_diffuse[lamp] = strength * look.level * np.array(
            [1 + look.warm, 1, 1 - look.warm])
        model.light_specular[lamp] = strength * .6
