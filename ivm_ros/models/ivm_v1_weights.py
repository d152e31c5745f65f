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
The released `IVM-V1.0.bin`: what its arrays are called, and where each belongs.

It holds what the authors trained: LoRA of the language model, projection, decoder. The names are
those of the modules in their code. The file is a pickle; it is read by the loader of PyTorch that
builds tensors and nothing else, and whatever holds more is refused.
"""

from collections.abc import Iterator
from pathlib import Path
import pickle
from typing import Any

from safetensors.torch import load_file
import torch

from ivm_ros.models.ivm_v1_decoder import V1Config
from ivm_ros.models.pretrained import refuse_differences, WeightsError

LINEAR = ('weight', 'bias')
ATTENTION = {'q_proj': 'query', 'k_proj': 'key', 'v_proj': 'value', 'out_proj': 'out'}
BLOCK = {'mlp.lin1': 'widen', 'mlp.lin2': 'narrow',
         **{f'norm{number + 1}': f'norms.{number}' for number in range(4)},
         **{f'{theirs}.{proj}': f'{ours}.{name}'
            for theirs, ours in (('self_attn', 'to_each_other'),
                                 ('cross_attn_token_to_image', 'to_picture'),
                                 ('cross_attn_image_to_token', 'to_tokens'))
            for proj, name in ATTENTION.items()}}
DECODER = {'output_upscaling.0': 'grow', 'output_upscaling.1': 'grow_norm',
           'output_upscaling.3': 'grow_again', 'transformer.norm_final_attn': 'last_norm',
           **{f'transformer.final_attn_token_to_image.{proj}': f'last_look.{name}'
              for proj, name in ATTENTION.items()},
           **{f'output_hypernetworks_mlps.layers.{number}': f'hyper.{number}'
              for number in range(3)}}


def released_names(layers: int, config: V1Config) -> dict[str, str]:
    """
    Map the released names of arrays to ours.

    Args:
        layers: Of the language model; 32 in LLaVA-1.5-7B.
        config: Depth of the decoder.
    """
    return dict([*_lora(layers), *_projection(), *_decoder(config.depth)])


def _lora(layers: int) -> Iterator[tuple[str, str]]:
    for layer in range(layers):
        for proj in ('q_proj', 'v_proj'):
            for half in ('lora_A', 'lora_B'):
                # transformers of 2024 had one `model` more in between, and peft wraps twice.
                end = f'layers.{layer}.self_attn.{proj}.{half}.default.weight'
                yield (f'prompt_encoder.model.base_model.model.language_model.model.{end}',
                       f'llava.language_model.{end}')


def _projection() -> Iterator[tuple[str, str]]:
    for theirs, ours in (('fc1', '0'), ('fc2', '2')):
        for kind in LINEAR:
            yield f'prompt_encoder.text_proj.{theirs}.{kind}', f'projection.{ours}.{kind}'


def _decoder(depth: int) -> Iterator[tuple[str, str]]:
    yield 'mask_decoder.mask_tokens.weight', 'decoder.mask_token'
    yield 'mask_decoder.pe_layer.positional_encoding_gaussian_matrix', 'decoder.frequencies'
    pairs = [*DECODER.items(),
             *((f'transformer.layers.{block}.{theirs}', f'blocks.{block}.{ours}')
               for block in range(depth) for theirs, ours in BLOCK.items())]
    for theirs, ours in pairs:
        for kind in LINEAR:
            yield f'mask_decoder.{theirs}.{kind}', f'decoder.{ours}.{kind}'


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """
    Read a file of named tensors: .safetensors, or what `torch.save` made of a dictionary.

    Raises:
        WeightsError: Missing, half a file, or anything in it but named tensors.
    """
    if not path.is_file():
        raise WeightsError(f'no weights at {path}; "ivm download ivm_v1" fetches them')
    try:
        made: Any = (load_file(path) if path.suffix == '.safetensors' else
                     torch.load(path, map_location='cpu', weights_only=True))
    except pickle.UnpicklingError as error:
        raise WeightsError(f'{path} is refused: it is half a file, or a pickle of more than '
                           f'tensors, which could run code ({_first(error)}); fetch it again from '
                           'where the authors put it') from error
    except Exception as error:  # the loader of tensors fails in many ways on torn bytes
        raise WeightsError(f'{path} is half downloaded or no file of PyTorch ({_first(error)}); '
                           'fetch it again') from error
    if not isinstance(made, dict):
        raise WeightsError(f'{path}: wanted a dictionary of tensors, got {type(made).__name__}')
    odd = [str(name) for name, value in made.items()
           if not (isinstance(name, str) and isinstance(value, torch.Tensor))]
    if odd:
        raise WeightsError(f'{path}: wanted tensors by name and nothing else, {odd[0]!r} is none')
    return made


def fill(net: torch.nn.Module, path: Path, names: dict[str, str]) -> str:
    """
    Put the released arrays into a network, all or none.

    Args:
        net: Has an array for each of our names.
        path: Of the released file.
        names: Theirs to ours, from `released_names`.

    Returns:
        What was read, in a line for reports.

    Raises:
        WeightsError: An array is missing, left over or of another shape; says which.
    """
    came = read_tensors(path)
    places = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    wanted = {theirs: tuple(places[ours].shape) for theirs, ours in names.items()}
    refuse_differences(path, 'trained part of IVM-V1.0', {
        'missing': sorted(wanted.keys() - came.keys()),
        'left over': sorted(came.keys() - wanted.keys()),
        'of another shape': [f'{name}: wanted {[*shape]}, got {[*came[name].shape]}'
                             for name, shape in sorted(wanted.items())
                             if name in came and came[name].shape != shape]})
    with torch.no_grad():
        for theirs, ours in names.items():
            places[ours].copy_(came[theirs])
    counts = {part: sum(ours.startswith(part) for ours in names.values())
              for part in ('llava', 'projection', 'decoder')}
    return (f'{len(came)} of {len(names)} arrays read (LoRA {counts["llava"]}, projection '
            f'{counts["projection"]}, decoder {counts["decoder"]}), '
            f'{sum(value.numel() for value in came.values())} numbers; none missing, none left '
            'over')


def _first(error: BaseException) -> str:
    """Give the first line of a message; the loader of PyTorch writes essays."""
    return next(iter(str(error).splitlines()), type(error).__name__).split('. ')[0]
