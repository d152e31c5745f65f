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
What studies of training share: train a network or take it as it is, measure it on every split.

Neither is done again where it is finished, so a stopped study goes on with the same command.
"""

from collections.abc import Sequence
from dataclasses import asdict
import json
import os
from pathlib import Path
from typing import Any

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import read_info
from ivm_ros.evaluate.grounding import GroundingConfig, measure
from ivm_ros.files import write_json
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.checkpoint import Checkpoint, load_checkpoint
from ivm_ros.train.config import TrainConfig
from ivm_ros.train.loop import train
from ivm_ros.train.state import keep_settings


def alone(verb: str) -> None:
    """
    Check that a study runs in one process.

    Raises:
        ConfigError: It was started by torchrun.
    """
    if int(os.environ.get('WORLD_SIZE', '1')) > 1:
        raise ConfigError(f'{verb} runs in one process, got torchrun; wanted --threads')


def trained(training: TrainConfig) -> Checkpoint:
    """
    Train a network, go on with it, or take it as it is where it is finished.

    Raises:
        ConfigError: Its folder holds a run with other settings, or of other data.
        DatasetError: A dataset cannot be read.
    """
    folder = Path(training.out)
    keep_settings(folder, asdict(training))
    path = folder / 'compact.safetensors'
    if path.with_suffix('.json').is_file():  # written last
        checkpoint = load_checkpoint(path)
        made = checkpoint.info['provenance']
        if made['data'] != {name: read_info(Path(name)) for name in training.data}:
            raise ConfigError(f'{folder} learnt from other data than {", ".join(training.data)} '
                              'holds now; wanted another --out')
        if made['settings']['validation'] == list(training.validation):
            return checkpoint
    return load_checkpoint(train(training))


def measured(training: TrainConfig, checkpoint: Checkpoint, splits: str, names: Sequence[str],
             images: int) -> dict[str, dict[str, Any]]:
    """
    Measure a network on every split of which no file beside it says how it did.

    Args:
        training: Says encoder, device, threads and seed.
        checkpoint: The network.
        splits: Folder of the splits.
        names: Of the splits.
        images: Of each split the first so many only; 0 for all.

    Returns:
        What `grounding.measure` says, samples included, by split.
    """
    masker, reports = None, {}
    for name in names:
        path = checkpoint.path.with_name(f'{name}.json')
        grounding = GroundingConfig(str(Path(splits) / name), str(path), str(checkpoint.path),
                                    images, training.seed, samples=True)
        report = _kept(path, grounding, checkpoint.hash)
        if report is None:
            masker = masker or Masker(MaskerConfig(grounding.weights, training.text_encoder,
                                                   training.device, training.threads))
            report = measure(grounding, masker)
            write_json(path, report)
        reports[name] = report
    return reports


def _kept(path: Path, grounding: GroundingConfig, weights: str) -> dict[str, Any] | None:
    """Read a measurement of these weights, with these settings, on what the split now holds."""
    if not path.is_file():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    same = (report['weights'], report['settings'], report['data']) == (
        weights, asdict(grounding), read_info(Path(grounding.data)))
    return report if same else None
