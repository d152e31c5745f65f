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
The paper's model: names of the released file, the same numbers as plain transformers, bad files.

Names and shapes below are written down from the modules of the authors' code (2toinf/IVM,
model/llava_encoder.py, model/decoder.py, model/sam_components), not from ours.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
import pytest
import torch
from torch.nn import functional
from transformers import (AutoProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaModel,
                          SamModel, SamVisionConfig, SamVisionModel)
from transformers.models.sam.configuration_sam import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamTwoWayTransformer

from ivm_ros.masker import MaskerConfig
from ivm_ros.models.ivm_v1 import FILE, make, PROMPT, write_random
from ivm_ros.models.ivm_v1_decoder import V1Config
from ivm_ros.models.ivm_v1_net import V1Net
from ivm_ros.models.ivm_v1_random import CANVAS, CHANNELS, configs, SIZES, WIDTH
from ivm_ros.models.ivm_v1_weights import fill

pytestmark = pytest.mark.slow

SENTENCES = ['pick up the red mug', 'take the duck and then put it on the large white plate',
             'cup']
IMAGES = [np.kron(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8),
                  np.ones((8 + seed, 8, 1), np.uint8)) for seed in range(3)]


@dataclass(frozen=True)
class Sizes:
    """What the shapes below depend on; the defaults are the release's."""

    layers: int = 32
    width: int = 4096
    rank: int = 8
    projection: int = 2048
    dim: int = 256
    mlp: int = 2048
    depth: int = 2


TINY = Sizes(2, WIDTH, SIZES.rank, SIZES.projection, CHANNELS, SIZES.mlp, SIZES.depth)


def released(size: Sizes) -> dict[str, tuple[int, ...]]:
    """Give names and shapes of IVM-V1.0.bin, as the authors' modules make them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(size.layers):
        attention = ('prompt_encoder.model.base_model.model.language_model.model.layers.'
                     f'{layer}.self_attn.')
        for proj in ('q_proj', 'v_proj'):
            shapes[f'{attention}{proj}.lora_A.default.weight'] = (size.rank, size.width)
            shapes[f'{attention}{proj}.lora_B.default.weight'] = (size.width, size.rank)

    def linear(name, out, into):
        shapes[f'{name}.weight'], shapes[f'{name}.bias'] = (out, into), (out,)

    def norm(name, width):
        shapes[f'{name}.weight'], shapes[f'{name}.bias'] = (width,), (width,)

    def attend(name, inner):
        for proj in ('q_proj', 'k_proj', 'v_proj'):
            linear(f'{name}.{proj}', inner, size.dim)
        linear(f'{name}.out_proj', size.dim, inner)

    dim = size.dim
    linear('prompt_encoder.text_proj.fc1', size.projection, size.width)
    linear('prompt_encoder.text_proj.fc2', dim, size.projection)
    shapes['mask_decoder.mask_tokens.weight'] = (1, dim)
    shapes['mask_decoder.pe_layer.positional_encoding_gaussian_matrix'] = (2, dim // 2)
    for block in range(size.depth):
        name = f'mask_decoder.transformer.layers.{block}'
        attend(f'{name}.self_attn', dim)
        attend(f'{name}.cross_attn_token_to_image', dim // 2)
        attend(f'{name}.cross_attn_image_to_token', dim // 2)
        linear(f'{name}.mlp.lin1', size.mlp, dim)
        linear(f'{name}.mlp.lin2', dim, size.mlp)
        for number in (1, 2, 3, 4):
            norm(f'{name}.norm{number}', dim)
    attend('mask_decoder.transformer.final_attn_token_to_image', dim // 2)
    norm('mask_decoder.transformer.norm_final_attn', dim)
    shapes['mask_decoder.output_upscaling.0.weight'] = (dim, dim // 4, 2, 2)
    shapes['mask_decoder.output_upscaling.0.bias'] = (dim // 4,)
    norm('mask_decoder.output_upscaling.1', dim // 4)
    shapes['mask_decoder.output_upscaling.3.weight'] = (dim // 4, dim // 8, 2, 2)
    shapes['mask_decoder.output_upscaling.3.bias'] = (dim // 8,)
    for number, out in enumerate((dim, dim, dim // 8)):
        linear(f'mask_decoder.output_hypernetworks_mlps.layers.{number}', out, dim)
    return shapes


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Write the miniature, its trained part under the names written down here."""
    folder = tmp_path_factory.mktemp('ivm_v1')
    write_random(folder)
    made = torch.load(folder / 'ivm' / FILE, weights_only=True)
    torch.save({name: made[name] for name in released(TINY)}, folder / 'ivm' / FILE)
    return folder


