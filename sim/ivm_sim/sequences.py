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
`ivm-sim sequences`: moving pictures with true masks and true motion, for `ivm eval video`.

Each sequence is one shard, `shard-00000.parquet`, a row a frame; beside it, `motion-00000.npz`
says where what each fourth pixel shows was in the frame before.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
import shlex
import sys
from typing import Annotated, Any

import numpy as np

from ivm_ros.config import check, Doc, Range
from ivm_ros.data.shards import (DatasetError, encode_image, encode_mask, ROBOT, Row, write_info,
                                 write_shard)
from ivm_ros.data.writer import begin
from ivm_ros.files import replace_file
from ivm_ros.language.sentence import Sentence
from ivm_ros.work import progress_of
from ivm_sim.seeds import EVAL_SEED

STRIDE = 4  # pixels from one place whose motion is written to the next
TRIES = 3000
KINDS = ('camera', 'arm', 'both', 'occlusion')  # as `moves.KINDS`, which needs OpenGL


@dataclass(frozen=True)
class SequencesConfig:
    """Write sequences of a moving camera, arm, both, and of occlusion, or what is missing."""

    out: Annotated[str, Doc('Folder to write; finished sequences in it are kept.')]
    each: Annotated[int, Range(1, 1000), Doc('Sequences of each kind.')] = 4
    frames: Annotated[int, Range(2, 1000), Doc('Frames of a sequence.')] = 90
    rate: Annotated[float, Range(1, 240), Doc('Frames a second.')] = 30.0
    seed: Annotated[int, Range(EVAL_SEED), Doc(
        'The same seed gives the same sequences; no training data has one of these.'
    )] = EVAL_SEED + 400
    height: Annotated[int, Range(32, 4096), Doc('Height of the pictures in pixels.')] = 480
    width: Annotated[int, Range(32, 4096), Doc('Width of the pictures in pixels.')] = 640

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check(self)


def write_sequences(config: SequencesConfig) -> Iterator[str]:
    """
    Write what is missing; yield a line about each sequence.

    Raises:
        DatasetError: The folder holds other sequences, or a kind of motion suits no scene.
        GLError: MuJoCo cannot draw here.
    """
    folder = Path(config.out)
    settings = {name: value for name, value in asdict(config).items()
                if name not in ('out', 'each')}
    begin(folder, {**settings, 'layout': 'sequences', 'stride': STRIDE})
    for number in range(config.each * len(KINDS)):
        shard = folder / f'shard-{number:05d}.parquet'
        if not shard.is_file():
            rows, motion = draw_sequence(config, number)
            # The shard comes last: where it is, all of the sequence is.
            with replace_file(folder / f'motion-{number:05d}.npz') as part, part.open('wb') as out:
                np.savez_compressed(out, flow=motion)
            write_shard(shard, rows)
        yield f'{KINDS[number % len(KINDS)]}: {shard}'
    write_info(folder, {**settings, 'layout': 'sequences', 'stride': STRIDE, 'kinds': KINDS,
                        'sequences': config.each * len(KINDS),
                        'command': shlex.join(['ivm-sim', *sys.argv[1:]])})


def draw_sequence(config: SequencesConfig, number: int) -> tuple[list[Row], np.ndarray]:
    """
    Draw one sequence.

    Returns:
        A row for each frame, and float16 [frames, H / 4, W / 4, 2]: way (x, y) in pixels to where
        the same point was in the frame before; NaN where it was out of sight, or is the first.
    """
    from ivm_sim.moves import plan
    from ivm_sim.scene import Scene
    from ivm_sim.true_flow import flow_back, Moment, moment_of

    kind, size = KINDS[number % len(KINDS)], (config.height, config.width)
    with closing(Scene(config.seed + number)) as scene, progress_of('frames') as progress:
        for index in range(TRIES):
            rng = np.random.default_rng(np.random.SeedSequence([config.seed, number, index]))
            planned = plan(scene, kind, config.frames / config.rate, rng)
            if planned is not None:
                break
        else:
            raise DatasetError(f'sequence {number} ({kind}): none of {TRIES} scenes suits, take '
                               f'another --seed')
        sentence, moves = planned
        rows: list[Row] = []
        motion: list[np.ndarray] = []
        before: Moment | None = None
        for frame in progress.track(range(config.frames), description=f'{number} {kind}'):
            for move in moves:
                move.apply(scene, frame / config.rate)
            now = moment_of(scene, *size)
            shape = (*now.geoms[STRIDE // 2::STRIDE, STRIDE // 2::STRIDE].shape, 2)
            motion.append(np.full(shape, np.nan, np.float32) if before is None
                          else flow_back(now, before, STRIDE))
            before = now
            labels = scene.segment(*size)
            rows.append(_row(config, number, frame, scene.render(*size), labels, sentence))
    return rows, np.array(motion, np.float16)


def _row(config: SequencesConfig, number: int, frame: int, image: np.ndarray,
         labels: np.ndarray, sentence: Sentence) -> Row:
    mask = np.isin(labels, sentence.targets)
    extra: dict[str, Any] = {'sequence': number, 'frame': frame, 'needs': sentence.needs,
                             'time': round(frame / config.rate, 6), 'sentence': sentence.kind}
    return Row(f'{config.seed}-{number:03d}{frame:04d}-0', encode_image(image), sentence.text,
               KINDS[number % len(KINDS)], encode_mask(mask), encode_mask(labels == ROBOT),
               bool(mask.any()), 'ivm_sim', 'simulator', split='eval', extra=extra)
