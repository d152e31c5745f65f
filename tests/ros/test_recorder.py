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
"""`ivm_recorder` in a process of its own: what it writes, what ends it, what it survives."""

from pathlib import Path
import shutil
import signal
from threading import Event

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from ivm_ros.config import ConfigError
from ivm_ros.data.episodes import EpisodesConfig, import_episodes
from ivm_ros.data.shards import DatasetError, read_shard
from ivm_ros.episode_bag import leftovers
from ivm_ros.nodes.convert import to_compressed, to_msg
from ivm_ros.recording import Entry, limit_reached, Pace, RecorderConfig, Recording, TEXT

MODULE = 'ivm_ros.nodes.recorder_node'
QUICK = {'rate': 0.0, 'diagnostics_period': 0.1, 'keep_free_megabytes': 0.0}
KINDS = {'image': Image, 'wrist/compressed': CompressedImage}


class Recorder:
    """A started recorder with cameras before it."""

    def __init__(self, graph, folder: Path, **parameters) -> None:
        self.graph, self.folder = graph, folder
        parameters = {**QUICK, 'images': ('image',), 'folder': str(folder), **parameters}
        self.health = graph.listen(DiagnosticArray, '/diagnostics', 500)
        self.program = graph.start(MODULE, **parameters)
        self.program.wait_for('ready to record')
        self.cameras = {topic: graph.speak(KINDS[topic], topic)
                        for topic in parameters['images']}

    def ask(self, verb: str) -> Trigger.Response:
        """Call start or stop."""
        return self.graph.call(Trigger, f'/ivm_recorder/{verb}', Trigger.Request())

    def start(self) -> Path:
        """Start; return the bag that is promised."""
        answer = self.ask('start')
        assert answer.success, answer.message
        return Path(answer.message.removeprefix('recording to ').split(', "')[0].split(';')[0])

    def show(self, level: int, size: int = 64, topic: str = 'image') -> None:
        """Send a picture of one grey."""
        picture = np.full((size, size, 3), level, np.uint8)
        make = to_msg if KINDS[topic] is Image else to_compressed
        self.cameras[topic].publish(make(picture, Header(frame_id='eye')))

    def hear(self, **wanted) -> dict[str, str]:
        """Wait until diagnostics have certain values; return all of them."""
        wanted = {name.replace('__', ' /'): str(value) for name, value in wanted.items()}

        def good(message) -> bool:
            return wanted.items() <= values_of(message).items()

        return values_of(self.health.wait(good, after=len(self.health), patience=20))


def values_of(message: DiagnosticArray) -> dict[str, str]:
    """Give values, level and message of the recorder's status."""
    status = message.status[0]
    return {**{pair.key: pair.value for pair in status.values}, 'message': status.message,
            'level': {DiagnosticStatus.OK: 'ok', DiagnosticStatus.WARN: 'warn',
                      DiagnosticStatus.ERROR: 'error'}[status.level]}


def imported(bags: list[Path], out: Path, image: str = '/image') -> list[tuple[str, int, str]]:
    """Import bags; give recording, grey and instruction of each row."""
    import_episodes(EpisodesConfig(tuple(map(str, bags)), str(out), image, every=0, alike=0))
    rows = [row for path in sorted(out.glob('*.parquet')) for row in read_shard(path)]
    return [(row.source, round(float(cv2.imdecode(np.frombuffer(
        row.image, np.uint8), cv2.IMREAD_COLOR).mean())), row.instruction) for row in rows]


