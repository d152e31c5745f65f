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
Other ways to learn from labels of unlike quality, to measure DWSL against.

Each is a weight for every sample of a batch, from its loss and from how far training is. Human
labels are always kept: all methods may know which these are, as DWSL does. Share of bad labels is
known to those that ask for it, which is in their favour.
"""

import torch


def small_loss(losses: torch.Tensor, is_human: torch.Tensor, bad: float, done: float
               ) -> torch.Tensor:
    """
    Keep the machine labels of small loss (arXiv 1804.06872, but with a single network).

    Args:
        losses: float32 [B], detached.
        is_human: float32 [B].
        bad: Share of bad labels among machine labels.
        done: Share of training that is done; all of `bad` is dropped from `RAMP` on.

    Returns:
        float32 [B], 1 for what is kept.
    """
    machine = is_human < .5
    count = int(machine.sum())
    dropped = round(bad * min(1.0, done / RAMP) * count)
    kept = torch.ones_like(losses)
    if dropped:
        ranked = torch.where(machine, losses, -torch.inf).topk(dropped).indices
        kept[ranked] = 0.0
    return kept


def self_paced(losses: torch.Tensor, is_human: torch.Tensor, bad: float, done: float
               ) -> torch.Tensor:
    """
    Begin with what is easy (Kumar et al. 2010, self-paced learning): loss below a rising bound.

    The bound is the quantile of the batch that lets through from `EASY` of the machine labels at
    the start to all good ones, 1 - `bad`, at the end. Arguments as of `small_loss`.
    """
    machine = is_human < .5
    kept = torch.ones_like(losses)
    if machine.any():
        share = EASY + (1 - bad - EASY) * done
        bound = losses[machine].quantile(min(1.0, max(0.0, share)))
        kept[machine & (losses > bound)] = 0.0
    return kept


RAMP = .3  # share of training after which small_loss drops all that it takes for bad
EASY = .2  # share of machine labels that self-paced learning begins with
