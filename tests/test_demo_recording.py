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
"""What the recorder of the demo remembers, what it comes to, and the pictures of it."""

import json

import numpy as np
from PIL import Image, ImageSequence
import pytest

from ivm_sim.demo_pictures import contact_sheet, heat, save_animation, save_pictures
from ivm_sim.demo_recording import iou, Recording, SHOT_WIDTH
from ivm_sim.demo_summary import problems, remarks, summarise


def frame(number: int, latency: float | None, outcome: str = 'masked', *, iou: float | None = None,
          instruction: str = 'a', found: float | None = .9) -> dict:
    """One frame as `frames.json` holds it."""
    return {'number': number, 'latency_ms': latency, 'outcome': outcome, 'found': found,
            'instruction': instruction, 'iou': iou}


def facts(sent: int, frames: list[dict], stale: int = 0, received: int | None = None,
          late: int = 0) -> dict:
    """Make the content of `frames.json`."""
    return {'camera': {'sent': str(sent), 'late': str(late), 'render_ms': '31.5'},
            'node': {'frames_in': str(sent if received is None else received),
                     'frames_stale': str(stale)}, 'frames': frames}


def test_what_did_not_arrive_and_was_not_dropped_is_lost():
    frames = [frame(0, 20.0, iou=.5), frame(1, 30.0, iou=.7, instruction='b'),
              frame(2, 40.0, 'passed'), frame(3, None, 'dropped'), frame(6, None, iou=.2),
              frame(7, 50.0)]
    summary = summarise(facts(10, frames, stale=2, received=8))
    counts = summary['frames']
    # 10 sent - 4 arrived - 2 stale - 1 dropped as faulty = 3
    assert (counts['sent'], counts['in'], counts['out']) == (10, 10, 4)
    assert (counts['masked'], counts['passed'], counts['dropped']) == (3, 1, 3)
    assert counts['lost'] == 3
    assert counts['lost_before_node'] == 2
    assert summary['latency_ms'] == {'median': 35.0, 'p99': 49.7}
    assert summary['mean_iou'] == pytest.approx((.5 + .7 + .2) / 3, abs=1e-4)
    assert summary['iou_frames'] == 3
    assert [(entry['instruction'], entry['frames'], entry['mean_iou'])
            for entry in summary['instructions']] == [('a', 3, .5), ('b', 1, .7)]
    found, = problems(summary, 'do this')
    assert '3 of 10 frames were lost' in found
    assert '(2 between camera and node): do this' in found


@pytest.mark.parametrize(('what', 'words'), [
    (facts(3, [frame(i, 9.0) for i in range(3)]), []),
    (facts(3, [frame(0, 9.0)], stale=2), []),
    (facts(3, [frame(i, 9.0, 'passed') for i in range(3)]), ['no frame was masked']),
    (facts(3, [frame(0, 9.0, 'passed')]), ['2 of 3 frames were lost', 'no frame was masked']),
    (facts(0, []), ['no frame was sent']),
    ({'camera': {}, 'node': {}, 'frames': []}, ['no frame was sent']),
])
def test_a_run_fails_for_lost_frames_and_for_no_mask(what, words):
    found = problems(summarise(what), '')
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found))


def test_late_frames_are_said_but_no_failure():
    frames = [frame(i, 9.0) for i in range(100)]
    summary = summarise(facts(100, frames, late=6))
    line, = remarks(summary, 10.0)
    assert '6 of 100' in line
    assert '32 ms' in line
    assert not problems(summary, '')
    assert not remarks(summarise(facts(100, frames, late=5)), 10.0)


def test_iou_brings_the_mask_to_the_size_of_the_truth():
    mask = np.zeros((8, 8), np.uint8)
    mask[:4, :] = 255  # the two upper rows of four
    truth = np.zeros((4, 4), bool)
    truth[:, :2] = True
    assert iou(mask, truth) == pytest.approx(4 / 12)
    # A quarter of a cell is not enough, three quarters are.
    mask[4, ::2] = 255
    assert iou(mask, truth) == pytest.approx(4 / 12)
    mask[4, :] = mask[5, ::2] = 255
    assert iou(mask, truth) == pytest.approx(6 / 14)
    assert iou(np.zeros((8, 8), np.uint8), np.zeros((4, 4), bool)) == 1.0


