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
"""Demonstrations: what is recorded is read, what is missing is made, what is wrong is refused."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import DatasetError, encode_image, encode_mask, read_info
from ivm_ros.data.shards import ROBOT
from ivm_sim.bags import read_bag, TWIST, TYPES, VIEWS, write_bag
from ivm_sim.demos import DemosConfig, record, write_demos
from ivm_sim.env import TabletopEnv
from ivm_sim.episodes import Episode, read_episodes, write_episodes
from ivm_sim.expert import Expert
from ivm_sim.policy import RandomPolicy, run


def episode(steps=3, seed=5):
    """Make an episode of random arrays."""
    rng = np.random.default_rng(seed)
    picture = tuple(encode_image(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
                    for _ in range(steps))
    labels = np.where(np.arange(1024).reshape(32, 32) % 7 == 0, 2, ROBOT).astype(np.uint8)
    return Episode(seed, 'pick', 'few', 'pick up the red cup', True,
                   rng.normal(size=(steps, 15)).astype(np.float32),
                   rng.normal(size=(steps, 7)).astype(np.float32), picture, picture,
                   (encode_mask(labels),) * steps, (2, 5))


def same(one, other):
    """Compare all fields of two episodes."""
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
               for a, b in zip(vars(one).values(), vars(other).values()))


def test_episodes_come_back_as_written(tmp_path):
    written = [episode(3, 5), replace(episode(2, 6), front=(), wrist=(), labels=())]
    write_episodes(tmp_path / 'pick-000000.parquet', written)
    read = list(read_episodes(tmp_path))
    assert len(read) == 2 and all(map(same, written, read))
    assert read[0].pictures('front').shape == (3, 32, 32, 3)
    truth = read[0].truths()[0]
    assert truth.target.sum() == 147  # every seventh of 1024, the first too
    assert (truth.robot == ~truth.target).all()


def test_a_torn_or_foreign_shard_is_refused_by_name(tmp_path):
    path = tmp_path / 'pick-000000.parquet'
    write_episodes(path, [episode()])
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.raises(DatasetError, match=r'pick-000000\.parquet is torn'):
        list(read_episodes(tmp_path))
    path.write_bytes(whole)
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DatasetError, match='episode 5 is not whole'):
        list(read_episodes(tmp_path))
    pq.write_table(pa.table({'a': [1]}), path)
    with pytest.raises(DatasetError, match='lacks the columns episode'):
        list(read_episodes(tmp_path))


@pytest.mark.slow
def test_a_bag_gives_back_the_episode(tmp_path):
    """All arrays are equal, pictures byte by byte; its topics are those of the table."""
    from rosbags.highlevel import AnyReader

    for name, written in (('pick-few-000005', episode(7, 5)),
                          ('bare', replace(episode(2, 6), front=(), wrist=(), labels=()))):
        for _ in range(2):  # an older one is replaced
            write_bag(tmp_path / name, written, 20)
        assert same(written, read_bag(tmp_path / name))
        assert (tmp_path / name / f'{name}.mcap').is_file()
    with AnyReader([tmp_path / 'pick-few-000005']) as bag:
        assert {topic: about.msgtype for topic, about in bag.topics.items()} == TYPES
        stamps = [stamp for link, stamp, _ in bag.messages() if link.topic == TWIST]
        assert set(np.diff(stamps)) == {50_000_000}  # ns, at 20 Hz
        (_, _, raw), *_ = bag.messages([link for link in bag.connections if link.topic == TWIST])
        twist = bag.deserialize(raw, TYPES[TWIST]).twist
    assert twist.linear.x == 20.0 * episode(7, 5).actions[0, 0]  # m/s


def test_a_torn_or_foreign_bag_is_refused_by_name(tmp_path):
    write_bag(tmp_path / 'torn', episode(), 10)
    whole = (tmp_path / 'torn' / 'torn.mcap').read_bytes()
    (tmp_path / 'torn' / 'torn.mcap').write_bytes(whole[:len(whole) // 2])
    (tmp_path / 'other').mkdir()
    for name in ('torn', 'other'):
        with pytest.raises(DatasetError, match=f'{name}: not a readable bag'):
            read_bag(tmp_path / name)


@pytest.mark.slow
def test_demos_writes_bags_that_image_player_plays(tmp_path):
    from ivm_ros.nodes.sources import open_source

    config = DemosConfig(str(tmp_path), ('pick',), 2, size=48, shard=2, bag=True)
    write_demos(config)
    recorded = list(read_episodes(tmp_path))
    bags = sorted((tmp_path / 'bags').iterdir())
    assert len(bags) == len(recorded) and all(map(same, recorded, map(read_bag, bags)))
    shots = list(open_source(str(bags[0]), VIEWS['front']).shots())
    assert len(shots) == len(recorded[0].actions) and shots[0].image.shape == (48, 48, 3)
    written = bags[0].stat().st_mtime_ns
    write_demos(config)  # nothing is missing
    assert bags[0].stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_recording_is_what_the_environment_does_again():
    """Its actions, without the noise, lead through the recorded states to success."""
    config = DemosConfig('unused', noise=0, size=32)
    recorded = next(record(config, 'pick', range(3, 4)))
    env = TabletopEnv('pick', size=32)
    seen, _ = env.reset(seed=3)
    for state, action in zip(recorded.proprio, recorded.actions):
        np.testing.assert_array_equal(seen['proprio'], state)
        seen, _, success, *_ = env.step(action)
    assert success
    assert recorded.instruction == env.assignment.instruction
    env.close()


@pytest.mark.slow
def test_the_truth_is_that_of_the_picture_beside_it():
    recorded = next(record(DemosConfig('unused', size=64), 'cup_on_plate', range(1)))
    pictures = recorded.pictures('front').astype(int)
    red = pictures[..., 0] - pictures[..., 1:].max(-1) > 60
    target = np.stack([truth.target for truth in recorded.truths()])
    assert (red & target).sum() / target.sum() > .7
    moved = (target[0] & ~target[-1]).sum()  # the cup is gone from where it was
    assert moved > 20 and red[-1][target[0] & ~target[-1]].mean() < .3


def test_noise_is_carried_out_and_not_recorded():
    env = TabletopEnv('pick', pictures=False)
    quiet, noisy = (list(run(env, Expert(env), 4, noise)) for noise in (0.0, .012))
    np.testing.assert_array_equal(quiet[0].action, noisy[0].action)
    assert not np.array_equal(quiet[1].observation['proprio'], noisy[1].observation['proprio'])
    assert noisy[-1].success


@pytest.mark.slow
def test_chance_does_not_solve_it():
    env = TabletopEnv('put', pictures=False)
    assert not any(list(run(env, RandomPolicy(seed), seed))[-1].success for seed in range(2))


@pytest.mark.slow
def test_what_is_missing_is_made_and_nothing_else(tmp_path):
    config = DemosConfig(str(tmp_path), ('pick',), episodes=4, shard=2, size=32, clutter='few')
    info = write_demos(config)
    assert info['kept'] == {'pick': 4} and read_info(tmp_path)['steps'] == info['steps']
    first = {path.name: path.read_bytes() for path in tmp_path.glob('*.parquet')}
    (tmp_path / 'pick-000002.parquet').write_bytes(b'torn')
    before = (tmp_path / 'pick-000000.parquet').stat().st_mtime_ns
    write_demos(replace(config, episodes=6, workers=2))
    assert (tmp_path / 'pick-000000.parquet').stat().st_mtime_ns == before
    assert (tmp_path / 'pick-000002.parquet').read_bytes() == first['pick-000002.parquet']
    assert len(list(read_episodes(tmp_path))) == 6
    with pytest.raises(DatasetError, match='begun with other settings'):
        write_demos(replace(config, noise=.01))


@pytest.mark.parametrize(('settings', 'words'), [
    ({'seed': 799_999, 'episodes': 2}, 'for evaluation only'),
    ({'tasks': ('picks',)}, "did you mean 'pick'")])
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        DemosConfig('unused', **settings)


def test_a_suite_is_its_tasks():
    jobs = DemosConfig('unused', ('paper', 'duck_in_pot', 'pick'), episodes=30, shard=25).jobs
    assert len(jobs) == 10 and jobs[:2] == [('cup_on_plate', 0), ('cup_on_plate', 25)]
