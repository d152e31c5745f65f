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
`ivm eval video`: what it costs to mask some frames only, and late, on sequences with true masks.

Every combination of interval and delay runs beside the generator on every frame. A delay is
counted in frames of the sequence, so the figures do not depend on how fast this machine is. The
first frames of a sequence, as many as the longest delay takes, count for none of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
import shlex
import sys
import time
from typing import Annotated, Any, Literal

import cv2
import numpy as np

from ivm_ros.carriers import load_carriers, MakeCarrier
from ivm_ros.config import check, Doc, Range
from ivm_ros.evaluate.sequences import read_video, sequence_paths, Video
from ivm_ros.evaluate.video_report import as_json, markdown, plot_video, print_video
from ivm_ros.evaluate.video_score import Score, Tally
from ivm_ros.files import replace_file
from ivm_ros.models.checkpoint_info import file_hash
from ivm_ros.models.installed import weights_path
from ivm_ros.sample import Mask
from ivm_ros.tracker import Carrier, Keyframe, TrackConfig, Tracker
from ivm_ros.version import commit, versions
from ivm_ros.work import in_processes, progress_of

SOURCES = ('truth', 'weights')
TIMES = 3
BEST = f'carry, each frame the best of {TIMES}'
Where = tuple[str, str, str]
"""Source of the masks, name of a combination, kind of a sequence."""


@dataclass(frozen=True)
class VideoConfig:
    """Compare carried masks with the generator on every frame."""

    data: Annotated[str, Doc('Folder of "ivm-sim sequences".')]
    intervals: Annotated[tuple[int, ...], Range(1, 10000), Doc(
        'Frames from keyframe to keyframe.')] = (1, 2, 5, 10, 30)
    delays: Annotated[tuple[float, ...], Range(0, 60), Doc(
        'Seconds that the generator takes.')] = (0.0, 0.05, 0.2, 0.5, 1.0)
    source: Annotated[Literal['both', 'truth', 'weights'], Doc(
        'What masks keyframes: the true masks, the weights, or one after the other.')] = 'both'
    weights: Annotated[str, Doc('Checkpoint; empty for the one in use.')] = ''
    sequences: Annotated[int, Range(0), Doc('Only so many; 0: all.')] = 0
    workers: Annotated[int, Range(1), Doc('Processes; each loads the weights.')] = 1
    shrink: Annotated[Literal[1, 2, 4], Doc(
        'Take pictures at this fraction of their size, for a quick look.')] = 1
    json: Annotated[str, Doc(
        'Where to write figures; a table (.md) and a plot (.png) come beside.')] = 'video.json'
    tracking: Annotated[TrackConfig, Doc('How masks are carried.')] = field(
        default_factory=TrackConfig)

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check(self)


def evaluate_video(config: VideoConfig) -> int:
    """
    Print a table, write it, the figures and a plot; 0.

    Raises:
        DatasetError: The folder holds no sequences.
        CheckpointError: The weights cannot be read.
    """
    sources = SOURCES if config.source == 'both' else (config.source,)
    paths = sequence_paths(Path(config.data))[:config.sequences or None]
    found = (in_processes(score_sequence, [(config, path, sources) for path in paths],
                          config.workers) if config.workers > 1 else
             (score_sequence(config, path, sources) for path in paths))
    tallies: dict[Where, Tally] = {}
    timing: dict[str, list[float]] = {'carry': [], BEST: [], 'generator': []}
    with progress_of('sequences') as progress:
        for scores, times in progress.track(found, total=len(paths)):
            for where, tally in scores.items():
                tallies.setdefault(where, Tally()).add(tally)
            for name, values in times.items():
                timing[name] += values
    figures = _figures(config, sources, tallies, timing)
    print_video(figures)
    path = Path(config.json)
    with replace_file(path) as part:
        part.write_text(as_json(figures))
    with replace_file(path.with_suffix('.md')) as part:
        part.write_text('\n'.join(markdown(figures)) + '\n')
    plot_video(figures, path.with_suffix('.png'))
    print(f'wrote {path}, and a table (.md) and a plot (.png) beside it')
    return 0


def score_sequence(config: VideoConfig, path: Path, sources: Sequence[str]
                   ) -> tuple[dict[Where, Tally], dict[str, list[float]]]:
    """
    Score all combinations on one sequence.

    Returns:
        What each came to, by source, combination and kind ('all' among them); CPU milliseconds a
        frame of carrying and of the generator.
    """
    cv2.setNumThreads(1)
    video = read_video(path, config.shrink)
    tallies: dict[Where, Tally] = {}
    timing: dict[str, list[float]] = {'carry': [], BEST: [], 'generator': []}
    masks: Sequence[Mask] = video.truths
    for source in sources:
        if source == 'weights':
            masker = _masker(config.weights)
            masks = [_timed(timing['generator'], masker, image, video.instruction)
                     for image in video.images]
        for cell, tally in _cells(config, video, masks).items():
            for kind in (video.kind, 'all'):
                tallies.setdefault((source, cell, kind), Tally()).add(tally)
    runs = [carrying_ms(video, masks, config.tracking) for _ in range(TIMES)]
    timing['carry'] += runs[0]
    # What other work does to the caches differs from run to run; what carrying takes does not.
    timing[BEST] += [min(times) for times in zip(*runs)]
    return tallies, timing


