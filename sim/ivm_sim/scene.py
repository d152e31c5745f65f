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
A table with things on it, an arm above it and a camera that looks at it.

`Scene` compiles once and is varied in place: `sample(rng)` draws everything anew.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ivm_ros.data.shards import ROBOT
from ivm_sim import layout, stage
from ivm_sim.canvas import Canvas
from ivm_sim.mj import mujoco
from ivm_sim.model import build, HIDDEN, Slot
from ivm_sim.robot import ArmPose, FINGERS, JOINTS, OPEN
from ivm_sim.sampler import draw_items, Item
from ivm_sim.style import Style
from ivm_sim.view import draw_view, View

HELD_SHARE = .36  # is tried; half of the hands lean too far


@dataclass(frozen=True)
class ObjectState:
    """
    One thing in the scene.

    Attributes:
        id (int): Its value in `Scene.segment`, 1 and up.
        kind (str): Key of `nouns.NOUNS`.
        colour (str | None): Key of `colours.COLOURS`; None: of several.
        size (str): Key of `objects.SIZES`, relative to its kind.
        scale (float): Size factor, relative to its kind.
        position (tuple[float, float, float]): Metres, the middle of its foot.
        held (bool): The hand holds it.
        on (int): Id of the thing it lies in or on, else 0.
    """

    id: int
    kind: str
    colour: str | None
    size: str
    scale: float
    position: tuple[float, float, float]
    held: bool
    on: int


