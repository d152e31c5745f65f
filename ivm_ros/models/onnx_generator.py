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
The compact generator in ONNX Runtime: the same masks in less time, and without PyTorch.

Importing PyTorch takes most of a node's memory (`docs/results/weights.md`), so nothing here does.
Graphs that are missing are written by a process of its own, which needs it once.
"""

from collections.abc import Sequence
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np

from ivm_ros.image import DEVIATION, from_canvas, letterbox_of, MEAN, to_canvas
from ivm_ros.models.checkpoint_info import file_hash, read_checkpoint_info
from ivm_ros.models.errors import CheckpointError, DeviceError, OnnxError, TextEncoderError
from ivm_ros.models.installed import weights_path
from ivm_ros.models.last_used import LastUsed, LISTENED
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.models.text_files import find_text_encoder, MAX_TOKENS, NAME
from ivm_ros.sample import Mask

SCALE = np.array([1 / (255 * value) for value in DEVIATION], np.float32)
SHIFT = np.array([mean / value for mean, value in zip(MEAN, DEVIATION)], np.float32)


class OnnxGenerator:
    """
    The compact generator by ONNX Runtime.

    Args:
        config: `weights`, `text_encoder`, `device`, and `graph`: its ONNX file; empty: the one in
            the cache, which is written where it is missing. What listens to sentences is looked
            for beside it (`listener_of`), else in the cache.
        threads: CPU threads.

    Attributes:
        graph (Path): The file.
        canvas (tuple[int, int]): Height and width that pictures are brought to.
        session (Any): What ONNX Runtime made of it.

    Raises:
        CheckpointError: The weights are missing, or of another version.
        OnnxError: ONNX Runtime is missing, a graph is not that of the weights, or one is missing
            and cannot be written here.
        TextEncoderError: The encoder is missing, or not the one the weights were trained with.
        DeviceError: CUDA is asked for, and ONNX Runtime has none.
    """

    has_robot = True

    def __init__(self, config: MaskerConfig, threads: int = 1) -> None:
        from tokenizers import Tokenizer

        self._weights = weights_path(config.weights)
        if not self._weights.is_file():
            raise CheckpointError(f'no weights at {self._weights}; leave "weights" empty for '
                                  'those in use or make some with "ivm train"')
        self._info = read_checkpoint_info(self._weights)
        self._hash = file_hash(self._weights)
        self._folder = find_text_encoder(config.text_encoder)
        self._check_encoder()
        self.graph, listener = self._graphs(config.graph)
        providers = providers_of(config.device)
        self.device = 'cuda' if len(providers) > 1 else 'cpu'
        self.session = self._open(self.graph, threads, providers)
        self._listener = self._open(listener, threads, ['CPUExecutionProvider'])
        self.canvas: tuple[int, int] = tuple(self.session.get_inputs()[0].shape[2:])
        try:
            self._tokenizer = Tokenizer.from_file(str(self._folder / 'tokenizer.json'))
        except Exception as error:  # tokenizers raises bare ones
            raise TextEncoderError(f'{self._folder}: the tokenizer is torn or another one '
                                   f'({error}); copy it again') from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._heard = LastUsed[tuple[str, ...], dict[str, np.ndarray]](LISTENED)

    def _check_encoder(self) -> None:
        wanted = self._info.get('text_encoder', {}).get('sha256', '')
        found = file_hash(self._folder / 'model.safetensors')
        if found != wanted:
            raise TextEncoderError(
                f'{self._folder} is not the sentence encoder of {self._weights.name}: wanted '
                f'{NAME} with sha256 {wanted[:12]}..., got {found[:12]}...')

    def _graphs(self, given: str) -> tuple[Path, Path]:
        """
        Find both graphs, or have them written into the cache.

        Raises:
            OnnxError: The given one is not there or of other weights, or one cannot be written.
        """
        kept = graph_path(self._hash)
        graph = Path(given) if given else kept
        if given and not graph.is_file():
            raise OnnxError(f'{graph} is no graph that ONNX Runtime reads (no such file); write '
                            'it with "ivm export"')
        beside = listener_of(graph)
        listener = beside if beside.is_file() else listener_of(kept)
        missing = [path for path in (graph, listener) if not path.is_file()]
        if missing:
            if given:  # a wrong one is told before half a minute is spent on what goes with it
                self._open(graph, 1, ['CPUExecutionProvider'])
            kept.parent.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(
                [sys.executable, '-m', 'ivm_ros.models.onnx_export', str(self._weights),
                 str(self._folder), str(graph), str(listener)], capture_output=True, text=True,
                env=os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))})
            if done.returncode:
                why = (done.stderr.strip().splitlines() or [f'exit {done.returncode}'])[-1]
                raise OnnxError(f'{missing[0]} is missing and cannot be written here ({why}); '
                                'write it where PyTorch is, with "ivm export --listener", copy '
                                'both files and set graph to the first')
        return graph, listener

    def _open(self, path: Path, threads: int, providers: list[str]) -> Any:
        session = session_of(path, threads, providers)
        made_from = session.get_modelmeta().custom_metadata_map.get('sha256', '')
        if made_from != self._hash:
            raise OnnxError(f'{path} was exported from other weights than {self._weights}; '
                            'write it anew with "ivm export"')
        return session

    @property
    def info(self) -> dict[str, Any]:
        """Name, weights, hash, canvas, encoder, graph, provenance and measured quality."""
        return {'generator': 'compact', 'weights': str(self._weights), 'sha256': self._hash,
                'canvas': list(self.canvas), 'text_encoder': str(self._folder),
                'device': self.device, 'half': False, 'runtime': 'onnx', 'graph': str(self.graph),
                'providers': self.session.get_providers(),
                'provenance': self._info.get('provenance', {}),
                'quality': self._info.get('quality', {})}

    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> list[Mask]:
        """Mask each uint8 [H, W, 3] image by the sentence of the same place, in one batch."""
        boxes = [letterbox_of((image.shape[0], image.shape[1]), self.canvas) for image in images]
        canvases = [to_canvas(image, box) for image, box in zip(images, boxes)]
        target, robot, found = self.session.run(None, self.feed(np.stack(canvases), instructions))
        planes = _sigmoid(np.stack((target, robot), 1))
        return [Mask(from_canvas(target, box), from_canvas(robot, box), score)
                for (target, robot), box, score in zip(planes, boxes, _sigmoid(found).tolist())]

    def feed(self, canvases: np.ndarray, instructions: Sequence[str]) -> dict[str, np.ndarray]:
        """Give the graph's inputs for uint8 [N, h, w, 3] on the canvas and N sentences."""
        pixels = canvases * SCALE - SHIFT  # float32
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return {'images': images, **self._heard.get(tuple(instructions), self._listen)}

    def _listen(self, instructions: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Give what the graph wants to know of the sentences of a batch."""
        codes = [self._tokenizer.encode(text).ids for text in instructions]
        length = max(map(len, codes))
        ids = np.zeros((len(codes), length), np.int64)
        mask = np.zeros((len(codes), length), bool)
        for row, code in enumerate(codes):
            ids[row, :len(code)], mask[row, :len(code)] = code, True
        made = self._listener.run(None, {'ids': ids, 'mask': mask})
        heard = dict(zip((output.name for output in self._listener.get_outputs()), made))
        # Networks that know sentences pooled alone hear one word each.
        return {**heard, 'mask': mask[:, :heard['words'].shape[1]]}


def graph_path(digest: str) -> Path:
    """Give where the graph of a checkpoint is kept: in the user's cache, by its SHA-256."""
    home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return home / 'ivm_ros' / f'{digest[:16]}.onnx'


def listener_of(graph: Path) -> Path:
    """Give the name of the listener that goes with a graph: beside it, `NAME.listen.onnx`."""
    return graph.with_suffix('.listen.onnx')


def providers_of(device: str) -> list[str]:
    """
    Name ONNX Runtime's providers for 'auto', 'cpu' or 'cuda'.

    Raises:
        DeviceError: CUDA is asked for, and this ONNX Runtime has none.
        OnnxError: There is no ONNX Runtime.
    """
    cuda = 'CUDAExecutionProvider' in _onnxruntime().get_available_providers()
    if device == 'cuda' and not cuda:
        raise DeviceError('device: wanted cuda, but ONNX Runtime has no CUDA here; use '
                          'device=auto or cpu, or install onnxruntime-gpu')
    wanted = ['CUDAExecutionProvider'] if cuda and device != 'cpu' else []
    return [*wanted, 'CPUExecutionProvider']


def session_of(path: Path, threads: int, providers: list[str]) -> Any:
    """
    Open a graph in ONNX Runtime.

    Raises:
        OnnxError: ONNX Runtime is missing, or the file is no graph.
    """
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning take the core from the camera driver.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its errors share no class
        raise OnnxError(f'{path} is no graph that ONNX Runtime reads ({error}); delete it, or '
                        'write it anew with "ivm export"') from error


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise OnnxError('runtime "onnx" needs the package onnxruntime; pip install '
                        '"ivm_ros[onnx]" brings it') from error
    return onnxruntime


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    """Turn logits into shares without overflow."""
    return np.asarray(.5 * (1 + np.tanh(.5 * logits)), np.float32)
