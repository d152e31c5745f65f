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
The one compiled model that all scenes are varied from, and where its pieces lie.

Compiling costs 0.3 s and more, so a model holds every kind several times (`SLOT_SIZES`), hidden,
and a scene takes what it needs. `variant` draws other proportions and textures.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ivm_sim.meshes import Mesh
from ivm_sim.mj import mujoco
from ivm_sim.objects import draw, Kind, KINDS, SIZES
from ivm_sim.parts import Part
from ivm_sim.robot import add_arm
from ivm_sim.style import Style
from ivm_sim.textures import metal, surfaces

SLOT_SIZES = ('normal', 'normal', 'normal', 'small', 'large')
MESHES = 20  # household meshes in a model
MESH_SIZES = ('normal', 'small')
SURFACES = 16
CLUTTER = 6
TABLE = (.75, .60, .03)  # half sizes in metres; its top is z = 0
FLOOR = -.75
STANDING = Kind(draw=lambda rng: [])  # how meshes stand: on their foot, with no room in them
HIDDEN = 4  # geom group that is never drawn
SHAPES = {'box': mujoco.mjtGeom.mjGEOM_BOX, 'ellipsoid': mujoco.mjtGeom.mjGEOM_ELLIPSOID,
          'cylinder': mujoco.mjtGeom.mjGEOM_CYLINDER, 'capsule': mujoco.mjtGeom.mjGEOM_CAPSULE,
          'mesh': mujoco.mjtGeom.mjGEOM_MESH}


@dataclass(frozen=True)
class Slot:
    """
    One instance of a kind in the pool.

    Attributes:
        name (str): Name of its body.
        kind (str): Key of `nouns.NOUNS`.
        size (str): Key of `SIZES`.
        scale (float): Size factor.
        hulls (tuple[np.ndarray, ...]): Point sets [n, 3] in its frame that cover it.
        paints (tuple[str, ...]): Paint of each geom.
        geoms (tuple[int, ...]): Ids of its geoms.
        mocap (int): Index of its pose in `data.mocap_pos`.
        mesh (str): Name of the household mesh that it shows, else ''.
        colour (str | None): Of a mesh.
    """

    name: str
    kind: str
    size: str
    scale: float
    hulls: tuple[np.ndarray, ...]
    paints: tuple[str, ...]
    geoms: tuple[int, ...]
    mocap: int
    mesh: str = ''
    colour: str | None = None

    @cached_property
    def points(self) -> np.ndarray:
        """All points of the hulls, float64 [n, 3]."""
        return np.vstack(self.hulls)

    @property
    def stands(self) -> Kind:
        """How it may stand: a mesh on its foot, and nothing is put into it."""
        return STANDING if self.mesh else KINDS[self.kind]


def build(variant: int, style: Style = Style()) -> tuple[mujoco.MjModel, list[Slot]]:
    """Compile the model of a variant and list its pool."""
    rng = np.random.default_rng(np.random.SeedSequence([7, variant]))
    spec = mujoco.MjSpec()
    spec.visual.map.znear, spec.visual.map.zfar = .02, 12.0
    spec.stat.extent, spec.stat.center = 1.0, (0, 0, 0)
    spec.visual.quality.numslices, spec.visual.quality.numstacks = 20, 12
    spec.visual.quality.numquads = 2
    spec.visual.quality.shadowsize = 1024
    spec.visual.map.shadowclip = 1.2
    add_looks(spec, rng, style.unseen)
    add_room(spec)
    add_arm(spec)
    drawn = [(kind, size, _scale(size, rng)) for kind in KINDS for size in SLOT_SIZES]
    pool = [(f'{kind}_{i % len(SLOT_SIZES)}', kind, size, scale, draw(kind, scale, rng))
            for i, (kind, size, scale) in enumerate(drawn)]
    meshes = _some(style.meshes, rng)
    pool += [(f'{mesh.name}_{i}', mesh.noun, size, scale, mesh.draw(scale))
             for mesh in meshes for i, size in enumerate(MESH_SIZES)
             for scale in (_scale(size, rng),)]
    for name, *_, parts in pool:
        _add_object(spec, name, parts)
    model = spec.compile()
    slots = [_slot(model, *entry) for entry in pool]
    own = len(slots) - len(meshes) * len(MESH_SIZES)
    return model, slots[:own] + [
        replace(slot, mesh=mesh.name, colour=mesh.colour)
        for slot, mesh in zip(slots[own:], (m for m in meshes for _ in MESH_SIZES))]


