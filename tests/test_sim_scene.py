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
What stands on the table and what the camera shows of it.

Masks are held against MuJoCo's own renderer, places against its collision geometry.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import cv2
import numpy as np
import pytest

from ivm_ros.data.shards import ROBOT
from ivm_ros.language.nouns import NOUNS
from ivm_sim.mj import mujoco
from ivm_sim.objects import KINDS, RGB
from ivm_sim.scene import ObjectState, Scene
from ivm_sim.sight import see

HIDDEN = 4  # geom group of what a scene does not use
VIVID = ('red', 'orange', 'yellow', 'green', 'teal', 'blue', 'purple', 'pink')


@pytest.fixture(scope='module')
def scene() -> Iterator[Scene]:
    """Compile one scene for all tests; each draws it anew."""
    scene = Scene(3)
    yield scene
    scene.close()


def draws(scene: Scene, count: int) -> Iterator[int]:
    """Draw `count` scenes, one after the other."""
    for index in range(count):
        scene.sample(np.random.default_rng([3, index]))
        yield index


@lru_cache
def bodies(scene: Scene) -> dict[str, list[int]]:
    """Geoms by the name of their body; the arm's bodies count as one, 'robot'."""
    geoms: dict[str, list[int]] = {}
    for geom, body in enumerate(scene.model.geom_bodyid):
        name = scene.model.body(body).name
        geoms.setdefault('robot' if name.startswith('robot') else name, []).append(geom)
    return geoms


def geoms_by_id(scene: Scene) -> dict[int, list[int]]:
    """Geoms of every thing in the scene, found by the place and kind of its body."""
    shown = {}
    for name, geoms in bodies(scene).items():
        kind = name.rpartition('_')[0]
        if kind in KINDS and scene.model.geom_group[geoms[0]] != HIDDEN:
            place = scene.data.xpos[scene.model.geom_bodyid[geoms[0]]]
            label, = (state.id for state in scene.objects if state.kind == kind
                      and np.allclose(state.position, place, atol=1e-9))
            shown[label] = geoms
    assert len(shown) == len(scene.objects)
    return shown


@dataclass(frozen=True)
class Shot:
    """One drawn scene: masks [H, W], colours [H, W, 3] and what it says it holds."""

    labels: np.ndarray
    picture: np.ndarray
    objects: tuple[ObjectState, ...]


@pytest.fixture(scope='module')
def shots(scene: Scene) -> list[Shot]:
    """Render some scenes."""
    return [Shot(scene.segment(), scene.render(), scene.objects) for _ in draws(scene, 40)]


@pytest.mark.slow
def test_masks_are_those_of_mujocos_own_renderer(scene):
    """Every pixel of 5 pictures; the arm's mask is the union of the geoms of its bodies."""
    scene.segment()
    scene.model.vis.quality.offsamples = 0
    options = mujoco.MjvOption()
    options.geomgroup[:] = 1
    options.geomgroup[HIDDEN] = 0
    arm = bodies(scene)['robot']
    assert len(arm) >= 10
    with mujoco.Renderer(scene.model, 192, 256) as renderer:
        renderer.enable_segmentation_rendering()
        for _ in draws(scene, 5):
            renderer.update_scene(scene.data, 'camera', options)
            geom, sort = np.moveaxis(renderer.render(), 2, 0)
            wanted = np.zeros(geom.shape, np.uint8)
            wanted[np.isin(geom, arm) & (sort == mujoco.mjtObj.mjOBJ_GEOM)] = ROBOT
            for label, geoms in geoms_by_id(scene).items():
                wanted[np.isin(geom, geoms)] = label
            assert np.array_equal(scene.segment(), wanted)


def test_most_pictures_show_the_arm_and_none_is_full_of_it(shots):
    shares = np.array([(shot.labels == ROBOT).mean() for shot in shots])
    assert (shares > .01).mean() > .8
    assert np.median(shares) < .2


def test_every_kind_is_drawn_large_enough_to_see(shots):
    most = dict.fromkeys(KINDS, 0)
    for shot in shots:
        pixels = np.bincount(shot.labels.ravel(), minlength=256)
        for state in shot.objects:
            most[state.kind] = max(most[state.kind], int(pixels[state.id]))
    assert len(most) == 40
    assert min(most.values()) > 200, most


@pytest.mark.slow
@pytest.mark.parametrize(('height', 'width'), [(192, 256), (240, 180)])
def test_masks_lie_on_the_edges_of_the_colour_picture(scene, height, width):
    """Moved by one pixel to any side, they fit less than half as well."""
    fit = dict.fromkeys([(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)], 0.0)
    for _ in draws(scene, 6):
        labels = scene.segment(height, width)
        picture = scene.render(height, width).astype(np.int32)
        assert labels.shape == picture.shape[:2] == (height, width)
        for axis in (0, 1):
            contrast = np.abs(np.diff(picture, axis=axis)).sum(2)
            edges = np.diff(labels.astype(int), axis=axis) != 0
            for shift in fit:
                fit[shift] += contrast[np.roll(edges, shift, (0, 1))].mean()
    assert all(2 * fit[shift] < fit[0, 0] for shift in fit if shift != (0, 0)), fit


