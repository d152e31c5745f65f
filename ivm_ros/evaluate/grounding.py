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
`ivm eval grounding`: how well masks fit sentences, on a labelled dataset.

Intersection over union is taken at 0.5, over the samples whose target is in view; those without
count in the AUROC of `found`. Intervals are bootstrapped over images, since sentences about one
image are not independent.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
import shlex
import sys
import time
from typing import Annotated, Any, Literal

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from ivm_ros.auroc import auroc
from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.shards import DatasetError, decode_sample, read_info, read_rows
from ivm_ros.evaluate.failures import Failures
from ivm_ros.evaluate.metrics import Fit, fit_of, iou, summary
from ivm_ros.evaluate.references import hsv_words, keep_all
from ivm_ros.evaluate.report import print_grounding
from ivm_ros.evaluate.rerun_log import RerunLog
from ivm_ros.files import write_json
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.checkpoint_info import read_checkpoint_info, write_checkpoint_info
from ivm_ros.sample import Mask, Sample
from ivm_ros.terminal import printable
from ivm_ros.version import commit, versions

Reference = Callable[[np.ndarray, str], Mask]
REFERENCES: dict[str, Reference] = {'keep_all': keep_all, 'hsv_words': hsv_words}
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class GroundingConfig:
    """Settings of `ivm eval grounding`."""

    data: Annotated[str, Doc('Dataset folder.')] = ''
    json: Annotated[str, Doc('Where to write the figures; empty for nowhere.')] = ''
    weights: Annotated[str, Doc('Checkpoint; empty for the one in use.')] = ''
    images: Annotated[int, Range(0, None), Doc('Only the first so many images; 0 for all.')] = 0
    seed: Annotated[int, Range(0, None), Doc('Of the bootstrap.')] = 0
    record: Annotated[bool, Doc('Write the figures into the JSON beside the weights.')] = False
    runtime: Annotated[Literal['torch', 'onnx'], Doc('What computes the network.')] = 'torch'
    graph: Annotated[str, Doc('ONNX file of "ivm export", for runtime onnx.')] = ''
    samples: Annotated[bool, Doc(
        'Write the IoU of every sample in view too, to compare weights pair by pair.')] = False
    rerun: Annotated[str, Doc(
        'Recording (.rrd) of pictures, masks and truth for the viewer of rerun.io; empty for '
        'none.')] = ''

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


@dataclass(frozen=True)
class Score:
    """
    How one sample came out.

    Attributes:
        image (int): Number of its image.
        kind (str): Kind of its sentence.
        found (bool): Truth: the target is in view.
        score (float): The generator's `found`.
        target (float): IoU of the target.
        robot (float): IoU of the robot; NaN where no robot is in view or none is labelled.
        references (dict): IoU of each reference.
        fit (Fit | None): More about the target where it is in view.
    """

    image: int
    kind: str
    found: bool
    score: float
    target: float
    robot: float
    references: dict[str, float]
    fit: Fit | None = None


def images_of(folder: Path, most: int) -> Iterator[list[Sample]]:
    """Give the samples of a dataset image by image."""
    groups = groupby(read_rows(folder), key=lambda row: row.image_id)
    for count, (_, rows) in enumerate(groups):
        if most and count == most:
            return
        samples = [decode_sample(row) for row in rows]
        for sample in samples:
            if sample.mask is None:
                raise DatasetError(f'{folder}: {sample.id} has no mask, so nothing to compare to')
        yield samples


def score_images(images: Iterable[Sequence[Sample]], masker: Masker
                 ) -> Iterator[tuple[Sample, Mask, Score]]:
    """Mask each image by each of its sentences and compare with the truth."""
    for number, samples in enumerate(images):
        pictures = [samples[0].image] * len(samples)
        masks = masker(pictures, [sample.instruction for sample in samples])
        for sample, mask in zip(samples, masks):
            yield sample, mask, _score(number, sample, mask)


def _score(number: int, sample: Sample, mask: Mask) -> Score:
    truth = np.asarray(sample.mask) > 127
    robot = np.zeros_like(truth) if sample.robot_mask is None else sample.robot_mask > 127
    found = bool(truth.any()) if sample.found is None else sample.found
    references = {name: iou(reference(sample.image, sample.instruction).target > 0.5, truth)
                  for name, reference in REFERENCES.items()} if found else {}
    return Score(number, sample.kind, found, mask.found, iou(mask.target > 0.5, truth),
                 iou(mask.robot > 0.5, robot) if robot.any() else float('nan'), references,
                 fit_of(mask.target, truth) if found else None)