def _some(meshes: tuple[Mesh, ...], rng: np.random.Generator) -> list[Mesh]:
    """Draw the household meshes of a variant."""
    if not meshes:
        return []
    chosen = rng.permutation(len(meshes))[:MESHES]
    return [meshes[int(index)] for index in chosen]


def _scale(size: str, rng: np.random.Generator) -> float:
    return SIZES[size] * float(rng.uniform(.94, 1.06))


def _slot(model: mujoco.MjModel, name: str, kind: str, size: str, scale: float,
          parts: list[Part]) -> Slot:
    body = model.body(name)
    geoms = range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
    return Slot(name, kind, size, scale, tuple(hull for part in parts for hull in part.hulls()),
                tuple(part.paint for part in parts), tuple(geoms), int(body.mocapid[0]))


def _add_object(spec: mujoco.MjSpec, name: str, parts: list[Part]) -> None:
    body = spec.worldbody.add_body(name=name, mocap=True, pos=(0, 0, -5))
    for index, part in enumerate(parts):
        geom = add_part(spec, body, f'{name}_{index}', part)
        geom.group, geom.contype, geom.conaffinity = HIDDEN, 0, 0


def add_part(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, part: Part) -> mujoco.MjsGeom:
    """Add what a part looks like to a body."""
    geom = body.add_geom(name=name, type=SHAPES[part.shape], pos=part.pos, quat=part.quat)
    if part.vertices is not None and part.faces is not None:
        mesh = spec.add_mesh(name=name, uservert=part.vertices.ravel(),
                             userface=part.faces.ravel())
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
        geom.meshname = name
    else:
        geom.size = (*part.size, 0, 0)[:3]
    return geom


def add_looks(spec: mujoco.MjSpec, rng: np.random.Generator, unseen: bool = False) -> None:
    """Add the textures and materials of surfaces and things."""
    for index, picture in enumerate([*surfaces(rng, SURFACES, unseen), metal(rng)]):
        name = f'surface_{index}' if index < SURFACES else 'metal'
        cube = name == 'metal'
        texture = spec.add_texture(name=name, width=picture.shape[1], nchannel=3,
                                   height=picture.shape[0] * (6 if cube else 1))
        texture.type = (mujoco.mjtTexture.mjTEXTURE_CUBE if cube
                        else mujoco.mjtTexture.mjTEXTURE_2D)
        texture.data = np.concatenate([picture] * 6).tobytes() if cube else picture.tobytes()
        material = spec.add_material(name=name, texuniform=True)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        material.specular, material.shininess = (.9, .8) if cube else (.1, .2)
        material.texuniform = not cube
    for name, specular, shininess in (('matte', .05, .1), ('plastic', .45, .6)):
        spec.add_material(name=name, specular=specular, shininess=shininess)


def add_room(spec: mujoco.MjSpec) -> None:
    """Add table, floor, walls, lamps, the camera and hidden boxes for the background."""
    world = spec.worldbody
    box, plane = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_PLANE
    world.add_geom(name='table', type=box, size=TABLE, pos=(0, 0, -TABLE[2]))
    world.add_geom(name='floor', type=plane, size=(4, 4, .1), pos=(0, 0, FLOOR))
    for index, (x, y) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        world.add_geom(name=f'wall_{index}', type=plane, size=(4, 4, .1),
                       pos=(3.2 * x, 3.2 * y, 0), zaxis=(-x, -y, 0))
    for index in range(CLUTTER):
        # A pose other than the body's own, or the compiler would drop it for good.
        world.add_geom(name=f'clutter_{index}', type=box, size=(.1, .1, .1), group=HIDDEN,
                       pos=(0, 0, -3), quat=(.8, 0, 0, .6))
    world.add_camera(name='camera')
    for name in ('key', 'fill'):
        world.add_light(name=name, pos=(0, 0, 2), dir=(0, 0, -1),
                        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=name == 'key')
