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
A table with physics: the arm drives, things fall, are pushed, are held.

An `Arena` is compiled for the things of one episode. Compared with `scene.Scene`, which varies one
large model in place for datasets, it moves.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ivm_ros.data.shards import ROBOT
from ivm_sim.canvas import Canvas
from ivm_sim.drive import add_drives, ARMS, Drive, PRIMITIVE
from ivm_sim.looks import Look, wear
from ivm_sim.mj import mujoco
from ivm_sim.model import add_looks, add_room, Slot
from ivm_sim.objects import draw, SIZES
from ivm_sim.parts import Part, rotation, turn
from ivm_sim.sampler import Item
from ivm_sim.solids import add_solid, Bounds, bounds_of, FRICTION
from ivm_sim.stage import paint_object

TIMESTEP = .004  # s
SETTLE = 100  # time steps that things get to come to rest
CAMERAS = ('front', 'wrist')


@dataclass(frozen=True)
class Prop:
    """
    One thing of an arena.

    Attributes:
        id (int): Its value in `Arena.segment`, 1 and up.
        item (Item): What it is.
        bounds (Bounds): How large it is.
        slot (Slot): Its geometry in the model.
        parts (list[Part]): What it looks like.
    """

    id: int
    item: Item
    bounds: Bounds
    slot: Slot
    parts: list[Part]

    @property
    def name(self) -> str:
        """Name of its body and of its free joint."""
        return self.slot.name


@dataclass(frozen=True)
class Slide:
    """
    A thing that slides to and fro.

    Attributes:
        start (tuple[float, float]): Where it was placed, metres.
        way (tuple[float, float]): Unit vector of its path.
        reach (float): How far it goes, metres.
        period (float): Of one turn to and fro, s.
    """

    start: tuple[float, float]
    way: tuple[float, float]
    reach: float
    period: float

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Place and speed at a time: metres [2] and m/s [2]."""
        rate = 2 * np.pi / self.period
        way = np.asarray(self.way) * self.reach
        return (np.asarray(self.start) + way * (1 - np.cos(rate * time)) / 2,
                way * rate * np.sin(rate * time) / 2)


class Arena:
    """
    The world of one episode. Not thread-safe: GL contexts belong to one thread.

    Args:
        items: What lies on the table.
        shapes: Parts of each, of `shape`.
        receivers: Indices of those that things are put into or onto.
        look: Surfaces, light and camera.
        rng: Draws tones.
        arm: Key of `drive.ARMS`.
        named: So many of the items, the first ones, are what the episode is about.
    """

    def __init__(self, items: list[Item], shapes: list[list[Part]], receivers: set[int],
                 look: Look, rng: np.random.Generator, arm: str = PRIMITIVE,
                 named: int = 0) -> None:
        spec = _pictures(look.surfaces, arm).copy()
        for index, (item, parts) in enumerate(zip(items, shapes)):
            add_solid(spec, f'thing_{index + 1}', item.kind, parts, index in receivers,
                      index < named)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.props = [_prop(self.model, index + 1, item, parts)
                      for index, (item, parts) in enumerate(zip(items, shapes))]
        self.drive = Drive(self.model, ARMS[arm])
        self.look = look
        self._canvases: dict[int, Canvas] = {}
        wear(self.model, look)
        for prop in self.props:
            paint_object(self.model, prop.slot, prop.item.colour, rng)
        self.sliding: dict[int, Slide] = {}
        self._fingers = {geom for geom in range(self.model.ngeom)
                         if self.model.geom(geom).name.startswith('robot_finger')}
        labels = np.zeros(self.model.ngeom + 1, np.uint8)  # the last entry is the background, -1
        labels[[geom for geom in range(self.model.ngeom)
                if self.model.geom(geom).name.startswith('robot')]] = ROBOT
        for prop in self.props:
            labels[list(prop.slot.geoms)] = prop.id
        self._labels = labels

    # --- state -------------------------------------------------------------------------------

    def reset(self, places: dict[int, tuple[float, float, float]]) -> None:
        """
        Put the arm home and each thing in its place, and let them come to rest.

        Args:
            places: x, y (m) and turn about z (rad), by id.
        """
        mujoco.mj_resetData(self.model, self.data)
        for prop in self.props:
            x, y, angle = places[prop.id]
            self.data.joint(prop.name).qpos = (x, y, .002 - prop.bounds.low,
                                               *turn((0, 0, 1), angle))
        self.drive.home(self.data)
        self.sliding = {}
        mujoco.mj_step(self.model, self.data, SETTLE)
        self.data.time = 0

    def step(self, shift: np.ndarray, twist: np.ndarray, gripper: float, seconds: float) -> None:
        """Drive the hand by a shift [3] (m) and a rotation vector [3] (rad) in some time."""
        count = max(1, round(seconds / TIMESTEP))
        before = self.data.ctrl.copy()
        after = self.drive.move(self.data, shift, twist, gripper)
        for index in range(count):
            share = (index + 1) / count
            self.data.ctrl[:6] = before[:6] + share * (after[:6] - before[:6])
            self.data.ctrl[6:] = after[6:]
            self._slide()
            mujoco.mj_step(self.model, self.data)

    def _slide(self) -> None:
        """Carry on what slides, whatever friction says."""
        for thing, slide in self.sliding.items():
            joint = self.data.joint(self.props[thing - 1].name)
            joint.qpos[:2], joint.qvel[:2] = slide.at(self.data.time)

    def position(self, thing: int) -> np.ndarray:
        """Where a thing's foot is, metres [3]."""
        return self.data.body(self.props[thing - 1].name).xpos.copy()

    def matrix(self, thing: int) -> np.ndarray:
        """How a thing is turned, [3, 3]."""
        return self.data.body(self.props[thing - 1].name).xmat.reshape(3, 3).copy()

    def speed(self, thing: int) -> float:
        """How fast a thing moves, m/s."""
        return float(np.linalg.norm(self.data.joint(self.props[thing - 1].name).qvel[:3]))

    def touched(self, thing: int) -> int:
        """How many fingers touch a thing."""
        return len({geom for geom in self._touching(thing) if geom in self._fingers})

    def meet(self, thing: int, other: int) -> bool:
        """Tell whether two things touch."""
        body = self.data.body(self.props[other - 1].name).id
        return any(self.model.geom_bodyid[geom] == body for geom in self._touching(thing))

    def _touching(self, thing: int) -> list[int]:
        """List the geoms that touch a thing."""
        body = self.data.body(self.props[thing - 1].name).id
        pairs = self.data.contact.geom  # [contacts, 2]
        mine = self.model.geom_bodyid[pairs] == body
        return [int(geom) for geom in pairs[mine[:, ::-1]]]

    # --- pictures ----------------------------------------------------------------------------

    def render(self, camera: str, size: int) -> np.ndarray:
        """Picture of a camera, uint8 [S, S, 3]."""
        return self._canvas(size).colour(self.data, self.look.shadow, CAMERAS.index(camera))

    def segment(self, camera: str, size: int) -> np.ndarray:
        """Id of the thing in each pixel, uint8 [S, S]: `Prop.id`, `ROBOT`, or 0."""
        return self._labels[self._canvas(size).geoms(self.data, CAMERAS.index(camera))]

    def close(self) -> None:
        """Free the GL contexts."""
        while self._canvases:
            self._canvases.popitem()[1].close()

    def _canvas(self, size: int) -> Canvas:
        if size not in self._canvases:
            self._canvases[size] = Canvas(self.model, size, size)
        return self._canvases[size]


