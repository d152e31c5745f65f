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
"""Work on a real Ray cluster at the loopback address of this machine."""

from contextlib import suppress
import json
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest

from ivm_ros.annotate.pipeline import annotate, AnnotateConfig
from ivm_ros.cli import main
from ivm_ros.data.compose import compose, CompositeConfig
from ivm_ros.data.shards import DatasetError, read_info, shard_paths
from ivm_ros.ray_work import on_ray
from ivm_ros.work import WorkError

EXPERT = """
import os
import time

from ivm_ros.annotate.experts import Candidate
from ivm_ros.language.parse import sentence_of

DIES = {dies!r}


class Own:
    name = 'own'

    def propose(self, images, phrases):
        import ray

        with open({log!r}, 'a') as log:
            log.write(ray.get_runtime_context().get_node_id() + chr(10))
        if DIES and not os.path.exists(DIES):
            open(DIES, 'w').close()
            os.kill(os.getpid(), 9)
        begun = time.monotonic()  # on a busy machine the second worker starts late: wait for it
        while DIES and ray.get_runtime_context().get_actor_id() and (
                len(set(open({log!r}).read().split())) < 2 and time.monotonic() - begun < 60):
            time.sleep(.2)
        return [[Candidate((picture.image[..., 0] / 255).astype('float32'), .5,
                           sentence_of(parsed), self.name)]
                for picture, parsed in zip(images, phrases)]
"""


@pytest.fixture(autouse=True)
def as_urgent_as_the_test(monkeypatch):
    """Ray's workers are nice by 15, and on a busy machine get no processor for minutes."""
    monkeypatch.setenv('RAY_worker_niceness', '0')


@pytest.fixture(scope='module')
def scenes(cutout_folder, tmp_path_factory):
    """Make 12 composites in 6 shards."""
    folder = tmp_path_factory.mktemp('scenes') / 'data'
    compose(CompositeConfig(out=str(folder), cutouts=(str(cutout_folder),), scenes=12, shard=2,
                            seed=3))
    return folder


def shards(folder: Path) -> dict[str, bytes]:
    """Read the bytes of all shards."""
    return {path.name: path.read_bytes() for path in shard_paths(folder)}


def heard_beyond_loopback() -> list[str]:
    """List the addresses, but for loopback, at which processes of Ray listen."""
    words = [line.split() for name in ('tcp', 'tcp6')
             for line in Path(f'/proc/net/{name}').read_text().splitlines()[1:]]
    open_to_all = {f'socket:[{word[9]}]': word[1] for word in words if word[3] == '0A'
                   and not re.match(r'(.*0100007F|0{24}01000000):', word[1])}
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        with suppress(OSError):  # it has ended meanwhile
            command = (folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
            if '/ray/' in command or command.startswith('ray::'):
                found += [f'{open_to_all[link]} {command[:80]}'
                          for link in map(os.readlink, (folder / 'fd').iterdir())
                          if link in open_to_all]
    return found


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """Start two nodes of one CPU each and connect to them."""
    # Nodes take their environment from here; both find the test's own expert.
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
    monkeypatch.setenv('RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER', '0')
    ray = pytest.importorskip('ray', reason='"pip install ivm_ros[ray]" is what is tested here')
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, node_ip_address='127.0.0.1', include_dashboard=False)
        ray.init(address=made.address, log_to_driver=False)
        assert {node['NodeManagerAddress'] for node in ray.nodes()} == {'127.0.0.1'}
        assert not heard_beyond_loopback()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(2300)
