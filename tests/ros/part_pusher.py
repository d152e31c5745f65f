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
How well a policy pushes machine parts that it sees through a mask.

    part_pusher.py WEIGHTS...    # prints, for each of them, the share of episodes won

The policy knows nothing but the picture that `ivm_node` would publish: it pushes what that shows.
"""

from contextlib import closing
import sys

from machine_parts import parts, set_up_workshop
import numpy as np

from ivm_ros.deploy import apply, DeployConfig
from ivm_ros.masker import Masker, MaskerConfig
from ivm_sim import clutter, tasks
from ivm_sim.env import TabletopEnv
from ivm_sim.expert import Expert
from ivm_sim.masked import MaskSource, TruthMasker
from ivm_sim.policy import run
from ivm_sim.sampler import Item

SEED, EPISODES = 900_400, 24
SIZE = 192
SHOWN = DeployConfig(color=(0, 0, 0), dilation=0, feather=0, keep_robot=False)
HEIGHT = .02
"""Of what is seen above the table, m; a guess that holds for all parts."""


class Pusher(Expert):
    """
    Pushes as the expert does, from where a masked picture shows something.

    Args:
        env: Whose episodes it acts in.
        masker: Makes the masks.
    """

    def __init__(self, env: TabletopEnv, masker: MaskSource) -> None:
        super().__init__(env)
        self._masker = masker

    def _place_of(self, thing: int) -> np.ndarray:
        picture = self._env.render()
        mask = self._masker(picture, self._env.assignment.instruction)
        rows, columns = np.nonzero(apply(picture, mask, SHOWN).image.any(2))
        if not len(rows):
            return np.zeros(3)
        # Along the rays of the pixels that are not black, down to the table.
        model, eye = self._arena.model, self._arena.data.camera('front')
        focal = SIZE / 2 / np.tan(np.deg2rad(model.camera('front').fovy[0]) / 2)
        across, down = ((places + .5 - SIZE / 2) / focal for places in (columns, rows))
        rays = np.stack([across, -down, -np.ones(len(rows))], 1) @ eye.xmat.reshape(3, 3).T
        away = (HEIGHT - eye.xpos[2]) / rays[:, 2]
        return np.median(eye.xpos + away[:, None] * rays, 0)


def set_up_table() -> None:
    """Have episodes of this process be about a part, with the other three beside it."""
    set_up_workshop()

    def assign(rng: np.random.Generator) -> tasks.Assignment:
        part, way = str(rng.choice([*parts()])), str(rng.choice([*tasks.WAYS]))
        return tasks.Assignment((Item(part, 'gray', 'normal'),), (tasks.Goal(
            'push', 1, way=way),), f'push the {part} to the {way}')

    tasks.TASKS['part'] = assign
    clutter.draw_distractors = lambda rng, level, assignment: [
        Item(part, 'gray', 'normal') for part in parts() if part != assignment.items[0].kind]


def success(weights: str) -> float:
    """Give the share of episodes that are won with weights, or by the truth for 'truth'."""
    with closing(TabletopEnv('part', 'many', SIZE, pictures=False)) as env:
        masker = TruthMasker(env) if weights == 'truth' else Masker(MaskerConfig(
            weights, device='cpu', threads=1))
        pusher = Pusher(env, masker)
        return float(np.mean([[*run(env, pusher, SEED + number)][-1].success
                              for number in range(EPISODES)]))


if __name__ == '__main__':
    set_up_table()
    for given in sys.argv[1:]:
        print(success(given), flush=True)
