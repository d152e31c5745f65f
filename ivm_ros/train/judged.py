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
"""What a discriminator said of the last labels: for TensorBoard, and for the run's JSON."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from ivm_ros.auroc import auroc
from ivm_ros.train.dwsl import effective_size

LABELS = 2000
"""As many labels are looked back on: some forty batches."""

SOURCES = 20
"""Named at most, the largest: each recording is a source, and there may be hundreds."""

BARS = 10  # of a histogram in JSON, from p = 0 to 1

Label = tuple[str, str, float, float]
"""Who made it (human, machine, or true: a simulator), its source, p, its weight in the loss."""


class Window:
    """
    The last labels that were weighed.

    The discriminator learnt from these labels, or from others of the same people and machines:
    the figures show what it does, and not how well it would judge labels of other makers.
    """

    def __init__(self) -> None:
        self._labels: deque[Label] = deque(maxlen=LABELS)

    def add(self, scores: torch.Tensor, weights: torch.Tensor, human: torch.Tensor,
            machine: torch.Tensor, sources: Sequence[str] = ()) -> None:
        """
        Note a batch.

        Args:
            scores: float32 [B] in [0, 1], p.
            weights: float32 [B], from 0 on.
            human: bool [B], labels that a person made.
            machine: bool [B], that a machine made; those that are neither are known to be true.
            sources: B names of where labels come from; empty where nobody knows.
        """
        makers = ['human' if by_human else 'machine' if by_machine else 'true'
                  for by_human, by_machine in zip(human.tolist(), machine.tolist())]
        self._labels.extend(zip(makers, sources or [''] * len(makers), scores.tolist(),
                                weights.tolist()))

    def report(self) -> dict[str, Any]:
        """
        Give the figures.

        Returns:
            `labels`, how many; `auroc` of p, human above machine labels, None where there are
            not both; `effective`, Kish's effective size as a share of the labels; `sources`, for
            each maker and for each maker/source: `labels`, `mean_p`, `weight` (share of all
            weight), `histogram` (labels by p in ten bars).
        """
        if not self._labels:
            return {'labels': 0, 'auroc': None, 'effective': None, 'sources': {}}
        weights = torch.tensor([weight for *_, weight in self._labels])
        whole = max(float(weights.sum()), 1e-6)
        sources = {name: {'labels': len(labels), 'mean_p': float(np.mean(labels[:, 0])),
                          'weight': float(labels[:, 1].sum()) / whole,
                          'histogram': np.histogram(labels[:, 0], BARS, (0, 1))[0].tolist()}
                   for name, labels in self._by_source().items()}
        return {'labels': len(weights), 'auroc': self._auroc(),
                'effective': effective_size(weights) / len(weights), 'sources': sources}

    def log(self, writer: SummaryWriter, step: int) -> None:
        """Write AUROC, effective size, shares of weight and histograms of p to TensorBoard."""
        figures = self.report()
        for name in ('auroc', 'effective'):
            if figures[name] is not None:
                writer.add_scalar(f'judged/{name}', figures[name], step)
        for name, labels in self._by_source().items():
            writer.add_scalar(f'judged/weight/{name}', figures['sources'][name]['weight'], step)
            writer.add_histogram(f'judged/p/{name}', labels[:, 0], step)

    def state(self) -> list[Label]:
        """Give what `go_on` takes: a stopped run goes on to the same figures."""
        return list(self._labels)

    def go_on(self, labels: Iterable[Label]) -> None:
        """Take up what another one noted."""
        self._labels.extend(labels)

    def _auroc(self) -> float | None:
        """Tell how often p of a human label is above that of a machine label."""
        judged = [(maker == 'human', p) for maker, _, p, _ in self._labels if maker != 'true']
        return auroc([by_human for by_human, _ in judged], [p for _, p in judged])

    def _by_source(self) -> dict[str, np.ndarray]:
        """Sort p and weights, [n, 2], by maker and by maker/source; small sources together."""
        counts = Counter((maker, source) for maker, source, *_ in self._labels if source)
        named = {key for key, _ in counts.most_common(SOURCES)}
        sorted_: dict[str, list[tuple[float, float]]] = {}
        for maker, source, p, weight in self._labels:
            names = [maker]
            if source:
                names.append(f'{maker}/{source if (maker, source) in named else "others"}')
            for name in names:
                sorted_.setdefault(name, []).append((p, weight))
        return {name: np.array(labels) for name, labels in sorted(sorted_.items())}
