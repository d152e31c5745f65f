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
Discriminator-weighted supervised learning (DWSL): labels of unlike quality, weighed one by one.

The generator G minimises, over human labels H and machine labels M,

    sum over (x, s, m) in H and M of  f(p) * loss(G(x, s), m),    p = sigmoid(D(x, s, m)),

and the discriminator D the cross-entropy of "a person made this label". f(p) has no gradient, so D
learns from who made a label alone, G from the labels that f lets through. Two forms, both known of
the authors' code: `two_stage`, D first, then frozen; `joint`, both in every step.

What f the paper uses is not known; the authors' code has `clip` and `affine`. All are here by
name, and `ivm eval noise` compares them. `ratio`, ours, is what importance weighting asks for:
where human and machine labels weigh the same in D's loss, p / (1 - p) is how many times likelier
a label is from a person, so that weighed machine labels are, in the mean, human ones.

From the equation to the step, all of it here: `Judge.scores` gives p, `weights_of` is f,
`weighed_loss` the sum over a batch; `judge_loss` is D's cross-entropy, `Judge.learn` its step. The
trainer calls them: `Judging.weigh` (`train/judging.py`) the first two for each batch, `train_step`
(`train/loop.py`) the third, before G's own step.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.config import check, Doc, Range
from ivm_ros.models.discriminator import Discriminator, Sight
from ivm_ros.train.parallel import Team

Form = Literal['two_stage', 'joint']
MOST = 5.0  # weight of a label by `ratio` at most: beyond, p is a guess
Weight = Literal['clip', 'affine', 'power', 'threshold', 'normalised', 'ratio', 'none']


@dataclass(frozen=True)
class DwslConfig:
    """How labels are weighed."""

    form: Annotated[Form, Doc('Discriminator first, or both in every step.')] = 'two_stage'
    weight: Annotated[Weight, Doc(
        'f(p): clip to 0.1 and 0.9, affine 0.2 + 0.8 p, power p^2, threshold p > 0.5, normalised '
        'p / mean of the batch, ratio p / (1 - p) up to 5, none 1. clip is the form of the '
        'authors; threshold came first in our study (docs/dwsl.md).')] = 'clip'
    human: Annotated[Literal['one', 'weighed'], Doc(
        'Human labels count fully, or as their p says.')] = 'one'
    steps: Annotated[int, Range(1), Doc('Steps of the discriminator, two_stage.')] = 500
    learning_rate: Annotated[float, Range(0, 1), Doc('Of the discriminator.')] = 3e-3
    weight_decay: Annotated[float, Range(0, 10), Doc('Of the discriminator.')] = 0.05
    smoothing: Annotated[float, Range(0, .5), Doc('Of its labels: 0 and 1 become s, 1 - s.')] = .1

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def weights_of(scores: torch.Tensor, is_human: torch.Tensor, config: DwslConfig) -> torch.Tensor:
    """
    Turn a discriminator's scores into weights, without gradient.

    Args:
        scores: float32 [B] in [0, 1], p.
        is_human: float32 [B], 1 where a person made the label.
        config: Which f.

    Returns:
        float32 [B], from 0 on.
    """
    p = scores.detach()
    machine = {'clip': p.clamp(0.1, 0.9), 'affine': 0.2 + 0.8 * p, 'power': p ** 2,
               'threshold': (p > 0.5).float(), 'normalised': p / p.mean().clamp_min(1e-3),
               'ratio': (p / (1 - p).clamp_min(1e-3)).clamp_max(MOST),
               'none': torch.ones_like(p)}[config.weight]
    return machine if config.human == 'weighed' else torch.where(is_human > .5, 1.0, machine)


def weighed_loss(losses: torch.Tensor, weights: torch.Tensor,
                 workers: Team = Team(0, 1)) -> torch.Tensor:
    """
    Give what the generator minimises: the mean of f(p) * loss, by the sum of f(p).

    Args:
        losses: float32 [B], of each label.
        weights: float32 [B], f(p) times the weight of the sample itself; no gradient.
        workers: The processes that take this step together: the sum of f(p) is their mean, since
            gradients are averaged.

    Returns:
        float32 scalar.
    """
    return (losses * weights).sum() / workers.mean(weights.sum())


def judge_loss(logits: torch.Tensor, is_human: torch.Tensor, share: torch.Tensor,
               smoothing: float = 0.0) -> torch.Tensor:
    """
    Cross-entropy of who made a label; logits and is_human [B] -> [B].

    Human and machine labels weigh the same in sum, however few the human ones are: `share`, a
    scalar, is the human part of the batch.
    """
    human = share.clamp(1e-3, 1 - 1e-3)
    balance = torch.where(is_human > .5, .5 / human, .5 / (1 - human))
    truth = is_human * (1 - 2 * smoothing) + smoothing
    return balance * F.binary_cross_entropy_with_logits(logits, truth, reduction='none')


class Judge:
    """
    A discriminator that learns.

    Args:
        config: Rates.
        device: Where it learns.
        workers: The processes that take each step together.

    Attributes:
        net (Discriminator): What judges.
        optimizer (torch.optim.AdamW): Of it.
    """

    def __init__(self, config: DwslConfig, device: torch.device = torch.device('cpu'),
                 workers: Team = Team(0, 1)) -> None:
        self.config, self.workers = config, workers
        self.net = Discriminator().to(device)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=config.learning_rate,
                                           weight_decay=config.weight_decay, fused=True)

    def learn(self, sight: Sight, label: torch.Tensor, image_index: torch.Tensor,
              is_human: torch.Tensor) -> None:
        """Take one step, if there is a label; arguments as of `Discriminator`."""
        count = self.workers.mean(label.new_tensor(float(len(label))))
        if count == 0:  # in no process
            return
        logits = self.net(sight, label, image_index)
        share = self.workers.mean(is_human.sum()) / count
        loss = judge_loss(logits, is_human, share, self.config.smoothing).sum() / count
        self.optimizer.zero_grad()
        loss.backward()
        for parameter in self.net.parameters():
            if parameter.grad is not None:
                parameter.grad = self.workers.mean(parameter.grad)
        self.optimizer.step()

    @torch.no_grad()
    def scores(self, sight: Sight, label: torch.Tensor, image_index: torch.Tensor) -> torch.Tensor:
        """Give p of labels, float32 [B] in [0, 1]."""
        scores: torch.Tensor = self.net(sight, label, image_index).sigmoid()
        return scores


def effective_size(weights: torch.Tensor) -> float:
    """Kish's effective sample size of weights [B]: B where all are alike, 1 where one counts."""
    return float(weights.sum() ** 2 / (weights ** 2).sum().clamp_min(1e-9))
