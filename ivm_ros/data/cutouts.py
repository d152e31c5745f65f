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
Named cut-outs: pictures of single things with an alpha channel, and what they show.

Four layouts are read, and none is downloaded here: a folder or .tgz of emoji (files named by code
point, as the npm packages `@lobehub/fluent-emoji-3d` and `emoji-datasource-google` have them),
Debian's `openclipart-png` (of it what `assets/clipart.csv` names, chosen by eye), Tux Paint stamps
(GPL-2: for evaluation only), and any folder of pictures that are named by what they show.
"""

from collections.abc import Iterator
import csv
from dataclasses import dataclass
from importlib.resources import files
from lzma import LZMAError
from pathlib import Path
import re
import tarfile
import zlib

import cv2
import numpy as np

from ivm_ros.data.shards import DatasetError
from ivm_ros.language.nouns import NOUNS
from ivm_ros.picture_files import decode, PictureFileError

SUFFIXES = ('.png', '.webp')
SIDE = 160  # pixels of a cut-out's longer side as it is kept
SMALLEST = 24  # pixels of its shorter side in the file
BIGGEST = 1 << 26  # bytes of a picture's file
CODE = re.compile(r'[0-9a-f]{2,6}(-fe0f)?')


@dataclass(frozen=True)
class CutOut:
    """
    A picture of one thing.

    Attributes:
        noun (str): Key of `nouns.NOUNS`.
        image (np.ndarray): uint8 [H, W, 4] RGBA, cropped to what is opaque.
        name (str): Of its file.
    """

    noun: str
    image: np.ndarray
    name: str


def read_cutouts(path: Path) -> list[CutOut]:
    """
    Read a collection of cut-outs; what no noun names is left out.

    Raises:
        DatasetError: Nothing there is a cut-out that a noun names.
    """
    found = []
    listed = any((path / name).is_file() for name in CLIPART)
    for name, data, line in _files(path):
        noun = CLIPART.get(name) if listed else _noun_of(Path(name).stem.lower(), line)
        image = cut(data) if noun else None
        if noun and image is not None:
            found.append(CutOut(noun, image, name))
    if not found:
        raise DatasetError(f'{path} holds no cut-outs that a noun names: wanted .png or .webp '
                           'with an alpha channel, named by code point, by a noun, or with a .txt')
    return found


def _files(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """Give name, bytes and, where a text lies beside it, its first line."""
    if path.is_file():
        try:
            yield from _members(path)
        except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, LZMAError) as error:
            raise DatasetError(f'{path} is torn or no archive ({error}); fetch it again'
                               ) from error
        return
    for file in sorted(p for p in path.rglob('*') if p.suffix in SUFFIXES):
        text = file.with_suffix('.txt')
        lines = text.read_text(encoding='utf-8', errors='replace').splitlines()[:1] if (
            text.is_file()) else []
        yield str(file.relative_to(path)), file.read_bytes(), ''.join(lines)


def _members(path: Path) -> Iterator[tuple[str, bytes, str]]:
    """Read the pictures in an archive; nothing is unpacked, so their names lead nowhere."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.size <= BIGGEST and member.name.endswith(SUFFIXES):
                stream = archive.extractfile(member)
                if stream:
                    yield member.name, stream.read(), ''


def cut(data: bytes) -> np.ndarray | None:
    """Decode a picture and crop it to what is opaque, RGBA; None: no alpha, or too small."""
    try:
        image = decode(data, cv2.IMREAD_UNCHANGED)
    except PictureFileError:
        return None
    if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
        return None
    opaque = image[..., 3] > 127
    rows, columns = np.flatnonzero(opaque.any(1)), np.flatnonzero(opaque.any(0))
    if len(rows) < SMALLEST or len(columns) < SMALLEST or opaque.all():
        return None
    image = image[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    scale = SIDE / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)


def _noun_of(stem: str, line: str) -> str | None:
    """Name what a file shows by its line, by its code point, or by its name."""
    if line:
        return noun_in(line)
    if CODE.fullmatch(stem):
        return EMOJI.get(stem.removesuffix('-fe0f'))
    return WORDS.get(re.sub(r'[-_\d]+', ' ', stem).strip())


def noun_in(line: str) -> str | None:
    """Find the noun of a line such as 'A red apple.'; None where it names none, or several."""
    words = re.findall(r"[a-z']+", line.lower())
    if not words or len(words) > 5:
        return None
    if words[0] in ('a', 'an', 'the', 'some'):
        words = words[1:]
    for start in range(len(words)):  # the longest name at the end, where English has the noun
        noun = WORDS.get(' '.join(words[start:]))
        if noun:
            return noun
    return None


EMOJI = {f'{ord(letter):x}': noun.name for noun in NOUNS.values() for letter in noun.emoji
         if letter != '\ufe0f'}
"""Nouns by code point, lower-case hexadecimal."""

WORDS = {word: noun.name for noun in NOUNS.values() for word in (*noun.words, *noun.unseen)}
"""Nouns by what they may be called."""

with (files('ivm_ros.data') / 'assets' / 'clipart.csv').open(encoding='utf-8') as _lines:
    CLIPART = {row['file']: row['noun'] for row in csv.DictReader(_lines)}
"""Nouns of Open Clip Art's files, by their path below `/usr/share/openclipart/png`."""
