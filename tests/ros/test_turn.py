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
The whole turn, in small: a robot's episodes become better weights on the robot.

Real throughout: the simulator's camera, the recorder and ivm_node as processes, the four commands
of docs/episodes.md as they stand there, but for who labels and how long is trained.
"""

from glob import glob
import json
from pathlib import Path
import re
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ivm_ros.cli import main
from ivm_ros.data.shards import decode_image, read_rows
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.checkpoint_info import file_hash, SHIPPED
from ivm_ros.models.installed import REPORT, weights_path
from ivm_ros.nodes.convert import to_msg

pytestmark = pytest.mark.slow

PARTS = Path(__file__).with_name('machine_parts.py')
PUSHER = Path(__file__).with_name('part_pusher.py')
PAGE = Path(__file__).parents[2] / 'docs' / 'episodes.md'
SEEDS = tuple(range(900_300, 900_310))
HUMAN = 50
MARGIN = .05
"""IoU that the turn has to gain on held-out scenes."""
WON = .15
"""Share of episodes that a policy behind the mask has to win besides."""
OTHERWISE = {
    'import': {'--every': '0'},
    'annotate': {'--experts': 'machine_parts:erring,machine_parts:sloppy'},
    'train': {'--steps': '80', '--images': '4', '--sentences': '1', '--warmup': '8',
              '--learning-rate': '5e-4', '--frozen-blocks': '18', '--dwsl.steps': '20',
              '--save-every': '80', '--ema': '.9', '--threads': '1'},
    'promote': {'--name': 'parts'}}
"""Settings that a test has otherwise than the page, by verb."""


class Workshop:
    """The simulated workshop in a process of its own, which shows a scene when it is told to."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen([sys.executable, str(PARTS), *words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def show(self) -> None:
        """Have the next scene shown, and wait for its end."""
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith('shown'):
                return
        pytest.fail(f'the camera ended with code {self.process.wait()}')

    def close(self) -> None:
        """Wait until it has ended well."""
        self.process.stdin.close()
        assert self.process.wait(60) == 0


def record(graph, folder: Path) -> None:
    """Record an episode of each scene over ROS."""
    recorder = graph.start('ivm_ros.nodes.recorder_node', folder=str(folder), rate=0.0,
                           images=('/camera/image_raw', 'truth/target'), keep_free_megabytes=0.0)
    workshop = Workshop('camera', *map(str, SEEDS))
    recorder.wait_for('ready to record')
    for _ in SEEDS:
        answer = graph.call(Trigger, '/ivm_recorder/start', Trigger.Request())
        assert answer.success, answer.message
        workshop.show()
        answer = graph.call(Trigger, '/ivm_recorder/stop', Trigger.Request())
        assert answer.success, answer.message
    workshop.close()
    assert recorder.stop() == 0


def drawn_by_people(robot: Path, truth: Path, folder: Path) -> None:
    """Write 50 pictures with masks as people draw them, in the files of IVM-Mix-1M."""
    from machine_parts import Annotator, Noise

    annotator, rows, lines = Annotator('people', Noise(), truth), list(read_rows(robot)), []
    folder.mkdir()
    for number, index in enumerate(np.linspace(0, len(rows) - 1, HUMAN).astype(int)):
        row = rows[index]
        (folder / f'img_{number}.jpg').write_bytes(row.image)
        cv2.imwrite(str(folder / f'mask_{number}.jpg'), annotator.truth(row, row.instruction))
        lines.append(json.dumps({'uuid': str(number), 'instruction': row.instruction}))
    (folder / 'HumanLabelData.jsonl').write_text('\n'.join(lines))


def the_four_commands() -> dict[str, list[str]]:
    """Read the commands of the page, by the last word of their verb, with our settings."""
    blocks = re.findall(r'```bash\n(.*?)```', PAGE.read_text(), re.DOTALL)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    found = {}
    for name in ('episodes import', 'annotate', 'train', 'promote'):
        line = next(line for line in lines if line.startswith(f'ivm {name} '))
        words = shlex.split(line, comments=True)[1:]
        for setting, value in OTHERWISE[name.split()[-1]].items():
            if setting in words:
                words[words.index(setting) + 1] = value
            else:
                words += [setting, value]
        found[name.split()[-1]] = words
    return found


def ivm(words: list[str]) -> None:
    """Run a verb as on the command line, with its * as a shell has it; it must end well."""
    given = [path for word in words for path in (sorted(glob(word)) if '*' in word else [word])]
    assert main(given) == 0, given


