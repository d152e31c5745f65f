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
"""The pipeline: real shards in, real shards out, killed in between."""

from dataclasses import replace
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ivm_ros.annotate.pipeline import annotate, AnnotateConfig
from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.data.augment import AugmentConfig
from ivm_ros.data.compose import compose, CompositeConfig
from ivm_ros.data.loader import Batches
from ivm_ros.data.scenes import Scenes
from ivm_ros.data.shards import (
    DatasetError, decode_image, decode_mask, encode_mask, read_info, read_rows, read_shard,
    shard_paths, write_info, write_shard)
from ivm_ros.masker import Masker

EXPERT = """
import os
import time

import numpy as np

from ivm_ros.annotate.experts import Candidate
from ivm_ros.language.parse import sentence_of


class Red:
    name = 'red'

    def propose(self, images, phrases):
        made = []
        for picture, parsed in zip(images, phrases):
            time.sleep(float(os.environ.get('PAUSE', '0')))
            red = picture.image[..., 0].astype(np.float32) / 255
            made.append([Candidate(red, .5, sentence_of(parsed), self.name)])
        return made


class Instant:
    name = 'instant'
    masks = {}

    def propose(self, images, phrases):
        for picture in images:
            size = picture.image.shape[:2]
            self.masks.setdefault(size, np.full(size, .25, np.float32))[20:90, 30:90] = .9
        return [[Candidate(self.masks[picture.image.shape[:2]], .5, sentence_of(parsed),
                           self.name)] for picture, parsed in zip(images, phrases)]
"""


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    """Write a module of experts that is no part of the project; give its folder."""
    folder = tmp_path_factory.mktemp('own')
    (folder / 'own_experts.py').write_text(EXPERT)
    return folder


@pytest.fixture(scope='module')
def scenes(cutout_folder, tmp_path_factory):
    """Make 12 composites in 6 shards, with labels."""
    folder = tmp_path_factory.mktemp('scenes') / 'data'
    compose(CompositeConfig(out=str(folder), cutouts=(str(cutout_folder),), scenes=12, shard=2,
                            seed=3))
    return folder


def shards(folder):
    """Read the bytes of all shards."""
    return {path.name: path.read_bytes() for path in shard_paths(folder)}


def test_the_command_line_labels_a_dataset_that_training_reads(scenes, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['annotate', str(scenes), '--experts', 'sim-truth', '--out', str(out)]) == 0
    assert 'wrote' in capsys.readouterr().out
    for before, after in zip(read_rows(scenes), read_rows(out), strict=True):
        same = ('id', 'image', 'instruction', 'kind', 'robot_mask', 'source', 'split', 'found')
        assert all(getattr(before, name) == getattr(after, name) for name in same)
        assert (decode_mask(before.mask) == decode_mask(after.mask)).all()
        assert after.annotator == 'sim-truth (mean)' and not after.is_human
        assert after.score == 1 and after.extra['agreement'] == 1
        assert after.extra['parser'] == 'grammar' and after.extra['phrases']
        assert after.labels is None and not {'things', 'alike', 'anchors'} & {*after.extra}
    info, before = read_info(out), read_info(scenes)
    assert all(info[name] == before[name] for name in ('seed', 'words', 'rows', 'kinds', 'found'))
    assert info['annotated']['experts'] == ['sim-truth'] and info['mean_score'] == 1
    assert info['command'].split()[0] == 'ivm'
    batch = Batches(Scenes([out]), (96, 128), 2, 2, AugmentConfig(), 0)[0]
    assert batch.found.shape == (4,)


@pytest.mark.slow
def test_soft_masks_of_several_experts_are_fused(scenes, tmp_path, own, monkeypatch):
    monkeypatch.syspath_prepend(str(own))
    config = AnnotateConfig(str(scenes), str(tmp_path / 'o'), batch=3, rule='union',
                            experts='own_experts:Red,own_experts:Instant')
    rows = list(read_rows(annotate(config)))
    mask = decode_mask(rows[0].mask)
    assert mask.min() >= 63 and mask[20:90, 30:90].min() >= 229  # .25 and .9 of Instant
    assert {*rows[0].extra['scores']} == {'red', 'instant'}
    assert rows[0].annotator == 'own_experts:Red+own_experts:Instant (union)'
    assert rows[0].score == pytest.approx(.5 * rows[0].extra['agreement'], abs=1e-3)


