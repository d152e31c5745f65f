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
What a run starts from.

`--init current` are the weights that a node would load now. These change with the next promotion,
and a run does not: it keeps a copy in its folder, and goes on from that.
"""

from pathlib import Path
import shutil

import torch

from ivm_ros.config import ConfigError
from ivm_ros.files import replace_file
from ivm_ros.models.checkpoint import Checkpoint, load_checkpoint
from ivm_ros.models.installed import weights_path
from ivm_ros.train.config import CURRENT, TrainConfig
from ivm_ros.train.parallel import Team

KEPT, STATE = 'init.safetensors', 'state.pt'


def start_of(config: TrainConfig, workers: Team = Team(0, 1)) -> Checkpoint | None:
    """
    Load the checkpoint that a run starts from; None: it starts from ImageNet.

    Args:
        config: Names it.
        workers: The processes that train together: the first one copies for all.

    Raises:
        CheckpointError: It cannot be loaded.
        ConfigError: A run that was begun from the weights of then has lost them.
    """
    if config.init != CURRENT:
        return load_checkpoint(Path(config.init)) if config.init else None
    folder = Path(config.out)
    kept = folder / KEPT
    if workers.rank == 0 and not kept.is_file():
        if (folder / STATE).is_file():
            raise ConfigError(f'{kept} is gone, which this run started from; put it back, or '
                              'start anew with another --out')
        _keep(weights_path(''), kept)
    workers.wait()
    return load_checkpoint(kept)


def _keep(checkpoint: Path, kept: Path) -> None:
    """Copy both files, the arrays last: where they are, the JSON is."""
    with torch.random.fork_rng():  # building a network draws numbers that the run is to draw
        load_checkpoint(checkpoint)  # better refused than copied
    for suffix in ('.json', '.safetensors'):
        with replace_file(kept.with_suffix(suffix)) as part:
            shutil.copyfile(checkpoint.with_suffix(suffix), part)
