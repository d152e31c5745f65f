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
"""Episodes become rows: what is kept, what is said of it, what is refused, what a kill costs."""

from dataclasses import replace
import os
import signal
import struct
import subprocess
import sys
import time
import zlib

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.data.episodes import EpisodesConfig, import_episodes
from ivm_ros.data.frames import difference, thumbnail
from ivm_ros.data.shards import (
    DatasetError, decode_image, encode_image, encode_mask, read_info, read_rows)

STORE = get_typestore(Stores.ROS2_JAZZY)
KINDS = STORE.types
SECOND = 10**9
IMAGE, JPEG = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
TEXT = 'std_msgs/msg/String'
CAMERA, ASKED = '/camera/image_raw', '/instruction'


def picture(seed, size=(48, 64)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def header():
    return KINDS['std_msgs/msg/Header'](KINDS['builtin_interfaces/msg/Time'](0, 0), 'eye')


def raw(image, encoding='rgb8'):
    """Make an Image message of uint8 [H, W, C]."""
    data = np.ascontiguousarray(image).reshape(-1)
    return KINDS[IMAGE](header(), *image.shape[:2], encoding, 0, image[0].size, data)


def packed(data, kind='jpeg'):
    """Make a CompressedImage message of the bytes of a file."""
    return KINDS[JPEG](header(), kind, np.frombuffer(data, np.uint8))


def said(text):
    return KINDS[TEXT](text)


def write_bag(path, messages, plugin=StoragePlugin.MCAP, mode=CompressionMode.NONE):
    """Write (seconds, topic, message) as a bag of ROS 2."""
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        links = {}
        for second, topic, message in messages:
            kind = message.__msgtype__
            if topic not in links:
                links[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(links[topic], SECOND + round(second * SECOND),
                         STORE.serialize_cdr(message, kind))
    return path


def filmed(seconds, *, start=0):
    """Film noise ten times a second."""
    return [(start + step / 10, CAMERA, raw(picture(start * 10 + step)))
            for step in range(round(seconds * 10))]


def rows_of(tmp_path, *bags, **settings):
    """Import and read the rows."""
    out = import_episodes(EpisodesConfig(tuple(map(str, bags)), str(tmp_path / 'out'),
                                         **settings))
    return list(read_rows(out))


@pytest.mark.parametrize('mode', CompressionMode)
@pytest.mark.parametrize('plugin', StoragePlugin)
def test_every_storage_gives_the_pictures_and_the_instruction_in_force(tmp_path, plugin, mode):
    """Ten pictures a second, one of five taken; the second sentence comes between two of them."""
    if plugin == StoragePlugin.SQLITE3 and mode == CompressionMode.STORAGE:
        return  # rosbags knows none such
    film = sorted([*filmed(2), (0, ASKED, said('take the cup')),
                   (.95, ASKED, said(' take\nthe  plate '))], key=lambda item: item[:2])
    rows = rows_of(tmp_path, write_bag(tmp_path / 'monday', film, plugin, mode))
    assert [(row.extra['stamp'] / SECOND - 1, row.instruction) for row in rows] == [
        (0, 'take the cup'), (.5, 'take the cup'), (1, 'take the plate'), (1.5, 'take the plate')]
    for row, step in zip(rows, (0, 5, 10, 15)):
        assert np.abs(decode_image(row.image).astype(int) - picture(step)).mean() < 8  # a JPEG
        assert row.mask is row.robot_mask is row.found is None and not row.is_human
        assert row.source == 'monday' and row.id.startswith('monday-')
    assert len({row.image_id for row in rows}) == 4


@pytest.mark.parametrize('plugin', StoragePlugin)
def test_one_file_of_a_bag_will_do(tmp_path, plugin):
    bag = write_bag(tmp_path / 'monday', [(0, ASKED, said('take it')), *filmed(1)], plugin)
    file = next(file for file in bag.iterdir() if file.suffix in ('.mcap', '.db3'))
    alone = file.rename(tmp_path / f'alone{file.suffix}')
    rows = rows_of(tmp_path, alone)
    assert [row.source for row in rows] == ['alone', 'alone']


def test_bags_of_ros_1(tmp_path):
    from rosbags.rosbag1 import Writer as Writer1

    store = get_typestore(Stores.ROS1_NOETIC)
    eye = store.types['std_msgs/msg/Header'](0, store.types['builtin_interfaces/msg/Time'](0, 0),
                                             'eye')
    messages = [(ASKED, store.types[TEXT]('take it')),
                (CAMERA, store.types[IMAGE](eye, 48, 64, 'rgb8', 0, 192, picture(0).reshape(-1)))]
    with Writer1(tmp_path / 'old.bag') as bag:
        for topic, message in messages:
            link = bag.add_connection(topic, message.__msgtype__, typestore=store)
            bag.write(link, SECOND, store.serialize_ros1(message, message.__msgtype__))
    row, = rows_of(tmp_path, tmp_path / 'old.bag')
    assert row.instruction == 'take it' and decode_image(row.image).shape == (48, 64, 3)


def test_before_the_first_instruction_nothing_is_taken(tmp_path):
    """A message at a picture's own stamp is in force, wherever it lies; an empty one ends it."""
    film = sorted([*filmed(1), (.3, ASKED, said('take the cup')), (.6, ASKED, said(' '))],
                  key=lambda item: item[:2])
    rows = rows_of(tmp_path, write_bag(tmp_path / 'bag', film), every=0.0)
    assert [row.extra['stamp'] - SECOND for row in rows] == [3 * 10**8, 4 * 10**8, 5 * 10**8]
    info = read_info(tmp_path / 'out')
    assert (info['rows'], info['left_out']['unasked']) == (3, 7)


def test_alike_is_the_greatest_difference_of_a_cell():
    """One cell of 10 x 10 pixels brighter by 5 in all colours: 5, wherever it is."""
    image = np.full((160, 160, 3), 100, np.uint8)
    other = image.copy()
    other[150:, :10] += 5
    png = [cv2.imencode('.png', one)[1].tobytes() for one in (image, other)]
    assert difference(*map(thumbnail, png)) == pytest.approx(5)


@pytest.mark.parametrize(('alike', 'kept'), [(4.0, 3), (6.0, 2), (0.0, 5)])
def test_pictures_that_are_alike_are_left_out(tmp_path, alike, kept):
    """Still, still, a cell brighter by 5, still, then another sentence over the same picture."""
    still = np.full((160, 160, 3), 100, np.uint8)
    moved = still.copy()
    moved[:10, :10] += 5
    png = [packed(cv2.imencode('.png', one)[1].tobytes(), 'png')
           for one in (still, still, moved, moved, moved)]
    film = [(0, ASKED, said('a')), *((second, CAMERA, one) for second, one in enumerate(png))]
    film.insert(5, (3.5, ASKED, said('b')))
    rows = rows_of(tmp_path, write_bag(tmp_path / 'bag', film), alike=alike)
    assert len(rows) == kept
    assert rows[-1].instruction == 'b'
    assert read_info(tmp_path / 'out')['alike'] == alike
    assert read_info(tmp_path / 'out')['left_out']['alike'] == 5 - kept


def test_sizes_and_encodings_may_change_and_what_is_unreadable_is_counted(tmp_path, capsys):
    blue = np.zeros((48, 64, 3), np.uint8)
    blue[..., 2] = 255
    kept = encode_image(picture(1, (60, 80)))
    film = [(0, ASKED, said('take it')), (0, CAMERA, raw(blue)),
            (1, CAMERA, raw(picture(2, (96, 128)))), (2, CAMERA, raw(blue[..., ::-1], 'bgr8')),
            (3, CAMERA, raw(picture(3)[..., :1], 'rumour8')),
            (4, CAMERA, raw(picture(4, (900, 1280))))]
    rows = rows_of(tmp_path, write_bag(tmp_path / 'bag', film))
    shapes = [decode_image(row.image).shape for row in rows]
    assert shapes == [(48, 64, 3), (96, 128, 3), (48, 64, 3), (450, 640, 3)]
    for row in (rows[0], rows[2]):
        assert np.abs(decode_image(row.image)[20, 20].astype(int) - (0, 0, 255)).max() < 6
    assert read_info(tmp_path / 'out')['left_out']['unreadable'] == 1
    assert "1 pictures left out, the first as encoding 'rumour8'" in capsys.readouterr().err
    film = [(0, ASKED, said('take it')), (0, f'{CAMERA}/compressed', packed(kept)),
            (1, f'{CAMERA}/compressed', packed(kept[:-200])),
            (2, f'{CAMERA}/compressed', packed(b'no picture'))]
    rows = rows_of(tmp_path / 'second', write_bag(tmp_path / 'packed', film), pictures=CAMERA)
    assert [row.image for row in rows] == [kept]  # byte by byte what the camera wrote
    assert read_info(tmp_path / 'second' / 'out')['left_out']['unreadable'] == 2


def bomb():
    """Write a PNG of 60,000 x 60,000 pixels in 100 bytes."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack(
            '>I', zlib.crc32(kind + data))
    head = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 2, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(b''))
            + chunk(b'IEND', b''))


def one(message, topic=CAMERA):
    """Film one message under an instruction."""
    return [(0, ASKED, said('take it')), (0, topic, message)]


def huge():
    """Claim a raw picture of 100,000 x 100,000 pixels."""
    message = raw(picture(0))
    return replace(message, height=100_000, width=100_000, step=300_000)


@pytest.mark.parametrize(('film', 'settings', 'words'), [
    (one(raw(picture(0)), '/left'), {'pictures': '/right'},
     r'on /right, which it lacks.*on /left'),
    (one(said('x')), {'pictures': CAMERA}, r'which is std_msgs/msg/String; .* on no topic'),
    ([*one(raw(picture(0)), '/left'), *one(raw(picture(0)), '/right')], {},
     r'wanted pictures on an image topic, of which there has to be one; .*/left, /right'),
    (filmed(1), {}, r'on /instruction, which it lacks; .* on no topic: .*--text'),
    ([*filmed(1), (0, '/task', said('x'))], {}, 'such messages on /task: set --instruction'),
    ([*filmed(1), (0, ASKED, raw(picture(0)))], {'pictures': CAMERA, 'text': 'take it'},
     'on /instruction, which is sensor_msgs/msg/Image'),
    ([*filmed(1), (5, ASKED, said('late'))], {},
     'no instruction came before any of 10 pictures; .*--text'),
    (one(packed(b'nothing')), {}, 'none of 1 pictures can be read: 7 bytes are no JPEG'),
    (one(packed(bomb(), 'png')), {}, r'none of 1 pictures can be read: .*too large'),
    (one(huge()), {}, '100000 x 100000 pixels are more than'),
    (one(packed(b'x' * 50, '16UC1; compressedDepth png')), {}, 'got depth'),
    ([(0, ASKED, said('x' * 3000)), *filmed(1)], {}, 'an instruction of 3000 characters'),
])
def test_a_bag_that_gives_nothing_says_why(tmp_path, film, settings, words):
    bag = write_bag(tmp_path / 'bag', sorted(film, key=lambda item: item[0]))
    with pytest.raises(DatasetError, match=words):
        rows_of(tmp_path, bag, **settings)
    assert not (tmp_path / 'out' / 'dataset.json').exists()


@pytest.mark.parametrize('plugin', StoragePlugin)
@pytest.mark.parametrize('share', [0, .02, .5, .97])
def test_a_bag_that_was_cut_off_is_refused_by_name(tmp_path, plugin, share):
    """What was finished before is there; the rest is not made up."""
    bag = write_bag(tmp_path / 'bag', [(0, ASKED, said('take it')), *filmed(20)], plugin)
    file = next(file for file in bag.iterdir() if file.suffix in ('.mcap', '.db3'))
    file.write_bytes(file.read_bytes()[:int(share * file.stat().st_size)])
    with pytest.raises(DatasetError, match=r'bag: not a readable bag \(.*reindex'):
        rows_of(tmp_path, bag)
    (bag / 'metadata.yaml').unlink()
    with pytest.raises(DatasetError, match='not a readable bag'):
        rows_of(tmp_path, bag)


def test_without_a_topic_of_instructions_the_given_one_holds(tmp_path):
    rows = rows_of(tmp_path, write_bag(tmp_path / 'bag', filmed(1)), text='take  the cup')
    assert {row.instruction for row in rows} == {'take the cup'}


def test_episodes_of_the_simulation(tmp_path):
    from ivm_sim.bags import VIEWS
    from ivm_sim.bags import write_bag as write_episode
    from ivm_sim.episodes import Episode

    front = tuple(encode_image(picture(step, (64, 64))) for step in range(10))
    labels = (encode_mask(np.zeros((64, 64), np.uint8)),) * 10
    write_episode(tmp_path / 'pick', Episode(
        5, 'pick', 'few', 'pick up the red cup', True, np.zeros((10, 15), np.float32),
        np.zeros((10, 7), np.float32), front, front, labels, (2,)), 10)
    rows = rows_of(tmp_path, tmp_path / 'pick', pictures=VIEWS['front'], every=0.2)
    assert [row.image for row in rows] == list(front[::2])
    assert {row.instruction for row in rows} == {'pick up the red cup'}


@pytest.mark.slow
def test_what_is_there_is_kept_and_more_can_follow(tmp_path, capsys):
    bags = [write_bag(tmp_path / name, [(0, ASKED, said('take it')), *filmed(3, start=start)])
            for start, name in enumerate(('first', '../a b'.replace('../', ''), 'third'))]
    out = tmp_path / 'out'
    assert main(['episodes', 'import', str(bags[0]), '--out', str(out), '--shard', '4']) == 0
    assert f'wrote {out}' in capsys.readouterr().out
    written = {path: path.stat().st_mtime_ns for path in out.glob('*.parquet')}
    assert sorted(path.name for path in written) == ['first-00000.parquet', 'first-00001.parquet']
    config = EpisodesConfig(tuple(map(str, bags)), str(out), shard=4, workers=2)
    import_episodes(config)
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert (out / 'a_b-00001.parquet').is_file()
    info = read_info(out)
    assert info['rows'] == 18 == len(list(read_rows(out)))
    assert list(info['recordings']) == ['a_b', 'first', 'third']
    third = (out / 'third-00001.parquet').read_bytes()
    (out / 'first-00000.parquet').unlink()
    (out / 'third-00001.parquet').write_bytes(third[:-50])
    import_episodes(config)
    assert len(list(read_rows(out))) == 18
    assert (out / 'third-00001.parquet').read_bytes() == third
    with pytest.raises(DatasetError, match=r'begun with every 0\.5, now asked for 1\.0'):
        import_episodes(replace(config, every=1.0))
    other = write_bag(tmp_path / 'else' / 'first', [(0, ASKED, said('b')), *filmed(1)])
    with pytest.raises(DatasetError, match='holds another first'):
        import_episodes(replace(config, bags=(str(other),)))
    with pytest.raises(ConfigError, match='two are called first'):
        import_episodes(replace(config, bags=(str(bags[0]), str(other))))
    assert main(['episodes', 'import', str(tmp_path / 'nowhere'), '--out', str(out), '--shard',
                 '4']) == 2
    assert 'no bag and no folder' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize('plugin', StoragePlugin)
def test_killed_it_loses_one_shard_at_most_and_comes_to_the_same(tmp_path, plugin):
    """With instructions and still pictures around the place where it goes on."""
    film = [(step / 10, CAMERA, raw(np.repeat(np.repeat(picture(step // 3), 8, 0), 8, 1)))
            for step in range(240)]
    film += [(step / 10 - .01, ASKED, said(f'take {step // 7}')) for step in range(0, 240, 5)]
    bag = write_bag(tmp_path / 'bag', sorted(film, key=lambda item: item[0])[1:], plugin)
    words = ['episodes', 'import', str(bag), '--every', '0.1', '--shard', '8', '--out']
    assert main([*words, str(tmp_path / 'whole')]) == 0
    child = subprocess.Popen([sys.executable, '-m', 'ivm_ros.cli', *words, str(tmp_path / 'cut')])
    done = tmp_path / 'cut' / 'bag-00002.parquet'
    while not done.is_file() and child.poll() is None:
        time.sleep(.002)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL  # it was at work
    kept = {path: path.stat().st_mtime_ns for path in done.parent.glob('*.parquet')}
    assert len(kept) >= 3 and not (done.parent / 'dataset.json').exists()
    assert main([*words, str(tmp_path / 'cut')]) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    whole, cut = ({path.name: path.read_bytes() for path in (tmp_path / name).glob('*.parquet')}
                  for name in ('whole', 'cut'))
    assert whole == cut
    whole, cut = (read_info(tmp_path / name)['recordings'] for name in ('whole', 'cut'))
    assert whole == cut and whole['bag']['alike'] > 50


@pytest.mark.slow
def test_memory_does_not_grow_with_the_bag(tmp_path):
    """Five times the bag, 140 MB instead of 28: not 20 MB more."""
    peaks = []
    for name, count in (('short', 30), ('long', 150)):
        bag = write_bag(tmp_path / name, [(0, ASKED, said('take it')), *(
            (step, CAMERA, raw(np.full((480, 640, 3), 5 * step % 256, np.uint8)))
            for step in range(count))])
        code = (f'import resource; from ivm_ros.cli import main; main({["episodes", "import"]!r} '
                f'+ [{str(bag)!r}, "--shard", "10", "--out", {str(tmp_path / "out")!r}]); '
                'print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)')
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                              check=True)
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    assert peaks[1] - peaks[0] < 20, peaks
