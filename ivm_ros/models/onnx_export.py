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

The graph is what depends on the picture. What depends on the sentence alone (`Chooser.listen`) is
done once when an instruction arrives, by torch, and goes in as arrays.

Inputs: `images` float32 [N, 3, h, w], normalised; `words` float32 [N, T, D]; `mask` bool [N, T];
`directions` float32 [N, L * H, 32]; `preferred` float32 [N, 7]; `names` float32 [N, T, 96];
`asked` float32 [N, 4, 96]. Outputs, all logits: `target` and `robot` float32 [N, h, w]; `found`
float32 [N]. N and T are free, everything else is fixed, and there is no loop and no branch
in it, as TensorRT wants it.
"""

from pathlib import Path
from typing import Any
import warnings

import torch
from torch import nn

from ivm_ros.files import replace_file
from ivm_ros.models.checkpoint import Checkpoint
from ivm_ros.models.chooser import Heard
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.text import DIM

INPUTS = ('images', *Heard._fields)
OUTPUTS = ('target', 'robot', 'found')
OPSET = 18
WORDS = 7  # of the sentence that the graph is traced with


class OnnxError(ValueError):
    """An ONNX graph cannot be made or used; the message says what to do."""


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


def write_graph(checkpoint: Checkpoint, path: Path) -> None:
    """
    Write a checkpoint's network as ONNX, with the checkpoint's hash in it.

    Raises:
        OnnxError: The packages that write ONNX are missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch needs it to write ONNX)
    except ModuleNotFoundError as error:
        raise OnnxError(f'writing ONNX needs the package {error.name}; pip install '
                        '"ivm_ros[onnx]" brings it') from error
    graph = Graph(checkpoint.net.eval())
    example = example_inputs(checkpoint.net)
    batch, words = torch.export.Dim('batch'), torch.export.Dim('tokens')
    said = {0: batch, 1: words}
    shapes: Any = [{0: batch}, said, said, {0: batch}, {0: batch}, said, {0: batch}]
    with replace_file(path) as part, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the exporter about itself
        torch.onnx.export(graph, example, str(part), dynamo=True, opset_version=OPSET,
                          input_names=list(INPUTS), output_names=list(OUTPUTS),
                          dynamic_shapes=tuple(shapes), external_data=False, verbose=False)
        model = onnx.load(str(part))
        entry = model.metadata_props.add()
        entry.key, entry.value = 'sha256', checkpoint.hash
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
