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
"""Tasks, clutter and the expert: what may lie where, when a task is done, who can do it."""

from dataclasses import replace

import numpy as np
import pytest

from ivm_sim.arena import Slide
from ivm_sim.clutter import confusable, HAND, lay_out, UNSEEN
from ivm_sim.env import TabletopEnv
from ivm_sim.expert import Expert
from ivm_sim.looks import unseen_look, USUAL, usual_look
from ivm_sim.sampler import Item
from ivm_sim.solids import bounds_of
from ivm_sim.suites import COUNTS, LEVELS
from ivm_sim.tasks import Assignment, Goal, PAPER, TASKS

CUP, PLATE = Item('cup', 'red', 'normal'), Item('plate', 'red', 'normal')


@pytest.fixture
def world():
    """Give an environment without pictures, its objects to be moved by hand."""
    envs = []

    def make(task, seed=0, **settings):
        envs.append(TabletopEnv(task=task, pictures=False, **settings))
        envs[-1].reset(seed=seed)
        return envs[-1]
    yield make
    for env in envs:
        env.close()


def put(env, thing, place):
    """Put a thing somewhere and let it come to rest."""
    joint = env.arena.data.joint(env.arena.props[thing - 1].name)
    joint.qpos[:3], joint.qvel[:] = place, 0
    for _ in range(8):
        env.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))


# --- success is a function of state -----------------------------------------------------------

def test_a_cup_is_on_the_plate_when_it_stands_there(world):
    env = world('cup_on_plate')
    assert not env.judge.done()
    x, y, z = env.arena.position(2)
    put(env, 1, (x, y, z + .03))
    assert env.judge.done()
    put(env, 1, (x + .16, y, z + .03))
    assert not env.judge.done()


def test_a_thing_above_its_place_is_not_there(world):
    env = world('duck_in_pot')
    x, y, _ = env.arena.position(2)
    env.arena.data.joint('thing_1').qpos[:3] = (x, y, .3)
    env.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    assert not env.judge.done()


def test_a_duck_falls_into_the_pot_not_onto_it(world):
    env = world('duck_in_pot')
    x, y, z = env.arena.position(2)
    put(env, 1, (x, y, .12))
    assert env.judge.done()
    assert env.arena.position(1)[2] - z < .4 * env.arena.props[1].bounds.height


def test_pushed_is_a_matter_of_direction(world):
    env = world('push', seed=2)
    way = env.assignment.goals[0].way
    x, y, z = env.arena.position(1)
    sign = {'left': -1, 'right': 1}[way]
    put(env, 1, (x, y - sign * .1, z))
    assert not env.judge.done()
    put(env, 1, (x, y + sign * .1, z))
    assert env.judge.done()


@pytest.mark.slow
def test_left_is_left_in_the_picture():
    env = TabletopEnv(task='push', masks=True)
    env.reset(seed=0)
    before = np.argwhere(env.truth().target)[:, 1].mean()
    x, y, z = env.arena.position(1)
    put(env, 1, (x, y - .08, z))  # left, as tasks.WAYS has it
    assert np.argwhere(env.truth().target)[:, 1].mean() < before
    env.close()


def test_two_things_must_both_be_there(world):
    env = world('two')
    x, y, z = env.arena.position(3)
    put(env, 1, (x, y - .03, z + .03))
    assert env.judge.reached(env.assignment.goals[0]) and not env.judge.done()
    put(env, 2, (x, y + .03, z + .03))
    assert env.judge.done()


def test_a_relation_holds_where_things_stand(world):
    for seed in range(5):
        env = world('relation', seed)
        anchor, near, far = (env.arena.position(thing)[:2] for thing in env.assignment.near)
        assert np.linalg.norm(near - anchor) + .05 < np.linalg.norm(far - anchor)
        assert env.assignment.items[0] == env.assignment.items[1]


# --- clutter ---------------------------------------------------------------------------------

def test_who_may_be_taken_for_whom():
    assert confusable(Item('cup', 'pink', 'normal'), CUP)  # red or pink
    assert confusable(Item('mug', 'red', 'normal'), CUP)  # cup or mug
    assert not confusable(Item('mug', 'green', 'normal'), CUP)
    assert not confusable(Item('cube', 'red', 'normal'), CUP)
    assert confusable(Item('mug', 'green', 'normal'), CUP, by_kind=True)


