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
The scripted expert: knows where everything is and moves the hand along a table of waypoints.

It closes the loop on the true state, so a slip is noticed and the goal is tried again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivm_sim.arena import Prop
from ivm_sim.env import TabletopEnv
from ivm_sim.poses import finger_angle
from ivm_sim.tasks import Goal, WAYS

OPEN, CLOSED = 1.0, -1.0
CARRY = .27  # m above the table that the tip travels at
ABOVE = .10  # m above a grip that the hand comes straight down from
BELOW_TIP = .055  # m that a thing may reach up between the fingers
FASTEST = .05  # m a step
TURNING = .35  # rad a step
NEAR, ON_THE_WAY = .008, .03  # m from a waypoint that count as there
PATIENCE = 14  # steps a waypoint may take
ASIDE = .008  # m from a vessel's middle from which a thing lies to one side
SQUARE = ('cube',)  # kinds with two pairs of faces to grip
HANDLED = ('mug',)  # kinds that must be gripped along their own y


@dataclass(frozen=True)
class Waypoint:
    """
    Where the hand goes next.

    Attributes:
        place (np.ndarray): Tip, metres [3].
        gripper (float): -1 closed to 1 open.
        angle (float): About z, rad, modulo half a turn.
        wait (int): Steps to stay there.
        near (float): How near is there, metres.
    """

    place: np.ndarray
    gripper: float
    angle: float
    wait: int = 0
    near: float = NEAR