@cache
def _masker(weights: str) -> Callable[[np.ndarray, str], Mask]:
    from ivm_ros.masker import Masker, MaskerConfig

    return Masker(MaskerConfig(weights, threads=1))


@cache
def _carriers(config: TrackConfig) -> MakeCarrier:
    from ivm_ros.models.settings import MaskerConfig

    return load_carriers(config, MaskerConfig(threads=1))


def _timed(times: list[float], masker: Callable[[np.ndarray, str], Mask], image: np.ndarray,
           instruction: str) -> Mask:
    begin = time.thread_time()
    mask = masker(image, instruction)
    times.append(1e3 * (time.thread_time() - begin))
    return mask


def name_of(interval: int, delay: float) -> str:
    """Name a combination, as the JSON has it."""
    return f'{interval}/{delay:g}'


def _cells(config: VideoConfig, video: Video, masks: Sequence[Mask]) -> dict[str, Tally]:
    """Run all combinations side by side; they share what sees the frames, which costs most."""
    first = max((frames_of(delay, video.rate) for delay in config.delays), default=0)
    carrier = _carriers(config.tracking)()
    runs: dict[tuple[int, int], Run] = {}
    names: dict[str, tuple[int, int]] = {}
    for delay in config.delays:
        for interval in config.intervals:
            late = frames_of(delay, video.rate)
            # While one keyframe is at work no other is asked for: those cells are the same.
            names[name_of(interval, delay)] = key = max(interval, late), late
            runs.setdefault(key, Run(config.tracking, key[0], late, carrier))
    scores = {key: Score(video, first) for key in runs}
    every = Score(video, first)
    for frame, image in enumerate(video.images):
        every.add(frame, masks[frame], True)
        for key, run in runs.items():
            asked = run.step(frame, image, video, masks)
            scores[key].add(frame, run.mask, asked)
    return {'every': every.tally, **{name: scores[key].tally for name, key in names.items()}}


def frames_of(delay: float, rate: float) -> int:
    """Count the frames that come while a generator works."""
    return int(np.ceil(delay * rate - 1e-6))


class Run:
    """A tracker with a generator that answers some frames later."""

    def __init__(self, config: TrackConfig, interval: int, late: int, carrier: Carrier
                 ) -> None:
        self._tracker = Tracker(replace(config, track_interval=interval), carrier)
        self._late = late
        self._asked: Keyframe | None = None
        self._at = 0

    @property
    def mask(self) -> Mask | None:
        """Of the newest frame."""
        tracked = self._tracker.tracked
        return tracked.mask if tracked is not None else None

    def step(self, frame: int, image: np.ndarray, video: Video, masks: Sequence[Mask]) -> bool:
        """Go on to a frame; return whether a keyframe was asked for."""
        self._tracker.see(image, video.instruction, frame / video.rate)
        self._hand_over(frame, masks)
        asked = self._tracker.ask()
        if asked is not None:
            self._asked, self._at = asked, frame
            self._hand_over(frame, masks)
        return asked is not None

    def _hand_over(self, frame: int, masks: Sequence[Mask]) -> None:
        if self._asked is not None and frame >= self._at + self._late:
            self._tracker.take(self._asked, masks[self._at])
            self._asked = None


def carrying_ms(video: Video, masks: Sequence[Mask], config: TrackConfig) -> list[float]:
    """Time carrying, CPU milliseconds of this thread a frame, for frames that are no keyframe."""
    run, times = Run(config, 5, 0, _carriers(config)()), []
    for frame, image in enumerate(video.images):
        begin = time.thread_time()
        asked = run.step(frame, image, video, masks)
        if not asked:
            times.append(1e3 * (time.thread_time() - begin))
    return times


def _figures(config: VideoConfig, sources: Sequence[str],
             tallies: dict[Where, Tally], timing: dict[str, list[float]]
             ) -> dict[str, Any]:
    kinds = list(dict.fromkeys(kind for _, _, kind in tallies))
    cells = list(dict.fromkeys(cell for _, cell, _ in tallies))
    return {'sources': {source: {cell: {kind: tallies[source, cell, kind].figures()
                                        for kind in kinds if (source, cell, kind) in tallies}
                                 for cell in cells} for source in sources},
            'intervals': config.intervals, 'delays': config.delays,
            'cpu_ms': {name: {'median': float(np.median(times)),
                              'tenth': float(np.quantile(times, .1)), 'n': len(times)}
                       for name, times in timing.items() if times},
            'tracking': vars(config.tracking), 'data': config.data, 'shrink': config.shrink,
            'weights': config.weights, 'sha256': file_hash(weights_path(config.weights)),
            'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
            'versions': versions()}