@pytest.mark.parametrize('level', LEVELS)
def test_distractors_are_as_many_as_said_and_mean_nothing_named(level):
    low, high = COUNTS[level]
    decoys = total = 0
    for seed in range(12):
        task = list(TASKS)[seed % len(TASKS)]
        rng = np.random.default_rng(seed)
        assignment = TASKS[task](rng)
        items, shapes, places = lay_out(rng, assignment, level)
        extra = items[len(assignment.items):]
        assert low <= len(extra) <= high and len(places.poses) == len(items) == len(shapes)
        for item in extra:
            assert not any(confusable(item, named, assignment.near is not None)
                           for named in assignment.items)
            decoys += any(item.colour == named.colour or item.kind == named.kind
                          for named in assignment.items)
        total += len(extra)
        assert bool(places.slides) == (level in ('moving', 'all'))
    assert not total or decoys > total / 3


def test_nothing_stands_where_the_hand_must_go():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assignment = TASKS[PAPER[seed % 4]](rng)
        _, shapes, places = lay_out(rng, assignment, 'many')
        sizes = [bounds_of(parts) for parts in shapes]
        for thing, (x, y, _) in places.poses.items():
            for other, (ox, oy, _) in places.poses.items():
                away = np.hypot(x - ox, y - oy)
                if other == thing:
                    continue
                body = sizes[other - 1].body_radius
                assert away > sizes[thing - 1].body_radius + body
                assert thing != 1 or away > HAND + body


@pytest.mark.slow
def test_things_stay_where_they_were_put(world):
    """Nothing overlaps so that it is thrown about, or topples at rest."""
    for seed in range(4):
        env = world('put', seed, clutter='many')
        for prop in env.arena.props:
            assert env.arena.position(prop.id)[2] < .01
            assert env.arena.speed(prop.id) < .02


def test_what_slides_comes_back(world):
    slide = Slide((.1, .2), (0, 1), .04, 2.0)
    assert slide.at(0)[0].tolist() == [.1, .2]
    np.testing.assert_allclose(slide.at(1.0)[0], [.1, .24])
    np.testing.assert_allclose(slide.at(.5)[1], [0, .04 * np.pi / 2])
    env = world('pick', 3, clutter='moving')
    places = []
    for _ in range(12):
        env.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
        places.append({thing: env.arena.position(thing)[:2] for thing in env.arena.sliding})
    for thing in env.arena.sliding:
        assert max(np.linalg.norm(place[thing] - places[0][thing]) for place in places) > .015


def test_unseen_looks_have_other_tables():
    rng = np.random.default_rng(0)
    assert {usual_look(rng).table for _ in range(20)} == set(USUAL)
    assert not {unseen_look(rng).table for _ in range(40)} & set(USUAL)
    assert usual_look(rng).surfaces != unseen_look(rng).surfaces
    assert UNSEEN == ('look', 'all')


# --- the expert ------------------------------------------------------------------------------

def succeeds(task, level, seed, rate=10):
    env = TabletopEnv(task=task, clutter=level, pictures=False, rate=rate)
    env.reset(seed=seed)
    expert = Expert(env)
    expert.reset()
    while True:
        _, _, done, late, info = env.step(expert.act({}))
        if done or late:
            env.close()
            assert info['clipped'] == 0
            return done


@pytest.mark.slow
@pytest.mark.parametrize('task', TASKS)
def test_the_expert_does_every_task_at_every_level(task):
    failed = [(level, seed) for number, level in enumerate(LEVELS)
              for seed in range(10 * number, 10 * number + 2) if not succeeds(task, level, seed)]
    assert not failed


@pytest.mark.slow
def test_the_expert_is_as_good_at_twenty_hertz():
    assert sum(succeeds('put', 'few', seed, 20) for seed in range(5)) >= 4


def test_an_assignment_knows_its_targets():
    assignment = Assignment((CUP, CUP, PLATE), (Goal('put', 1, 3), Goal('put', 2, 3)), 'both')
    assert assignment.targets == (1, 2, 3) and assignment.receivers == {2}
    assert replace(assignment, goals=(Goal('lift', 2),)).targets == (2,)
