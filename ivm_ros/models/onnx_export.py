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
The compact generator's network as an ONNX graph.

The graph is what depends on the picture. What depends on the sentence alone (the sentence encoder
and `Chooser.listen`) is done once when an instruction arrives, and goes in as arrays; that is a
graph of its own, the listener: `ids` int64 [N, T] and `mask` in, the others out.

Inputs: `images` float32 [N, 3, h, w], normalised; `words` float32 [N, T, D]; `mask` bool [N, T];
`directions` float32 [N, L * H, 32]; `preferred` float32 [N, 7]; `names` float32 [N, T, 96];
`asked` float32 [N, 4, 96]. Outputs, all logits: `target` and `robot` float32 [N, h, w]; `found`
float32 [N]. N and T are free, everything else is fixed, and there is no loop and no branch
in it, as TensorRT wants it.
"""

from collections.abc import Sequence
from pathlib import Path
import sys
from typing import Any
import warnings

import torch
from torch import nn

from ivm_ros.files import replace_file
from ivm_ros.models.checkpoint import Checkpoint, load_checkpoint
from ivm_ros.models.chooser import Heard
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.errors import OnnxError
from ivm_ros.models.text import TextEncoder, token_states
from ivm_ros.models.text_files import DIM, MAX_TOKENS

INPUTS = ('images', *Heard._fields)
OUTPUTS = ('target', 'robot', 'found')
HEARS = ('ids', 'mask')
SAYS = tuple(name for name in Heard._fields if name != 'mask')  # which is known already
OPSET = 18
WORDS = 7  # of the sentence that the graph is traced with


class Graph(nn.Module):
    """The network with plain tensors going in and out."""

    def __init__(self, net: CompactNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor, words: torch.Tensor, mask: torch.Tensor,
                directions: torch.Tensor, preferred: torch.Tensor, names: torch.Tensor,
                asked: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Mask each image by its sentence."""
        heard = Heard(words, mask, directions, preferred, names, asked)
        return tuple(self.net.look(images, heard, torch.arange(images.shape[0])))


class Listener(nn.Module):
    """Sentence encoder and what the network makes of a sentence."""

    def __init__(self, encoder: TextEncoder, net: CompactNet) -> None:
        super().__init__()
        self.bert, self.chooser = encoder.model, net.chooser

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Listen to sentences; ids int64 and mask bool [N, T]."""
        heard = self.chooser.listen(token_states(self.bert, ids, mask), mask)
        return tuple(value for name, value in zip(Heard._fields, heard) if name != 'mask')


def write_graph(checkpoint: Checkpoint, path: Path) -> None:
    """
    Write a checkpoint's network as ONNX, with the checkpoint's hash in it.

    Raises:
        OnnxError: The packages that write ONNX are missing.
    """
    batch, words = torch.export.Dim('batch'), torch.export.Dim('tokens')
    said = {0: batch, 1: words}
    shapes = [{0: batch}, said, said, {0: batch}, {0: batch}, said, {0: batch}]
    _write(Graph(checkpoint.net.eval()), example_inputs(checkpoint.net), INPUTS, OUTPUTS, shapes,
           path, sha256=checkpoint.hash)


def write_listener(checkpoint: Checkpoint, encoder: TextEncoder, path: Path) -> None:
    """
    Write what is done once a sentence as ONNX, with both hashes in it; 90 MB.

    Raises:
        OnnxError: The packages that write ONNX are missing.
    """
    said = {0: torch.export.Dim('batch'), 1: torch.export.Dim('tokens', max=MAX_TOKENS)}
    example = torch.ones(2, WORDS, dtype=torch.int64), torch.ones(2, WORDS, dtype=torch.bool)
    # PyTorch's fused layer is one operation, which ONNX does not have.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        _write(Listener(encoder, checkpoint.net).eval(), example, HEARS, SAYS, [said, said],
               path, sha256=checkpoint.hash, text_encoder=encoder.hash)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _write(module: nn.Module, example: tuple[torch.Tensor, ...], inputs: Sequence[str],
           outputs: Sequence[str], shapes: Any, path: Path, **facts: str) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch needs it to write ONNX)
    except ModuleNotFoundError as error:
        raise OnnxError(f'writing ONNX needs the package {error.name}; pip install '
                        '"ivm_ros[onnx]" brings it') from error
    with replace_file(path) as part, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the exporter about itself
        torch.onnx.export(module, example, str(part), dynamo=True, opset_version=OPSET,
                          input_names=list(inputs), output_names=list(outputs),
                          dynamic_shapes=tuple(shapes), external_data=False, verbose=False)
        model = onnx.load(str(part))
        for key, value in facts.items():
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        onnx.save(model, str(part))


def write_backbone(net: CompactNet, path: Path) -> None:
    """Write the backbone alone, to compare speeds: `images` in, its maps out."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        picture = example_inputs(net)[0][:1].contiguous()
        torch.onnx.export(net.backbone.eval(), (picture,), str(path), dynamo=True,
                          opset_version=OPSET, input_names=['images'], external_data=False,
                          verbose=False)


def example_inputs(net: CompactNet) -> tuple[torch.Tensor, ...]:
    """Give inputs of two pictures; with one, torch would take the one for fixed."""
    with torch.inference_mode():
        heard = net.chooser.listen(torch.zeros(2, WORDS, DIM),
                                   torch.ones(2, WORDS, dtype=torch.bool))
    images = torch.zeros(2, 3, net.config.height, net.config.width)
    return images, *(value.clone() for value in heard)


def main(weights: str, folder: str, graph: str, listener: str) -> int:
    """Write the graphs that are missing; what cannot be done goes to standard error."""
    try:
        checkpoint = load_checkpoint(Path(weights))
        if not Path(graph).is_file():
            write_graph(checkpoint, Path(graph))
        if not Path(listener).is_file():
            write_listener(checkpoint, TextEncoder(folder), Path(listener))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
