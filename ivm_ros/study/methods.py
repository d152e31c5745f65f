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
"""The ways to learn from noisy labels that the study compares, all with one flat loop."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from ivm_ros.models.discriminator import Sight
from ivm_ros.models.proposals import Proposals
from ivm_ros.study.pupil import losses_of, Pupil
from ivm_ros.study.seen import Seen
from ivm_ros.train.baselines import self_paced, small_loss
from ivm_ros.train.dwsl import DwslConfig, effective_size, Judge, weights_of
from ivm_ros.train.loop import rate_at

Losses = Callable[[torch.Tensor, torch.Tensor, float, float], torch.Tensor]
RULES: dict[str, Losses] = {'small_loss': small_loss, 'self_paced': self_paced,
                            'co_teaching': small_loss}
METHODS = ('all_labels', 'balanced', 'human_only', 'dwsl_two_stage', 'dwsl_joint', 'co_teaching',
           'self_paced', 'small_loss', 'true_weights', 'clean_ceiling')
BALANCED = ('balanced', 'dwsl_two_stage', 'dwsl_joint', *RULES)
"""Half of their batches are human labels: who made a label is known to all that may use it."""
WARMUP, AVERAGE, EVERY, CHUNK = 50, .99, 20, 128
READ = 4  # times that the guide of DWSL reads a label at most


@dataclass(frozen=True)
class Task:
    """
    Labels to learn from, and how.

    Attributes:
        seen (Seen): Pictures and sentences.
        labels (torch.Tensor): float16 [N, h, w], as people and machines drew them.
        is_human (torch.Tensor): float32 [N].
        wrong (torch.Tensor): bool [N], machine labels with a mistake; for `true_weights` alone.
        steps (int): Of the pupil.
        batch (int): Sentences in a batch.
        rate (float): Peak learning rate.
        dwsl (DwslConfig): How DWSL weighs.
    """

    seen: Seen
    labels: torch.Tensor
    is_human: torch.Tensor
    wrong: torch.Tensor
    steps: int
    batch: int
    rate: float
    dwsl: DwslConfig = field(default_factory=DwslConfig)

    @property
    def bad(self) -> float:
        """Share of bad labels among machine labels, for rules that want it."""
        return float(self.wrong.sum() / (self.is_human < .5).sum().clamp_min(1))

    def part(self, which: torch.Tensor) -> 'Task':
        """Give the task with some of its sentences alone, int64 [n]."""
        return replace(self, seen=self.seen.part(which), labels=self.labels[which],
                       is_human=self.is_human[which], wrong=self.wrong[which])


@dataclass
class Learnt:
    """
    What came of a method.

    Attributes:
        pupil (Pupil): The moving average of its weights.
        scores (torch.Tensor | None): float32 [N], p of every label at the end, where judged.
        effective (float): Mean effective size of a batch, as a share of it.
        curve (list[tuple[int, float]]): Step and mean loss of a batch, weights aside.
    """

    pupil: Pupil
    scores: torch.Tensor | None = None
    effective: float = 1.0
    curve: list[tuple[int, float]] = field(default_factory=list)


def learn(task: Task, method: str, seed: int, scores: torch.Tensor | None = None) -> Learnt:
    """
    Learn by one of `METHODS`; the same seed gives the same pupil and the same batches.

    Args:
        task: What from.
        method: How.
        seed: Of weights and batches.
        scores: What `first_stage` gave for this task and seed, where that is known already.
    """
    if method == 'clean_ceiling':
        task = replace(task, labels=task.seen.truth)
    if method == 'dwsl_two_stage' and scores is None:
        scores = first_stage(task, seed)
    return _fit(task, method, seed, scores)


def first_stage(task: Task, seed: int, alike: Learnt | None = None) -> torch.Tensor:
    """
    Give p of every label before the pupil learns, float32 [N]; f plays no part in it.

    The discriminator is told by a guide what each sentence means. That is a pupil of all labels
    alike, stopped before it knows wrong ones by heart: then it would find them right.

    Args:
        task: What to judge.
        seed: Of the guide and the discriminator.
        alike: What `all_labels` learnt with this task and seed, where that is known: it is the
            guide, unless it read on for too long.
    """
    steps = max(1, min(task.steps, READ * len(task.is_human) // task.batch))
    if alike is None or steps < task.steps:
        alike = _fit(replace(task, steps=steps), 'all_labels', seed, None)
    meant = opinions(alike.pupil, task)
    return score_all(_judge(task, meant, seed), task, meant)


def _fit(task: Task, method: str, seed: int, scores: torch.Tensor | None) -> Learnt:
    torch.manual_seed(seed)
    pupils = [Pupil(task.seen) for _ in range(1 + (method == 'co_teaching'))]
    optimizers = [torch.optim.AdamW(pupil.parameters(), lr=task.rate, weight_decay=.02, fused=True)
                  for pupil in pupils]
    judge = Judge(task.dwsl) if method == 'dwsl_joint' else None
    average, rng = deepcopy(pupils[0]).requires_grad_(False), torch.Generator().manual_seed(seed)
    learnt, shares = Learnt(average, scores), []
    for step in range(task.steps):
        read = _read(task, _draw(task, method, rng))
        answers = [pupil(read.proposals, *read.tokens, read.index) for pupil in pupils]
        losses = [losses_of(logits, read.labels) for logits, _ in answers]  # each [B]
        weights = _weights(task, method, step, losses, answers[0][1], judge, scores, read)
        for pupil, optimizer, loss, weight in zip(pupils, optimizers, losses, weights):
            for group in optimizer.param_groups:
                group['lr'] = task.rate * rate_at(step, WARMUP, task.steps)
            optimizer.zero_grad()
            ((weight * loss).sum() / weight.sum().clamp_min(1e-3)).backward()
            nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
            optimizer.step()
        share = 1 - min(AVERAGE, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(average.parameters()), list(pupils[0].parameters()), share)
        shares.append(effective_size(weights[0]) / task.batch)
        if step % EVERY == 0:
            learnt.curve.append((step, float(losses[0].detach().mean())))
    learnt.effective = sum(shares) / len(shares)
    if judge is not None:
        learnt.scores = score_all(judge, task, opinions(average, task))
    return learnt


def _weights(task: Task, method: str, step: int, losses: list[torch.Tensor], meant: torch.Tensor,
             judge: Judge | None, scores: torch.Tensor | None, read: 'Read'
             ) -> list[torch.Tensor]:
    """Weigh a batch for each pupil; [B] each."""
    human = task.is_human[read.batch]
    if method in RULES:  # of two, each is taught what the other finds easy
        return [RULES[method](loss.detach(), human, task.bad, step / task.steps)
                for loss in reversed(losses)]
    if method == 'true_weights':  # what a discriminator that never errs would give
        return [(~task.wrong[read.batch]).float()]
    if scores is not None:
        return [weights_of(scores[read.batch], human, task.dwsl)]
    if judge is not None:
        sight = Sight(task.seen.masks(read.pictures), meant.detach().sigmoid())
        judge.learn(sight, read.labels, read.index, human)
        return [weights_of(judge.scores(sight, read.labels, read.index), human, task.dwsl)]
    return [torch.ones_like(human)]


# --- batches ---------------------------------------------------------------------------------

@dataclass(frozen=True)
class Read:
    """A batch: B sentences about I pictures, see `Seen`."""

    batch: torch.Tensor
    pictures: torch.Tensor
    index: torch.Tensor
    labels: torch.Tensor
    tokens: tuple[torch.Tensor, torch.Tensor]
    proposals: Proposals


def _draw(task: Task, method: str, rng: torch.Generator) -> torch.Tensor:
    """Draw a batch of samples with replacement, int64 [B]."""
    def some(which: torch.Tensor, count: int) -> torch.Tensor:
        return which[torch.randint(len(which), (count,), generator=rng)]

    human, machine = (torch.nonzero(task.is_human == kind).squeeze(1) for kind in (1.0, 0.0))
    if method == 'human_only':
        return some(human, task.batch)
    if method in BALANCED:
        half = task.batch // 2
        return torch.cat((some(human, half), some(machine, task.batch - half)))
    return some(torch.cat((human, machine)), task.batch)


def _read(task: Task, batch: torch.Tensor) -> Read:
    pictures, index = task.seen.picture[batch].unique(return_inverse=True)
    return Read(batch, pictures, index, task.labels[batch].float(), task.seen.tokens(batch),
                task.seen.proposals(pictures))


def _chunks(task: Task) -> Iterator[torch.Tensor]:
    return iter(torch.arange(len(task.is_human)).split(CHUNK))


# --- the discriminator -----------------------------------------------------------------------

@torch.no_grad()
def opinions(pupil: Pupil, task: Task) -> torch.Tensor:
    """Tell how likely a pupil thinks that each sentence means each thing, float32 [N, K]."""
    reads = (_read(task, batch) for batch in _chunks(task))
    return torch.cat([pupil(read.proposals, *read.tokens, read.index)[1].sigmoid()
                      for read in reads])


def _judge(task: Task, meant: torch.Tensor, seed: int) -> Judge:
    """Teach a discriminator what human labels look like to who gave `meant`."""
    torch.manual_seed(seed)
    judge, rng = Judge(task.dwsl), torch.Generator().manual_seed(seed + 1)
    for _ in range(task.dwsl.steps):
        read = _read(task, _draw(task, 'balanced', rng))
        judge.learn(Sight(task.seen.masks(read.pictures), meant[read.batch]), read.labels,
                    read.index, task.is_human[read.batch])
    return judge


def score_all(judge: Judge, task: Task, meant: torch.Tensor) -> torch.Tensor:
    """Give p of every label, float32 [N]."""
    reads = (_read(task, batch) for batch in _chunks(task))
    return torch.cat([judge.scores(Sight(task.seen.masks(read.pictures), meant[read.batch]),
                                   read.labels, read.index) for read in reads])
