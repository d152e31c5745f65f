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

from ivm_ros.data.shards import encode_image, encode_mask, Row
from ivm_sim.language import Sentence, Speaker
from ivm_sim.scene import Scene
from ivm_sim.seeds import EVAL_SEED
from ivm_sim.sight import see, Thing
from ivm_sim.truth import ROBOT

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
                 width: int = 256, relations: float = 1.0) -> Picture:
    """Vary a scene until enough of it is visible, render it and make sentences about it."""
    while True:
        scene.sample(rng)
        labels = scene.segment(height, width)
        things = see(scene, labels)
        clear = sum(thing.clear for thing in things)
        if clear < FEWEST_CLEAR or (labels == ROBOT).mean() > MOST_ROBOT:
            continue
        made = Speaker(things, rng).sentences(sentences, relations)
        if made:
            view = scene.view
            camera = {'azimuth': view.azimuth, 'elevation': view.elevation, 'fovy': view.fovy,
                      'distance': view.distance}
            return Picture(scene.render(height, width), labels, things, made,
                           {name: round(value, 4) for name, value in camera.items()})


def pictures(seed: int, scenes: Iterable[int], sentences: int = 6, height: int = 192,
             width: int = 256, relations: float = 1.0) -> Iterator[tuple[int, Picture]]:
    """Yield (index, picture) of some scenes of a seed, quickest in ascending order."""
    for variant, indices in groupby(scenes, lambda index: index // SCENES_PER_VARIANT):
        with closing(Scene(seed * 1_000_000 + variant)) as scene:
            for index in indices:
                rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
                yield index, draw_picture(scene, rng, sentences, height, width, relations)


def rows_of(picture: Picture, seed: int, index: int) -> list[Row]:
    """Encode a picture and its sentences as dataset rows."""
    image, robot = encode_image(picture.image), _mask(picture, (ROBOT,))
    labels = encode_mask(picture.labels)
    # Several sentences often mean the same things, and encoding is what takes long here.
    masks = {targets: _mask(picture, targets)
             for targets in {sentence.targets for sentence in picture.sentences}}
    names = {thing.id: f'{thing.colour} {thing.kind}' for thing in picture.things}
    things = {str(thing.id): [thing.colour, thing.kind] for thing in picture.things}
    rows = []
    for number, sentence in enumerate(picture.sentences):
        extra = {'camera': picture.camera, 'objects': len(picture.things),
                 'needs': sentence.needs, 'detail': sentence.detail,
                 'targets': [names[target] for target in sentence.targets],
                 'things': things, 'alike': list(sentence.alike),
                 'anchors': list(sentence.anchors)}
        rows.append(Row(
            f'{seed}-{index:07d}-{number}', image, sentence.text, sentence.kind,
            masks[sentence.targets], robot, bool(sentence.targets), 'ivm_sim', 'simulator',
            split='eval' if seed >= EVAL_SEED else 'train', extra=extra, labels=labels))
    return rows


def _mask(picture: Picture, ids: tuple[int, ...]) -> bytes:
    """PNG of the pixels with one of some ids."""
    inside = np.zeros(256, np.uint8)
    inside[list(ids)] = 255
    return encode_mask(inside[picture.labels])
