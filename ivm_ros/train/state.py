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
"""What a training run carries from step to step, and keeps on disk."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from io import BytesIO
import json
from pathlib import Path
from typing import Any

import torch

from ivm_ros.config import ConfigError
from ivm_ros.data.remote import local_folder
from ivm_ros.data.shards import read_info
from ivm_ros.files import replace_file
from ivm_ros.language.naming import all_names
from ivm_ros.models.backbone import find_imagenet_weights
from ivm_ros.models.checkpoint import Checkpoint, save_checkpoint
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.text import TextEncoder, words_of
from ivm_ros.models.text_files import NAME
from ivm_ros.train.config import TrainConfig
from ivm_ros.train.judging import Judging
from ivm_ros.train.learner import Learner
from ivm_ros.train.parallel import Team
from ivm_ros.train.start import start_of, STATE
from ivm_ros.version import versions

MAY_CHANGE = ('out', 'minutes', 'device', 'threads', 'workers', 'save_every', 'log_every',
              'validation', 'text_encoder')
"""Settings that a resumed run may change, since they do not change its numbers."""


@dataclass
class Run:
    """
    The state of a training run.

    Attributes:
        folder (Path): Where it is kept.
        learner (Learner): The network that learns, with the heads that only training has.
        average (CompactNet): Its exponential moving average, which is what ships.
        optimizer (torch.optim.AdamW): With `peak`, the peak learning rate, in every group.
        text_encoder (dict): `name` and `sha256` of the sentence encoder.
        vocabulary (tuple[str, ...]): Words that name the things of the data.
        step (int): Steps taken.
        judging (Judging | None): What weighs labels, method dwsl.
        start (Checkpoint | None): What it started from, if not from ImageNet.
    """

    folder: Path
    learner: Learner
    average: CompactNet
    optimizer: torch.optim.AdamW
    text_encoder: dict[str, str]
    vocabulary: tuple[str, ...] = ()
    step: int = 0
    judging: Judging | None = None
    start: Checkpoint | None = None

    @property
    def net(self) -> CompactNet:
        """The network that learns."""
        return self.learner.net

    @property
    def path(self) -> Path:
        """Where the state is kept between sessions."""
        return self.folder / STATE

    @property
    def checkpoint(self) -> Path:
        """Where the finished checkpoint goes."""
        return self.folder / 'compact.safetensors'

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average towards the network; faster at first, when it knows nothing."""
        share = 1 - min(decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), share)

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {'learner': self.learner.state_dict(), 'average': self.average.state_dict(),
                 'optimizer': self.optimizer.state_dict(), 'step': self.step}
        if self.judging:
            state |= {'judge': self.judging.judge.net.state_dict(),
                      'judge_optimizer': self.judging.judge.optimizer.state_dict(),
                      'judged': self.judging.window.state()}
        written = BytesIO()
        torch.save(state, written)  # to a file that cannot grow it would not say why it fails
        with replace_file(self.path) as part:
            part.write_bytes(written.getbuffer())

    def load(self) -> None:
        """Go on from the saved state."""
        state = torch.load(self.path, map_location='cpu', weights_only=True)
        self.learner.load_state_dict(state['learner'])
        self.average.load_state_dict(state['average'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.step = state['step']
        if self.judging:
            self.judging.judge.net.load_state_dict(state['judge'])
            self.judging.judge.optimizer.load_state_dict(state['judge_optimizer'])
            self.judging.window.go_on(state.get('judged', ()))  # older runs kept none

    def finish(self, config: TrainConfig, margins: Mapping[str, float]) -> Path:
        """Write the averaged network, as far as it got, as a checkpoint with its provenance."""
        provenance = {'command': 'ivm train', 'steps': self.step, 'settings': asdict(config),
                      'margins': dict(margins), 'versions': versions(),
                      'data': {folder: read_info(local_folder(folder)) for folder in config.data}}
        if self.start:  # what was learned before this run
            provenance['init'] = {**self.start.info['provenance'], 'sha256': self.start.hash}
        if self.judging:
            provenance['judged'] = self.judging.window.report()
        save_checkpoint(self.checkpoint, self.average, self.text_encoder, provenance, {})
        return self.checkpoint


def new_run(config: TrainConfig, encoder: TextEncoder, device: torch.device,
            vocabulary: tuple[str, ...] = (), workers: Team = Team(0, 1)) -> Run:
    """
    Start a run in its folder, or resume the one that is there.

    Raises:
        ConfigError: The folder holds a run with other settings.
    """
    torch.manual_seed(config.seed)
    net = CompactNet(config.model)
    start = start_of(config, workers)
    if start:
        net.load_state_dict(start.net.state_dict())
    else:
        if config.backbone == 'imagenet':
            net.backbone.load_imagenet(find_imagenet_weights())
        else:
            net.backbone.start_anew()
        if config.naming == 'axes':
            net.chooser.take_axes(words_of(all_names(), encoder))
    net.chooser.naming.requires_grad_(config.naming == 'learnt')
    learner = Learner(net, words_of(vocabulary, encoder))
    learner.to(device).to(memory_format=torch.channels_last)
    if config.learns == 'choice':
        net.backbone.requires_grad_(False)
        net.proposer.requires_grad_(False).name.requires_grad_(True)
    net.backbone.blocks[:config.frozen_blocks].requires_grad_(False)
    run = Run(Path(config.out), learner, deepcopy(net).requires_grad_(False),
              _optimizer(learner, config), {'name': NAME, 'sha256': encoder.hash}, vocabulary,
              start=start)
    if config.method == 'dwsl':
        run.judging = Judging(config.dwsl, net, workers, config.frozen_blocks)
    keep_settings(run.folder, asdict(config))
    if run.path.is_file():
        run.load()
    return run


def _optimizer(learner: Learner, config: TrainConfig) -> torch.optim.AdamW:
    backbone = [value for value in learner.net.backbone.parameters() if value.requires_grad]
    known = {id(value) for value in learner.net.backbone.parameters()}
    rest = [value for value in learner.parameters() if id(value) not in known]
    # Decay pulls matrices to zero; biases, norms and the place map are not to be pulled.
    groups: list[dict[str, Any]] = []
    for values, rate in ((backbone, config.backbone_rate), (rest, 1.0)):
        for flat, decay in ((False, config.weight_decay), (True, 0.0)):
            groups.append({'params': [value for value in values if (value.ndim < 2) == flat],
                           'weight_decay': decay, 'peak': config.learning_rate * rate})
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def keep_settings(folder: Path, settings: dict[str, Any]) -> None:
    """
    Write down the settings of a run, or compare with those that stand there.

    Raises:
        ConfigError: The folder holds a run with others.
    """
    path = folder / 'settings.json'
    text = json.dumps(settings, indent=2) + '\n'
    if path.is_file():
        # What an older version did not know was as it is by default now.
        old = _filled(json.loads(path.read_text()), json.loads(json.dumps(asdict(TrainConfig()))))
        differs = [name for name, value in json.loads(text).items()
                   if name not in MAY_CHANGE and old.get(name) != value]
        if differs:
            raise ConfigError(f'{folder} holds a run with other {", ".join(differs)}; give the '
                              'same settings to resume it, or another --out')
    with replace_file(path) as part:
        part.write_text(text)


def _filled(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Give settings, and the default of every one that is not among them."""
    return {**defaults, **{name: _filled(value, defaults.get(name, {}))
                           if isinstance(value, dict) else value
                           for name, value in values.items()}}