def summarise(scores: Sequence[Score], seed: int) -> dict[str, Any]:
    """Turn scores into the figures of the report."""
    in_view = [score for score in scores if score.found]
    if not in_view:
        raise DatasetError('no sample has its target in view: nothing to measure')
    truth = [score.found for score in scores]
    found = [score.score for score in scores]
    robot = [score.robot for score in scores if not np.isnan(score.robot)]
    kinds = sorted({score.kind for score in in_view})
    return {
        'n': len(in_view), 'absent': len(scores) - len(in_view),
        'images': len({score.image for score in scores}),
        'target': {**_ious([score.target for score in in_view], in_view, seed),
                   **summary([score.fit for score in in_view if score.fit])},
        'robot': {'mean_iou': float(np.mean(robot)) if robot else None, 'n': len(robot)},
        'found': {'auroc': auroc(truth, found),
                  'accuracy': float(np.mean(np.array(truth) == (np.array(found) > 0.5)))},
        'by_kind': {kind: _ious([score.target for score in in_view if score.kind == kind],
                                [score for score in in_view if score.kind == kind], seed)
                    for kind in kinds},
        'references': {name: _ious([score.references[name] for score in in_view], in_view, seed)
                       for name in REFERENCES}}


def _ious(values: Sequence[float], scores: Sequence[Score], seed: int) -> dict[str, Any]:
    array = np.asarray(values)
    low, high = bootstrap(array, np.array([score.image for score in scores]), seed)
    return {'mean_iou': float(array.mean()), 'iou50': float((array > 0.5).mean()),
            'ci95': [low, high], 'n': len(array)}


def bootstrap(values: np.ndarray, clusters: np.ndarray, seed: int) -> tuple[float, float]:
    """Give the 95 % interval of the mean, resampling clusters (images), not values."""
    _, index = np.unique(clusters, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(sums), (BOOTSTRAPS, len(sums)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def main(config: GroundingConfig) -> dict[str, Any]:
    """Measure, print, write; return the figures."""
    if not config.data:
        raise ConfigError('GroundingConfig.data: wanted a dataset folder, got none; make one with '
                          '"ivm-sim dataset --out DIR --seed 900000"')
    masker = Masker(MaskerConfig(config.weights, runtime=config.runtime, graph=config.graph))
    log = RerunLog(Path(config.rerun)) if config.rerun else None
    figures = measure(config, masker, log=log)
    if log is not None:
        log.close()
    print_grounding(figures)
    if config.json:
        write_json(Path(config.json), figures)
    if config.record:
        record(Path(masker.info['weights']), figures)
    return figures


def measure(config: GroundingConfig, masker: Masker, failures: Failures | None = None,
            log: RerunLog | None = None) -> dict[str, Any]:
    """
    Give the figures of one dataset.

    Args:
        config: Names it.
        masker: What masks it.
        failures: Where to keep some of what went wrong.
        log: Takes every sample.
    """
    folder = Path(config.data)
    made = read_info(folder)
    started, scores = time.monotonic(), []
    images = track(images_of(folder, config.images), escape(printable(folder.name)),
                   console=Console(stderr=True))
    for sample, mask, score in score_images(images, masker):
        scores.append(score)
        if failures is not None:
            failures.add(sample, mask, score.target)
        if log is not None:
            log.add(sample, mask, score.target)
    return {**summarise(scores, config.seed), **(_samples(scores) if config.samples else {}),
            'data': made, 'weights': masker.info['sha256'], 'seconds': time.monotonic() - started,
            'command': shlex.join(['ivm', *sys.argv[1:]]), 'commit': commit(),
            'seed': made.get('seed'), 'settings': asdict(config), 'versions': versions()}


def _samples(scores: Sequence[Score]) -> dict[str, Any]:
    """List the samples in view, as `bootstrap` takes them."""
    in_view = [score for score in scores if score.found]
    return {'samples': {'image': [score.image for score in in_view],
                        'iou': [round(score.target, 5) for score in in_view]}}


def record(weights: Path, figures: dict[str, Any]) -> None:
    """Write the figures into the JSON beside the weights, so that they travel together."""
    kept = ('n', 'absent', 'images', 'target', 'robot', 'found', 'by_kind', 'references',
            'command', 'commit', 'data', 'versions')
    info = read_checkpoint_info(weights)
    write_checkpoint_info(weights, {**info, 'quality': {key: figures[key] for key in kept}})