@pytest.fixture(scope='module')
def generator(tiny):
    """Make the generator as `make_generator` does."""
    return make(MaskerConfig(str(tiny), generator='ivm_v1'), torch.device('cpu'), 1)


def full_net() -> V1Net:
    """Build the networks at their true size, without memory."""
    with torch.device('meta'):
        return V1Net(LlavaModel(LlavaConfig()), SamVisionModel(SamVisionConfig(
            hidden_size=1280, num_hidden_layers=32, num_attention_heads=16,
            global_attn_indexes=[7, 15, 23, 31], mlp_dim=5120)), V1Config())


def test_a_file_of_the_released_names_loads_whole_at_true_size(tmp_path):
    """None is missing, none left over, and the count is what the paper's file holds."""
    shapes, net = released(Sizes()), full_net()
    places = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    assert {theirs: tuple(places[ours].shape) for theirs, ours in net.names.items()} == shapes
    path = tmp_path / FILE
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, path)
    report = fill(net, path, net.names)
    assert len(shapes) == 228 and report.startswith(
        '228 of 228 arrays read (LoRA 128, projection 4, decoder 96)')
    assert '16615040 numbers; none missing, none left over' in report
    assert path.stat().st_size == pytest.approx(66.5e6, rel=.002)  # as its page says
    assert sum(place.numel() for ours, place in places.items()
               if '.lora_' in ours) == 4_194_304  # as the authors' notebook prints
    assert {name for name in places if '.lora_' in name or name.startswith(
        ('projection', 'decoder'))} == {*net.names.values()}  # nothing is left at random


def test_parameters_and_memory_are_what_docstring_and_page_say():
    net = full_net()
    llava = sum(value.numel() for name, value in net.llava.named_parameters()
                if '.lora_' not in name)
    linear = sum(value.numel() for name, value in net.llava.language_model.named_parameters()
                 if '.lora_' not in name and value.ndim == 2 and 'embed' not in name)
    sam = sum(value.numel() for value in net.sam.parameters())
    small = sum(net.get_parameter(ours).numel() for ours in net.names.values()
                if ours != 'decoder.frequencies')
    rest = llava - linear
    gigabytes = {'float32': 4 * (llava + sam + small), 'bfloat16': 2 * (llava + sam) + 4 * small,
                 'int8': linear + 2 * (rest + sam) + 4 * small,
                 'int4': (.5 + 4 / 64) * linear + 2 * (rest + sam) + 4 * small}
    assert {name: round(value / 1e9) for name, value in gigabytes.items()} == {
        'float32': 30, 'bfloat16': 15, 'int8': 9, 'int4': 6}
    assert (round(llava / 1e6), round(sam / 1e6)) == (6932, 637)
    with torch.device('meta'):  # what `ivm bench --random` makes
        language, sight = configs(tiny=False)
        made = LlavaModel(language), SamVisionModel(sight.vision_config)
    assert [sum(value.numel() for value in one.parameters()) for one in made] == [llava, sam]


