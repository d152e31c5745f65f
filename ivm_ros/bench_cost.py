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
`ivm bench cost`: what a mask costs as work grows, on one thread.

Image size, batch, cameras and length of the sentence, in both runtimes, and the arithmetic beside
that of the paper's generator. All cases take turns, so that a busy minute slows them alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
import shlex
import sys
import time
from typing import Annotated, Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from ivm_ros.bench_flops import paper_gflops
from ivm_ros.bench_models import Job, picture, SENTENCE
from ivm_ros.config import check, Doc, Range
from ivm_ros.files import replace_file, write_json
from ivm_ros.masker import Masker, MaskerConfig, OnnxError
from ivm_ros.models.flops import compact_gflops
from ivm_ros.version import commit, versions

SIZES = ((240, 320), (480, 640), (720, 1280), (1080, 1920))
COUNTS = (1, 2, 4, 8)
LENGTHS = (4, 8, 16, 32, 44)  # words; the encoder reads 48 word pieces, two of them its own
PHRASE = 'put the red mug that is left of the big blue bowl on the plate near it and then '
WARM_UP = 2


@dataclass(frozen=True)
class CostConfig:
    """Settings of `ivm bench cost`."""

    out: Annotated[str, Doc('Folder to write: cost.json, cost.md, cost.png.')] = 'cost'
    weights: Annotated[str, Doc('Checkpoint; empty for the one in use.')] = ''
    rounds: Annotated[int, Range(3, 10000), Doc('How often each case is timed.')] = 40

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def sentence(words: int, number: int = 0) -> str:
    """Give a sentence of so many words; another number, another sentence."""
    return ' '.join(f'take {number} {PHRASE * 3}'.split()[:words])


class NewSentence:
    """A job whose every call says something new, so that the encoder has to read it."""

    def __init__(self, masker: Masker, image: np.ndarray, words: int) -> None:
        self._masker, self._image, self._words, self._number = masker, image, words, 0

    def __call__(self) -> None:
        """Mask by the next sentence."""
        self._number += 1
        self._masker(self._image, sentence(self._words, self._number))


def cost_jobs(masker: Masker, runtime: str) -> dict[tuple[str, str, int], Job]:
    """Give the jobs of one runtime by (runtime, what grows, how much)."""
    image = picture()
    jobs: dict[tuple[str, str, int], Job] = {}
    for height, width in SIZES:
        shown = cv2.resize(image, (width, height))
        jobs[runtime, 'size', height] = _mask(masker, [shown], [SENTENCE])
    for count in COUNTS:
        pictures = [image.copy() for _ in range(count)]  # one array would be looked at once
        jobs[runtime, 'batch', count] = _mask(masker, pictures, [SENTENCE] * count)
        jobs[runtime, 'sentences', count] = _mask(masker, [image] * count, [
            sentence(12, number) for number in range(count)])
        jobs[runtime, 'cameras', count] = _one_by_one(masker, image, count)
    for words in LENGTHS:
        jobs[runtime, 'words, first frame', words] = NewSentence(masker, image, words)
        jobs[runtime, 'words, later frames', words] = _mask(masker, [image], [sentence(words)])
    return jobs


def _mask(masker: Masker, images: Sequence[np.ndarray], sentences: Sequence[str]) -> Job:
    return lambda: masker(list(images), list(sentences))


def _one_by_one(masker: Masker, image: np.ndarray, count: int) -> Job:
    """Mask for cameras that share a sentence and bring their pictures one after the other."""
    def job() -> None:
        for _ in range(count):
            masker(image, SENTENCE)
    return job


def bench_cost(config: CostConfig) -> Path:
    """Measure and write; return the folder."""
    cv2.setNumThreads(1)
    jobs: dict[tuple[str, str, int], Job] = {}
    for runtime in ('torch', 'onnx'):
        try:
            masker = Masker(MaskerConfig(config.weights, threads=1, runtime=runtime))
        except OnnxError as error:
            Console(stderr=True).print(f'without ONNX Runtime: {error}', soft_wrap=True)
            continue
        jobs |= cost_jobs(masker, runtime)
    times: dict[tuple[str, str, int], list[float]] = {case: [] for case in jobs}
    for number in track(range(-WARM_UP, config.rounds), 'measuring', console=Console(stderr=True)):
        for case, job in jobs.items():
            start = time.perf_counter()
            job()
            if number >= 0:
                times[case].append((time.perf_counter() - start) * 1e3)
    report = {'cases': [{'runtime': case[0], 'grows': case[1], 'value': case[2],
                         'median_ms': float(np.median(values)),
                         'p99_ms': float(np.quantile(values, .99)), 'n': len(values)}
                        for case, values in times.items()],
              'gflops': {**compact_gflops(), **paper_gflops()},
              'sha256': masker.info['sha256'],
              'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
              'versions': versions()}
    out = Path(config.out)
    write_json(out / 'cost.json', report)
    text = '\n'.join(_tables(report))
    with replace_file(out / 'cost.md') as part:
        part.write_text(text)
    _plot(report, out / 'cost.png')
    print(text)
    return out


def _tables(report: dict[str, Any]) -> Iterator[str]:
    """Give the report in Markdown."""
    runtimes = list(dict.fromkeys(case['runtime'] for case in report['cases']))
    yield '| what grows | | ' + ' | '.join(f'{name}, ms' for name in runtimes) + ' |'
    yield '|---|---|' + '---|' * len(runtimes)
    cases = {(case['grows'], case['value'], case['runtime']): case for case in report['cases']}
    widths = dict(SIZES)
    for grows, value in dict.fromkeys((grows, value) for grows, value, _ in cases):
        name = f'{widths[value]} x {value}' if grows == 'size' else str(value)
        yield f'| {grows} | {name} | ' + ' | '.join(
            f'{cases[grows, value, runtime]["median_ms"]:.1f}' for runtime in runtimes) + ' |'
    yield ''
    yield '| arithmetic of one mask | GFLOP |'
    yield '|---|---|'
    for name, gflops in report['gflops'].items():
        yield f'| {name} | {gflops:,.2f} |'
    yield ''


def _plot(report: dict[str, Any], path: Path) -> None:
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot

    grown = list(dict.fromkeys(case['grows'] for case in report['cases']))
    figure, axes = pyplot.subplots(1, len(grown), figsize=(3.2 * len(grown), 3), sharey=True)
    for axis, grows in zip(axes, grown):
        for runtime in dict.fromkeys(case['runtime'] for case in report['cases']):
            line = [(case['value'], case['median_ms']) for case in report['cases']
                    if (case['grows'], case['runtime']) == (grows, runtime)]
            axis.plot(*zip(*line), marker='o', label=runtime)
        axis.set_title('height in pixels' if grows == 'size' else grows, fontsize=10)
        axis.set_yscale('log')
        axis.grid(alpha=.3)
    axes[0].set_ylabel('ms, one thread')
    axes[0].legend()
    figure.tight_layout()
    with replace_file(path) as part:
        figure.savefig(part, format='png', dpi=110)
    pyplot.close(figure)