def shape(item: Item, rng: np.random.Generator) -> list[Part]:
    """Draw what a thing looks like."""
    return draw(item.kind, SIZES[item.size] * float(rng.uniform(.96, 1.04)), rng)


@cache
def _pictures(variant: int, arm: str) -> mujoco.MjSpec:
    """Room, looks and arm: the same for every episode, so drawn once."""
    spec = mujoco.MjSpec()
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.visual.map.znear, spec.visual.map.zfar = .02, 12.0
    spec.stat.extent, spec.stat.center = 1.0, (0, 0, 0)
    spec.visual.quality.numslices, spec.visual.quality.numstacks = 20, 12
    spec.visual.quality.shadowsize = 1024
    add_looks(spec, np.random.default_rng(np.random.SeedSequence([11, variant])))
    add_room(spec)
    for geom in spec.worldbody.geoms:
        if geom.name != 'table':
            geom.contype = geom.conaffinity = 0
        geom.friction = FRICTION
    spec.worldbody.cameras[0].name = 'front'
    ARMS[arm].add(spec)
    add_drives(spec, ARMS[arm])
    # Behind the fingers, tilted so that the picture's middle is what they close on.
    tilt = .30
    spec.body('robot_hand').add_camera(
        name='wrist', pos=(.075, 0, .02), fovy=72, quat=_look(tilt))
    return spec


def _look(tilt: float) -> tuple[float, ...]:
    """Turn a camera along the hand's z, leaning towards the fingers."""
    quat = np.empty(4)
    along = rotation(turn((0, 1, 0), -tilt)) @ np.array([0, 0, 1.0])
    right = np.array([0, 1.0, 0])
    mujoco.mju_mat2Quat(quat, np.stack([right, np.cross(-along, right), -along], 1).ravel())
    return tuple(float(value) for value in quat)


def _prop(model: mujoco.MjModel, number: int, item: Item, parts: list[Part]) -> Prop:
    body = model.body(f'thing_{number}')
    geoms = range(body.geomadr[0], body.geomadr[0] + len(parts))
    slot = Slot(body.name, item.kind, item.size, 1.0,
                tuple(hull for part in parts for hull in part.hulls()),
                tuple(part.paint for part in parts), tuple(geoms), -1)
    return Prop(number, item, bounds_of(parts), slot, parts)