def reference(tiny, image, text):
    """Mask with the classes of transformers and peft, step by step as the authors do."""
    from peft import get_peft_model, LoraConfig

    came = torch.load(tiny / 'ivm' / FILE, weights_only=True)
    square = Image.fromarray(image).resize((CANVAS, CANVAS))
    llava = LlavaForConditionalGeneration.from_pretrained(tiny / 'llava')
    chosen = [name for name, module in llava.named_modules()
              if isinstance(module, torch.nn.Linear) and 'language_model' in name
              and name.endswith(('q_proj', 'v_proj'))]
    peft = get_peft_model(llava, LoraConfig(r=SIZES.rank, lora_alpha=SIZES.alpha, bias='none',
                                            target_modules=chosen, task_type='CAUSAL_LM')).eval()
    lora = {name.removeprefix('prompt_encoder.model.').replace(
        'model.language_model.model.', 'model.model.language_model.'): value
        for name, value in came.items() if '.lora_' in name}
    assert not peft.load_state_dict(lora, strict=False).unexpected_keys
    inputs = AutoProcessor.from_pretrained(tiny / 'llava')(
        text=PROMPT.format(text), images=square, return_tensors='pt')
    state = peft(**inputs, output_hidden_states=True).hidden_states[-1][:, -2:-1]
    first, second = ([came[f'prompt_encoder.text_proj.{name}.{kind}'] for kind in
                      ('weight', 'bias')] for name in ('fc1', 'fc2'))
    condition = functional.linear(functional.gelu(functional.linear(state, *first)), *second)
    pixels = torch.from_numpy(np.asarray(square) / 255).permute(2, 0, 1).float()
    mean, deviation = (torch.tensor(three)[:, None, None] for three in (
        (.485, .456, .406), (.229, .224, .225)))
    sam = SamModel.from_pretrained(tiny / 'sam').eval()
    seen = sam.vision_encoder(((pixels - mean) / deviation)[None]).last_hidden_state
    logits = reference_decoder(came, seen, condition)
    logits = functional.interpolate(logits, (CANVAS, CANVAS), mode='bilinear')
    return functional.interpolate(logits, image.shape[:2], mode='bilinear')[0, 0].sigmoid()


def reference_decoder(came, seen, condition):
    """Decode by SAM's two-way transformer of transformers, with the norms of the authors' code."""
    def of(name):
        return [came[f'mask_decoder.{name}.{kind}'] for kind in ('weight', 'bias')]

    transformer = SamTwoWayTransformer(SamMaskDecoderConfig(
        hidden_size=CHANNELS, mlp_dim=SIZES.mlp, num_attention_heads=SIZES.heads,
        num_hidden_layers=SIZES.depth, layer_norm_eps=1e-5)).eval()
    prefix = 'mask_decoder.transformer.'
    transformer.load_state_dict({
        name.removeprefix(prefix).replace('.norm', '.layer_norm').replace(
            'norm_final', 'layer_norm_final'): value
        for name, value in came.items() if name.startswith(prefix)})
    count = seen.shape[-1]
    middle = (torch.arange(count) + .5) / count
    grid = torch.stack((middle.repeat(count), middle.repeat_interleave(count)), 1)  # x, y
    matrix = came['mask_decoder.pe_layer.positional_encoding_gaussian_matrix']
    waves = 2 * torch.pi * ((2 * grid - 1) @ matrix)
    places = torch.cat((waves.sin(), waves.cos()), 1).T.reshape(1, CHANNELS, count, count)
    tokens = torch.cat((came['mask_decoder.mask_tokens.weight'][None], condition), 1)
    tokens, pixels = transformer(tokens[:, None], seen, places, None)
    grown = functional.conv_transpose2d(pixels[:, 0].transpose(1, 2).reshape(seen.shape),
                                        *of('output_upscaling.0'), stride=2)
    weight, bias = (value[:, None, None] for value in of('output_upscaling.1'))
    spread = (grown - grown.mean(1, keepdim=True)) / (
        grown.var(1, keepdim=True, correction=0) + 1e-6).sqrt()
    grown = functional.conv_transpose2d(functional.gelu(spread * weight + bias),
                                        *of('output_upscaling.3'), stride=2)
    kernel = tokens[:, 0, 0]
    for number in range(3):
        kernel = functional.linear(kernel, *of(f'output_hypernetworks_mlps.layers.{number}'))
        kernel = kernel.relu() if number < 2 else kernel
    return (kernel @ functional.gelu(grown).flatten(2)).view(1, 1, 4 * count, 4 * count)


