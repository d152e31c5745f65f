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
`ivm train`: one flat loop.

Each step: a batch, per-sample losses [B] times the samples' weights, one AdamW step, the moving
average of the weights. A stopped run goes on to the same numbers.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
import math
from pathlib import Path
import threading
import time
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from ivm_ros.config import ConfigError
from ivm_ros.data.loader import Arrays, Batches
from ivm_ros.data.remote import local_folder
from ivm_ros.data.scenes import Scenes
from ivm_ros.data.shards import read_info
from ivm_ros.models.device import choose_device, choose_threads
from ivm_ros.models.text import TextEncoder
from ivm_ros.sample import Batch
from ivm_ros.train.batch import check_training_data, to_batch, vocabulary_of
from ivm_ros.train.config import TrainConfig
from ivm_ros.train.dwsl import weighed_loss
from ivm_ros.train.losses import sample_losses
from ivm_ros.train.margins import tune_margins
from ivm_ros.train.parallel import Team, team
from ivm_ros.train.state import new_run, Run
from ivm_ros.train.validate import validate


SENTENCES_KEPT = 150_000
"""Encoded sentences kept while training, 37 kB for one of twelve words: all of them recur."""


def train(config: TrainConfig) -> Path:
    """
    Train a compact generator; return the path of its checkpoint.

    Raises:
        ConfigError: No data, or a setting out of range.
        DatasetError: A folder cannot be read, or is for evaluation only.
        OSError: The run cannot be written.
    """
    config = replace(config, data=tuple(_folders(config.data)))
    if not config.data:
        raise ConfigError('TrainConfig.data: wanted at least one dataset folder, got none; make '
                          'one with "ivm-sim dataset --out DIR"')
    folders = [local_folder(folder) for folder in config.data]
    infos = [read_info(folder) for folder in folders]
    check_training_data(infos, folders)
    vocabulary = vocabulary_of(infos)
    device = choose_device(config.device)
    torch.set_num_threads(choose_threads(config.threads))
    encoder = TextEncoder(config.text_encoder, device, SENTENCES_KEPT, kept=config.text_cache)
    reader = encoder if config.text_precision == 'float32' else TextEncoder(
        config.text_encoder, device, SENTENCES_KEPT, torch.bfloat16, config.text_cache)
    scenes = Scenes(folders)
    if config.method == 'dwsl':
        scenes.need_both_kinds('method dwsl')
    with team(device) as workers, _told_once(config.out):
        run = new_run(config, encoder, device, vocabulary, workers)
        _train(run, encoder, reader, config, scenes, workers)
        if workers.rank == 0:
            kept = Scenes([local_folder(folder) for folder in config.validation])
            margins = tune_margins(run.average, encoder, kept) if config.validation else {}
            run.finish(config, margins)
        workers.wait()  # who returns says that the checkpoint is written
        return run.checkpoint


def _folders(data: Iterable[str]) -> Iterator[str]:
    """Part what names several folders, 'a,b', and is none itself."""
    for name in data:
        yield from [name] if Path(name).is_dir() else filter(None, name.split(','))


def _train(run: Run, encoder: TextEncoder, reader: TextEncoder, config: TrainConfig,
           scenes: Scenes, workers: Team) -> None:
    learner = workers.join(run.learner)
    speaks = workers.rank == 0
    writer = SummaryWriter(config.out) if speaks else None
    if run.judging and config.dwsl.form == 'two_stage' and not run.step:
        first_stage = _batches(config, scenes, run, workers, range(config.dwsl.steps))
        run.judging.prepare(to_batch(arrays, reader) for arrays in first_stage)
    started, first = time.monotonic(), run.step
    for arrays in _batches(config, scenes, run, workers, range(run.step, config.steps)):
        late = time.monotonic() - started > 60 * config.minutes
        if config.minutes and float(workers.mean(torch.tensor(float(late)))) > 0:
            break  # all together, or those who stay would wait for those who left
        batch = to_batch(arrays, reader)
        batch = run.judging.weigh(batch, arrays.sources) if run.judging else batch
        terms = train_step(run, learner, batch, config, workers)
        terms |= run.judging.seen if run.judging else {}
        last = run.step == config.steps
        if writer and (run.step % config.log_every == 0 or last):
            rate = (run.step - first) / (time.monotonic() - started)
            _log(writer, run.step, config.steps, {**terms, 'steps/s': rate})
            if run.judging:
                run.judging.window.log(writer, run.step)
        if writer and (run.step % config.save_every == 0 or last):
            run.save()
            if config.validation:
                _log(writer, run.step, config.steps, validate(run.average, encoder, config))
    if writer:
        run.save()
        writer.close()
    workers.wait()


@contextmanager
def _told_once(folder: str) -> Iterator[None]:
    """
    Tell once, and with the name of the run's folder, what TensorBoard cannot write.

    Its thread would print a traceback as well; its next write raises the same, without a name.
    """
    before = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        if not isinstance(failed.exc_value, OSError):
            before(failed)

    threading.excepthook = hook
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a name hides other messages
            error.filename = folder
        raise
    finally:
        threading.excepthook = before


def _batches(config: TrainConfig, scenes: Scenes, run: Run, workers: Team,
             steps: range) -> Iterable[Arrays]:
    size = (config.model.height, config.model.width)
    batches = Batches(scenes, size, config.images, config.sentences, config.augment, config.seed,
                      (workers.rank, workers.size), run.vocabulary, config.balanced)
    return DataLoader(batches, batch_size=None, sampler=steps,
                      num_workers=config.workers, collate_fn=_as_it_is)


def _as_it_is(item: Any) -> Any:
    return item  # an item is a batch already


def train_step(run: Run, learner: nn.Module, batch: Batch, config: TrainConfig,
               workers: Team = Team(0, 1)) -> dict[str, float]:
    """
    Take one optimiser step; return the means of the loss terms over this process' samples.

    Args:
        run: What learns.
        learner: `run.learner`, wrapped where several processes train together.
        batch: Images, sentences, truth and the weight of each sample.
        config: Rates and loss weights.
        workers: The processes that take this step together.
    """
    for group in run.optimizer.param_groups:
        group['lr'] = group['peak'] * rate_at(run.step, config.warmup, config.steps)
    with half_precision(batch.images.device):
        terms = sample_losses(learner(batch), batch, config.loss)  # each [B]
    loss = weighed_loss(torch.stack(list(terms.values())).sum(0), batch.weight, workers)
    run.optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(run.learner.parameters(), 1.0)
    run.optimizer.step()
    run.step += 1
    run.update_average(config.ema)
    means = {name: float(term.detach().mean()) for name, term in terms.items()}
    return {'loss': float(loss.detach()), **means, 'gradient': float(norm)}


def rate_at(step: int, warmup: int, steps: int) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine down to 1 %."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def half_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Give bfloat16 arithmetic on CUDA (no loss scaling needed), nothing on the CPU."""
    return torch.autocast('cuda', torch.bfloat16) if device.type == 'cuda' else nullcontext()


def _log(writer: SummaryWriter, step: int, steps: int, values: dict[str, float]) -> None:
    for name, value in values.items():
        writer.add_scalar(name, value, step)
    text = '  '.join(f'{name} {value:.4f}' for name, value in values.items())
    print(f'step {step}/{steps}  {text}', flush=True)
