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
"""The episodes of a cell, and what each was like."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ivm_ros.deploy import DeployConfig
from ivm_ros.sample import Mask
from ivm_sim.env import action_limit, TabletopEnv
from ivm_sim.evaluation.config import Cell, EvaluateConfig, EXPERT
from ivm_sim.evaluation.errors import MaskError, SpoiledMasks
from ivm_sim.masked import MaskedCamera, MaskSource, TruthMasker
from ivm_sim.policy import Policy, run, Step
from ivm_sim.truth import Truth

RATE = 10  # Hz
SEEN = 20  # pixels from which a thing counts as in view, at 128 pixels
OFTEN = .25  # share of an episode's pictures from which a fault of the masks is its cause
Cause = Literal['target_missed', 'decoy_kept', 'policy']


@dataclass(frozen=True)
class Outcome:
    """
    How an episode came out.

    Attributes:
        success (bool): It was won.
        steps (int): It took.
        iou (float): Mean over its pictures of the masks' IoU with the truth; NaN without masks,
            as the next two.
        missed (float): Share of pictures where half or less of a needed thing in view was kept.
        decoy (float): Share of pictures where more than half of another thing in view was kept.
    """

    success: bool
    steps: int
    iou: float = float('nan')
    missed: float = float('nan')
    decoy: float = float('nan')

    @property
    def cause(self) -> Cause:
        """What a failure is put down to, the masks' worst fault first."""
        if self.missed > OFTEN:
            return 'target_missed'
        return 'decoy_kept' if self.decoy > OFTEN else 'policy'


@dataclass(frozen=True)
class Fault:
    """What is wrong with one mask, see `Outcome`."""

    iou: float
    missed: bool
    decoy: bool


def fault_of(mask: Mask, truth: Truth, config: DeployConfig) -> Fault | None:
    """Compare what is shown with the truth; None where nothing needed is in view."""
    needed = truth.target
    # Where nothing is found the whole picture is shown.
    kept = mask.target >= (config.threshold if mask.found >= config.found_threshold else 0)
    if not needed.any():
        return None
    whole = np.bincount(truth.labels.ravel(), minlength=256)
    shown = np.bincount(truth.labels[kept], minlength=256)
    seen = [label for label in np.flatnonzero(whole >= SEEN * (mask.target.shape[0] / 128) ** 2)
            if 0 < label < 255]
    half = {label: shown[label] > whole[label] / 2 for label in seen}
    return Fault(float((kept & needed).sum() / (kept | needed).sum()),
                 any(not half[label] for label in seen if label in truth.targets),
                 any(half[label] for label in seen if label not in truth.targets))


def run_cell(config: EvaluateConfig, cell: Cell) -> tuple[Cell, dict[int, Outcome]]:
    """Run a cell's episodes; outcomes by seed."""
    import torch

    torch.set_num_threads(1)
    with Stage(config, cell) as stage:
        return cell, {seed: _outcome(list(stage.play(seed)))
                      for seed in range(config.seed, config.seed + config.episodes)}


def _outcome(shots: list[tuple[Step, Fault | None]]) -> Outcome:
    faults = [fault for _, fault in shots if fault]
    if not faults:
        return Outcome(shots[-1][0].success, len(shots))
    return Outcome(shots[-1][0].success, len(shots),
                   *(float(np.mean([getattr(fault, name) for fault in faults]))
                     for name in ('iou', 'missed', 'decoy')))


class Stage:
    """
    Environment, camera and policy of a cell.

    Args:
        config: Of the evaluation.
        cell: What is played.

    Attributes:
        env (TabletopEnv): Ours, without what is put before its camera.
        camera (MaskedCamera | None): What masks it.
    """

    def __init__(self, config: EvaluateConfig, cell: Cell) -> None:
        self._policy: Policy
        self._deploy = DeployConfig(method=cell.method)
        if cell.trained_on == EXPERT:
            from ivm_sim.expert import Expert

            self.env = TabletopEnv(cell.task, cell.clutter, config.size, RATE, pictures=False)
            self._policy = Expert(self.env)
        else:
            from ivm_sim.clones.policy import ClonePolicy

            learnt = 'masked' if cell.camera == 'wrong_instruction' else cell.camera
            clone = ClonePolicy(weights_of(config.folder, cell.trained_on), action_limit(RATE),
                                learnt)
            self._policy = clone
            self.env = TabletopEnv(cell.task, cell.clutter, config.size, RATE,
                                   wrist=clone.net.config.wrist)
        self.camera = (MaskedCamera(self.env, mask_source(cell, self.env, config.mask_weights),
                                    self._deploy)
                       if cell.sees_masks else None)

    def __enter__(self) -> 'Stage':
        """Enter."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free the world."""
        self.env.close()

    def play(self, seed: int) -> Iterator[tuple[Step, Fault | None]]:
        """Run an episode; with each step what was wrong with the mask of the picture after it."""
        for step in run(self.camera or self.env, self._policy, seed):
            mask = self.camera.mask if self.camera else None
            yield step, fault_of(mask, self.env.truth(), self._deploy) if mask else None


def weights_of(folder: Path, name: str) -> Path:
    """Give the path of a policy."""
    return folder / f'{name}.safetensors'


def mask_source(cell: Cell, env: TabletopEnv, weights: str = '') -> MaskSource:
    """Give what masks the front camera of a cell."""
    source: MaskSource
    if cell.camera == 'truth':
        source = TruthMasker(env)
    else:
        from ivm_ros.masker import Masker, MaskerConfig

        masker = Masker(MaskerConfig(weights=weights))

        def wrong(image: np.ndarray, text: str) -> Mask:
            return masker(image, wrong_sentence(env))

        source = wrong if cell.camera == 'wrong_instruction' else masker
    error = MaskError.parse(cell.error)
    return source if error == MaskError() else SpoiledMasks(source, env, error)


def wrong_sentence(env: Any) -> str:
    """Ask for the first thing that the task does not need; where there is none, for a star."""
    other = [prop.item for prop in env.arena.props if prop.id not in env.assignment.targets]
    item = other[0] if other else None
    return f'pick up the {item.colour} {item.kind}' if item else 'pick up the purple star'
