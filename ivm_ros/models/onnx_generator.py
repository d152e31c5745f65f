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
"""The compact generator with its network in ONNX Runtime: the same masks in half the time."""

from collections.abc import Sequence
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivm_ros.models.checkpoint import Checkpoint
from ivm_ros.models.compact_generator import CompactGenerator
from ivm_ros.models.onnx_export import INPUTS, OnnxError, write_graph
from ivm_ros.models.text import TextEncoder


def graph_path(checkpoint: Checkpoint) -> Path:
    """Give where the graph of a checkpoint is kept: in the user's cache, by its hash."""
    home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return home / 'ivm_ros' / f'{checkpoint.hash[:16]}.onnx'


class OnnxGenerator(CompactGenerator):
    """
    The compact generator by ONNX Runtime.

    Args:
        checkpoint: Weights.
        encoder: The sentence encoder, the same file as in training.
        graph: Its ONNX file; None: the one in the cache, which is written where it is missing.
        threads: CPU threads.

    Attributes:
        graph (Path): The file.
        session (Any): What ONNX Runtime made of it.

    Raises:
        OnnxError: ONNX Runtime is missing, or the graph is not that of the weights.
        TextEncoderError: The encoder is not the one the weights were trained with.
    """

    def __init__(self, checkpoint: Checkpoint, encoder: TextEncoder, graph: Path | None = None,
                 threads: int = 1) -> None:
        super().__init__(checkpoint, encoder, half=False)
        path = graph or graph_path(checkpoint)
        if graph is None and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_graph(checkpoint, path)
        wanted = ['CUDAExecutionProvider'] if encoder.device.type == 'cuda' else []
        self.session = session_of(path, threads, [*wanted, 'CPUExecutionProvider'])
        made_from = self.session.get_modelmeta().custom_metadata_map.get('sha256', '')
        if made_from != checkpoint.hash:
            raise OnnxError(f'{path} was exported from other weights than {checkpoint.path}; '
                            'write it anew with "ivm export"')
        self.graph = path

    @property
    def info(self) -> dict[str, Any]:
        """What `CompactGenerator.info` has, and the graph."""
        return {**super().info, 'runtime': 'onnx', 'graph': str(self.graph),
                'providers': self.session.get_providers()}

    @torch.inference_mode()
    def feed(self, pixels: torch.Tensor, instructions: Sequence[str]) -> dict[str, np.ndarray]:
        """Give the graph's inputs for pictures [N, 3, h, w] and N sentences."""
        arrays = (pixels, *self._listen(tuple(instructions)))
        return {name: value.cpu().numpy() for name, value in zip(INPUTS, arrays)}

    def _predict(self, pixels: torch.Tensor, instructions: Sequence[str], index: torch.Tensor
                 ) -> tuple[np.ndarray, list[float]]:
        target, robot, found = self.session.run(None, self.feed(pixels[index], instructions))
        planes = _sigmoid(np.stack((target, robot), 1))
        return planes, _sigmoid(found).tolist()


def session_of(path: Path, threads: int, providers: list[str]) -> Any:
    """
    Open a graph in ONNX Runtime.

    Raises:
        OnnxError: ONNX Runtime is missing, or the file is no graph.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise OnnxError('runtime "onnx" needs the package onnxruntime; pip install '
                        '"ivm_ros[onnx]" brings it') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its errors share no class
        raise OnnxError(f'{path} is no graph that ONNX Runtime reads ({error}); delete it, or '
                        'write it anew with "ivm export"') from error


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    """Turn logits into shares without overflow."""
    return np.asarray(.5 * (1 + np.tanh(.5 * logits)), np.float32)
