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
"""Samples and their masks as a recording for the viewer of rerun.io: one step of time a sample."""

from pathlib import Path

import numpy as np

from ivm_ros.config import ConfigError
from ivm_ros.sample import Mask, Sample


class RerunLog:
    """
    A recording that is being written; `close` makes it whole.

    Args:
        path: The file, .rrd.

    Raises:
        ConfigError: rerun-sdk is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import rerun
            import rerun.blueprint as blueprint
        except ModuleNotFoundError as error:
            raise ConfigError('--rerun needs the package rerun-sdk; pip install "ivm_ros[rerun]" '
                              'brings it') from error
        self._rerun, self._count = rerun, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = rerun.RecordingStream('ivm_ros')
        self._stream.save(path)
        views = [blueprint.Spatial2DView(origin=name) for name in ('picture', 'mask', 'truth')]
        self._stream.send_blueprint(blueprint.Vertical(
            blueprint.Horizontal(*views),
            blueprint.Horizontal(blueprint.TextLogView(origin='instruction'),
                                 blueprint.TimeSeriesView(contents=['/found', '/iou']))))

    def add(self, sample: Sample, mask: Mask, iou: float) -> None:
        """Log a sample with its mask: picture, mask, truth, sentence, found and, in view, IoU."""
        rerun, log = self._rerun, self._stream.log
        self._stream.set_time('sample', sequence=self._count)
        self._count += 1
        log('picture', rerun.Image(sample.image))
        log('mask', rerun.Image(np.rint(mask.target * 255).astype(np.uint8)))
        if sample.mask is not None:
            log('truth', rerun.Image(sample.mask))
        log('instruction', rerun.TextLog(sample.instruction))
        log('found', rerun.Scalars(mask.found))
        if sample.found:
            log('iou', rerun.Scalars(iou))

    def close(self) -> None:
        """Write what is not written yet."""
        self._stream.disconnect()
