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
`ivm eval words`: whether words that training never said lie near what they mean.

Every such word of a noun is compared with the first word of all nouns that training shows, in the
space in which the generator compares words and things, and as the sentence encoder has them. No
picture is needed: what is lost here, no picture can bring back.
"""

from collections.abc import Callable
from dataclasses import dataclass
import json
from pathlib import Path
import shlex
import sys
from typing import Annotated

from rich.table import Table
import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.config import check, Doc, Range
from ivm_ros.files import replace_file
from ivm_ros.language.nouns import NOUNS
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.checkpoint_info import SHIPPED
from ivm_ros.models.text import TextEncoder, words_of
from ivm_ros.terminal import PlainConsole
from ivm_ros.version import commit


@dataclass(frozen=True)
class WordsConfig:
    """Compare words that training never said with what they mean."""

    weights: Annotated[str, Doc('Checkpoint; empty for the shipped one.')] = ''
    among: Annotated[int, Range(2), Doc('Things that a word must find its own among.')] = 12
    json: Annotated[str, Doc('Where to write the figures; empty for nowhere.')] = ''

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def evaluate_words(config: WordsConfig) -> int:
    """
    Print the table, write the figures; 0.

    Raises:
        CheckpointError: The weights cannot be read.
        TextEncoderError: There is no sentence encoder.
    """
    net = load_checkpoint(Path(config.weights) if config.weights else SHIPPED).net
    encoder = TextEncoder()
    kinds = [name for name, noun in NOUNS.items() if not noun.held_out]
    pairs = [(word, place) for place, name in enumerate(kinds) for word in NOUNS[name].unseen]
    names = words_of([NOUNS[name].words[0] for name in kinds], encoder)
    said = words_of([word for word, _ in pairs], encoder)
    truth = torch.tensor([place for _, place in pairs])
    spaces: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        'generator': net.chooser.name, 'encoder': lambda words: F.normalize(words, dim=1)}
    figures = {name: _found(space(said) @ space(names).T, truth, config.among)
               for name, space in spaces.items()}
    table = Table(title=f'{len(pairs)} words never said in training, {len(kinds)} nouns')
    for name in ('space', 'first of all', 'among the first five', f'first of {config.among}'):
        table.add_column(name, justify='right')
    for name, row in figures.items():
        table.add_row(name, *(f'{value:.3f}' for value in row.values()))
    PlainConsole().print(table)
    if config.json:
        with replace_file(Path(config.json)) as part:
            part.write_text(json.dumps(figures | {
                'words': len(pairs), 'nouns': len(kinds), 'among': config.among,
                'weights': config.weights or 'shipped', 'commit': commit(),
                'command': shlex.join(['ivm', *sys.argv[1:]])}, indent=1) + '\n')
    return 0


@torch.inference_mode()
def _found(likeness: torch.Tensor, truth: torch.Tensor, among: int) -> dict[str, float]:
    """
    Tell how often the right noun is the likest; likeness [W, N], truth int64 [W].

    Of `among` nouns, the others drawn at random without replacement: from the number of nouns
    that are liker than the right one, the chance that none of them is drawn follows.
    """
    before = (likeness > likeness.gather(1, truth[:, None])).sum(1)  # [W]
    others = likeness.shape[1] - 1
    drawn = torch.arange(among - 1)
    chance = ((others - before[:, None] - drawn).clamp_min(0) / (others - drawn)).prod(1)
    return {'first': float((before == 0).float().mean()),
            'first_five': float((before < 5).float().mean()), 'first_of': float(chance.mean())}
