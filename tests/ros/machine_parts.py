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
A workshop: gray machine parts that no training data has shown or named, and who labels them.

As a program it is the simulator with these things on its table:

    machine_parts.py camera SEED...      # camera_node once a seed, each when a line comes in
    machine_parts.py held-out FOLDER     # a dataset of other scenes, with true masks

As a module it has experts for `ivm annotate` (`machine_parts:erring`, `machine_parts:sloppy`),
which know the truth as the camera published it, and err as annotators do.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
import os
from pathlib import Path
import sys
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from ivm_ros.annotate.experts import Candidate, Picture
from ivm_ros.annotate.noise import Noise, spoil
from ivm_ros.data.shards import read_rows, Row, write_info, write_shard
from ivm_ros.language.parse import Parsed, sentence_of

SCENES, SENTENCES = 30, 6
HELD_OUT_SEED = 900_200
CAMERA = {'width': 256, 'height': 192, 'truth_height': 192, 'truth_every': 1, 'rate': 10.0,
          'count': 20, 'change_every': 2, 'wait_for': 1}
TRUTH = 'MACHINE_PARTS_TRUTH'
"""Environment variable: the dataset that `ivm episodes import --image /truth/target` made."""


# --- the parts -------------------------------------------------------------------------------

def parts() -> dict:
    """Give the shapes of four kinds of parts, by their names."""
    from ivm_sim.parts import box, disc, prism, rod

    def sprocket(rng):
        radius = .05 * rng.uniform(.9, 1.15) * np.where(np.arange(32) % 4 < 2, 1, .78)
        angle = np.arange(32) * np.pi / 16
        outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
        return [prism(outline, 0, .02), disc(.014, .02, .05)]

    def flange(rng):
        radius = .042 * rng.uniform(.9, 1.15)
        return [disc(radius, 0, .012), disc(.018, .012, .075), disc(.75 * radius, .075, .085)]

    def bracket(rng):
        size = rng.uniform(.9, 1.15)
        return [box((.09 * size, .045, .012), (0, 0, .006)),
                box((.012, .045, .08 * size), (-.039 * size, 0, .04 * size))]

    def crank(rng):
        size = rng.uniform(.9, 1.15)
        path = [(-.06 * size, 0, .012), (.02 * size, 0, .012), (.02 * size, .06, .012),
                (.07 * size, .06, .012)]
        return [rod(start, end, .01) for start, end in zip(path, path[1:])]

    return {'sprocket': sprocket, 'flange': flange, 'bracket': bracket, 'crank': crank}


def set_up_workshop() -> None:
    """Have the simulator of this process put parts, a tray, a bowl and a cube on its table."""
    from ivm_ros.language.nouns import Noun, NOUNS
    from ivm_sim import scene
    from ivm_sim.objects import Kind, KINDS
    from ivm_sim.sampler import Item

    shapes, kept = parts(), ('tray', 'bowl', 'cube')
    for kind in KINDS.keys() - set(kept):
        del KINDS[kind]
    for name, draw in shapes.items():
        KINDS[name] = Kind(draw)
        NOUNS[name] = Noun(name, (name,), (), ('machine part',), '', (), '', False)

    def draw_items(rng, *_):
        more = str(rng.choice([*shapes])), str(rng.choice(['small', 'large']))
        items = [*((kind, 'normal') for kind in (*shapes, *kept)), more]
        return [Item(items[index][0], 'gray', items[index][1])
                for index in rng.permutation(len(items))]

    scene.draw_items = draw_items


# --- programs --------------------------------------------------------------------------------

def camera(seeds: Sequence[str]) -> None:
    """Run `camera_node` on each scene, when a line comes in; say when it is done."""
    from ivm_sim.nodes import camera_node

    settings = [word for name, value in CAMERA.items() for word in ('-p', f'{name}:={value}')]
    for seed in seeds:
        sys.stdin.readline()
        camera_node.main(['--ros-args', '-r', 'image:=/camera/image_raw', *settings, '-p',
                          f'seed:={seed}'])
        print('shown', seed, flush=True)


def held_out(folder: Path) -> None:
    """Write other scenes with sentences that name a part, and true masks of what they mean."""
    from ivm_sim.dataset import DatasetConfig, write_dataset

    with TemporaryDirectory() as whole:
        info = write_dataset(DatasetConfig(whole, scenes=SCENES, seed=HELD_OUT_SEED,
                                           sentences=SENTENCES))
        rows = [replace(row, robot_mask=None) for row in read_rows(Path(whole))
                if any(name in row.instruction for name in parts())]
    write_shard(folder / 'shard-00000.parquet', rows)
    write_info(folder, {**info, 'rows': len(rows)})


# --- the expert ------------------------------------------------------------------------------

class Annotator:
    """
    The truth that the camera published, with mistakes.

    Args:
        name: Of the expert; part of its seed.
        noise: Rates of mistakes.
        folder: Dataset whose pictures are the masks.
    """

    def __init__(self, name: str, noise: Noise, folder: Path) -> None:
        self.name, self.noise = name, noise
        self.masks = defaultdict(list)
        for row in read_rows(folder):
            self.masks[row.source, row.instruction].append((row.extra['stamp'], row.image))

    def truth(self, row: Row, instruction: str) -> np.ndarray:
        """Give the mask of an instruction about a row's recording, nearest in time."""
        shown = self.masks[row.source, instruction]
        place = bisect_left(shown, (row.extra['stamp'], b''))
        near = min(shown[max(0, place - 1):place + 1],
                   key=lambda one: abs(one[0] - row.extra['stamp']))
        grey = cv2.imdecode(np.frombuffer(near[1], np.uint8), cv2.IMREAD_GRAYSCALE)
        return np.where(grey > 127, 255, 0).astype(np.uint8)

    def others(self, row: Row) -> Iterator[np.ndarray]:
        """Give the masks of what else was asked for in a row's recording."""
        for source, instruction in sorted(self.masks):
            if source == row.source and instruction != row.instruction:
                yield self.truth(row, instruction)

    def propose(self, images: Sequence[Picture], phrases: Sequence[Parsed]
                ) -> list[list[Candidate]]:
        """Give the truth of each row, or another thing's, or too much or too little."""
        return [[self._one(picture.row, parsed)] for picture, parsed in zip(images, phrases)]

    def _one(self, row: Row, parsed: Parsed) -> Candidate:
        mask = self.truth(row, row.instruction)
        labels = np.zeros_like(mask)
        for number, other in enumerate(self.others(row), 2):
            labels[other > 0] = number
        labels[mask > 0] = 1
        # By the picture, not by the row's id: that tells when it was recorded.
        seed = int.from_bytes(sha256(self.name.encode() + row.image).digest()[:4], 'big')
        spoiled, note = spoil(mask, labels, [1], [2, 3], self.noise, np.random.default_rng(seed))
        return Candidate(spoiled.astype(np.float32) / 255, 1.0, sentence_of(parsed), self.name,
                         note)


def erring() -> Annotator:
    """Make the expert `machine_parts:erring`, which often takes another thing."""
    return Annotator('erring', Noise(decoy=.25, wrong=.1), Path(os.environ[TRUTH]))


def sloppy() -> Annotator:
    """Make the expert `machine_parts:sloppy`, which draws too much or too little."""
    return Annotator('sloppy', Noise(spill=.2, erosion=.2, box=.1), Path(os.environ[TRUTH]))


if __name__ == '__main__':
    set_up_workshop()
    {'camera': lambda words: camera(words), 'held-out': lambda words: held_out(Path(words[0]))}[
        sys.argv[1]](sys.argv[2:])
