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
"""The ablation study, in small: what varies is trained, measured and compared sample by sample."""

import json
from pathlib import Path
import shutil

import pytest
import torch

from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.evaluate import studies
from ivm_ros.evaluate.ablation import AblationConfig, compared, read_variants
from ivm_ros.evaluate.grounding import bootstrap
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.text import TextEncoder
from ivm_ros.train.config import TrainConfig
from ivm_ros.train.state import new_run

VARIANTS = {'whole': [], 'smaller canvas': ['--model.height', '64', '--model.width', '96'],
            'sentences pooled': ['--model.pooled'],
            'backbone from random numbers': ['--backbone', 'random', '--frozen-blocks', '0'],
            'space of names learnt': ['--naming', 'learnt'], 'half the data': ['--data', 'HALF']}
PUBLISHED = Path(__file__).parent.parent / 'docs' / 'results' / 'ablation' / 'variants.json'


@pytest.fixture(scope='module')
def folder(toy_dataset, tmp_path_factory) -> Path:
    """Give data to learn from, two splits and variants."""
    folder = tmp_path_factory.mktemp('ablation')
    for name in ('data', 'half', 'splits/fresh', 'splits/noun'):
        shutil.copytree(toy_dataset, folder / name)
    said = json.dumps(VARIANTS).replace('HALF', str(folder / 'half'))
    (folder / 'variants.json').write_text(said)
    return folder


def run(folder: Path, out: Path, *more: str) -> int:
    """Run the command on networks that train in a moment."""
    return main(['eval', 'ablation', '--variants', str(folder / 'variants.json'), '--data',
                 str(folder / 'data'), '--splits', str(folder / 'splits'), '--out', str(out),
                 '--steps', '2', '--judged', '5', '--images', '4', '--sentences', '3', '--warmup',
                 '1', '--threads', '1', '--text-cache', str(folder / 'text'), '--model.height',
                 '96', '--model.width', '128', '--model.dim', '16', '--model.depth', '1',
                 '--model.heads', '2', *more])


@pytest.fixture(scope='module')
def study(folder) -> Path:
    """Do it in two parts, the second of which is all that is left."""
    out = folder / 'study'
    assert run(folder, out, '--only', 'half the data', 'whole') == 0
    figures = json.loads((out / 'ablation.json').read_text())
    assert [row['name'] for row in figures['rows']] == ['whole', 'half the data']
    assert 'Not finished yet: smaller canvas, sentences pooled, ' in (
        out / 'ablation.md').read_text()
    assert run(folder, out) == 0
    return out


@pytest.mark.slow
def test_every_variant_differs_in_what_it_says_and_in_nothing_else(study, folder):
    rows = {row['name']: row for row in json.loads((study / 'ablation.json').read_text())['rows']}
    assert list(rows) == list(VARIANTS)
    assert {name: row['differs'] for name, row in rows.items()} == {
        'whole': {}, 'smaller canvas': {'model.height': 64, 'model.width': 96},
        'sentences pooled': {'model.pooled': True},
        'backbone from random numbers': {'backbone': 'random', 'frozen_blocks': 0},
        'space of names learnt': {'naming': 'learnt'},
        'half the data': {'data': [str(folder / 'half')]}}
    nets = {name: load_checkpoint(study / name.replace(' ', '-') / 'compact.safetensors').net
            for name in rows}
    assert nets['smaller canvas'].config.height == 64 and nets['sentences pooled'].config.pooled
    first = [nets[name].backbone.blocks[0][0].weight for name in rows]
    same = [bool((weight == first[0]).all()) for weight in first]  # of ImageNet, frozen
    assert same == [True, True, True, False, True, True]
    # A pooled sentence is the mean of its words, in whatever order; others know who comes first.
    tokens = torch.randn(1, 5, 768)
    for name, net in nets.items():
        one, other = (net.chooser.listen(words, torch.ones(1, 5, dtype=torch.bool))
                      for words in (tokens, tokens.flip(1)))
        same = one.words.shape == other.words.shape and torch.allclose(one.words, other.words,
                                                                       atol=1e-5)
        assert same == (name == 'sentences pooled') and one.words.shape[1] == (1 if same else 5)
    axes = [nets[name].chooser.naming.weight for name in rows]
    assert [bool((axis == axes[0]).all()) for axis in axes] == [True] * 4 + [False, True]