def test_things_have_the_colour_they_are_called(shots):
    """At least two fifths of a vivid thing's pixels are within 25 degrees of its hue."""
    shares = []
    for shot in shots:
        hues = cv2.cvtColor(np.float32(shot.picture) / 255, cv2.COLOR_RGB2HSV)
        for state in shot.objects:
            mine = hues[shot.labels == state.id]
            if state.colour in VIVID and len(mine) > 150:
                hue = cv2.cvtColor(np.float32([[RGB[state.colour]]]), cv2.COLOR_RGB2HSV)
                away = np.abs((mine[:, 0] - hue[0, 0, 0] + 180) % 360 - 180)
                shares.append(((away < 25) & (mine[:, 1] > .25)).mean())
    assert len(shares) > 100
    assert np.mean(np.array(shares) > .4) > .97


def gap(scene: Scene, one: list[int], other: list[int]) -> float:
    """Distance between two sets of geoms in metres, below 0 where they overlap; at most .05."""
    model, data = scene.model, scene.data
    best = .05
    for a in one:
        near = np.linalg.norm(data.geom_xpos[other] - data.geom_xpos[a], axis=1)
        for b in np.array(other)[near < model.geom_rbound[a] + model.geom_rbound[other] + .05]:
            best = min(best, mujoco.mj_geomDistance(model, data, a, int(b), best, None))
    return best


@pytest.mark.slow
def test_things_do_not_go_through_each_other(scene):
    """Things that stand side by side never overlap; in 1 of 100 the arm may lie over one."""
    arm, pierced, count = bodies(scene)['robot'], 0, 0
    for index in draws(scene, 30):
        geoms = geoms_by_id(scene)
        for one, other in combinations(scene.objects, 2):
            if other.id != one.on and one.id != other.on:
                space = gap(scene, geoms[one.id], geoms[other.id])
                assert space > 0, (index, one, other)
        for state in scene.objects:
            space = gap(scene, geoms[state.id], arm)
            count += 1
            pierced += space < -.005
            if state.held:
                assert -.005 < space < .02, state  # the fingers touch it
    assert pierced <= .02 * count


@pytest.mark.slow
def test_things_stand_on_the_table_or_in_what_holds_them(scene):
    nested = 0
    for _ in draws(scene, 60):
        by_id = {state.id: state for state in scene.objects}
        low_of = {label: lowest(scene, geoms) for label, geoms in geoms_by_id(scene).items()}
        for state in scene.objects:
            low = low_of[state.id]
            if state.on:
                holder = by_id[state.on]
                nested += 1
                assert NOUNS[holder.kind].into
                assert 0 < low - low_of[holder.id] < .08
                assert np.linalg.norm(np.subtract(state.position, holder.position)[:2]) < .08
            elif state.held:
                assert low > .005
            else:
                assert abs(low) < .002, state
    assert nested > 10


def lowest(scene: Scene, geoms: list[int]) -> float:
    """Height of the lowest point of some geoms in metres."""
    model, data = scene.model, scene.data
    low = []
    for geom in geoms:
        turn = data.geom_xmat[geom].reshape(3, 3)
        size, sort = model.geom_size[geom], model.geom_type[geom]
        if sort == mujoco.mjtGeom.mjGEOM_MESH:
            mesh = model.mesh(model.geom_dataid[geom])
            points = model.mesh_vert[mesh.vertadr[0]:mesh.vertadr[0] + mesh.vertnum[0]]
            deep = -(points @ turn[2]).min()
        elif sort == mujoco.mjtGeom.mjGEOM_BOX:
            deep = np.abs(turn[2]) @ size
        elif sort == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            deep = np.linalg.norm(turn[2] * size)
        else:  # capsule or cylinder
            round_ = sort == mujoco.mjtGeom.mjGEOM_CAPSULE
            side = size[0] * (1 if round_ else np.hypot(*turn[2, :2]))
            deep = side + abs(turn[2, 2]) * size[1]
        low.append(data.geom_xpos[geom, 2] - deep)
    return min(low)


@pytest.mark.slow
def test_a_draw_depends_on_its_generator_alone(scene):
    """Whatever was drawn before, and in whatever size it was rendered."""
    pictures = []
    for history in ((), (5, 6), (9,)):
        for seed in history:
            scene.sample(np.random.default_rng(seed))
            scene.render(64, 64)
        scene.sample(np.random.default_rng(4))
        pictures.append((scene.render(), scene.segment(), scene.objects))
    for picture, labels, objects in pictures[1:]:
        assert np.array_equal(picture, pictures[0][0])
        assert np.array_equal(labels, pictures[0][1])
        assert objects == pictures[0][2]


@pytest.mark.slow
def test_what_is_seen_of_a_thing_lies_within_its_silhouette(scene):
    whole = []
    for _ in draws(scene, 20):
        labels = scene.segment()
        for thing in see(scene, labels):
            assert thing.pixels == (labels == thing.id).sum()
            assert thing.pixels <= 1.1 * thing.full + 10, thing
            whole.append(thing.pixels > .9 * thing.full)
    assert np.mean(whole) > .3  # many stand free


@pytest.mark.slow
def test_scenes_differ_in_number_and_hold_things_sometimes(scene):
    states = [scene.objects for _ in draws(scene, 60)]
    counts = [len(objects) for objects in states]
    assert min(counts) >= 3 and max(counts) <= 20 and len(set(counts)) >= 10
    held = [sum(state.held for state in objects) for objects in states]
    assert set(held) == {0, 1}
    assert .03 < np.mean(held) < .3
