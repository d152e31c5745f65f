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
Pictures with sentences about them, and their rows in a dataset.

Scene i of seed S draws from `SeedSequence([S, i])` alone, and its variant of the model follows
from i: whatever was drawn before, on however many processes, the picture is the same.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ivm_ros.data.holdout import ask, Holdout
from ivm_ros.data.scene_rows import scene_rows
from ivm_ros.data.shards import ROBOT, Row
from ivm_ros.language.sentence import Sentence
from ivm_ros.language.speaker import Speaker
from ivm_ros.language.things import Thing
from ivm_sim.scene import Scene
from ivm_sim.sight import see
from ivm_sim.style import Style

SCENES_PER_VARIANT = 256  # other proportions and textures after so many scenes
FEWEST_CLEAR = 3
MOST_ROBOT = .40  # of the picture


@dataclass(frozen=True)
class Picture:
    """
    One rendered scene with its sentences.

    Attributes:
        image (np.ndarray): uint8 [H, W, 3].
        labels (np.ndarray): uint8 [H, W], ids of `Scene.segment`.
        things (list[Thing]): What is visible.
        sentences (list[Sentence]): Different sentences, with the ids they mean.
        camera (dict[str, float]): Azimuth, elevation, field of view (rad), distance (m).
    """

    image: np.ndarray
    labels: np.ndarray
    things: list[Thing]
    sentences: list[Sentence]
    camera: dict[str, float]


def draw_picture(scene: Scene, rng: np.random.Generator, sentences: int, height: int = 192,
                 width: int = 256, relations: float = 1.0, holdout: Holdout = Holdout()
                 ) -> Picture:
    """Vary a scene until enough of it is visible, render it and make sentences about it."""
    while True:
        scene.sample(rng)
        labels = scene.segment(height, width)
        things = see(scene, labels)
        clear = sum(thing.clear for thing in things)
        if len(things) < scene.style.count[0] or clear < FEWEST_CLEAR or (
                labels == ROBOT).mean() > MOST_ROBOT:
            continue
        made = ask(Speaker(things, rng, holdout.words), sentences, relations, holdout)
        if made:
            view = scene.view
            camera = {'azimuth': view.azimuth, 'elevation': view.elevation, 'fovy': view.fovy,
                      'distance': view.distance}
            return Picture(scene.render(height, width), labels, things, made,
                           {name: round(value, 4) for name, value in camera.items()})


def pictures(seed: int, scenes: Iterable[int], sentences: int = 6, height: int = 192,
             width: int = 256, relations: float = 1.0, style: Style = Style(),
             holdout: Holdout = Holdout()) -> Iterator[tuple[int, Picture]]:
    """Yield (index, picture) of some scenes of a seed, quickest in ascending order."""
    for variant, indices in groupby(scenes, lambda index: index // SCENES_PER_VARIANT):
        with closing(Scene(seed * 1_000_000 + variant, style)) as scene:
            for index in indices:
                rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
                yield index, draw_picture(scene, rng, sentences, height, width, relations,
                                          holdout)


def rows_of(picture: Picture, seed: int, index: int) -> list[Row]:
    """Encode a picture and its sentences as dataset rows."""
    return scene_rows(seed, index, picture.image, picture.labels, picture.things,
                      picture.sentences, 'ivm_sim', 'simulator', {'camera': picture.camera})
