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
Composites: named cut-outs pasted on photographs and textures, with their truth.

So that a generator is not blind outside the simulation, and knows things that nobody modelled. Far
things are smaller and higher in the picture, near ones cover them; each has a shadow. All ranges
are our choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ivm_ros.data.backdrop import backdrop
from ivm_ros.data.cutouts import CutOut
from ivm_ros.data.holdout import ask, Holdout
from ivm_ros.language.colours import colour_of
from ivm_ros.language.sentence import Sentence
from ivm_ros.language.speaker import Speaker
from ivm_ros.language.things import Thing

Rng = np.random.Generator
FEWEST_CLEAR = 3
TRIES = 12
HIDES = .45  # share of any thing that a nearer one may hide
INSIDE = .75  # share of a thing that must be in the picture
ALIKE = .45  # share of things that are drawn as another one of a noun that is there
TINTED = .5  # share of cut-outs of one colour that are given another
TINTABLE = 60  # saturation from which a cut-out has a colour to change


@dataclass(frozen=True)
class Composite:
    """
    One picture with its sentences.

    Attributes:
        image (np.ndarray): uint8 [H, W, 3].
        labels (np.ndarray): uint8 [H, W], ids of things, 0 for none.
        things (list[Thing]): What is visible.
        sentences (list[Sentence]): With the ids they mean.
        cutouts (tuple[str, ...]): File of each thing, in the order of ids from 1.
    """

    image: np.ndarray
    labels: np.ndarray
    things: list[Thing]
    sentences: list[Sentence]
    cutouts: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """
    A cut-out as it is pasted.

    Attributes:
        noun (str): Key of `NOUNS`.
        colour (str | None): Its one colour.
        name (str): Of the file.
        image (np.ndarray): uint8 [h, w, 4].
        scale (float): Size relative to others at its distance.
        left (int): Column of its left edge, may be negative.
        foot (int): Row below its lowest pixel.
    """

    noun: str
    colour: str | None
    name: str
    image: np.ndarray
    scale: float
    left: int = 0
    foot: int = 0


def draw_composite(rng: Rng, cutouts: Sequence[CutOut], backgrounds: Sequence[np.ndarray],
                   sentences: int, size: tuple[int, int] = (192, 256),
                   count: tuple[int, int] = (3, 14), holdout: Holdout = Holdout()) -> Composite:
    """
    Draw a composite until enough of it can be asked for.

    Args:
        rng: Source of randomness.
        cutouts: What may be in it.
        backgrounds: Photographs or textures uint8 [h, w, 3]; none: drawn ones only.
        sentences: At most.
        size: (H, W) of the picture.
        count: Fewest and most things.
        holdout: What that training never shows is in it, and asked for.
    """
    while True:
        image = backdrop(rng, backgrounds, size)
        wanted = int(rng.integers(count[0], count[1] + 1))
        pieces, labels = _place(rng, draw_pieces(rng, cutouts, wanted, size, holdout), size)
        things = list(_things(pieces, labels))
        if sum(thing.clear for thing in things) < FEWEST_CLEAR:
            continue
        made = ask(Speaker(things, rng, holdout.words), sentences, 1.0, holdout)
        if made:
            for piece in pieces:
                paste(image, piece, rng)
            return Composite(_develop(image, rng), labels, things, made,
                             tuple(piece.name for piece in pieces))


# --- what is in it ---------------------------------------------------------------------------

def draw_pieces(rng: Rng, cutouts: Sequence[CutOut], count: int, size: tuple[int, int],
                holdout: Holdout) -> list[Piece]:
    """Draw things, many of them another one of a noun that is there already."""
    pieces: list[Piece] = []
    base = size[0] * rng.uniform(.15, .30) * (1 - .02 * count)
    for _ in range(TRIES * count):
        if len(pieces) == count:
            break
        cutout = cutouts[int(rng.integers(len(cutouts)))]
        if pieces and rng.random() < ALIKE:
            noun = pieces[int(rng.integers(len(pieces)))].noun
            same = [other for other in cutouts if other.noun == noun]
            cutout = same[int(rng.integers(len(same)))]
        image = tinted(cutout.image, rng) if rng.random() < TINTED else cutout.image
        colour = colour_of(image[image[..., 3] > 127][:, :3])
        if holdout.shows(cutout.noun, colour):
            scale = float(np.exp(rng.uniform(-.45, .45)))
            pieces.append(Piece(cutout.noun, colour, cutout.name, turned(image, base * scale, rng),
                                scale))
    return pieces


def tinted(image: np.ndarray, rng: Rng) -> np.ndarray:
    """Turn the hue of a cut-out of one colour; others stay as they are."""
    opaque = image[..., 3] > 127
    if colour_of(image[opaque][:, :3]) is None:
        return image
    hsv = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2HSV).astype(int)
    if np.median(hsv[opaque][:, 1]) < TINTABLE:
        return image
    hsv[..., 0] = (hsv[..., 0] + int(rng.integers(180))) % 180
    hsv[..., 2] = (hsv[..., 2] * rng.uniform(.7, 1.1)).astype(int)
    changed = cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    return np.dstack([changed, image[..., 3]])


