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
"""Pictures of a recorded run: what the camera saw, what the sentence needs, what a policy sees."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ivm_ros.files import replace_file
from ivm_sim.demo_recording import Recording, Shot

SHEET, ANIMATION = 'contact_sheet.png', 'demo.gif'
Colour = tuple[int, int, int]
PAPER, INK = (255, 255, 255), (28, 28, 32)
TARGET, ROBOT = (255, 122, 0), (64, 132, 240)  # in the middle picture
TITLES: tuple[tuple[tuple[str, Colour], ...], ...] = (
    (('camera', INK),), (('what the sentence needs', TARGET), ('  robot', ROBOT)),
    (('what the policy sees', INK),))
GAP, MARGIN = 8, 12  # pixels
LARGE, SMALL = 20, 16  # letters, pixels
WON, LOST = (24, 128, 56), (217, 48, 37)
EDGE = 4  # pixels of the frame that tells how an episode ended
MOVING_WIDTH = 224  # pixels of each picture of the animation
COLOURS = 254  # of the animation, beside that of the paper and one for 'as before'
SAMPLES = 12  # frames that its colours are taken from


def save_pictures(recording: Recording, folder: Path, rate: float) -> list[Path]:
    """
    Write a contact sheet (PNG) and an animation (GIF) of the frames that are whole.

    Args:
        recording: With shots.
        folder: Where to.
        rate: Frames per second of the camera.

    Returns:
        What was written; nothing where no frame is whole.
    """
    numbers = [number for number, shot in sorted(recording.shots.items()) if shot.whole]
    if not numbers:
        return []
    strips = [strip(recording.shots[number]) for number in numbers]
    texts = [recording.frame(number).instruction for number in numbers]
    gaps = np.diff(numbers).tolist()
    seconds = [gap / rate for gap in (*gaps, min(gaps, default=1))]
    paths = [folder / SHEET, folder / ANIMATION]
    with replace_file(paths[0]) as part:
        contact_sheet(strips, texts).save(part, 'PNG', optimize=True)
    with replace_file(paths[1]) as part:
        save_animation(strips, texts, part, seconds)
    return paths


def strip(shot: Shot) -> np.ndarray:
    """Camera | heat | masked of a whole shot, side by side, uint8 [H, 3 W + 2 GAP, 3]."""
    if shot.raw is None or shot.masked is None or shot.mask is None or shot.robot is None:
        raise ValueError('strip: wanted a whole shot, got one with pictures missing')
    height, width = shot.raw.shape[:2]
    # A crop has another size: it is shown as large as fits.
    masked = np.asarray(_fit(Image.fromarray(shot.masked), (width, height)))
    gap = np.full((height, GAP, 3), PAPER, np.uint8)
    return np.hstack([shot.raw, gap, heat(shot.raw, shot.mask, shot.robot), gap, masked])


def heat(image: np.ndarray, mask: np.ndarray, robot: np.ndarray) -> np.ndarray:
    """Darken a picture uint8 [H, W, 3] to grey and colour masks uint8 [H, W] into it."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    out = 18 + .38 * grey
    for plane, colour, strength in ((robot, ROBOT, .65), (mask, TARGET, .9)):
        share = strength * plane[..., None].astype(np.float32) / 255
        # The picture's light and shade stay visible in the colour.
        out = (1 - share) * out + share * np.asarray(colour, np.float32) * (.55 + .45 * grey / 255)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def edged(picture: np.ndarray, success: bool) -> np.ndarray:
    """Frame a picture uint8 [H, W, 3] in green or red."""
    out = np.full_like(picture, WON if success else LOST)
    out[EDGE:-EDGE, EDGE:-EDGE] = picture[EDGE:-EDGE, EDGE:-EDGE]
    return out