def test_rows_of_people_are_kept_and_what_cannot_be_read_says_why(scenes, tmp_path):
    rows = read_shard(shard_paths(scenes)[0])
    rows[0] = replace(rows[0], is_human=True, annotator='Ann', score=.7)
    rows[1] = replace(rows[1], image=b'no picture')
    rows[2] = replace(rows[2], instruction=' ')
    rows[3] = replace(rows[3], mask=None, found=None)
    rows[4] = replace(rows[4], mask=encode_mask(np.zeros((192, 256), np.uint8)))
    write_shard(tmp_path / 'in' / 'shard-00000.parquet', rows)
    write_info(tmp_path / 'in', {'words': []})
    config = AnnotateConfig(str(tmp_path / 'in'), str(tmp_path / 'out'), 'sim-truth')
    made = list(read_rows(annotate(config)))
    assert made[0] == read_shard(tmp_path / 'in' / 'shard-00000.parquet')[0]
    assert [row.mask is None for row in made[:5]] == [False, True, True, True, False]
    assert [row.found for row in made[1:5]] == [None, None, None, False]
    assert [row.extra.get('error', '')[:20] for row in made[1:5]] == [
        'not a JPEG or PNG pi', 'instruction: wanted ', 'no expert has an ans', '']
    assert all(row.score == 0 for row in made[1:4])
    info = read_info(tmp_path / 'out')
    assert (info['human'], info['unlabelled'], info['rows']) == (1, 3, len(rows))


@pytest.mark.slow
def test_the_shipped_generator_is_an_expert_on_sentences_and_on_phrases(toy_dataset, tmp_path):
    first = tmp_path / 'one'
    write_shard(first / 'shard-00000.parquet', read_shard(shard_paths(toy_dataset)[0])[:16])
    write_info(first, read_info(toy_dataset))
    masker, found = Masker(), 0
    for name in ('compact', 'compact-phrases'):
        config = AnnotateConfig(str(first), str(tmp_path / name), name)
        for row in read_rows(annotate(config)):
            text = row.instruction if name == 'compact' else row.extra['phrases'][0]['text']
            mask = masker(decode_image(row.image), text)
            assert row.found == (mask.found >= .5 and mask.target.max() >= .5)
            wanted = mask.target * 255 if row.found else np.zeros_like(mask.target)
            assert np.abs(decode_mask(row.mask) - wanted).max() <= 1.5  # batches differ a little
            found += row.found
    assert found


@pytest.mark.slow
def test_processes_torn_shards_and_a_second_run_change_nothing(scenes, tmp_path):
    one, two = (AnnotateConfig(str(scenes), str(tmp_path / name), 'sim-truth', workers=workers)
                for name, workers in (('one', 1), ('two', 2)))
    whole = shards(annotate(one))
    paths = shard_paths(tmp_path / 'one')
    paths[0].write_bytes(whole[paths[0].name][:900])
    write_shard(paths[1], read_shard(paths[1])[:-1])
    paths[2].unlink()
    kept = paths[3].stat().st_mtime_ns
    assert shards(annotate(one)) == whole == shards(annotate(two))
    assert paths[3].stat().st_mtime_ns == kept


@pytest.mark.slow
def test_mistakes_end_in_one_line(scenes, tmp_path, capsys):
    out = str(tmp_path / 'o')
    assert main(['annotate', str(scenes), '--experts', 'sim-truth', '--out', out]) == 0
    capsys.readouterr()
    for words, said in (
            (['--rule', 'union'], "was begun with rule 'mean'"),
            (['--llm-url', 'http://localhost:1/v1', '--llm-model', 'm'], 'begun with parser'),
            (['--experts', 'own.module:make'], 'begun with experts')):
        arguments = ['annotate', str(scenes), '--experts', 'sim-truth', '--out', out, *words]
        assert main(arguments) == 2
        assert said in ' '.join(capsys.readouterr().err.split())
    assert main(['annotate', str(tmp_path), '--out', out]) == 2
    assert 'holds no dataset.json' in capsys.readouterr().err
    with pytest.raises(ConfigError, match='another folder than the data'):
        AnnotateConfig(str(scenes), str(scenes))
    with pytest.raises(ConfigError, match='--llm-url and --llm-model'):
        AnnotateConfig(str(scenes), out, rewrites=2)
    shard_paths(tmp_path / 'o')[0].rename(tmp_path / 'o' / 'foreign.parquet')
    with pytest.raises(DatasetError, match=r'foreign.parquet has no shard of its name'):
        annotate(AnnotateConfig(str(scenes), out, 'sim-truth'))