def turned(image: np.ndarray, longer: float, rng: Rng) -> np.ndarray:
    """Scale a cut-out to a length, mirror, turn and slant it a little; uint8 [h, w, 4]."""
    if rng.random() < .5:
        image = image[:, ::-1]
    height, width = image.shape[:2]
    scale = longer / max(height, width)
    angle = rng.normal(0, .12) if rng.random() < .85 else rng.uniform(-np.pi, np.pi)
    slant, squeeze = rng.normal(0, .08), np.exp(rng.normal(0, .10))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = scale * turn @ [[squeeze, slant], [0, 1 / squeeze]]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix.T
    low, high = corners.min(0), corners.max(0)
    small = max(1, int(high[0] - low[0])), max(1, int(high[1] - low[1]))
    # Colours weigh by alpha, or the black of what is transparent bleeds in at the rim.
    alpha = image[..., 3:].astype(np.float32) / 255
    weighed: np.ndarray = np.dstack([image[..., :3] * alpha, alpha])
    if scale < .5:  # a smooth picture before it shrinks
        weighed = cv2.GaussianBlur(weighed, (0, 0), .35 / scale)
    out = cv2.warpAffine(weighed, np.column_stack([matrix, -low]).astype(np.float32), small,
                         flags=cv2.INTER_LINEAR)
    colours = out[..., :3] / np.maximum(out[..., 3:], 1e-3)
    out = np.dstack([colours, 255 * out[..., 3]]).clip(0, 255).astype(np.uint8)
    opaque = out[..., 3] > 127
    rows, columns = np.flatnonzero(opaque.any(1)), np.flatnonzero(opaque.any(0))
    if not len(rows):
        return out
    return out[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]


# --- where it stands -------------------------------------------------------------------------

def _place(rng: Rng, pieces: list[Piece], size: tuple[int, int]
           ) -> tuple[list[Piece], np.ndarray]:
    """Place the pieces, far ones first, and drop those that would hide too much."""
    height, width = size
    horizon = rng.uniform(.05, .35) * height
    feet = np.sort(rng.uniform(horizon + .12 * height, height * 1.04, len(pieces)))
    labels = np.zeros(size, np.uint8)
    placed: list[Piece] = []
    for foot, piece in zip(feet, pieces):
        near = .55 + .6 * (foot - horizon) / (height - horizon)
        high, wide = piece.image.shape[:2]
        small = max(2, round(wide * near)), max(2, round(high * near))
        image = cv2.resize(piece.image, small, interpolation=cv2.INTER_AREA)
        for _ in range(TRIES):
            left = int(rng.integers(-small[0] // 4, width - 3 * small[0] // 4 + 1))
            put = replace(piece, image=image, left=left, foot=int(foot))
            after = _painted(labels, put, len(placed) + 1)
            if after is not None:
                labels = after
                placed.append(put)
                break
    return placed, labels


def window(piece: Piece, size: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Give the part of the picture that a piece covers, and that part of it; maybe empty."""
    high, wide = piece.image.shape[:2]
    top = piece.foot - high
    rows = slice(*np.clip((top, piece.foot), 0, size[0]))
    columns = slice(*np.clip((piece.left, piece.left + wide), 0, size[1]))
    part = piece.image[rows.start - top:rows.stop - top,
                       columns.start - piece.left:columns.stop - piece.left]
    return (rows, columns), part


def _painted(labels: np.ndarray, piece: Piece, label: int) -> np.ndarray | None:
    """Paint a piece's label; None where it hides too much, or is too far out of the picture."""
    where, part = window(piece, (labels.shape[0], labels.shape[1]))
    opaque = part[..., 3] > 127
    if opaque.sum() < INSIDE * (piece.image[..., 3] > 127).sum():
        return None
    before = np.bincount(labels.ravel(), minlength=256)
    covered = np.bincount(labels[where][opaque], minlength=256)
    if (covered[1:] > HIDES * before[1:]).any():
        return None
    labels = labels.copy()
    labels[where][opaque] = label
    return labels


def _things(pieces: Sequence[Piece], labels: np.ndarray) -> list[Thing]:
    """Say what is visible of the pieces."""
    height, width = labels.shape
    things = []
    for label, piece in enumerate(pieces, 1):
        rows, columns = np.nonzero(labels == label)
        if not len(rows):
            continue
        row, column = (rows.mean() + .5) / height, (columns.mean() + .5) / width
        foot = piece.foot / height
        middle = (piece.left + piece.image.shape[1] / 2) / height
        things.append(Thing(
            label, piece.noun, piece.colour, piece.scale, False, 0, len(rows),
            int((piece.image[..., 3] > 127).sum()), float(row), float(column), foot,
            (middle, 1.6 * foot, 0.0), width / height, height * width))
    return things


# --- pixels ----------------------------------------------------------------------------------

def paste(image: np.ndarray, piece: Piece, rng: Rng) -> None:
    """Paste a piece with its shadow, in place."""
    size = image.shape[0], image.shape[1]
    high, wide = piece.image.shape[:2]
    shadow = np.zeros(size, np.float32)
    centre = int(piece.left + wide / 2 + rng.normal(0, .08) * wide), int(piece.foot - .06 * high)
    axes = max(1, int(wide * rng.uniform(.4, .6))), max(1, int(wide * rng.uniform(.08, .2)))
    cv2.ellipse(shadow, centre, axes, 0, 0, 360, float(rng.uniform(.2, .6)), -1)
    shade = 1 - cv2.GaussianBlur(shadow, (0, 0), max(.8, .07 * wide))
    np.multiply(image, shade[..., None], out=image, casting='unsafe')
    where, part = window(piece, size)
    if part.size:
        alpha = part[..., 3:].astype(np.float32) / 255
        lit = part[..., :3] * rng.uniform(.75, 1.1)
        image[where] = (image[where] * (1 - alpha) + lit * alpha).clip(0, 255).astype(np.uint8)


def _develop(image: np.ndarray, rng: Rng) -> np.ndarray:
    """Give all of the picture one light, sharpness and grain."""
    if rng.random() < .4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(.3, .9)).astype(np.uint8)
    lit = image * (rng.uniform(.8, 1.15) * (1 + rng.normal(0, .04, 3)))
    return (lit + rng.normal(0, rng.uniform(0, 5), image.shape)).clip(0, 255).astype(np.uint8)
