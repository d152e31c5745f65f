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
`ivm-sim clone`: behaviour cloning of demonstrations.

AdamW, cosine, moving average; the loss is the head's (`heads`). A stopped run goes on where it
was.
"""

from copy import deepcopy
from dataclasses import asdict
import json
from pathlib import Path
import time
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
import torch

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import read_info
from ivm_ros.files import replace_file, write_json
from ivm_ros.models.text import TextEncoder
from ivm_ros.version import versions
from ivm_sim.clones.config import CloneConfig, CloneTraining
from ivm_sim.clones.memory import Demonstrations, load, small, view
from ivm_sim.clones.net import CloneNet
from ivm_sim.clones.sight import shaded

SAID = 50  # steps between lines


def clone(config: CloneTraining) -> Path:
    """
    Train a policy; return the path of its weights.

    Raises:
        ConfigError: No data, or the folder holds a run with other settings.
        DatasetError: The demonstrations cannot be read.
    """
    if not config.data:
        raise ConfigError('CloneTraining.data: wanted at least one folder of demonstrations; make '
                          'one with "ivm-sim demos --out DIR"')
    folder = Path(config.out)
    _keep_settings(folder, config)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    data = load([Path(path) for path in config.data], config.model.chunk, config.camera,
                config.tasks, config.model.wrist)
    sentences = pooled(TextEncoder(), data.sentences)
    net = CloneNet(config.model)
    _measure(net, data)
    average = deepcopy(net).requires_grad_(False)
    for eye in filter(None, (net.front, net.wrist)):
        eye.brief = config.precision == 'bfloat16'
    optimizer = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=1e-4)
    state, step = folder / 'state.pt', 0
    if state.is_file():
        kept = torch.load(state, map_location='cpu', weights_only=True)
        net.load_state_dict(kept['net'])
        average.load_state_dict(kept['average'])
        optimizer.load_state_dict(kept['optimizer'])
        step = kept['step']
    started, first = time.monotonic(), step
    while step < config.steps:
        loss = _step(net, optimizer, data, sentences, config, step)
        step += 1
        share = 1 - min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for one, value in zip(average.parameters(), net.parameters()):
                one.lerp_(value, share)
        if step % SAID == 0 or step == config.steps:
            rate = (step - first) / (time.monotonic() - started)
            print(f'step {step}/{config.steps}  loss {loss:.4f}  steps/s {rate:.2f}', flush=True)
        if step % config.save_every == 0 or step == config.steps:
            with replace_file(state) as part:
                torch.save({'net': net.state_dict(), 'average': average.state_dict(),
                            'optimizer': optimizer.state_dict(), 'step': step}, part)
    return save(folder / 'clone.safetensors', average, config, data.episodes, step)


def pooled(encoder: TextEncoder, sentences: tuple[str, ...]) -> torch.Tensor:
    """Encode sentences as the mean over their tokens, float32 [B, 768]."""
    return torch.stack([states.mean(0) for states in encoder.encode(list(sentences))])


def _measure(net: CloneNet, data: Demonstrations) -> None:
    """Take the scales of what is wanted and of the hand from the demonstrations."""
    for name, values in (('', data.chunks[:, 0]), ('hand_', data.proprio)):
        getattr(net, f'{name}middle').copy_(torch.from_numpy(values.mean(0)))
        getattr(net, f'{name}spread').copy_(torch.from_numpy(values.std(0)).clamp_min(.02))


def _step(net: CloneNet, optimizer: torch.optim.AdamW, data: Demonstrations,
          sentences: torch.Tensor, config: CloneTraining, step: int) -> float:
    """Take one optimiser step; what is drawn follows from seed and step alone."""
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, step]))
    index = rng.integers(0, len(data.front), config.batch)
    front = np.stack([view(data, int(i), config.camera, config.model.size, config.noise,
                           config.deploy, config.shade, rng) for i in index])
    wrist = (tensor(np.stack([small(shaded(data.wrist[i], config.shade, rng), config.model.size)
                              for i in index])) if data.wrist is not None else None)
    for group in optimizer.param_groups:
        group['lr'] = config.learning_rate * _rate(step, config.steps)
    loss = net.loss(tensor(front), wrist, torch.from_numpy(data.proprio[index]),
                    sentences[data.sentence[index]], torch.from_numpy(data.chunks[index]),
                    torch.Generator().manual_seed(int(rng.integers(2**63))))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def _rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + float(np.cos(
        np.pi * step / steps))))


def tensor(pictures: np.ndarray) -> torch.Tensor:
    """Turn uint8 [B, S, S, 3] into float32 [B, 3, S, S] in [0, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def _keep_settings(folder: Path, config: CloneTraining) -> None:
    settings = json.loads(json.dumps(asdict(config)))
    path = folder / 'settings.json'
    if path.is_file():
        old = json.loads(path.read_text())
        differs = [name for name in settings if name not in ('out', 'threads', 'save_every')
                   and old.get(name) != settings[name]]
        if differs:
            raise ConfigError(f'{folder} holds a run with other {", ".join(differs)}; give the '
                              'same settings to resume it, or another --out')
    write_json(path, settings)


def save(path: Path, net: CloneNet, config: CloneTraining, episodes: int, steps: int) -> Path:
    """Write weights and, beside them, what explains them."""
    info: dict[str, Any] = {
        'policy': 'clone', 'model': asdict(config.model), 'camera': config.camera,
        'deploy': asdict(config.deploy), 'episodes': episodes, 'steps': steps,
        'settings': asdict(config), 'versions': versions(),
        'data': {folder: read_info(Path(folder)) for folder in config.data}}
    with replace_file(path) as part:
        save_file({name: value.contiguous() for name, value in net.state_dict().items()}, part)
    write_json(path.with_suffix('.json'), info)
    return path


def read(path: Path) -> tuple[CloneNet, dict[str, Any]]:
    """Load a policy's network and what explains it."""
    info = json.loads(path.with_suffix('.json').read_text())
    net = CloneNet(CloneConfig(**info['model']))
    net.load_state_dict(load_file(path))
    return net.eval(), info