def test_a_torn_shard_of_the_data_is_refused_by_name(scenes, tmp_path):
    for path, length in zip(shard_paths(scenes), (None, 700)):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:length])
    write_info(tmp_path, {'words': []})
    with pytest.raises(DatasetError, match=r'shard-00001.parquet is torn'):
        annotate(AnnotateConfig(str(tmp_path), str(tmp_path / 'out'), 'sim-truth'))


@pytest.mark.slow
@pytest.mark.parametrize('workers', [1, 2])
def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(
        scenes, tmp_path, own, workers, monkeypatch):
    command = [sys.executable, '-m', 'ivm_ros.cli', 'annotate', str(scenes), '--experts',
               'own_experts:Red', '--workers', str(workers), '--out']
    path = os.pathsep.join([str(own), *filter(None, sys.path)])
    job = subprocess.Popen(
        [*command, str(tmp_path / 'killed')], stderr=subprocess.DEVNULL, stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': path, 'PAUSE': '.1'})
    until = time.monotonic() + 100
    while not list((tmp_path / 'killed').glob('*.parquet')) and time.monotonic() < until:
        time.sleep(.01)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    before = shards(tmp_path / 'killed')
    assert 1 <= len(before) < 6 and not (tmp_path / 'killed' / 'dataset.json').exists()
    assert job.stdout.read() == b''  # comes to its end when no worker is left to hold it
    monkeypatch.syspath_prepend(str(own))
    runs = [annotate(AnnotateConfig(str(scenes), str(tmp_path / name), 'own_experts:Red'))
            for name in ('killed', 'undisturbed')]
    killed, whole = map(shards, runs)
    assert killed == whole and len(whole) == 6
    assert all(whole[name] == data for name, data in before.items())
    info, other = (read_info(folder) for folder in runs)
    assert info == other


@pytest.mark.slow
@pytest.mark.parametrize(('size', 'clock'), [
    ((192, 256), time.process_time), ((480, 640), time.thread_time)])
def test_beside_an_expert_of_20_ms_the_pipeline_takes_less_than_a_tenth(
        cutout_folder, tmp_path, own, monkeypatch, size, clock):
    """
    With an expert that takes no time, all the time spent is the pipeline's.

    Counted in seconds of a core, whatever else runs: at the size of the simulation of all threads,
    in a large picture of the thread that the expert waits for, the others working beside it.
    """
    monkeypatch.syspath_prepend(str(own))
    folder = tmp_path / 'data'
    compose(CompositeConfig(out=str(folder), cutouts=(str(cutout_folder),), scenes=16, shard=8,
                            height=size[0], width=size[1]))
    spent = []
    for turn in range(4):
        started = clock()
        out = annotate(AnnotateConfig(str(folder), str(tmp_path / str(turn)),
                                      'own_experts:Instant'))
        spent.append((clock() - started) / read_info(out)['rows'])
    print(f'{size}: {1000 * min(spent):.2f} ms a row')
    assert .020 / (.020 + min(spent)) >= .9, spent


@pytest.mark.slow
def test_memory_does_not_grow_with_the_dataset(scenes, tmp_path):
    rows = read_shard(shard_paths(scenes)[0])
    noise = np.random.default_rng(0)
    code = ('import re; from pathlib import Path; '
            'from ivm_ros.annotate.pipeline import annotate, AnnotateConfig; '
            'annotate(AnnotateConfig({!r}, {!r}, "sim-truth")); '
            'print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])')
    peaks = []
    for count in (2, 10):
        folder = tmp_path / str(count)
        for number in range(count):  # 12 MB of what is hard to compress, each
            heavy = [replace(row, extra={'ballast': noise.bytes(500_000).hex()}) for row in rows]
            write_shard(folder / f'shard-{number:05d}.parquet', heavy)
        write_info(folder, {'words': []})
        done = subprocess.run(
            [sys.executable, '-c', code.format(str(folder), str(tmp_path / f'out{count}'))],
            capture_output=True, text=True, check=True,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))})
        peaks.append(int(done.stdout) / 1024)
    print('MiB:', peaks)
    assert peaks[1] < peaks[0] + 40, peaks  # 8 further shards hold 96 MB
