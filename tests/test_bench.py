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
"""The bench: its sums by hand, and one short run of everything for real."""

from collections import Counter
import json
import os

import numpy as np
import pytest
import torch

from ivm_ros.bench import Bar, bars, bench, BenchConfig, measure, summary
from ivm_ros.bench_cost import bench_cost, cost_jobs, CostConfig, COUNTS, LENGTHS, sentence, SIZES
from ivm_ros.bench_flops import paper_gflops
from ivm_ros.bench_models import deploy_jobs, model_jobs
from ivm_ros.bench_node import NodeBench
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.checkpoint import save_checkpoint
from ivm_ros.models.checkpoint_info import file_hash
from ivm_ros.models.compact import CompactNet
from ivm_ros.models.flops import compact_gflops, count
from ivm_ros.models.onnx_generator import OnnxGenerator
from ivm_ros.models.text import TextEncoder
from ivm_ros.models.text_files import find_text_encoder
from ivm_ros.processes import ProcessError, ros_facts

TIMES = {'generator': [20.0, 30.0, 25.0], 'backbone': [20.0], 'clipseg': [300.0],
         'deploy_overlay': [2.0], 'deploy_blur': [4.0]}


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'random.safetensors'
    torch.manual_seed(0)
    encoder = {'name': 'test', 'sha256': file_hash(find_text_encoder() / 'model.safetensors')}
    save_checkpoint(path, CompactNet(), encoder, {'command': 'test'}, {})
    return str(path)


def test_bars_worked_out_by_hand():
    times = {**TIMES, 'node_roundtrip': [40.0], 'passthrough_roundtrip': [11.0]}
    report = summary(times, {'in': 200, 'out': 195, 'dropped': 4, 'lost': 1}, [640.0, 250.0])
    assert report['generator_ms']['median'] == 25
    values = {bar.name: (bar.value, bar.ok) for bar in bars(report)}
    assert values == {
        'CLIPSeg / generator': (12, True),
        'generator / backbone': (1.25, True),
        'slowest deployment method, ms': (4, False),
        'node - generator - pass-through, ms': (4, False),
        'peak memory of the node, MiB': (640, True),
        'peak memory of the node with ONNX Runtime, MiB': (250, True),
        'frames lost': (1, False),
        'frames dropped as stale, %': (2, False),
    }


def test_what_was_not_measured_has_no_bar_but_its_key():
    report = summary(TIMES, None)
    assert report['node_roundtrip_ms'] is report['passthrough_roundtrip_ms'] is None
    assert report['frames'] is None
    assert len(bars(report)) == 3


def test_p99_is_near_the_slowest():
    report = summary({**TIMES, 'generator': [float(ms) for ms in range(1, 102)]}, None)
    assert report['generator_ms'] == {'median': 51, 'p99': 100, 'n': 101}


@pytest.mark.parametrize(('bar', 'ok'), [
    (Bar('a', 12, 12, at_least=True), True), (Bar('a', 11.9, 12, at_least=True), False),
    (Bar('a', 3, 3), True), (Bar('a', 3.01, 3), False)])
def test_a_bar_counts_its_limit_as_kept(bar, ok):
    assert bar.ok is ok


def test_jobs_take_turns():
    order: list[str] = []
    jobs = {'often': (lambda: order.append('o'), 1), 'seldom': (lambda: order.append('s'), 2)}
    times = measure(jobs, None, 5)
    # Three rounds to warm up, five that count; each turn is two calls, of which one is timed.
    assert ''.join(order) == 'oooossoo' + 'ooss' + 'oo' + 'ooss' + 'oo' + 'ooss'
    assert (len(times['often']), len(times['seldom'])) == (5, 3)


@pytest.mark.slow
def test_model_jobs_do_what_they_are_called(weights):
    jobs = model_jobs(Masker(MaskerConfig(weights, threads=1)))
    mask = jobs['generator']()
    assert mask.target.shape == (480, 640)
    assert jobs['backbone']() is None


def test_deploy_jobs_mask_and_none_passes():
    outcomes = {name: job().outcome for name, job in deploy_jobs().items()}
    assert outcomes.pop('deploy_none') == 'passed'
    assert len(outcomes) == 6
    assert set(outcomes.values()) == {'masked'}


def test_without_ros_the_reason_is_given(tmp_path, monkeypatch):
    (tmp_path / 'rclpy.py').write_text('raise ImportError("librcl.so is gone")')
    path = os.environ.get('PYTHONPATH', '')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), path]))
    with pytest.raises(ProcessError, match=r'not usable here: .*librcl\.so is gone'):
        ros_facts()


@pytest.mark.slow
def test_a_node_that_cannot_start_is_reported_with_its_reason():
    pytest.importorskip('rclpy')
    with (NodeBench('/nowhere.safetensors', 1, 'cpu') as node,
          pytest.raises(ProcessError, match=r'(?s)does not start\. .*no weights at /nowhere')):
        node.wait()


