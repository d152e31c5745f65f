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
"""Colours, light and surfaces of a scene, set in place on a compiled model."""

import numpy as np

from ivm_sim.mj import mujoco
from ivm_sim.model import CLUTTER, FLOOR, HIDDEN, Slot, SURFACES
from ivm_sim.objects import DARKER, METALS, PAINTS, RGB

Rng = np.random.Generator
ARM_COLOURS = ((.90, .90, .90), (.15, .15, .16), (.85, .42, .08), (.55, .57, .60), (.20, .28, .45),
               (.88, .84, .72), (.30, .30, .32), (.75, .12, .10))


def jitter(rng: Rng, colour: str) -> np.ndarray:
    """Draw a tone of a named colour, float32 [3]."""
    base = np.asarray(RGB[colour])
    return np.clip(base * rng.uniform(.86, 1.12) + rng.normal(0, .018, 3), .01, 1)


def paint_object(model: mujoco.MjModel, slot: Slot, colour: str, rng: Rng) -> None:
    """Give an object its colour and show it; a mesh keeps its own."""
    if slot.mesh:
        _paint_mesh(model, slot, rng)
        return
    tone = jitter(rng, colour)
    surface = model.material('metal' if colour in METALS else
                             str(rng.choice(['matte', 'plastic']))).id
    plain = model.material('matte').id
    for geom, paint in zip(slot.geoms, slot.paints):
        own = paint == 'main' or paint in DARKER
        # A domino's spots contrast with its body, whatever that is.
        spot = (.92, .92, .90) if tone.mean() < .55 else (.06, .06, .06)
        rgb = tone * DARKER.get(paint, 1) if own else PAINTS.get(paint, spot)
        model.geom_rgba[geom] = (*rgb, 1)
        model.geom_matid[geom] = surface if own else plain
        model.geom_group[geom] = 0


def _paint_mesh(model: mujoco.MjModel, slot: Slot, rng: Rng) -> None:
    level = rng.uniform(.85, 1.1)
    surface = model.material(str(rng.choice(['matte', 'plastic']))).id
    for geom, paint in zip(slot.geoms, slot.paints):
        rgb = np.array([int(paint[start:start + 2], 16) for start in (1, 3, 5)]) / 255
        model.geom_rgba[geom] = (*np.clip(rgb * level, .01, 1), 1)
        model.geom_matid[geom] = surface
        model.geom_group[geom] = 0


def paint_room(model: mujoco.MjModel, rng: Rng, behind: float) -> None:
    """Draw table, floor, walls and things in the background; `behind` is away from the camera."""
    for name in ('table', 'floor', 'wall_0', 'wall_1', 'wall_2', 'wall_3'):
        geom = model.geom(name).id
        material = model.material(f'surface_{rng.integers(SURFACES)}').id
        model.geom_matid[geom] = material
        model.mat_texrepeat[material] = rng.uniform(1.0, 7.0)
        model.geom_rgba[geom, :3] = _tint(rng)
    shown = rng.integers(0, CLUTTER + 1)
    for index in range(CLUTTER):
        geom = model.geom(f'clutter_{index}').id
        model.geom_group[geom] = 0 if index < shown else HIDDEN
        size = rng.uniform(.08, .55, 3)
        angle = behind + rng.uniform(-1.1, 1.1)
        away = rng.uniform(1.3, 2.4)
        model.geom_size[geom] = size
        model.geom_pos[geom] = (away * np.cos(angle), away * np.sin(angle),
                                FLOOR + size[2] + rng.choice([0, .7]) * rng.random())
        model.geom_quat[geom] = (np.cos(angle / 2), 0, 0, np.sin(angle / 2))
        model.geom_rgba[geom] = (*rng.uniform(.1, .9, 3), 1)
        model.geom_matid[geom] = model.material('matte').id


def _tint(rng: Rng) -> np.ndarray:
    """Light and pale most of the time; sometimes dark or of a clear colour."""
    sort = rng.random()
    if sort < .62:
        return rng.uniform(.75, 1.0) * (1 - .18 * rng.random(3))
    if sort < .82:
        return rng.uniform(.35, .7) * (1 - .25 * rng.random(3))
    return np.clip(rng.uniform(.3, .95, 3), 0, 1)


def paint_arm(model: mujoco.MjModel, arm: list[tuple[int, str]], rng: Rng) -> None:
    """Give the arm, as (geom, paint) pairs, one of a few usual liveries."""
    link, joint = (np.asarray(ARM_COLOURS[i]) for i in rng.integers(len(ARM_COLOURS), size=2))
    material = model.material('plastic').id
    tones = {'link': link, 'joint': joint * .9, 'finger': np.array([.12, .12, .13])}
    for geom, paint in arm:
        model.geom_rgba[geom] = (*np.clip(tones[paint], 0, 1), 1)
        model.geom_matid[geom] = material


def light(model: mujoco.MjModel, rng: Rng, unseen: bool = False) -> bool:
    """Set lamps and headlight, `unseen`: strongly tinted; tell whether there are shadows."""
    level = rng.uniform(.80, 1.12)
    ambient = rng.uniform(.28, .48)
    model.vis.headlight.ambient[:] = ambient * level
    model.vis.headlight.diffuse[:] = rng.uniform(.05, .25) * level
    model.vis.headlight.specular[:] = .1
    for name, strength in (('key', rng.uniform(.42, .70)), ('fill', rng.uniform(.08, .26))):
        lamp = model.light(name).id
        azimuth, height = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(40, 85))
        direction = -np.array([np.cos(azimuth) * np.cos(height),
                               np.sin(azimuth) * np.cos(height), np.sin(height)])
        model.light_dir[lamp] = direction
        model.light_pos[lamp] = -2.0 * direction
        warm = rng.normal(0, .06)
        if unseen:
            warm += rng.choice([-1, 1]) * rng.uniform(.12, .25)
        model.light_diffuse[lamp] = strength * level * np.array([1 + warm, 1, 1 - warm])
        model.light_specular[lamp] = strength * .6
    return bool(rng.random() < .45)