def contact_sheet(strips: Sequence[np.ndarray], texts: Sequence[str]) -> Image.Image:
    """Show one moment of each instruction, a row each, with a title above each column."""
    groups = [list(group) for _, group in groupby(range(len(texts)), key=lambda i: texts[i])]
    chosen = [group[len(group) // 2] for group in groups]
    height, width = strips[0].shape[:2]
    line, head = LARGE + 2 * GAP, SMALL + 2 * GAP
    sheet = Image.new('RGB', (width + 2 * MARGIN, head + len(chosen) * (height + line) + MARGIN),
                      PAPER)
    _titles(sheet, width, GAP, SMALL)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LARGE)
    for row, index in enumerate(chosen):
        top = head + row * (height + line)
        draw.text((MARGIN, top + line / 2), _quoted(texts[index]), INK, font, 'lm')
        sheet.paste(Image.fromarray(strips[index]), (MARGIN, top + line))
    return sheet


def save_animation(strips: Sequence[np.ndarray], texts: Sequence[str], path: Path,
                   seconds: Sequence[float]) -> None:
    """Write an endless GIF; with one palette for all frames what stands still costs little."""
    frames = [_moving(strip, text) for strip, text in zip(strips, texts, strict=True)]
    step = max(1, len(frames) // SAMPLES)
    palette = _palette(np.vstack([np.asarray(frame) for frame in frames[::step]]))
    flat = [_flat(frame, palette) for frame in frames]
    flat[0].save(path, 'GIF', save_all=True, append_images=flat[1:], loop=0, optimize=True,
                 duration=[round(1000 * time) for time in seconds])


def _palette(picture: np.ndarray) -> Image.Image:
    """Choose the colours for a picture uint8 [H, W, 3]; a small thing keeps its own."""
    pixels = picture.reshape(-1, 3).astype(np.int32)
    _, places, counts = np.unique((pixels >> 4) @ (256, 16, 1), return_inverse=True,
                                  return_counts=True)
    means = np.stack([np.bincount(places, pixels[:, i]) / counts for i in range(3)], 1)
    # By the root of how often it occurs: else table and paper would take nearly all entries.
    line = np.repeat(np.rint(means).astype(np.uint8), np.ceil(np.sqrt(counts)).astype(int), axis=0)
    chosen = Image.fromarray(line[None]).quantize(COLOURS, Image.Quantize.MEDIANCUT)
    palette = Image.new('P', (1, 1))
    palette.putpalette([*PAPER, *(chosen.getpalette() or [])])
    return palette


def _flat(frame: Image.Image, palette: Image.Image) -> Image.Image:
    """Bring a frame to the colours of a palette, paper to its first."""
    flat = frame.quantize(palette=palette, dither=Image.Dither.NONE)
    codes = np.array(flat)
    codes[(np.asarray(frame) == PAPER).all(axis=2)] = 0  # Pillow takes one that is merely near
    out = Image.fromarray(codes, 'P')
    out.putpalette(palette.getpalette() or [])
    return out


def _moving(strip: np.ndarray, text: str) -> Image.Image:
    """One frame of the animation: the instruction above its pictures."""
    scale = (3 * MOVING_WIDTH + 2 * GAP) / strip.shape[1]
    size = round(strip.shape[1] * scale), round(strip.shape[0] * scale)
    line = LARGE + 2 * GAP
    frame = Image.new('RGB', (size[0], size[1] + line), PAPER)
    ImageDraw.Draw(frame).text((2, line / 2), _quoted(text), INK, ImageFont.load_default(LARGE),
                               'lm')
    frame.paste(Image.fromarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA)), (0, line))
    return frame


def _titles(sheet: Image.Image, width: int, top: int, size: int) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size)
    for column, parts in enumerate(TITLES):
        left = float(MARGIN + column * (width + GAP) // 3)
        for text, colour in parts:
            draw.text((left, top), text, colour, font)
            left += draw.textlength(text, font)


def _quoted(text: str) -> str:
    return f'"{text.rstrip(".")}"' if text else '(no instruction)'


def _fit(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Make a picture as large as fits and put it into the middle."""
    if picture.size == size:
        return picture
    scale = min(size[0] / picture.width, size[1] / picture.height)
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    out = Image.new('RGB', size, PAPER)
    out.paste(small, ((size[0] - small.width) // 2, (size[1] - small.height) // 2))
    return out
