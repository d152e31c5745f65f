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
What the study of noisy labels learns from: pictures as the shipped generator's eyes see them.

Backbone and proposer are frozen, so a run of the study takes a minute and not an hour; what learns
from labels is a fresh chooser (`study.pupil`). Masks are at a quarter of the canvas (48 x 64).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.annotate.noise import Noise, spoil
from ivm_ros.data.scenes import Scenes
from ivm_ros.data.shards import (
    DatasetError, decode_image, decode_labels, decode_mask, Row)
from ivm_ros.image import letterbox_of, to_canvas
from ivm_ros.models.checkpoint import Checkpoint
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.pixels import normalise
from ivm_ros.models.proposals import Proposals
from ivm_ros.models.refine import hint
from ivm_ros.models.text import pad_states, TextEncoder

STRIDE = 4
THINGS = 10  # in a picture, at most
KEPT = 16  # proposals of a picture, the likeliest
PICTURES = 16  # looked at in one pass


@dataclass(frozen=True)
class Seen:
    """
    I pictures and N sentences about them; sentence n is about picture `picture[n]`.

    Attributes:
        small (torch.Tensor): float16 [I, K, h, w], at `STRIDE`: logits of the pixels of things,
            with what colours add. See `Proposals` for this and what follows.
        pixels (torch.Tensor): float16 [I, FINE, h, w].
        features (torch.Tensor): float32 [I, K + 1, D].
        places (torch.Tensor): float32 [I, K + 1, PLACES].
        pairs (torch.Tensor): float32 [I, K + 1, K + 1, PAIRS].
        curves (torch.Tensor): float32 [BASIS, h, w].
        naming (torch.nn.Linear): What words may name, see `Chooser.take_axes`.
        states (tuple[torch.Tensor, ...]): N of float16 [T_n, 768], of the sentence encoder.
        picture (torch.Tensor): int64 [N].
        truth (torch.Tensor): float16 [N, h, w] in [0, 1].
        rows (tuple[Row, ...]): N, for what they name.
    """

    small: torch.Tensor
    pixels: torch.Tensor
    features: torch.Tensor
    places: torch.Tensor
    pairs: torch.Tensor
    curves: torch.Tensor
    naming: torch.nn.Linear
    states: tuple[torch.Tensor, ...]
    picture: torch.Tensor
    truth: torch.Tensor
    rows: tuple[Row, ...]

    def part(self, which: torch.Tensor) -> 'Seen':
        """Give some of the sentences alone, int64 [n]."""
        places = which.tolist()
        return replace(self, picture=self.picture[which], truth=self.truth[which],
                       states=tuple(self.states[place] for place in places),
                       rows=tuple(self.rows[place] for place in places))

    def proposals(self, pictures: torch.Tensor) -> Proposals:
        """Give what a chooser reads of some pictures, int64 [I]."""
        pixels = self.pixels[pictures].float()
        none = pixels.new_zeros(len(pictures), 1, 1)
        return Proposals(none, none.long().squeeze(2), none, pixels, self.curves,
                         self.small[pictures].float(), none, self.features[pictures],
                         self.places[pictures], self.pairs[pictures])

    def masks(self, pictures: torch.Tensor) -> torch.Tensor:
        """Give the pixels of each of their things, float32 [I, K, h, w] in [0, 1]."""
        return self.small[pictures].float().sigmoid()

    def tokens(self, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give states float32 [B, T, 768] and mask [B, T] of some sentences, int64 [B]."""
        return pad_states([self.states[index] for index in which.tolist()])


def see(folders: Sequence[Path], checkpoint: Checkpoint, encoder: TextEncoder, pictures: int,
        sentences: int, seed: int) -> Seen:
    """
    Look at pictures drawn from dataset folders, sentences whose target is in view.

    Raises:
        DatasetError: There are too few pictures, or things are not labelled.
    """
    scenes, rng = Scenes(folders), np.random.default_rng(seed)
    kept: list[list[Row]] = []
    for place in scenes.order(rng):
        rows = [row for row in scenes.rows(*place) if row.found and row.mask and row.labels]
        if rows and len(rows[0].extra['things']) <= THINGS:
            count = min(sentences, len(rows))
            kept.append([rows[index] for index in rng.permutation(len(rows))[:count]])
        if len(kept) == pictures:
            break
    if len(kept) < pictures:
        raise DatasetError(f'{", ".join(map(str, folders))}: wanted {pictures} pictures with '
                           f'1 to {THINGS} labelled things, got {len(kept)}')
    net = checkpoint.net.eval()
    looks = [_look(net, [rows[0] for rows in kept[start:start + PICTURES]])
             for start in range(0, pictures, PICTURES)]
    joined = {name: torch.cat([look[name] for look in looks]) for name in looks[0]}
    flat = tuple(row for rows in kept for row in rows)
    states = tuple(state.half() for state in encoder.encode([row.instruction for row in flat]))
    index = [place for place, rows in enumerate(kept) for _ in rows]
    truth = torch.stack([small(decode_mask(row.mask or b''), net) for row in flat]).half()
    return Seen(**joined, curves=net.proposer.quarters, naming=net.chooser.naming,
                states=states, picture=torch.tensor(index), truth=truth, rows=flat)


@torch.inference_mode()
def _look(net: CompactNet, rows: list[Row]) -> dict[str, torch.Tensor]:
    size = net.config.height, net.config.width
    canvases = [to_canvas(image, letterbox_of((image.shape[0], image.shape[1]), size))
                for image in (decode_image(row.image) for row in rows)]
    images = normalise(np.stack(canvases), torch.device('cpu'))
    found = net.proposer(images, net.backbone(images))
    kept = torch.tensor([*range(KEPT), -1])  # and the robot
    masks = found.small[:, kept[:-1]]
    return {'small': (masks + hint(masks, F.avg_pool2d(images, 2))).half(),
            'pixels': F.avg_pool2d(found.pixels, 2).half(), 'features': found.features[:, kept],
            'places': found.places[:, kept], 'pairs': found.pairs[:, kept][:, :, kept]}


def small(mask: np.ndarray, net: CompactNet) -> torch.Tensor:
    """Bring a mask uint8 [H, W] to float32 [h, w] in [0, 1], a quarter of the canvas."""
    size = net.config.width // STRIDE, net.config.height // STRIDE
    if mask.shape[0] * size[0] != mask.shape[1] * size[1]:
        raise DatasetError(f'the study wants pictures of {net.config.height} to '
                           f'{net.config.width}, got {mask.shape[0]} x {mask.shape[1]}')
    return torch.from_numpy(cv2.resize(mask, size, interpolation=cv2.INTER_AREA)).float() / 255


def annotate_badly(seen: Seen, noise: Noise, net: CompactNet, seed: int
                   ) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Give noisy labels float16 [N, h, w] of all sentences, and what is wrong with each."""
    rng = np.random.default_rng(seed)
    made = [spoiled(row, noise, rng) for row in seen.rows]
    return (torch.stack([small(mask, net) for mask, _ in made]).half(),
            tuple(kind for _, kind in made))


def spoiled(row: Row, noise: Noise, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Give a noisy label uint8 [H, W] of a row with labelled things, and what is wrong with it."""
    mask, labels = decode_mask(row.mask or b''), decode_labels(row.labels or b'')
    things = [int(label) for label in row.extra['things']]
    known = np.where(np.isin(labels, things), labels, 0).astype(np.uint8)
    inside = np.bincount(known[mask > 127], minlength=256)
    targets = np.flatnonzero(2 * inside > np.bincount(known.ravel(), minlength=256))
    return spoil(mask, known, targets.tolist(), row.extra.get('alike', ()), noise, rng)