@pytest.mark.parametrize('number', range(3))
@torch.no_grad()
def test_the_mask_is_that_of_plain_transformers(generator, tiny, number):
    image, text = IMAGES[number], SENTENCES[number]
    mask, = generator.generate([image], [text])
    wanted = reference(tiny, image, text).numpy()
    assert wanted.std() > .03
    assert np.abs(mask.target - wanted).max() < 2e-5
    assert mask.found == pytest.approx(wanted.max(), abs=2e-5)


def test_the_mask_depends_on_the_sentence_and_on_what_was_trained(generator):
    one, other = generator.generate([IMAGES[0]] * 2, SENTENCES[:2])
    assert np.abs(one.target - other.target).max() > .02
    lora = dict(generator.net.llava.named_parameters())[
        'language_model.layers.0.self_attn.q_proj.lora_B.default.weight']
    kept = lora.clone()
    with torch.no_grad():
        lora.zero_()
        without, = generator.generate([IMAGES[0]], SENTENCES[:1])
        lora.copy_(kept)
    assert np.abs(one.target - without.target).max() > .005


@pytest.mark.parametrize('side', ['left', 'right'])
def test_padding_does_not_move_the_condition(generator, monkeypatch, side):
    """A batch of short and long sentences gives what each gives alone, however one pads."""
    monkeypatch.setattr(generator._processor.tokenizer, 'padding_side', side)
    together = generator.generate(IMAGES, SENTENCES)
    for mask, image, text in zip(together, IMAGES, SENTENCES):
        alone, = generator.generate([image], [text])
        assert np.abs(mask.target - alone.target).max() < 1e-5
        assert mask.found == pytest.approx(alone.found, abs=1e-5)


def test_a_picture_with_several_sentences_is_encoded_once(generator):
    seen = []
    hooks = [module.register_forward_pre_hook(
        lambda module, given, words: seen.append(len([*given, *words.values()][0])),
        with_kwargs=True) for module in (generator.net.sam.vision_encoder.patch_embed,
                                         generator.net.llava.multi_modal_projector)]
    masks = generator.generate([IMAGES[0], IMAGES[1], IMAGES[0]], SENTENCES)
    for hook in hooks:
        hook.remove()
    assert seen == [2, 2]
    assert [mask.target.shape for mask in masks] == [IMAGES[0].shape[:2], IMAGES[1].shape[:2],
                                                     IMAGES[0].shape[:2]]


def test_an_instruction_may_hold_the_word_that_stands_for_the_picture(generator):
    mask, = generator.generate([IMAGES[0]], ['take <image> and {this} <image>'])
    assert np.isfinite(mask.target).all()


@pytest.mark.parametrize(('precision', 'kind', 'near'), [
    ('bfloat16', 'Linear', .05), ('float16', 'Linear', .01), ('int8', 'Linear8bitLt', .1),
    ('int4', 'Linear4bit', .2)])
def test_precisions_of_the_language_model(generator, tiny, precision, kind, near):
    config = MaskerConfig(str(tiny), generator='ivm_v1', precision=precision)
    made = make(config, torch.device('cpu'), 1)
    llava = made.net.llava
    assert type(llava.language_model.layers[0].mlp.up_proj).__name__ == kind
    assert type(llava.multi_modal_projector.linear_1).__name__ == 'Linear'  # eyes stay exact
    assert {value.dtype for name, value in llava.named_parameters() if '.lora_' in name} == {
        torch.float32}
    (wanted,), (mask,) = (each.generate(IMAGES[:1], SENTENCES[:1]) for each in (generator, made))
    assert 0 < np.abs(mask.target - wanted.target).max() < near
    assert made.info['precision'] == precision
