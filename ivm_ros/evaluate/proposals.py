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
`ivm eval proposals`: whether things are missed, or chosen wrongly.

Beside the masks as chosen by the sentence stand those that the best choice among the same
proposals would give, at the stride of the network's masks. What lies between the two is the
chooser's; what is missing above them is the proposals' and their masks'.
"""

from dataclasses import dataclass
from pathlib import Path
import shlex
import sys
from typing import Annotated, Any

from rich.table import Table
import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.config import check, Doc, Range
from ivm_ros.data.loader import Arrays, Batches
from ivm_ros.data.scenes import Scenes
from ivm_ros.files import write_json
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.checkpoint_info import SHIPPED
from ivm_ros.models.compact import at_least_one, CompactNet, paint
from ivm_ros.models.outlines import draw
from ivm_ros.models.pixels import normalise
from ivm_ros.models.text import TextEncoder
from ivm_ros.terminal import PlainConsole
from ivm_ros.version import commit

AREAS = (0, 160, 400, 1000, 1 << 30)  # pixels of the canvas; bounds of the rows of the table
SURE, NEVER = 4.0, -20.0  # logits of what the best choice means and does not mean
INSIDE = .5  # share of a proposal's mask that must lie in the truth


@dataclass(frozen=True)
class ProposalsConfig:
    """Compare the choice of things with the best choice."""

    data: Annotated[str, Doc('Dataset folder with labels.')]
    weights: Annotated[str, Doc('Checkpoint; empty for the shipped one.')] = ''
    images: Annotated[int, Range(1), Doc('Pictures, from the first on in a shuffled order.')] = 96
    sentences: Annotated[int, Range(1), Doc('Sentences a picture, at most.')] = 10
    json: Annotated[str, Doc('Where to write the figures; empty for nowhere.')] = ''

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def evaluate_proposals(config: ProposalsConfig) -> int:
    """
    Print the table, write the figures; 0.

    Raises:
        DatasetError: The folder holds no readable dataset, or too few pictures.
        CheckpointError: The weights cannot be read.
    """
    net = load_checkpoint(Path(config.weights) if config.weights else SHIPPED).net.eval()
    batches = Batches(Scenes([Path(config.data)]), (net.config.height, net.config.width), 1,
                      config.sentences, None, seed=0)
    encoder, parts = TextEncoder(), []
    for step in range(min(config.images, len(batches))):
        parts.append(_compare(net, encoder, batches[step]))
    chosen, best, areas = (torch.cat(values) for values in zip(*parts))
    rows = [_row(chosen, best, (areas >= low) & (areas < high))
            | {'area': [low, high if high < AREAS[-1] else None]}
            for low, high in zip(AREAS, AREAS[1:])]
    figures = _row(chosen, best, areas >= 0) | {
        'by_area': rows, 'images': len(parts), 'data': config.data,
        'weights': config.weights or 'shipped', 'command': shlex.join(['ivm', *sys.argv[1:]]),
        'commit': commit()}
    _print(figures)
    if config.json:
        write_json(Path(config.json), figures)
    return 0


@torch.inference_mode()
def _compare(net: CompactNet, encoder: TextEncoder, arrays: Arrays
             ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give IoU as chosen and at best, and the area in pixels, of what is in view; each [B]."""
    images = normalise(arrays.images, torch.device('cpu'))
    index, target = torch.from_numpy(arrays.image_index), torch.from_numpy(arrays.target)
    proposals = net.proposer(images, net.backbone(images))
    choice = net.chooser(proposals, net.chooser.listen(*encoder(arrays.sentences)), index)
    masks = draw(proposals.outlines, proposals.pixels, proposals.curves)
    pixels = (masks > 0).float()[index].flatten(2)  # [B, K, P]
    inside = (pixels @ (target > .5).float().flatten(1)[:, :, None]).squeeze(2)
    meant = torch.where(inside > INSIDE * pixels.sum(2).clamp_min(1), SURE, NEVER)
    seen = torch.from_numpy(arrays.found) > .5
    ious = [_iou(F.avg_pool2d(paint(proposals, logits, index, net.margins, images), 2) > 0,
                 target > .5)[seen] for logits in (at_least_one(choice), meant)]
    return ious[0], ious[1], 4 * target.sum((1, 2))[seen]


def _iou(here: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    both, either = (here & there).sum((1, 2)), (here | there).sum((1, 2))
    return both / either.clamp_min(1)


def _row(chosen: torch.Tensor, best: torch.Tensor, which: torch.Tensor) -> dict[str, Any]:
    chosen, best = chosen[which], best[which]
    if not len(chosen):
        return {'n': 0, 'chosen': None, 'best': None, 'wrong': None, 'missed': None}
    return {'n': len(chosen), 'chosen': float(chosen.mean()), 'best': float(best.mean()),
            'wrong': float(((chosen < .5) & (best > .5)).float().mean()),
            'missed': float((best < .5).float().mean())}


def _print(figures: dict[str, Any]) -> None:
    table = Table(title=f'{figures["n"]} sentences about {figures["images"]} pictures')
    for name in ('pixels of the target', 'n', 'IoU as chosen', 'with the best choice',
                 'chosen wrongly', 'no proposal fits'):
        table.add_column(name, justify='right')
    for row in (figures, *figures['by_area']):
        low, high = row.get('area', (0, None))
        name = 'all' if 'by_area' in row else f'{low} to {high}' if high else f'from {low}'
        table.add_row(name, str(row['n']), *('-' if row[key] is None else f'{row[key]:.3f}'
                                             for key in ('chosen', 'best', 'wrong', 'missed')))
    PlainConsole().print(table)
