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
"""`ivm mask`: picture files and a sentence in, masked picture files out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
import time
from typing import Annotated

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
import tyro

from ivm_ros.deploy import apply, DeployConfig, Deployment
from ivm_ros.draw import draw_debug
from ivm_ros.image import ImageError, place
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.picture_files import decode, PictureFileError
from ivm_ros.sample import Mask
from ivm_ros.terminal import marked, PlainConsole

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')
GREY = (128, 128, 128)


class FilesError(ValueError):
    """Pictures or sentence are missing; the message says which and what to type."""


@dataclass(frozen=True)
class MaskConfig:
    """Settings of `ivm mask`."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional,
                     tyro.conf.arg(metavar='IMAGE... "SENTENCE"', help_behavior_hint='', help=(
                         'Pictures, folders of pictures or patterns ("shots/*.jpg"), and last, '
                         'in quotes, the sentence.'))] = ()
    out: Annotated[Path, tyro.conf.arg(help=(
        'Folder for NAME.masked.png (what a policy would see), NAME.mask.png (white = needed) '
        'and NAME.side.png (picture, mask and result side by side).'))] = Path('masked')
    deploy: tyro.conf.OmitArgPrefixes[DeployConfig] = field(default_factory=DeployConfig)
    masker: tyro.conf.OmitArgPrefixes[MaskerConfig] = field(default_factory=MaskerConfig)


@dataclass(frozen=True)
class Result:
    """
    What became of one file.

    Attributes:
        path (Path): The picture.
        error (str): Why it was not masked, '' when it was.
        outcome (str): As in `Deployment`.
        found (float): Probability that what the sentence names is in view.
        share (float): Share of the pixels that the target covers.
        ms (float): Time of mask and deployment.
    """

    path: Path
    error: str = ''
    outcome: str = ''
    found: float = 0.0
    share: float = 0.0
    ms: float = 0.0


def mask_files(config: MaskConfig) -> int:
    """
    Mask every picture; one that cannot be read does not stop the others.

    Returns:
        0, or 1 when a picture could not be masked.

    Raises:
        FilesError: No picture or no sentence was given.
    """
    paths, sentence = split_words(config.words)
    masker = Masker(config.masker)
    masker(np.zeros((64, 64, 3), np.uint8), sentence)  # the first call is slower
    config.out.mkdir(parents=True, exist_ok=True)
    results = []
    console = Console(stderr=True)
    for path, name in track(list(zip(paths, names_of(paths), strict=True)), 'masking',
                            console=console, disable=not console.is_terminal):
        results.append(_mask_file(path, config.out / name, sentence, masker, config))
    _show(results, sentence, config)
    return int(any(result.error for result in results))


def split_words(words: Sequence[str]) -> tuple[list[Path], str]:
    """
    Split what was typed into picture files and the sentence, which comes last.

    Raises:
        FilesError: One of them is missing.
    """
    if len(words) < 2:
        raise FilesError('ivm mask: wanted pictures and a sentence, as in: ivm mask photo.jpg '
                         f'"pick up the red mug"; got {" ".join(words) or "nothing"}')
    *patterns, sentence = words
    if Path(sentence).exists():
        raise FilesError(f'ivm mask: wanted the sentence last, in quotes, got the file '
                         f'{sentence!r}')
    paths = [path for pattern in patterns for path in _files_of(pattern)]
    return list(dict.fromkeys(paths)), sentence


def _files_of(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        what = f'no pictures ({", ".join(SUFFIXES)}) in the folder {pattern!r}'
    else:
        found = sorted(Path(file) for file in glob(pattern, recursive=True)
                       if Path(file).is_file())
        what = f'no file {pattern!r}; the sentence goes last, in quotes'
    if not found:
        raise FilesError(f'ivm mask: {what}')
    return found


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a name for the results of each path, no two alike ('cup', 'cup-2', ...)."""
    names: list[str] = []
    for path in paths:
        name, number = path.stem, 1
        while name in names:
            number += 1
            name = f'{path.stem}-{number}'
        names.append(name)
    return names


def _mask_file(path: Path, target: Path, sentence: str, masker: Masker,
               config: MaskConfig) -> Result:
    try:
        image = cv2.cvtColor(decode(path.read_bytes()), cv2.COLOR_BGR2RGB)
    except (OSError, PictureFileError) as error:
        return Result(path, f'not a picture that OpenCV can read: {error}')
    start = time.perf_counter()
    try:
        mask = masker(image, sentence)
        shown = apply(image, mask, config.deploy)
    except ImageError as error:
        return Result(path, str(error))
    ms = (time.perf_counter() - start) * 1e3
    _write(target, '.masked.png', shown.image)
    _write(target, '.mask.png', np.rint(mask.target * 255).astype(np.uint8))
    _write(target, '.side.png', side_by_side(image, mask, shown, sentence))
    share = float((mask.target >= config.deploy.threshold).mean())
    return Result(path, '', shown.outcome, mask.found, share, ms)


def side_by_side(image: np.ndarray, mask: Mask, shown: Deployment, sentence: str) -> np.ndarray:
    """Return picture | heat map with the sentence | result, uint8 [H, 3 W + 16, 3]."""
    height, width = image.shape[:2]
    result, _ = place(shown.image, (height, width), GREY)
    gap = np.full((height, 8, 3), GREY, np.uint8)
    heat = draw_debug(image, mask, [sentence, f'found {mask.found:.2f}: {shown.outcome}'])
    return np.hstack((image, gap, heat, gap, result))


def _write(target: Path, ending: str, picture: np.ndarray) -> None:
    path = target.with_name(target.name + ending)
    order = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode('.png', order)[1].tobytes())


def _show(results: Sequence[Result], sentence: str, config: MaskConfig) -> None:
    """Print what became of the pictures."""
    table = Table('picture', 'outcome', 'found', 'target', 'ms', title=f'"{sentence}"',
                  title_justify='left')
    for column in table.columns[2:]:
        column.justify = 'right'
    for result in results:
        if result.error:
            table.add_row(result.path.name, marked('failed:', 'red', result.error), '', '', '')
        else:
            table.add_row(result.path.name, result.outcome, f'{result.found:.2f}',
                          f'{result.share:.1%}', f'{result.ms:.0f}')
    console = PlainConsole()
    console.print(table)
    done = sum(result.outcome == 'masked' for result in results)
    console.print(f'{done} of {len(results)} masked, method {config.deploy.method}; pictures in '
                  f'{config.out}', highlight=False, soft_wrap=True)