class Robot:
    """The node that masks, with a camera before it."""

    def __init__(self, graph, instruction: str) -> None:
        self.graph = graph
        self.program = graph.start('ivm_ros.nodes.ivm_node', instruction=instruction,
                                   device='cpu', found_threshold=0.0, threshold=0.01)
        self.masks = graph.listen(Image, 'mask')
        self.camera = graph.speak(Image, 'image')
        graph.until(lambda: graph.node.count_publishers('mask') > 0, 'the topic mask')
        self.sent = 0

    def mask(self, picture: np.ndarray) -> np.ndarray:
        """Mask a picture, uint8 [H, W]."""
        self.sent += 1
        header = Header(frame_id='eye')
        header.stamp.sec = self.sent
        self.camera.publish(to_msg(picture, header))
        message = self.masks.wait(lambda one: one.header.stamp.sec == header.stamp.sec)
        return np.asarray(message.data, np.uint8).reshape(message.height, message.width)


def expected(weights: Path, picture: np.ndarray, instruction: str) -> np.ndarray:
    """Mask in this process, as the node publishes it."""
    return np.rint(Masker(MaskerConfig(str(weights), device='cpu'))(
        picture, instruction).target * 255)


def arm_stays(weights: Path) -> float:
    """Give the mean IoU of the robot as new weights see it with that of the shipped ones."""
    rows = list({row.image_id: row for row in read_rows(Path('data/held_out'))}.values())[:8]
    pictures, said = [decode_image(row.image) for row in rows], [row.instruction for row in rows]
    before, after = ([mask.robot > .5 for mask in Masker(MaskerConfig(
        str(path), device='cpu'))(pictures, said)] for path in (SHIPPED, weights))
    overlaps = [(one & other).sum() / (one | other).sum()
                for one, other in zip(before, after) if one.any()]
    print('IoU of the robot with that of the weights before:', overlaps)
    return float(np.mean(overlaps))


def pushed(*weights: Path) -> list[float]:
    """Give the share of episodes that a policy wins which sees what each of some weights leave."""
    done = subprocess.run([sys.executable, str(PUSHER), *map(str, weights)], check=True,
                          stdout=subprocess.PIPE, text=True)
    print('parts pushed:', done.stdout.split())
    return [float(share) for share in done.stdout.split()]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Be in a folder of one's own, with an own home for weights, where experts can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'home'))
    monkeypatch.syspath_prepend(str(PARTS.parent))
    return tmp_path


@pytest.mark.timeout(1200)
def test_episodes_become_better_weights_on_the_running_robot(graph, home, monkeypatch):
    commands = the_four_commands()
    record(graph, home / 'bags')

    ivm(commands['import'])
    ivm(['episodes', 'import', 'bags/*', '--image', '/truth/target', '--every', '0', '--alike',
         '0', '--out', 'data/truth'])
    rows = list(read_rows(Path('data/mine')))
    assert len({row.source for row in rows}) == len(SEEDS) and len(rows) > 2 * HUMAN
    drawn_by_people(Path('data/mine'), Path('data/truth'), home / 'drawn')
    ivm(['data', 'import', '--source', 'drawn/HumanLabelData.jsonl', '--layout', 'ivm-mix',
         '--out', 'data/people'])
    subprocess.run([sys.executable, str(PARTS), 'held-out', 'data/held_out'], check=True)

    monkeypatch.setenv('MACHINE_PARTS_TRUTH', 'data/truth')
    ivm(commands['annotate'])
    ivm(commands['train'])

    asked = next(row for row in read_rows(Path('data/held_out')) if row.kind == 'plain')
    picture = decode_image(asked.image)
    robot = Robot(graph, asked.instruction)
    before = expected(SHIPPED, picture, asked.instruction)
    assert np.abs(robot.mask(picture) - before).max() <= 2

    ivm(commands['promote'])
    report = json.loads((weights_path('').parent / REPORT).read_text())
    assert report['current'] == file_hash(SHIPPED)
    iou = report['sets']['data/held_out']['iou']
    print('IoU on held-out scenes:', iou)
    assert iou['difference'] >= MARGIN and iou['difference_ci95'][0] > 0
    assert arm_stays(weights_path('')) >= .7  # which no label showed
    won_before, won_after = pushed(SHIPPED, weights_path(''))
    assert won_after >= won_before + WON

    assert np.abs(robot.mask(picture) - before).max() <= 2  # only when it is asked for
    answer = graph.call(Trigger, '/ivm_node/reload', Trigger.Request())
    assert answer.success, answer.message
    after = expected(weights_path(''), picture, asked.instruction)
    assert np.abs(after - before).max() > 20
    assert np.abs(robot.mask(picture) - after).max() <= 2
    assert len(robot.masks) == robot.sent