@pytest.mark.slow
def test_bench_measures_everything_and_writes_the_promised_keys(weights, tmp_path, capsys):
    """Real node, real DDS, own processes; ten turns of each job, ten frames at 2 Hz."""
    pytest.importorskip('rclpy')
    path = tmp_path / 'bench.json'
    config = BenchConfig(json=str(path), quick=True, rounds=10, frames=10, rate=2.0,
                         masker=MaskerConfig(weights, threads=1, device='cpu'))
    assert bench(config) == 0
    report = json.loads(path.read_text())
    for name in ('generator', 'backbone', 'clipseg', 'node_roundtrip', 'passthrough_roundtrip'):
        figures = report[f'{name}_ms']
        assert 0 < figures['median'] <= figures['p99'], name
    assert report['node_roundtrip_ms']['median'] > report['passthrough_roundtrip_ms']['median']
    frames = report['frames']
    assert frames['in'] == 10
    assert frames['lost'] == 0
    assert frames['out'] >= 5
    assert frames['out'] == frames['frames_out']  # what came out is what the node says it sent
    assert frames['frames_in'] == frames['out'] + frames['dropped']
    assert (report['threads'], report['device']) == (1, 'cpu')
    assert 100 < report['node_onnx_peak_mib'] < report['node_peak_mib'] < 2000
    assert 'fastdds.xml' in report['node']
    said = capsys.readouterr().out
    assert 'generator / backbone' in said
    assert np.isfinite([bar['value'] for bar in report['bars']]).all()


class Attention(torch.nn.Module):
    """Attention [B, heads, N, D], and nothing else."""

    def forward(self, query, key, value):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value)


@pytest.mark.slow
def test_arithmetic_is_counted_right():
    """A matrix product by hand; then known counts of others: ViT-H has 2.98 TMAC at 1024 px."""
    assert count(torch.nn.Linear(30, 50), torch.zeros(1, 20, 30)) == 2 * 20 * 30 * 50 / 1e9
    for device in ('cpu', 'meta'):  # a CPU has one piece for it, of which PyTorch counts nothing
        heads = torch.zeros(1, 4, 50, 8, device=device)
        assert count(Attention(), heads, heads, heads) == 2 * (2 * 4 * 50 * 50 * 8) / 1e9
    ours, paper = compact_gflops(), paper_gflops()
    assert paper['SAM ViT-H'] == pytest.approx(2 * 2976, rel=.01)
    assert paper['LLaVA-1.5 7B'] == pytest.approx(2 * 6.6 * 616, rel=.02)  # 6.6e9 weights a token
    assert ours['compact backbone'] < ours['compact'] < 1.8 * ours['compact backbone']


def test_sentences_of_the_cost_table_are_as_long_as_they_say():
    for words in LENGTHS:
        assert len(sentence(words, 7).split()) == words
        assert sentence(words, 7) != sentence(words, 8)


@pytest.mark.slow
@pytest.mark.parametrize(('runtime', 'listens'), [
    ('torch', (TextEncoder, '__call__')), ('onnx', (OnnxGenerator, '_listen'))])
def test_a_sentence_is_read_once_though_others_take_turns(
        weights, monkeypatch, runtime, listens):
    """What the times of the cost table show in sum, counted."""
    read, listen = [], getattr(*listens)
    monkeypatch.setattr(*listens, lambda self, sentences: read.append(sentences) or listen(
        self, sentences))
    jobs = cost_jobs(Masker(MaskerConfig(weights, threads=1, runtime=runtime)), runtime)
    counts = Counter()
    for _ in range(3):
        for (_, grows, value), job in jobs.items():
            read.clear()
            job()
            counts[grows, value] += len(read)
    counted = {case: times for case, times in counts.items() if case[0].startswith('words')}
    assert counted == {**{('words, first frame', words): 3 for words in LENGTHS},
                       **{('words, later frames', words): 1 for words in LENGTHS}}


@pytest.mark.slow
@pytest.mark.alone
def test_the_cost_of_a_mask_is_tabled_and_drawn(weights, tmp_path, capsys):
    out = bench_cost(CostConfig(str(tmp_path / 'cost'), weights, rounds=5))
    report = json.loads((out / 'cost.json').read_text())
    medians = {(case['runtime'], case['grows'], case['value']): case['median_ms']
               for case in report['cases']}
    assert len(medians) == 2 * (len(SIZES) + 3 * len(COUNTS) + 2 * len(LENGTHS))
    for runtime in ('torch', 'onnx'):
        assert medians[runtime, 'batch', 8] > 2 * medians[runtime, 'batch', 1]
    assert medians['torch', 'sentences', 8] < medians['torch', 'batch', 8]  # one look for all
    for runtime in ('torch', 'onnx'):  # the encoder has to read a sentence once
        first, later = (sum(medians[runtime, f'words, {frame}', words] for words in LENGTHS)
                        for frame in ('first frame', 'later frames'))
        assert first > later
    table = (out / 'cost.md').read_text()
    assert table in capsys.readouterr().out
    assert '| size | 640 x 480 |' in table and '| SAM ViT-H | 5,' in table
    assert (out / 'cost.png').read_bytes()[:4] == b'\x89PNG'