@pytest.mark.slow
def test_names_may_be_learnt_and_a_backbone_may_begin_from_nothing(tmp_path):
    encoder, images = TextEncoder(), torch.randn(2, 3, 192, 256)
    for naming in ('axes', 'learnt'):
        run = new_run(TrainConfig(out=str(tmp_path / naming), naming=naming, backbone='random'),
                      encoder, torch.device('cpu'))
        weight = run.net.chooser.naming.weight
        assert weight.requires_grad == (naming == 'learnt')
        assert any(value is weight for group in run.optimizer.param_groups
                   for value in group['params'])
        with torch.no_grad():  # what passes through 53 layers keeps its size
            assert all(.3 < float(each.std()) < 6 for each in run.net.backbone(images))


@pytest.mark.slow
def test_differences_are_those_of_the_same_samples(study):
    rows = json.loads((study / 'ablation.json').read_text())['rows']
    for row in rows[1:]:
        for split in ('fresh', 'noun'):
            delta = row['splits'][split]['mean_iou'] - rows[0]['splits'][split]['mean_iou']
            assert row['against'][split]['delta'] == pytest.approx(delta, abs=1e-4)
        assert row['against']['mean']['delta'] == pytest.approx(
            row['mean_iou'] - rows[0]['mean_iou'], abs=1e-4)
    half = rows[-1]['against']  # the same pictures under another name: the same network
    assert half['fresh'] == {'delta': 0.0, 'ci95': [0.0, 0.0]}
    text = (study / 'ablation.md').read_text()
    assert 'Not finished' not in text and text.count('\n| ') == len(rows) + 1
    assert f'| {rows[0]["splits"]["noun"]["mean_iou"]:.3f} | ' in text


@pytest.mark.slow
def test_what_is_done_is_not_done_again(study, folder, monkeypatch):
    monkeypatch.setattr(studies, 'train', None)
    monkeypatch.setattr(studies, 'measure', None)
    before = json.loads((study / 'ablation.json').read_text())['rows']
    assert run(folder, study) == 0
    assert json.loads((study / 'ablation.json').read_text())['rows'] == before


def test_pairs_by_hand():
    def report(*ious: float) -> dict:
        return {'samples': {'image': [0, 0, 1, 2], 'iou': list(ious)}}

    found = compared({'a': report(.5, .7, .9, .1), 'b': report(1, 1, 1, 1)},
                     {'a': report(.4, .6, .8, .0), 'b': report(1, 1, 0, 1)})
    assert found['a']['delta'] == pytest.approx(.1)
    assert found['a']['ci95'] == pytest.approx([.1, .1])  # every sample is better by as much
    assert found['b']['delta'] == .25
    low, high = bootstrap(found_difference := [0, 0, 1, 0], [0, 0, 1, 2], 0)
    assert found['b']['ci95'] == [low, high] and sum(found_difference) == 1 and low < .25 < high
    mean, half = found['mean'], (high - low) / 4
    assert mean['delta'] == pytest.approx(.175)
    assert mean['ci95'] == pytest.approx([.175 - half, .175 + half])


@pytest.mark.parametrize(('said', 'wanted'), [
    ('[', 'variants.json: '), ('[]', 'wanted two or more names'),
    ('{"whole": []}', 'wanted two or more names'),
    ('{"whole": ["--seed", "1"], "other": []}', 'the first one empty'),
    ('{"whole": [], "other": "--seed"}', 'a list of options each'),
    ('{"whole": [], "a b": ["--seed", "1"], "A-b": []}', 'names that differ in letters'),
    ('{"whole": [], "other": ["--sead", "1"]}', "variant 'other': wanted options"),
    ('{"whole": [], "other": ["--steps", "0"]}', 'got --steps 0')])
def test_wrong_variants_are_refused(tmp_path, said, wanted):
    (tmp_path / 'variants.json').write_text(said)
    with pytest.raises(ConfigError, match=wanted):
        read_variants(AblationConfig(str(tmp_path / 'variants.json')))


def test_without_variants_or_with_a_name_that_is_none_nothing_is_trained(folder, tmp_path, capsys):
    assert main(['eval', 'ablation', '--out', str(tmp_path / 'out')]) == 2
    assert 'wanted a JSON file such as' in capsys.readouterr().err
    assert run(folder, tmp_path / 'out', '--only', 'whole thing') == 2
    assert "has no variant 'whole thing' (did you mean 'whole'?)" in ' '.join(
        capsys.readouterr().err.split())
    assert not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_the_published_variants_can_be_read():
    made = read_variants(AblationConfig(str(PUBLISHED), train=TrainConfig(data=('data/scenes',))))
    assert len(made) == 12 and made['sentences pooled'].model.pooled