class Scene:
    """
    One model, varied in place. Not thread-safe: GL contexts belong to one thread.

    Attributes:
        objects (tuple[ObjectState, ...]): The things that were drawn.
        slots (list[Slot]): Their geometry in the model, in the order of `objects`.
        poses (list[Pose]): Where they stand, in the order of `objects`.
        view (View): The camera.
    """

    def __init__(self, variant: int = 0, style: Style = Style()):
        """Compile the model of a variant (other proportions and textures for another number)."""
        self.style = style
        self.model, pool = build(variant, style)
        self.data = mujoco.MjData(self.model)
        self._pool: dict[tuple[str, str], list[Slot]] = {}
        for slot in pool:
            self._pool.setdefault((slot.mesh or slot.kind, slot.size), []).append(slot)
        self._meshes = [Item(slot.kind, '', slot.size, slot.mesh) for slot in pool if slot.mesh]
        self._canvases: dict[tuple[int, int], Canvas] = {}
        self.slots: list[Slot] = []
        self.poses: list[layout.Pose] = []
        self._shadow = False
        names = [(geom, self.model.geom(geom).name) for geom in range(self.model.ngeom)]
        self._arm = [(geom, name.rsplit('_', 1)[1]) for geom, name in names
                     if name.startswith('robot')]
        self.objects: tuple[ObjectState, ...] = ()
        self.view = View((0, 0, 0), 0, 1, 1, 1)

    def sample(self, rng: np.random.Generator) -> None:
        """Draw things, poses, colours, light, camera and arm anew; nothing of before remains."""
        items = draw_items(rng, self._meshes, self.style.count, self.style.shown)
        self._shadow = stage.light(self.model, rng, self.style.unseen)
        spread = rng.uniform(.24, .30) + .011 * len(items) * rng.uniform(.5, 1)
        self.view = draw_view(rng, spread, self.style.unseen)
        self._set_camera()
        stage.paint_room(self.model, rng, self.view.azimuth + np.pi)
        stage.paint_arm(self.model, self._arm, rng)
        base, heading, arm = layout.draw_arm(rng, self.view.azimuth)
        slots = self._take(items)
        hold = bool(rng.random() < HELD_SHARE)
        depth = spread * .75 / max(np.sin(self.view.elevation), .45)
        area = spread, min(depth, spread)
        poses = layout.place(rng, slots, area, self.view.azimuth, arm, hold)
        self._place(slots, poses, items, rng)
        self._set_arm(base, heading, arm, rng)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def render(self, height: int = 192, width: int = 256) -> np.ndarray:
        """Picture of the camera, uint8 [H, W, 3]."""
        return self._canvas(height, width).colour(self.data, self._shadow)

    def segment(self, height: int = 192, width: int = 256) -> np.ndarray:
        """Id of the thing in each pixel, uint8 [H, W]: `ObjectState.id`, `ROBOT`, or 0."""
        labels = np.zeros(self.model.ngeom + 1, np.uint8)  # the last entry is the background, -1
        labels[[geom for geom, _ in self._arm]] = ROBOT
        for index, slot in enumerate(self.slots):
            labels[list(slot.geoms)] = index + 1
        return labels[self._canvas(height, width).geoms(self.data)]

    def surfaces(self, height: int = 192, width: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """Geom in each pixel, int32 [H, W], -1 for none, and how far off, metres [H, W]."""
        canvas = self._canvas(height, width)
        return canvas.geoms(self.data), canvas.depth(self.data)

    def silhouette(self, thing: ObjectState, height: int = 192, width: int = 256) -> int:
        """Pixels the thing would cover with nothing before it, beyond the border included."""
        slot, pose = self.slots[thing.id - 1], self.poses[thing.id - 1]
        plane = np.zeros((2 * height, 2 * width), np.uint8)
        shift = np.array([height / 2, width / 2])
        pixels = self.view.project(layout.points_of(slot, pose), height, width) + shift - .5
        corners = np.int32(np.round(pixels[:, ::-1] * 16))
        for hull in np.split(corners, np.cumsum([len(hull) for hull in slot.hulls])[:-1]):
            cv2.fillConvexPoly(plane, cv2.convexHull(hull), 1, shift=4)
        return cv2.countNonZero(plane)

    def look(self, view: View) -> None:
        """Look from elsewhere; nothing else changes."""
        self.view = view
        self._set_camera()

    def close(self) -> None:
        """Free the GL contexts."""
        while self._canvases:
            self._canvases.popitem()[1].close()

    def _canvas(self, height: int, width: int) -> Canvas:
        if (height, width) not in self._canvases:
            self._canvases[height, width] = Canvas(self.model, height, width)
        return self._canvases[height, width]

    def _take(self, items: list[Item]) -> list[Slot]:
        counts: dict[tuple[str, str], int] = {}
        slots = []
        for item in items:
            key = item.mesh or item.kind, item.size
            slots.append(self._pool[key][counts.get(key, 0)])
            counts[key] = counts.get(key, 0) + 1
        return slots

    def _place(self, slots: list[Slot], poses: dict[int, layout.Pose], items: list[Item],
               rng: np.random.Generator) -> None:
        for slot in self.slots:
            self.model.geom_group[list(slot.geoms)] = HIDDEN
        order = list(poses)
        self.slots = [slots[index] for index in order]
        self.poses = [poses[index] for index in order]
        states: list[ObjectState] = []
        for index, slot in zip(order, self.slots):
            pose, item = poses[index], items[index]
            quat = np.empty(4)
            mujoco.mju_mat2Quat(quat, pose.matrix.ravel())
            self.data.mocap_pos[slot.mocap], self.data.mocap_quat[slot.mocap] = pose.position, quat
            stage.paint_object(self.model, slot, item.colour, rng)
            x, y, z = pose.position.tolist()
            states.append(ObjectState(
                len(states) + 1, item.kind, slot.colour if slot.mesh else item.colour, item.size,
                slot.scale, (x, y, z),
                pose.held, order.index(pose.on) + 1 if pose.on >= 0 else 0))
        self.objects = tuple(states)

    def _set_camera(self) -> None:
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, self.view.axes.ravel())
        self.model.cam_pos[0], self.model.cam_quat[0] = self.view.position, quat
        self.model.cam_fovy[0] = np.rad2deg(self.view.fovy)

    def _set_arm(self, base: np.ndarray, heading: float, arm: ArmPose,
                 rng: np.random.Generator) -> None:
        body = self.model.body('robot_base').id
        self.model.body_pos[body] = base
        self.model.body_quat[body] = (np.cos(heading / 2), 0, 0, np.sin(heading / 2))
        for name, angle in zip(JOINTS, arm.joints):
            self.data.joint(name).qpos = angle
        held = [slot for slot, pose in zip(self.slots, self.poses) if pose.held]
        way = layout.opening(held[0]) if held else rng.uniform(0, OPEN)
        for name in FINGERS:
            self.data.joint(name).qpos = way
