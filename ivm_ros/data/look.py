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
"""`ivm data look`: a contact sheet or a page of a dataset, to see what is in it."""

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Annotated

import cv2
import numpy as np
import tyro

from ivm_ros.config import check, ConfigError, Doc, nearest, Range
from ivm_ros.data.shards import (
    DatasetError, decode_sample, read_info, read_shard, Row, shard_paths)
from ivm_ros.files import replace_file
from ivm_ros.sample import Sample

FORMATS, PAGE = ('.png', '.jpg'), '.html'
SHARDS = 4  # samples come from so many shards, drawn at random
LINE, LETTER = 14, 6.2  # pixels of a line of text and, on average, of a letter
GREEN, BLUE = (0, 255, 0), (60, 90, 255)


@dataclass(frozen=True)
class LookConfig:
    """Draw random samples: target green, robot blue, sentence above."""

    folder: Annotated[tyro.conf.Positional[str], Doc('Dataset folder.')]
    out: Annotated[str, Doc(
        'File to write, .png, .jpg or .html; empty: look.png, or look.html.')] = ''
    html: Annotated[bool, Doc('Write a page with counts instead of one picture.')] = False
    count: Annotated[int, Range(1, 500), Doc('Samples on the sheet.')] = 30
    columns: Annotated[int, Range(1, 20), Doc('Samples side by side.')] = 5
    kind: Annotated[str, Doc('Only this kind of sentence; empty: all.')] = ''
    seed: Annotated[int, Range(0), Doc('Which random samples.')] = 0

    def __post_init__(self) -> None:
        """Check ranges and the picture's format."""
        check(self)
        wanted = (PAGE,) if self.html else FORMATS
        if self.out and Path(self.out).suffix not in wanted:
            raise ConfigError(f'LookConfig.out: wanted {" or ".join(wanted)}, got {self.out!r}')

    @property
    def path(self) -> Path:
        """What is written."""
        return Path(self.out or ('look.html' if self.html else 'look.png'))


def look(config: LookConfig) -> Path:
    """
    Write a contact sheet or a page of a dataset and return its path.

    Raises:
        DatasetError: No shard, a torn one, or no sentence of the kind asked for.
    """
    rng = np.random.default_rng(config.seed)
    paths = shard_paths(Path(config.folder))
    rows = [row for index in sorted(rng.permutation(len(paths))[:SHARDS])
            for row in read_shard(paths[index])]
    kinds = {row.kind for row in rows}
    if config.kind:
        rows = [row for row in rows if row.kind == config.kind]
    if not rows:
        raise DatasetError(f'{config.folder} holds no sentence of kind {config.kind!r}'
                           f'{nearest(config.kind, kinds)}; it has {", ".join(sorted(kinds))}')
    chosen = sorted(rng.permutation(len(rows))[:config.count])
    samples, path = [decode_sample(rows[index]) for index in chosen], config.path
    with replace_file(path) as part:
        if path.suffix == PAGE:
            part.write_text(_page(config, rows, samples), encoding='utf-8')
        else:
            sheet = _sheet(samples, config.columns)
            part.write_bytes(cv2.imencode(path.suffix, sheet[..., ::-1])[1].tobytes())
    return path


def _page(config: LookConfig, rows: list[Row], samples: list[Sample]) -> str:
    """Give the page's text."""
    import jinja2

    jinja = jinja2.Environment(loader=jinja2.PackageLoader('ivm_ros', 'data/assets'),
                               autoescape=True, undefined=jinja2.StrictUndefined)
    counts = Counter(row.kind for row in rows)
    info = {'rows': len(rows), 'scenes': len({row.image_id for row in rows}), 'kinds': counts,
            'command': '', **read_info(Path(config.folder))}
    areas = np.array([float((sample.mask > 127).mean()) for sample in samples
                      if sample.mask is not None and sample.mask.any()])
    figures = {'target in view': f'{np.mean([bool(row.found) for row in rows]):.0%}',
               'median area of targets': f'{np.median(areas):.1%}' if len(areas) else '-',
               'things in a picture, mean': f'{_things(rows):.1f}',
               'more than a colour word needed': f'{_needing(rows):.0%}'}
    shown = [{'text': sample.instruction, 'kind': sample.kind, 'picture': inline(outlined(sample))}
             for sample in samples]
    return jinja.get_template('look.html.j2').render(
        folder=config.folder, info=info, figures=figures, samples=shown, seed=config.seed,
        considered=len(rows))


def _things(rows: list[Row]) -> float:
    return float(np.mean([row.extra.get('objects', 0) for row in rows]))


def _needing(rows: list[Row]) -> float:
    return float(np.mean([bool(row.extra.get('needs')) for row in rows]))


def _sheet(samples: list[Sample], columns: int) -> np.ndarray:
    """Lay samples out in rows, uint8 [H, W, 3]; every cell is as large as the largest."""
    height = max(sample.image.shape[0] for sample in samples)
    width = max(sample.image.shape[1] for sample in samples)
    texts = [wrap(f'{sample.instruction} [{sample.kind}]', int(width / LETTER))
             for sample in samples]
    band = LINE * max(map(len, texts)) + 6
    columns = min(columns, len(samples))
    rows = -(-len(samples) // columns)
    sheet = np.full((rows * (band + height), columns * width, 3), 255, np.uint8)
    for index, (sample, text) in enumerate(zip(samples, texts)):
        top, left = index // columns * (band + height), index % columns * width
        cell = np.ascontiguousarray(sheet[top:top + band + height, left:left + width])
        for number, line in enumerate(text, 1):
            cv2.putText(cell, line, (3, LINE * number - 2), cv2.FONT_HERSHEY_SIMPLEX, .36,
                        (0, 0, 0), 1, cv2.LINE_AA)
        picture = outlined(sample)
        cell[band:band + picture.shape[0], :picture.shape[1]] = picture
        sheet[top:top + band + height, left:left + width] = cell
    return sheet


def inline(picture: np.ndarray) -> str:
    """Give a picture uint8 [H, W, 3] RGB as JPEG in base64, to stand in a page."""
    return b64encode(cv2.imencode('.jpg', picture[..., ::-1])[1].tobytes()).decode()


def outlined(sample: Sample) -> np.ndarray:
    """Picture uint8 [H, W, 3] with the outlines of its masks, which leave the colours visible."""
    picture = sample.image.copy()
    for mask, colour in ((sample.robot_mask, BLUE), (sample.mask, GREEN)):
        if mask is not None:
            inside = (mask > 127).astype(np.uint8)  # of a soft mask, from one half on
            outlines = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
            cv2.drawContours(picture, outlines, -1, (0, 0, 0), 2)
            cv2.drawContours(picture, outlines, -1, colour, 1)
    return picture
