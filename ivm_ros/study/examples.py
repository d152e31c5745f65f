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
"""Pictures of labels that the study spoils: of each mistake the first that chance brings."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
import textwrap

import numpy as np

from ivm_ros.annotate.noise import LEVELS
from ivm_ros.data.shards import decode_image, decode_mask, read_rows, Row
from ivm_ros.study.seen import spoiled

MISTAKES = ('decoy', 'wrong', 'missing', 'box', 'spill', 'erosion', 'everything', 'true')
"""In the order of the picture, see `annotate.noise.Noise`."""


def examples_of(folders: Sequence[str], noise: str, seed: int = 0
                ) -> dict[str, tuple[Row, np.ndarray]]:
    """
    Draw labels until each mistake was made once, or there are no more.

    Args:
        folders: Datasets with labelled things.
        noise: One of `LEVELS`.
        seed: Of the order of sentences and of the mistakes.

    Returns:
        By mistake: the row and its noisy label, uint8 [H, W].
    """
    rows = [row for folder in folders for row in read_rows(Path(folder))
            if row.mask is not None and row.labels is not None and row.found]
    rng = np.random.default_rng(seed)
    found: dict[str, tuple[Row, np.ndarray]] = {}
    for index in rng.permutation(len(rows)):
        label, mistake = spoiled(rows[index], LEVELS[noise], rng)
        found.setdefault(mistake, (rows[index], label))
        if len(found) == len(MISTAKES):
            break
    return {mistake: found[mistake] for mistake in MISTAKES if mistake in found}


def draw_examples(examples: dict[str, tuple[Row, np.ndarray]]) -> bytes:
    """Draw each beside its picture and the true mask, as PNG; b'' where there are none."""
    if not examples:
        return b''
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(examples), 3, figsize=(7.5, 2.1 * len(examples)),
                                   squeeze=False)
    for (mistake, (row, label)), (seen, true, given) in zip(examples.items(), axes):
        seen.imshow(decode_image(row.image))
        true.imshow(decode_mask(row.mask or b''), cmap='gray', vmin=0, vmax=255)
        given.imshow(label, cmap='gray', vmin=0, vmax=255)
        seen.set_title('\n'.join(textwrap.wrap(row.instruction, 44)), fontsize=8)
        true.set_title('true', fontsize=8)
        given.set_title(f'label: {mistake}', fontsize=8)
        for axis in (seen, true, given):
            axis.set_axis_off()
    figure.tight_layout()
    data = BytesIO()
    figure.savefig(data, format='png', dpi=90)
    pyplot.close(figure)
    return data.getvalue()
