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
"""Random weights of the true size that do not fit: refused, or timed block by block."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ivm_ros import bench_blocks
from ivm_ros.bench_flops import encoder, eyes, language, paper_gflops
from ivm_ros.cli import main

CPU = torch.device('cpu')


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(bench_blocks, '_free_memory', lambda: 10**9)


def test_what_the_machine_lacks_is_told(monkeypatch, little_memory):
    assert bench_blocks.lacking('ivm_v1', CPU).startswith(
        '33.5 GB of memory, where 1.0 are free')  # 16.8 GB of files, in float32
    assert bench_blocks.lacking('ivm_v1', torch.device('cuda')).startswith('16.8 GB of memory')
    assert bench_blocks.lacking('grounded_edgetam', torch.device('cuda')) == ''
    monkeypatch.setattr(bench_blocks.shutil, 'disk_usage', lambda _: SimpleNamespace(free=5e8))
    assert bench_blocks.lacking('sam3', CPU).count('where') == 2


def test_memory_is_read_from_the_system():
    assert 10**8 < bench_blocks._free_memory() < 10**14


def test_what_does_not_fit_is_refused_with_the_way_out(little_memory, capsys):
    assert main(['bench', '--generator', 'sam3', '--random', '--quick']) == 2
    assert 'want 6.8 GB of memory, where 1.0 are free' in (said := capsys.readouterr().err)
    assert '--tiny' in said


class Slow(nn.Module):
    """Takes so many milliseconds on a clock that tests wind."""

    def __init__(self, clock: list[float], milliseconds: float) -> None:
        super().__init__()
        self._clock, self._milliseconds = clock, milliseconds

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        self._clock[0] += self._milliseconds / 1e3
        return seen


@pytest.mark.slow
def test_the_papers_generator_is_put_together_from_its_blocks(
        little_memory, monkeypatch, tmp_path, capsys):
    clock = [0.0]
    monkeypatch.setattr(bench_blocks, 'time', SimpleNamespace(
        perf_counter=lambda: clock[0], process_time=lambda: clock[0] / 2))
    monkeypatch.setattr(bench_blocks, 'PARTS', {
        'one': (lambda: {'seen': torch.zeros(1)}, lambda: Slow(clock, 7), {
            'layer': (10, lambda: Slow(clock, 12)), 'wide layer': (2, lambda: Slow(clock, 27))}),
        'two': (lambda: {'seen': torch.zeros(1)}, lambda: Slow(clock, 1), {
            'layer': (3, lambda: Slow(clock, 2))})})
    path = tmp_path / 'bench.json'
    assert main(['bench', '--generator', 'ivm_v1', '--random', '--quick', '--json',
                 str(path)]) == 0
    report = json.loads(path.read_text())
    assert report['1_sentences_ms'] == {  # 2 + 10 * 5 + 2 * 20, and 0 + 3 * 1
        'median': pytest.approx(95), 'cpu': pytest.approx(47.5), 'n': 3}
    assert report['gflops'] == pytest.approx(sum(paper_gflops().values()), abs=.1)
    assert 'block by block' in report['made'] and 'block by block' in capsys.readouterr().out


def test_there_are_as_many_layers_as_the_whole_has():
    with torch.device('meta'):
        whole = {'CLIP ViT-L/14': len(eyes().encoder.layers),
                 'LLaVA-1.5 7B': len(language().layers), 'SAM ViT-H': len(encoder().layers)}
    assert whole == {part: sum(count for count, _ in kinds.values())
                     for part, (_, _, kinds) in bench_blocks.PARTS.items()}
