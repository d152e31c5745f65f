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
A graph's backbone, but for its first blocks, in 8 bits; everything else as it was.

Static quantisation by ONNX Runtime: ranges of activations are those of 99.999 % of what is seen on
pictures, weights have a scale a channel (depthwise filters differ much), inputs and outputs stay
float32. What decides on places and overlap (pyramid, dynamic masks, attention) stays as it was,
and so do the first blocks: they cost .030 of mean IoU, all others together .002
(`docs/results/weights.md`).
"""

from collections.abc import Iterator
from pathlib import Path
import re
from tempfile import TemporaryDirectory

import numpy as np

from ivm_ros.files import replace_file

FIRST = 4  # blocks of the backbone that stay in float32


class Feeds:
    """Inputs one after the other, as ONNX Runtime asks for them (a `CalibrationDataReader`)."""

    def __init__(self, feeds: Iterator[dict[str, np.ndarray]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Give the next, or None."""
        return next(self._feeds, None)


def quantise(path: Path, feeds: Iterator[dict[str, np.ndarray]]) -> None:
    """
    Turn the backbone's convolutions, from block `FIRST` on, into 8 bits, in place.

    Args:
        path: ONNX file of `write_graph`.
        feeds: Inputs by name, with pictures like those that it will see.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, quantize_static, QuantType
    from onnxruntime.quantization.shape_inference import quant_pre_process

    entries = list(onnx.load(str(path)).metadata_props)
    with TemporaryDirectory() as folder, replace_file(path) as part:
        ready = Path(folder) / 'ready.onnx'
        quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
        kept = [node.name for node in onnx.load(str(ready)).graph.node
                if node.op_type == 'Conv' and not _is_quantised(node.input[1])]
        quantize_static(str(ready), str(part), Feeds(feeds), op_types_to_quantize=['Conv'],
                        nodes_to_exclude=kept, per_channel=True,
                        calibrate_method=CalibrationMethod.Percentile,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        model = onnx.load(str(part))
        del model.metadata_props[:]
        model.metadata_props.extend(entries)
        entry = model.metadata_props.add()
        entry.key, entry.value = 'quantize', 'int8'
        onnx.save(model, str(part))


def _is_quantised(weight: str) -> bool:
    """Tell by the name of its weight whether a convolution goes into 8 bits."""
    block = re.search(r'\.backbone\.blocks\.(\d+)\.', weight)
    return block is not None and int(block[1]) >= FIRST
