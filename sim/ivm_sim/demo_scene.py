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
A scene that lives: things move, and three instructions about it stay true while they do.

It is an ordinary scene of `ivm_sim`, drawn as those of a dataset are; the first one of a seed that
suits a demo is taken: enough in view, an arm that has room, instructions that are easy to read.
How good masks are in it plays no part.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import ROBOT
from ivm_ros.language.sentence import Sentence
from ivm_ros.language.speaker import Speaker
from ivm_ros.language.things import CLEAR_PIXELS
from ivm_sim.demo_motion import LOOP, Motion, plan_motion
from ivm_sim.scene import Scene
from ivm_sim.seeds import EVAL_SEED
from ivm_sim.sight import see

TRIES = 4000
SMALL = 120, 160  # pixels of the pictures that plans are made with
ELEVATION = np.deg2rad(32), np.deg2rad(58)
CLEAR = 7, 12  # things that are well in view
ROBOT_SHARE = .04, .16  # of the picture
TARGET_SHARE = .006  # of the picture, each target at least
LIGHT = 95, 190  # mean of the picture, of 255
LOWEST_TIP = .15  # metres, so that the hand passes above most things
FEWEST_MOVERS, MOVERS = 3, 5  # things that wander
FEWEST_FOLLOWED = 2  # targets that wander or are carried
CHECKS = 16  # moments of a loop at which targets have to be in view
STAYS = .45  # share of a target's pixels that has to remain in view
SAID = 60  # sentences to choose from
# Kinds of the first, second and third instruction, and what stays true while things move.
KINDS = (('pair',), ('attribute', 'superlative'), ('held', 'all'))
STABLE = {'', 'size', 'goal', 'largest', 'smallest'}
VERBS = {'pick', 'put', 'place', 'move', 'grab', 'take', 'collect', 'gather', 'bring', 'hand',
         'give', 'set', 'get', 'fetch', 'drop', 'lift'}
DEFINITE = {'the', 'all', 'every', 'everything', 'what', 'whatever'}
VAGUE = {'object', 'objects', 'thing', 'things', 'one', 'ones', 'item', 'items'}
LETTERS = 46  # in the longest instruction


class DemoScene:
    """
    A scene in motion. Not thread-safe: GL contexts belong to one thread.

    Args:
        seed: From 900000 on, so that no training data shows it.

    Attributes:
        sentences (tuple[Sentence, ...]): Three, about different things.

    Raises:
        ConfigError: The seed is one of training, or none of its scenes suits.
    """

    def __init__(self, seed: int) -> None:
        if seed < EVAL_SEED:
            raise ConfigError(f'seed: wanted {EVAL_SEED} or more, which training never sees, '
                              f'got {seed}')
        self._scene = Scene(seed)
        self.sentences: tuple[Sentence, ...] = ()
        for index in range(TRIES):
            rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
            motion = self._draw(rng)
            if motion is not None:
                self._motion = motion
                return
        raise ConfigError(f'seed {seed}: none of {TRIES} scenes suits a demo, take another seed')

    def move(self, time: float) -> None:
        """Bring everything to where it is `time` seconds after the start."""
        self._motion.apply(self._scene, time)

    def render(self, height: int, width: int) -> np.ndarray:
        """Picture of the camera, uint8 [H, W, 3]."""
        return self._scene.render(height, width)

    def truth(self, sentence: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Target of a sentence, given by its index, and robot: bool [H, W] each."""
        labels = self._scene.segment(height, width)
        return np.isin(labels, self.sentences[sentence].targets), labels == ROBOT

    @property
    def fovy(self) -> float:
        """Vertical field of view of the camera, radians."""
        return self._scene.view.fovy

    def close(self) -> None:
        """Free the GL contexts."""
        self._scene.close()

    def _draw(self, rng: np.random.Generator) -> Motion | None:
        """Draw a scene, its sentences and what moves in it; None if it does not suit."""
        scene = self._scene
        scene.sample(rng)
        if not ELEVATION[0] < scene.view.elevation < ELEVATION[1]:
            return None
        labels = scene.segment(*SMALL)
        things = see(scene, labels)
        clear, share = sum(thing.clear for thing in things), (labels == ROBOT).mean()
        if not (CLEAR[0] <= clear <= CLEAR[1] and ROBOT_SHARE[0] < share < ROBOT_SHARE[1]
                and LIGHT[0] < scene.render(*SMALL).mean() < LIGHT[1]):
            return None
        self.sentences = choose(
            Speaker(things, rng, slips=0).sentences(SAID, only={*chain.from_iterable(KINDS)}))
        if not self.sentences:
            return None
        named = dict.fromkeys(target for sentence in self.sentences for target in sentence.targets)
        others = [thing.id for thing in things if thing.id not in named]
        motion = plan_motion(scene, [*named, *others], MOVERS, rng)
        if motion is None or motion.swing.tip[2] < LOWEST_TIP:
            return None
        lively = (len(motion.drifts) >= FEWEST_MOVERS
                  and len(motion.things & set(named)) >= FEWEST_FOLLOWED)
        return motion if lively and self._stays_true(motion, labels) else None

    def _stays_true(self, motion: Motion, labels: np.ndarray) -> bool:
        """Tell whether targets stay in view and nothing comes up that was hidden at first."""
        first = np.bincount(labels.ravel(), minlength=256)
        targets = [target for sentence in self.sentences for target in sentence.targets]
        if (first[targets] < TARGET_SHARE * labels.size).any():
            return False
        least = np.maximum(STAYS * first[targets], CLEAR_PIXELS * labels.size)
        for step in range(CHECKS):
            motion.apply(self._scene, LOOP * step / CHECKS)
            counts = np.bincount(self._scene.segment(*SMALL).ravel(), minlength=256)
            if (counts[targets] < least).any() or ((counts > 0) & (first == 0)).any():
                return False
        return True


def choose(sentences: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """Choose one sentence of each of `KINDS`, about different things; () if that fails."""
    chosen: list[Sentence] = []
    for kinds in KINDS:
        fitting = [sentence for sentence in sentences
                   if sentence.kind in kinds and readable(sentence)
                   and not any(set(sentence.targets) & set(other.targets) for other in chosen)]
        # The ones that take more than a colour word show more.
        fitting.sort(key=lambda sentence: (kinds.index(sentence.kind), not sentence.needs))
        if not fitting:
            return ()
        chosen.append(fitting[0])
    return tuple(chosen)


def readable(sentence: Sentence) -> bool:
    """Tell whether a sentence is a short command whose truth does not change with motion."""
    words = sentence.text.lower().strip('.').split()
    return (set(sentence.detail.split()) <= STABLE and words[0] in VERBS
            and len(sentence.text) <= LETTERS and not sentence.text.isupper()
            and not VAGUE & set(words) and bool(DEFINITE & set(words)))