class Expert:
    """
    A policy that acts by the truth.

    Args:
        env: Whose episodes it acts in.
    """

    def __init__(self, env: TabletopEnv) -> None:
        self._env = env
        self._slow = 10 / env.rate
        self._todo: Iterator[Waypoint] = iter(())
        self._next: Waypoint | None = None
        self._left = self._stay = 0

    def reset(self) -> None:
        """Take up the episode that the environment was just reset to."""
        self._arena, self._judge = self._env.arena, self._env.judge
        self._todo = self._plan()
        self._next, self._gripper = None, OPEN

    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """Return the next action, float32 [7]; the observation is not looked at."""
        if self._next is None or self._arrived(self._next):
            self._next = next(self._todo, self._next)
            self._left = round(PATIENCE / self._slow)
            self._stay = 0 if self._next is None else round(self._next.wait / self._slow)
        if self._next is None:
            return np.array([0, 0, 0, 0, 0, 0, self._gripper], np.float32)
        self._left -= 1
        self._gripper = self._next.gripper
        shift = self._next.place - self._arena.drive.position
        length = float(np.linalg.norm(shift))
        shift *= min(1.0, FASTEST * self._slow / max(length, 1e-9))
        turning = np.clip(_half_turn(self._next.angle - self._angle()), -TURNING * self._slow,
                          TURNING * self._slow)
        return np.array([*shift, 0, 0, turning, self._gripper], np.float32)

    def _arrived(self, waypoint: Waypoint) -> bool:
        tip, _ = self._arena.drive.pose(self._arena.data)
        if np.linalg.norm(waypoint.place - tip) > waypoint.near and self._left > 0:
            return False
        self._stay -= 1
        return self._stay < 0

    def _angle(self) -> float:
        """Direction in which the fingers close, as the hand is wanted."""
        return float(finger_angle(self._arena.drive.quat))

    # --- plans -------------------------------------------------------------------------------

    def _plan(self) -> Iterator[Waypoint]:
        """List waypoints goal by goal, and again what did not succeed."""
        while True:
            open_goals = [goal for goal in self._judge.assignment.goals
                          if not self._judge.reached(goal)]
            if not open_goals:
                yield self._rest()
                continue
            for goal in open_goals:
                yield from self._push(goal) if goal.verb == 'push' else self._carry(goal)

    def _rest(self) -> Waypoint:
        return Waypoint(self._arena.drive.position.copy(), self._gripper, self._angle(), 1)

    def _carry(self, goal: Goal) -> Iterator[Waypoint]:
        prop = self._arena.props[goal.thing - 1]
        place, angle = self._arena.position(goal.thing), self._grip_angle(prop)
        grip = np.array([*place[:2], place[2] + self._grip_height(prop)])
        up = np.array([0, 0, 1.0])
        above = np.array([*grip[:2], max(CARRY - .05, grip[2] + ABOVE)])
        yield Waypoint(above, OPEN, angle, near=ON_THE_WAY)
        yield Waypoint(grip + ABOVE / 2 * up, OPEN, angle, near=ON_THE_WAY / 2)
        yield Waypoint(grip, OPEN, angle)
        yield Waypoint(grip, CLOSED, angle, 3)
        lift = np.array([*grip[:2], CARRY])
        if goal.verb == 'lift':
            yield Waypoint(lift, CLOSED, angle, 2)
            return
        yield Waypoint(lift, CLOSED, angle, near=ON_THE_WAY)
        if self._arena.touched(goal.thing) < 2:
            return  # it slipped: begin again
        yield from self._lower(goal, grip[2] - place[2], angle)

    def _lower(self, goal: Goal, hold: float, angle: float) -> Iterator[Waypoint]:
        below = self._arena.props[goal.onto - 1]
        base = self._arena.position(goal.onto)
        if goal.verb == 'stack':
            angle = self._grip_angle(below)
        beside = self._beside(goal, below)
        together = bool(beside.any())
        if together:  # fingers side by side with the other thing, not towards it
            angle = angle + _half_turn(float(np.arctan2(beside[0], -beside[1])) - angle)
        release = self._release() if together else OPEN
        target = base[:2] + beside
        tip, _ = self._arena.drive.pose(self._arena.data)
        slip = tip[:2] - self._arena.position(goal.thing)[:2]  # where it hangs between the fingers
        x, y = target + np.clip(slip, -.02, .02) - self._lopsided(goal.thing)
        floor = base[2] + (below.bounds.height if goal.verb == 'stack' else .012)
        # A vessel's rim is passed from above; hand and fingers stay above a deep one's rim.
        low = max(floor + hold + .006, base[2] + below.bounds.height - .06)
        yield Waypoint(np.array([x, y, CARRY]), CLOSED, angle, near=ON_THE_WAY)
        yield Waypoint(np.array([x, y, low + .05]), CLOSED, angle, near=ON_THE_WAY / 2)
        yield Waypoint(np.array([x, y, low]), CLOSED, angle, 1)
        yield Waypoint(np.array([x, y, low]), release, angle, 2)
        yield Waypoint(np.array([x, y, low + .10]), release, angle, near=ON_THE_WAY)

    def _release(self) -> float:
        """Open just enough to let go, since another thing may be near."""
        width = self._arena.drive.opening(self._arena.data)
        return float(min(1.0, 2 * (width + .2) - 1))

    def _beside(self, goal: Goal, below: Prop) -> np.ndarray:
        """Two things in one vessel lie side by side; metres [2] from its middle."""
        goals = [other for other in self._judge.assignment.goals if other.onto == goal.onto]
        if len(goals) < 2:
            return np.zeros(2)
        away = np.array([0.0, 1.0 if goals.index(goal) else -1.0])
        for other in goals:
            if other is not goal and self._judge.reached(other):  # it may have rolled
                lies = (self._arena.position(other.thing) - self._arena.position(goal.onto))[:2]
                if np.linalg.norm(lies) > ASIDE:
                    away = -lies / np.linalg.norm(lies)
        return .30 * below.bounds.body_radius * away

    def _lopsided(self, thing: int) -> np.ndarray:
        """How far the middle of a thing with a handle is from its own origin; metres [2]."""
        prop = self._arena.props[thing - 1]
        if prop.item.kind not in HANDLED:
            return np.zeros(2)
        ends = [(x - radius, x + radius) for x, _, radius in prop.bounds.discs]
        middle = (min(low for low, _ in ends) + max(high for _, high in ends)) / 2
        return np.asarray(self._arena.matrix(thing)[:2, 0] * middle)

    def _place_of(self, thing: int) -> np.ndarray:
        """Where a thing to be pushed is, metres [3]; a policy that has to look overrides it."""
        return self._arena.position(thing)

    def _push(self, goal: Goal) -> Iterator[Waypoint]:
        prop = self._arena.props[goal.thing - 1]
        way = np.asarray(WAYS[goal.way])
        place = self._place_of(goal.thing)
        angle = float(np.arctan2(way[0], way[1]))  # fingers side by side across the way
        height = min(max(.02, .4 * prop.bounds.height), .035)
        start = place[:2] - way * (prop.bounds.radius + .035)
        end = place[:2] + way * (.125 - prop.bounds.body_radius)
        yield Waypoint(np.array([*start, CARRY - .05]), CLOSED, angle)
        yield Waypoint(np.array([*start, height]), CLOSED, angle, 1)
        for share in np.linspace(.25, 1, 4):
            yield Waypoint(np.array([*(start + share * (end - start)), height]), CLOSED, angle)
        yield Waypoint(np.array([*(end - .03 * way), height + ABOVE]), CLOSED, angle)

    # --- grips -------------------------------------------------------------------------------

    def _grip_height(self, prop: Prop) -> float:
        """Height of the tip above the thing's foot when it is gripped."""
        tall = prop.bounds.height
        return max(.018, .5 * tall, tall - BELOW_TIP)

    def _grip_angle(self, prop: Prop) -> float:
        """Direction in which the fingers close on a thing, the nearest that fits."""
        matrix = self._arena.matrix(prop.id)
        own = float(np.arctan2(matrix[1, 1], matrix[0, 1]))  # its y axis
        now = self._angle()
        if prop.item.kind in SQUARE:
            return now + (own - now + np.pi / 4) % (np.pi / 2) - np.pi / 4
        if prop.item.kind in HANDLED or prop.bounds.narrow < 1.6 * prop.bounds.radius:
            return now + _half_turn(own - now)
        return now


def _half_turn(angle: float) -> float:
    """Bring an angle into [-pi/2, pi/2] by half turns, which a gripper cannot tell apart."""
    return float((angle + np.pi / 2) % np.pi - np.pi / 2)