def test_two_nodes_write_the_shards_of_one_process(cluster, scenes, tmp_path, monkeypatch):
    """Both work, a killed worker's shard is done again, finished ones stay, errors come back."""
    log, dies = tmp_path / 'log', tmp_path / 'died'
    (tmp_path / 'own_expert.py').write_text(EXPERT.format(log=str(log), dies=str(dies)))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    dies.touch()  # in this process nobody dies
    alone = shards(annotate(AnnotateConfig(str(scenes), 'alone', 'own_expert:Own')))
    log.unlink()
    dies.unlink()
    words = ['annotate', str(scenes), '--experts', 'own_expert:Own', '--out', 'ray', '--ray',
             '--workers', '2']
    assert main(words) == 0
    assert shards(tmp_path / 'ray') == alone and dies.exists()
    assert len(set(log.read_text().split())) == 2, 'one node did everything'

    path, *others = shard_paths(tmp_path / 'ray')
    path.unlink()
    kept = [other.stat().st_mtime_ns for other in others]
    assert main(words) == 0
    assert shards(tmp_path / 'ray') == alone
    assert [other.stat().st_mtime_ns for other in others] == kept
    assert list(on_ray(read_info, [(tmp_path / 'ray',)], 2)) == [read_info(tmp_path / 'ray')]
    with pytest.raises(DatasetError, match=r'^nowhere holds no dataset.json'):
        list(on_ray(read_info, [(tmp_path / 'ray',), (Path('nowhere'),)], 2))


@pytest.mark.slow
@pytest.mark.timeout(2300)
def test_without_a_cluster_one_is_started_here(scenes, tmp_path):
    """And stopped."""
    pytest.importorskip('ray')
    code = f"""
import sys
sys.path = {sys.path!r}
from ivm_ros.annotate.pipeline import annotate, AnnotateConfig
annotate(AnnotateConfig({str(scenes)!r}, {str(tmp_path / 'ray')!r}, 'sim-truth', ray=True))
import ray
assert not ray.is_initialized()
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    one = annotate(AnnotateConfig(str(scenes), str(tmp_path / 'one'), 'sim-truth'))
    assert shards(tmp_path / 'ray') == shards(one)


@pytest.mark.slow
@pytest.mark.timeout(2300)
def test_simulated_episodes_come_out_alike_on_ray(tmp_path, monkeypatch, capsys):
    """The command of one process with --ray on two workers: the same outcomes, masks and all."""
    pytest.importorskip('ray')
    pytest.importorskip('mujoco')
    from ivm_sim.cli import main as simulate

    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, sys.path)))
    monkeypatch.chdir(tmp_path)
    words = ['evaluate', '--columns', 'expert', 'masked', '--tasks', 'duck_in_pot', '--clutter',
             'few', '--episodes', '1']
    assert simulate([*words, '--json', 'one.json']) == 0
    assert simulate([*words, '--json', 'ray.json', '--ray', '--workers', '2']) == 0
    one, ray = (json.loads((tmp_path / name).read_text()) for name in ('one.json', 'ray.json'))
    assert [len(report['cells']) for report in (one, ray)] == [2, 2]
    assert ray['cells'] == one['cells'] and ray['pooled'] == one['pooled']
    assert {row['camera'] for row in ray['cells'] if 'mask_iou' in row} == {'masked'}
    monkeypatch.setitem(sys.modules, 'ray', None)
    assert simulate([*words, '--json', 'ray.json', '--ray']) == 0  # finished cells are kept
    assert simulate([*words, '--json', 'new.json', '--ray']) == 2
    assert 'pip install "ivm_ros[ray]"' in ' '.join(capsys.readouterr().err.split())


def test_without_ray_one_line_says_what_to_install(scenes, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'ray', None)
    assert main(['annotate', str(scenes), '--experts', 'sim-truth', '--ray', '--out',
                 str(tmp_path / 'out')]) == 2
    assert 'pip install "ivm_ros[ray]"' in ' '.join(capsys.readouterr().err.split())
    with pytest.raises(WorkError, match='wanted Ray'):
        list(on_ray(read_info, [(scenes,)], 1))


@pytest.mark.slow
def test_a_cluster_whose_client_is_missing_is_named(scenes, monkeypatch):
    """The form ray:// needs packages that ray[data] does not bring."""
    def init(**_):
        raise ImportError('Ray Client requires grpcio')

    monkeypatch.setattr(pytest.importorskip('ray'), 'init', init)
    monkeypatch.setenv('RAY_ADDRESS', 'ray://head:10001')
    with pytest.raises(WorkError, match='no Ray cluster: Ray Client requires'):
        list(on_ray(read_info, [(scenes,)], 1))
