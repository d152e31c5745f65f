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
"""What `ivm bench` times in its own process: generator, backbone, CLIPSeg, deployment."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import cv2
import numpy as np
import torch

from ivm_ros.config import ConfigError
from ivm_ros.deploy import apply, DeployConfig, MethodName
from ivm_ros.image import letterbox_of, to_canvas
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.compact_generator import CompactGenerator
from ivm_ros.models.installed import weights_path
from ivm_ros.models.onnx_export import write_backbone
from ivm_ros.models.onnx_generator import OnnxGenerator, session_of
from ivm_ros.models.pixels import normalise
from ivm_ros.sample import Mask

Job = Callable[[], object]
SENTENCE = 'put the red mug on the plate left of the bowl'
SIZE = (480, 640)
CLIPSEG_SIDE = 352


def picture() -> np.ndarray:
    """Return uint8 [480, 640, 3]: soft noise, as speed does not depend on what is shown."""
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    return cv2.blur(noise, (5, 5))


def model_jobs(masker: Masker) -> dict[str, Job]:
    """
    Give the jobs that are timed in every round.

    The generator is timed from uint8 [480, 640, 3] to masks of that size, its sentence cached as
    in a stream; the backbone alone on the canvas, same weights, same runtime.
    """
    generator = masker.generator
    if not isinstance(generator, CompactGenerator):
        raise ConfigError('ivm bench times the compact generator only, got '
                          f'{masker.info["generator"]!r}; leave --masker.generator out')
    image = picture()
    canvas = to_canvas(image, letterbox_of(SIZE, generator.canvas))
    device = next(generator.net.parameters()).device
    pixels = normalise(canvas[None], device)
    wait: Job = torch.cuda.synchronize if device.type == 'cuda' else lambda: None

    @torch.inference_mode()
    def backbone() -> None:
        with torch.autocast('cuda', torch.float16, enabled=generator.half):
            generator.net.backbone(pixels)
        wait()

    return {'generator': lambda: masker(image, SENTENCE), 'backbone': backbone}


def onnx_jobs(weights: str, threads: int) -> dict[str, Job]:
    """
    Give the same in ONNX Runtime: all from picture to masks, the network alone, its backbone.

    Raises:
        OnnxError: ONNX Runtime, or what writes its graphs, is missing.
    """
    masker = Masker(MaskerConfig(weights=weights, threads=threads, device='cpu', runtime='onnx'))
    generator = masker.generator
    if not isinstance(generator, OnnxGenerator):
        raise TypeError(f'bench: wanted the ONNX generator, got {type(generator).__name__}')
    image = picture()
    canvas = to_canvas(image, letterbox_of(SIZE, generator.canvas))
    feed = generator.feed(canvas[None], [SENTENCE])
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'backbone.onnx'
        write_backbone(load_checkpoint(weights_path(weights)).net, path)
        backbone = session_of(path, threads, ['CPUExecutionProvider'])
    return {'onnx_generator': lambda: masker(image, SENTENCE),
            'onnx_network': lambda: generator.session.run(None, feed),
            'onnx_backbone': lambda: backbone.run(None, {'images': feed['images']})}


def deploy_jobs() -> dict[str, Job]:
    """Give each deployment method at its default settings, for a mask of two thirds."""
    image = picture()
    target, robot = (np.zeros(SIZE, np.float32) for _ in range(2))
    target[40:400, :600] = 1
    robot[:300, 300:400] = 1
    mask = Mask(target, robot, 1.0)
    return {f'deploy_{name}': partial(apply, image, mask, DeployConfig(method=name))
            for name in get_args(MethodName)}


def clipseg_job(device: torch.device, patch: int) -> Job:
    """
    Build CLIPSeg with random weights (speed does not depend on them) at its 352 pixels.

    Timed from the normalised picture and a sentence already encoded, as our generator's is, to
    its logits; so its share of preparing pictures is not counted against it.

    Args:
        device: Where to run.
        patch: 32 is the default of transformers' configuration and the faster one; 16 is what the
            published CIDAS/clipseg-rd64-refined has.
    """
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    config = CLIPSegConfig(vision_config={'patch_size': patch})
    if patch == 16:
        config.use_complex_transposed_convolution = True
    model = CLIPSegForImageSegmentation(config).eval().to(device)
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 3, CLIPSEG_SIDE, CLIPSEG_SIDE, generator=rng).to(device)
    sentence = torch.randn(1, model.config.projection_dim, generator=rng).to(device)

    @torch.inference_mode()
    def clipseg() -> None:
        model(pixel_values=pixels, conditional_embeddings=sentence,
              interpolate_pos_encoding=True).logits.cpu()

    return clipseg
