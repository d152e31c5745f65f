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
"""Pictures of an evaluation's episodes, which are played again: equal seeds give equal ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ivm_ros.files import replace_file
from ivm_sim.demo_pictures import edged, strip
from ivm_sim.demo_recording import Shot
from ivm_sim.evaluation.config import Cell, EvaluateConfig
from ivm_sim.evaluation.episodes import Cause, Fault, Stage

EVERY = 2  # steps from frame to frame
COLOURS = 96
HOLD = 1500  # ms that the last frame stands


@dataclass(frozen=True)
class Film:
    """
    An episode that was played again.

    Attributes:
        seen (list[np.ndarray]): What the policy saw after each step, uint8 [S, S, 3].
        shots (list[Shot]): Camera, mask and masked picture after each step; none without masks.
        faults (list[Fault | None]): What was wrong with the masks.
        success (bool): It was won.
        instruction (str): Its sentence.
    """

    seen: list[np.ndarray]
    shots: list[Shot]
    faults: list[Fault | None]
    success: bool
    instruction: str


def play(config: EvaluateConfig, cell: Cell, seed: int) -> Film:
    """Play an episode of a cell again."""
    seen, shots, faults = [], [], []
    with Stage(config, cell) as stage:
        for step, fault in stage.play(seed):
            picture = stage.env.render()
            camera = stage.camera
            if camera and camera.mask is not None and camera.shown is not None:
                planes = [(plane * 255).astype(np.uint8)
                          for plane in (camera.mask.target, camera.mask.robot)]
                shots.append(Shot(picture, camera.shown, *planes))
                seen.append(camera.shown)
            else:
                seen.append(picture)
            faults.append(fault)
            success = step.success
        return Film(seen, shots, faults, success, stage.env.assignment.instruction)


def save_gif(film: Film, path: Path, rate: int) -> None:
    """Write what the policy saw; a green or red edge on the last frame tells the outcome."""
    last = edged(film.seen[-1], film.success)
    frames = [*film.seen[:-1:EVERY], last]
    palette = Image.fromarray(np.hstack([*frames[::max(1, len(frames) // 6)], last])).quantize(
        COLOURS)
    flat = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
            for frame in frames]
    with replace_file(path) as part:
        flat[0].save(part, 'GIF', save_all=True, append_images=flat[1:], loop=0, optimize=True,
                     duration=[1000 * EVERY // rate] * (len(flat) - 1) + [HOLD])


def save_failure(film: Film, cause: Cause, path: Path) -> None:
    """Write camera | mask | masked at the moment that shows a cause best."""
    with replace_file(path) as part:
        Image.fromarray(strip(film.shots[moment(film, cause)])).save(part, 'PNG', optimize=True)


def moment(film: Film, cause: Cause) -> int:
    """Find the step of the worst mask with the fault in question; for the policy, the last."""
    name = {'target_missed': 'missed', 'decoy_kept': 'decoy'}.get(cause)
    faulty = [(fault.iou, index) for index, fault in enumerate(film.faults)
              if fault and name and getattr(fault, name)]
    return min(faulty)[1] if faulty else len(film.shots) - 1
