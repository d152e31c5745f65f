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
`IvmTabletop-v0`: a gymnasium environment of a cluttered table, an arm, and a sentence.

    env = gymnasium.make('ivm_sim:IvmTabletop-v0', task='put', clutter='many')
"""

from difflib import get_close_matches
from typing import Any

import gymnasium
from gymnasium import spaces
import numpy as np

from ivm_ros.config import ConfigError
from ivm_sim.arena import Arena, CAMERAS
from ivm_sim.clutter import lay_out, UNSEEN
from ivm_sim.drive import ARMS, PRIMITIVE
from ivm_sim.looks import unseen_look, usual_look
from ivm_sim.suites import LEVELS
from ivm_sim.tasks import Assignment, Judge, TASKS
from ivm_sim.truth import Truth

ID = 'IvmTabletop-v0'
RATES = (10, 20)  # Hz
LONGEST = {1: 9.0, 2: 15.0}  # s, by number of goals
SHIFT, TURN = .05, .5  # m and rad that an action may ask for, at 10 Hz
PROPRIO = 15
LETTERS = ''.join(map(chr, range(32, 127)))


def action_limit(rate: int) -> np.ndarray:
    """Give the largest action at a rate in Hz, float32 [7]."""
    return np.array([SHIFT * 10 / rate] * 3 + [TURN * 10 / rate] * 3 + [1.0], np.float32)


class TabletopEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """
    One episode: reach what the instruction asks.

    Observations: `front` and `wrist`, uint8 [S, S, 3], where pictures are on; `proprio`, float32
    [15]: place of the tip (m), its quaternion wxyz, opening in [0, 1], then place and quaternion
    that were asked for last; `instruction`, text.
    Actions: float32 [7]: shift of the hand (m, world), its turn (rotation vector in rad, world),
    gripper from -1 (closed) to 1 (open). What goes beyond the range is cut to it and counted in
    `info['clipped']`. Reward: 1 on success, which ends the episode; else 0.

    Args:
        task: Key of `tasks.TASKS`.
        clutter: Entry of `clutter.LEVELS`.
        size: S, pixels.
        rate: Steps a second, 10 or 20.
        pictures: Off: the observation has no pictures, which saves most of the time.
        wrist: Off: it has no picture of the wrist's camera, which saves a third of it.
        masks: `info['truth']` has the true masks of the front camera, see `Truth`.
        render_mode: 'rgb_array': `render` gives the front picture.
        arm: Key of `drive.ARMS`: 'primitive', or 'ur5e', of meshes, which takes longer to draw.

    Raises:
        ConfigError: A name is unknown; the message has the nearest one.
        GLError: Pictures are wanted and no OpenGL backend works.
    """

    action_space: spaces.Box
    observation_space: spaces.Dict
    metadata = {'render_modes': ['rgb_array'], 'render_fps': 10}  # noqa: RUF012 (gymnasium's)

    def __init__(self, task: str = 'put', clutter: str = 'none', size: int = 128, rate: int = 10,
                 pictures: bool = True, masks: bool = False, render_mode: str | None = None,
                 wrist: bool = True, arm: str = PRIMITIVE) -> None:
        for label, value, known in (('task', task, tuple(TASKS)), ('clutter', clutter, LEVELS),
                                    ('arm', arm, tuple(ARMS))):
            if value not in known:
                near = get_close_matches(str(value), known, 1)
                raise ConfigError(f'{ID}: no {label} {value!r}'
                                  + (f', did you mean {near[0]!r}?' if near else '')
                                  + f' Known: {", ".join(known)}')
        if rate not in RATES:
            raise ConfigError(f'{ID}: wanted a rate of 10 or 20 Hz, got {rate}')
        self.task, self.clutter, self.size, self.rate = task, clutter, size, rate
        self.pictures, self.masks, self.render_mode = pictures, masks, render_mode
        self.arm = arm
        self._cameras = CAMERAS if pictures and wrist else CAMERAS[:1] if pictures else ()
        views = {camera: spaces.Box(0, 255, (size, size, 3), np.uint8)
                 for camera in self._cameras}
        self.observation_space = spaces.Dict({
            **views, 'proprio': spaces.Box(-2, 2, (PROPRIO,), np.float32),
            'instruction': spaces.Text(200, min_length=1, charset=LETTERS)})
        self._high = action_limit(rate)
        self._low = np.negative(self._high)
        self.action_space = spaces.Box(self._low, self._high, (7,), np.float32)
        self._arena: Arena | None = None
        self._truths: dict[str, Truth] = {}  # of this step
        self.clipped = 0

    @property
    def arena(self) -> Arena:
        """The world of this episode."""
        if self._arena is None:
            raise RuntimeError(f'{ID}: call reset() first')
        return self._arena

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None
              ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Draw a new episode; equal seeds give equal ones."""
        super().reset(seed=seed)
        rng = self.np_random
        self.close()
        self.assignment: Assignment = TASKS[self.task](rng)
        items, shapes, places = lay_out(rng, self.assignment, self.clutter)
        look = unseen_look(rng) if self.clutter in UNSEEN else usual_look(rng)
        self._arena = Arena(items, shapes, self.assignment.receivers, look, rng,
                            self.arm, len(self.assignment.items))
        self.arena.reset(places.poses)
        self.arena.sliding = places.slides
        self.judge = Judge(self.assignment, self.arena)
        self._truths.clear()
        self._steps = self.clipped = 0
        self._limit = round(LONGEST[len(self.assignment.goals)] * self.rate)
        return self._observe(), self._info(False)

    def step(self, action: np.ndarray
             ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """
        Act for one step.

        Raises:
            ValueError: The action has another shape or is not finite.
        """
        asked = np.asarray(action, np.float64)
        if asked.shape != (7,) or not np.isfinite(asked).all():
            raise ValueError(f'{ID}: wanted a finite action [7], got {list(asked.shape)}: '
                             f'{np.array2string(asked, precision=3, threshold=8)}')
        done = np.clip(asked, self._low, self._high)
        self.clipped += int(np.abs(done - asked).max() > 1e-6)
        self.arena.step(done[:3], done[3:6], float(done[6]), 1 / self.rate)
        self._steps += 1
        self._truths.clear()
        success = self.judge.done()
        return (self._observe(), float(success), success, self._steps >= self._limit,
                self._info(success))

    def render(self) -> np.ndarray:
        """Picture of the front camera, uint8 [S, S, 3]."""
        return self.arena.render('front', self.size)

    def truth(self, camera: str = 'front') -> Truth:
        """Give the true masks of a camera's view."""
        if camera not in self._truths:
            self._truths[camera] = Truth(self.arena.segment(camera, self.size),
                                         self.assignment.targets)
        return self._truths[camera]

    def close(self) -> None:
        """Free the world of this episode."""
        if self._arena is not None:
            self._arena.close()
            self._arena = None

    def _observe(self) -> dict[str, Any]:
        place, quat = self.arena.drive.pose(self.arena.data)
        opening = self.arena.drive.opening(self.arena.data)
        views = {camera: self.arena.render(camera, self.size) for camera in self._cameras}
        drive = self.arena.drive
        proprio = np.array([*place, *quat, opening, *drive.position, *drive.quat], np.float32)
        return {**views, 'proprio': proprio,
                'instruction': self.assignment.instruction}

    def _info(self, success: bool) -> dict[str, Any]:
        info: dict[str, Any] = {
            'is_success': success, 'clipped': self.clipped,
            'positions': {f'{prop.id} {prop.item.colour} {prop.item.kind}':
                          self.arena.position(prop.id) for prop in self.arena.props}}
        if self.masks:
            info['truth'] = self.truth()
        return info