@pytest.mark.parametrize('mask_first', [True, False])
def test_mask_and_truth_may_come_in_any_order(mask_first, tmp_path):
    recording = Recording()
    mask, truth = np.full((4, 4), 255, np.uint8), np.eye(4, dtype=bool)
    steps = [{'mask': mask}, {'truth': truth}]
    for step in steps if mask_first else reversed(steps):
        assert recording.frame(3).iou is None
        recording.compare(3, **step)
    recording.compare(4, mask=mask)
    recording.save(tmp_path / 'frames.json')
    frames = json.loads((tmp_path / 'frames.json').read_text())['frames']
    assert [(entry['number'], entry['iou']) for entry in frames] == [(3, .25)]


def recorded(count: int = 8) -> Recording:
    """Make a recording in which a white square moves over a grey picture."""
    recording = Recording(keep_every=2)
    for number in range(count):
        raw = np.full((240, 320, 3), 90, np.uint8)
        mask = np.zeros((240, 320), np.uint8)
        mask[100:140, 30 * number:30 * number + 40] = 255
        raw[mask > 0] = 255
        masked = np.where(mask[..., None] > 0, raw, 255)
        recording.frame(number).instruction = 'one' if number < count // 2 else 'two'
        for name, picture in (('raw', raw), ('mask', mask), ('masked', masked),
                              ('robot', np.zeros_like(mask))):
            recording.keep(number, name, picture)
    return recording


def test_pictures_show_whole_frames_only(tmp_path):
    recording = recorded()
    assert sorted(recording.shots) == [0, 2, 4, 6]
    recording.shots[2].masked = None
    sheet, animation = save_pictures(recording, tmp_path, rate=10.0)
    with Image.open(animation) as moving:
        assert moving.info['loop'] == 0
        # Ten frames a second: 0 is shown until 4, as 2 is missing.
        assert [frame.info['duration'] for frame in ImageSequence.Iterator(moving)] == [
            400, 200, 200]
    with Image.open(sheet) as picture:
        assert picture.width > 3 * SHOT_WIDTH
        assert picture.height > 2 * 240  # a row for each instruction
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [sheet.name, animation.name])


def test_no_picture_of_nothing(tmp_path):
    assert save_pictures(Recording(), tmp_path, 10.0) == []
    assert not list(tmp_path.iterdir())


def test_heat_colours_what_the_masks_cover_and_nothing_else():
    image = np.full((2, 3, 3), 200, np.uint8)
    mask = np.array([[255, 0, 0], [0, 0, 0]], np.uint8)
    robot = np.array([[0, 255, 0], [0, 0, 0]], np.uint8)
    out = heat(image, mask, robot).astype(int)
    red, green, blue = out[0, 0]
    assert red > green > blue
    red, green, blue = out[0, 1]
    assert blue > green > red
    assert (out[1] == out[1, 0, 0]).all()  # grey
    assert out[1, 0, 0] < 200


def test_sheet_takes_one_row_for_each_run_of_an_instruction():
    strips = [np.full((24, 100, 3), value, np.uint8) for value in (10, 20, 30, 40, 50)]
    two = contact_sheet(strips, ['a', 'a', 'a', 'b', 'b'])
    three = contact_sheet(strips, ['a', 'a', 'b', 'b', 'c'])
    assert three.height > two.height
    shown = {int(value) for value in np.asarray(two)[:, 60, 0]}
    assert {20, 50} <= shown
    assert not {10, 30, 40} & shown


def test_animation_keeps_the_colour_of_small_things_and_white_paper(tmp_path):
    rng = np.random.default_rng(3)
    shades = np.linspace(60, 200, 200)[:, None] + np.linspace(-30, 30, 40)[:, None, None]
    strips = []
    for column in (40, 90):
        noisy = shades + rng.integers(0, 25, (40, 200, 3))
        strips.append(noisy.clip(0, 255).astype(np.uint8))
        strips[-1][10:16, column:column + 6] = (250, 220, 10)
        strips[-1][:, 150:] = 255
    save_animation(strips, ['a', 'a'], tmp_path / 'x.gif', [.2, .2])
    with Image.open(tmp_path / 'x.gif') as moving:
        for frame, column in zip(ImageSequence.Iterator(moving), (40, 90)):
            pixels = np.asarray(frame.convert('RGB')).astype(int)
            scale = pixels.shape[1] / 200
            top = pixels.shape[0] - round(40 * scale)
            shown = pixels[top + round(13 * scale), round((column + 3) * scale)]
            assert np.abs(shown - (250, 220, 10)).max() < 16
            assert (pixels[top:, round(160 * scale):] == 255).all()
            assert (pixels[:4] == 255).all()
