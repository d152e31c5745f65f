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
DWSL in the main trainer: batches come in, and go on with a weight for every label.

The discriminator looks through the eyes of the generator that training started from, which stay as
they were: what a label looks like to them does not change while the generator learns.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.models.compact import CompactNet
from ivm_ros.models.device import fast_bfloat16
from ivm_ros.models.discriminator import Sight
from ivm_ros.models.proposals import Proposals
from ivm_ros.models.refine import hint
from ivm_ros.sample import Batch
from ivm_ros.train.dwsl import DwslConfig, effective_size, Judge, weights_of
from ivm_ros.train.judged import Window
from ivm_ros.train.parallel import Team


class Judging:
    """
    Weighs the labels of batches.

    Labels of simulators, which come with their things, are true: they count fully, and teach the
    discriminator nothing.

    Args:
        config: How labels are weighed.
        eyes: The generator that training starts from; copied.
        workers: The processes that train together.
        frozen: Blocks of the backbone that stay in the generator that trains too. What they make
            of a batch is computed once for both.

    Attributes:
        judge (Judge): The discriminator.
        seen (dict[str, float]): Of the last batch: mean p of human and of machine labels, the
            share of all weight that machine labels have, the effective size per sample.
        window (Window): What was said of the last labels of this process, by their sources.
    """

    def __init__(self, config: DwslConfig, eyes: CompactNet, workers: Team = Team(0, 1),
                 frozen: int = 0) -> None:
        self.config = config
        self.eyes = deepcopy(eyes).eval().requires_grad_(False)
        eyes.backbone.share(self.eyes.backbone, frozen)
        self.judge = Judge(config, next(eyes.parameters()).device, workers)
        self.seen: dict[str, float] = {}
        self.window = Window()

    def prepare(self, batches: Iterable[Batch]) -> None:
        """Teach the discriminator before the generator learns (`two_stage`)."""
        for batch in batches:
            self._learn(batch, self._look(batch)[0])

    def weigh(self, batch: Batch, sources: Sequence[str] = ()) -> Batch:
        """
        Give a batch whose weights are multiplied by f(p); `joint` learns from it first.

        Where nobody labelled the robot, it is from now on where the eyes see it: else what no
        mask of a robot's own episodes says would be forgotten.

        Args:
            batch: What the generator is to learn from.
            sources: B names of where labels come from, for the monitors.
        """
        sight, robot = self._look(batch)
        if self.config.form == 'joint':
            self._learn(batch, sight)
        scores = self.judge.scores(sight, F.avg_pool2d(batch.target[:, None], 2).squeeze(1),
                                   batch.image_index)
        true = batch.labelled[batch.image_index] > .5
        weights = torch.where(true, 1.0, weights_of(scores, batch.human, self.config))
        weight = batch.weight * weights
        human, machine = (batch.human > .5) & ~true, (batch.human < .5) & ~true
        self.seen = {'judge/human': _mean(scores, human), 'judge/machine': _mean(scores, machine),
                     'judge/machine_weight': float(weight[machine].sum()
                                                   / weight.sum().clamp_min(1e-6)),
                     'judge/effective': effective_size(weight) / len(weight)}
        self.window.add(scores, weight, human, machine, sources)
        known = batch.robot_known[:, None, None]
        return replace(batch, weight=weight, robot=known * batch.robot + (1 - known) * robot,
                       robot_known=torch.ones_like(batch.robot_known))

    def _learn(self, batch: Batch, sight: Sight) -> None:
        """Take a step on the labels of which it is not known that they are true."""
        judged = torch.nonzero(batch.labelled[batch.image_index] < .5).squeeze(1)
        label = F.avg_pool2d(batch.target[judged, None], 2).squeeze(1)
        self.judge.learn(Sight(sight.masks, sight.meant[judged]), label,
                         batch.image_index[judged], batch.human[judged])

    @torch.no_grad()
    def _look(self, batch: Batch) -> tuple[Sight, torch.Tensor]:
        """
        Look at a batch through the eyes that stay.

        Returns:
            What they see, and the robot, float32 [I, h/2, w/2] in [0, 1]: as labelled where it
            is in every picture.
        """
        eyes = self.eyes
        with torch.autocast('cpu', torch.bfloat16, enabled=fast_bfloat16(batch.images.device)):
            proposals = _full(eyes.proposer(batch.images, eyes.backbone(batch.images)))
        masks = proposals.small[:, :-1]
        # Every second pixel tells as much of colours, and needs no pooling.
        masks = (masks + hint(masks, batch.images[..., ::2, ::2].float())).sigmoid()
        heard = eyes.chooser.listen(batch.tokens, batch.token_mask)
        meant = eyes.chooser(proposals, heard, batch.image_index).meant.sigmoid()
        if bool(batch.robot_known.all()):
            return Sight(masks, meant), batch.robot
        robot = proposals.robot[:, None]
        robot = (robot + hint(robot, batch.images.float())).squeeze(1).sigmoid()
        return Sight(masks, meant), robot


def _full(proposals: Proposals) -> Proposals:
    """Give the same in full precision."""
    return Proposals(*(part.float() if part.is_floating_point() else part for part in proposals))


def _mean(values: torch.Tensor, which: torch.Tensor) -> float:
    return float(values[which].mean()) if bool(which.any()) else 0.0