def bags_in(folder: Path) -> list[Path]:
    """List what a shell's * finds."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith('.'))


@pytest.mark.slow
def test_two_episodes_are_imported_as_they_were_shown(graph, tmp_path):
    """Nothing from before the start or after the stop; each picture with what held then."""
    made = Recorder(graph, tmp_path / 'bags', images=('image', 'wrist/compressed'))
    voice = graph.speak(String, 'instruction', latched=True, listeners=2)
    voice.publish(String(data='pick up the mug'))
    made.hear(instruction='pick up the mug', state='idle')
    assert not made.ask('stop').success
    made.show(10)
    first = made.start()
    assert not made.ask('start').success  # one at a time, and the first goes on
    made.show(20)
    made.show(30)
    made.show(120, topic='wrist/compressed')
    made.hear(pictures__image=2)
    voice.publish(String(data='open the drawer'))
    made.hear(instruction='open the drawer')
    made.show(40)
    made.hear(pictures__image=3, **{'pictures__wrist/compressed': 1})
    answer = made.ask('stop')
    assert answer.success and str(first) in answer.message and '4 pictures' in answer.message
    made.show(50)
    second = made.start()
    made.show(60)
    made.hear(pictures__image=1, level='ok')
    assert made.ask('stop').success

    assert bags_in(tmp_path / 'bags') == sorted([first, second])
    assert not leftovers(tmp_path / 'bags')
    assert imported([first, second], tmp_path / 'data') == [
        (first.name, 20, 'pick up the mug'), (first.name, 30, 'pick up the mug'),
        (first.name, 40, 'open the drawer'), (second.name, 60, 'open the drawer')]
    assert imported([first], tmp_path / 'wrist', '/wrist/compressed') == [
        (first.name, 120, 'pick up the mug')]


@pytest.mark.slow
def test_limits_end_an_episode_with_a_bag_and_a_warning(graph, tmp_path):
    """And the next start works, with limits that were changed meanwhile."""
    made = Recorder(graph, tmp_path / 'bags', max_minutes=0.01, jpeg_quality=90)
    graph.speak(String, 'instruction', latched=True, listeners=2).publish(String(data='go'))
    made.hear(instruction='go')
    first = made.start()
    made.show(20)
    said = made.hear(state='idle', level='warn')
    assert 'max_minutes = 0.01' in said['message']
    assert said['pictures /image/compressed'] == '1'  # raw came, JPEG is kept
    answer = made.ask('stop')
    assert not answer.success and 'nothing is being recorded' in answer.message

    assert graph.change('/ivm_recorder', max_minutes=0.0, max_megabytes=0.1,
                        jpeg_quality=0).successful
    second = made.start()
    for number in range(20):  # 12 kB each
        made.show(number * 10)
    assert 'max_megabytes = 0.1' in made.hear(state='idle', level='warn')['message']
    assert sum(file.stat().st_size for file in second.glob('*.mcap')) < 120_000
    assert len(imported([second], tmp_path / 'second')) == 8  # 8 x 12 kB fit into 100
    assert imported([first], tmp_path / 'first') == [(first.name, 20, 'go')]

    assert graph.change('/ivm_recorder', keep_free_megabytes=1e9).successful
    answer = made.ask('start')
    assert not answer.success and 'keep_free_megabytes' in answer.message
    assert made.hear(level='error')['state'] == 'failed'


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_end_by_signal_closes_the_bag(graph, tmp_path, number):
    made = Recorder(graph, tmp_path / 'bags')
    graph.speak(String, 'instruction', latched=True, listeners=2).publish(String(data='go'))
    made.hear(instruction='go')
    bag = made.start()
    made.show(20)
    made.hear(pictures__image=1)
    assert made.program.stop(number) == 0, made.program.text()
    assert imported([bag], tmp_path / 'data') == [(bag.name, 20, 'go')]


@pytest.mark.slow
def test_a_killed_recorder_leaves_nothing_that_looks_like_an_episode(graph, tmp_path):
    made = Recorder(graph, tmp_path / 'bags')
    made.start()
    made.show(20, 1024)
    made.hear(pictures__image=1)
    assert made.program.stop(signal.SIGKILL) == -signal.SIGKILL
    assert not bags_in(tmp_path / 'bags')
    part, = leftovers(tmp_path / 'bags')
    for path in (part, *part.iterdir(), *part.glob('*/*.mcap')):
        with pytest.raises(DatasetError, match=r'not a readable bag .*mcap recover'):
            imported([path], tmp_path / 'data')
    again = graph.start(MODULE, folder=str(tmp_path / 'bags'))
    again.wait_for('an episode that was cut off')


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open('wb', 0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@pytest.mark.slow
def test_a_full_disk_stops_the_recording_and_not_the_node(graph, small_disk, tmp_path):
    with small_disk(tmp_path / 'disk', '6m') as disk:
        made = Recorder(graph, disk / 'bags', queue_megabytes=1.0)
        made.start()
        made.show(20)
        made.hear(pictures__image=1)
        fill(disk / 'other')
        made.show(20)
        said = made.hear(level='error')
        assert 'No space left' in said['message'] and said['state'] == 'failed'
        answer = made.ask('stop')
        assert not answer.success and 'No space left' in answer.message
        part, = leftovers(disk / 'bags')
        shutil.rmtree(part)
        (disk / 'other').unlink()
        assert graph.change('/ivm_recorder', keep_free_megabytes=2.0).successful
        bag = made.start()  # now it ends before the disk does
        made.show(20, 1024)  # 3 MB
        made.hear(pictures__image=1)
        made.show(20, 1024)
        assert 'keep_free_megabytes = 2' in made.hear(state='idle', level='warn')['message']
        assert bags_in(disk / 'bags') == [bag]
        made.program.stop()


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_or_goes_away(graph, tmp_path):
    (tmp_path / 'file').write_text('no folder')
    made = Recorder(graph, tmp_path / 'file' / 'bags')
    answer = made.ask('start')
    assert not answer.success and 'wanted a folder to write to' in answer.message
    assert made.hear(level='error')['state'] == 'failed'
    assert graph.change('/ivm_recorder', folder=str(tmp_path / 'bags')).successful
    bag = made.start()
    made.show(20)
    made.hear(pictures__image=1)
    shutil.rmtree(tmp_path / 'bags')
    made.hear(level='error', state='failed')  # noticed without another picture
    made.ask('stop')
    bag = made.start()
    made.show(20)
    made.hear(pictures__image=1, level='warn')  # no instruction
    answer = made.ask('stop')
    assert answer.success and '--text' in answer.message and bags_in(bag.parent) == [bag]


def test_pace_keeps_the_rate_and_every_frame_of_a_camera_of_that_rate():
    shaken = np.random.default_rng(0).uniform(-0.02, 0.02, 100)
    assert sum(map(Pace(10).take, ((np.arange(100) / 10 + shaken) * 1e9).astype(int))) == 100
    for camera in (15, 30, 33, 100):  # ten seconds of each
        pace = Pace(10)
        taken = sum(pace.take(int(number / camera * 1e9)) for number in range(10 * camera))
        assert 98 <= taken <= 101
    pace = Pace(1)
    assert pace.take(10**12) and pace.take(0)  # the clock was set back
    assert all(map(Pace(0).take, range(5)))


def test_limits_and_settings():
    config = RecorderConfig(max_minutes=1, max_megabytes=2, keep_free_megabytes=3)
    assert not limit_reached(config, 59.9, 2_000_000, 3_000_000)
    assert 'max_minutes' in limit_reached(config, 60, 0, 10**9)
    assert 'max_megabytes' in limit_reached(config, 0, 2_000_001, 10**9)
    assert 'keep_free' in limit_reached(config, 0, 0, 2_999_999)
    for wrong in ({'images': ()}, {'images': ('a', 'a')}, {'prefix': '.a'}, {'rate': -1.0},
                  {'images': ('a', 'a/compressed'), 'jpeg_quality': 90}):
        with pytest.raises(ConfigError, match='RecorderConfig'):
            RecorderConfig(**wrong)


def test_a_slow_disk_costs_pictures_and_no_time_of_the_caller(tmp_path):
    """Waiting pictures are bounded in bytes; instructions are never dropped; all is counted."""
    gate = Event()

    def slow(entry: Entry) -> Entry:
        gate.wait(20)
        if entry.stamp == 2:
            raise ValueError('not a picture')
        return entry

    config = RecorderConfig(folder=str(tmp_path), rate=0, keep_free_megabytes=0,
                            queue_megabytes=1.0)
    said = Entry('/say', TEXT, 1, b'\0\1\0\0\3\0\0\0go\0')
    recording = Recording(config, '/say', said, slow)
    for stamp in range(1, 11):  # 0.3 MB each: three fit
        recording.put(Entry('/eye', 'sensor_msgs/msg/Image', stamp, bytes(300_000)))
    recording.say(said)
    assert recording.counts['dropped'] == 7
    gate.set()
    recording.close()
    assert recording.wait(20) and not recording.failure, recording.failure
    assert recording.frames == {'/eye': 2} and recording.counts['unreadable'] == 1
    assert '7 dropped, 1 unreadable' in recording.sentence() and recording.path.is_dir()
