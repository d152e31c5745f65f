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
"""Masks carried by the memory of SAM 2 and EdgeTAM: as transformers alone does, and bounded."""

from dataclasses import replace
import gc
import json
from pathlib import Path
import sys

import numpy as np
import pytest
import torch
from transformers import (EdgeTamVideoModel, Sam2ImageProcessor, Sam2VideoModel,
                          Sam2VideoProcessor, Sam2VideoVideoProcessor)

from ivm_ros.bench import BenchConfig
from ivm_ros.carriers import load_carriers
from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.masker import MaskerConfig, MemoryFullError
from ivm_ros.models.edgetam_random import video_config
from ivm_ros.models.memory_carrier import MemoryCarrier
from ivm_ros.models.pretrained import WeightsError
from ivm_ros.models.registry import module_of, parts_of
from ivm_ros.models.sam2_carrier import config_of
from ivm_ros.models.settings import CARRIERS
from ivm_ros.sample import Mask
from ivm_ros.tracker import TrackConfig, Tracker

pytestmark = pytest.mark.slow

SIZE, FRAMES = (96, 128), 20
ROOT = Path(__file__).parents[1]
MODELS = {'sam2': Sam2VideoModel, 'edgetam': EdgeTamVideoModel}
TRACK = TrackConfig(track_interval=1000, track_smoothing=0.0, track_enter=.5, track_leave=.5,
                    track_confidence=0.0, track_scene_change=1.0)


def box(top, left, high=30, wide=40):
    plane = np.zeros(SIZE, np.float32)
    plane[top:top + high, left:left + wide] = 1
    return plane


def film(count=FRAMES, seed=0):
    """Draw frames that show a ground moving a pixel a frame, uint8 [H, W, 3]."""
    cells = np.random.default_rng(seed).integers(0, 256, (12, 16 + count // 8 + 2, 3), np.uint8)
    ground = np.kron(cells, np.ones((8, 8, 1), np.uint8))
    return [np.ascontiguousarray(ground[:, step:step + SIZE[1]]) for step in range(count)]


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Write the miniatures through the command line."""
    folder = tmp_path_factory.mktemp('carriers')
    for name in CARRIERS:
        assert main(['download', name, '--tiny', '--out', str(folder)]) == 0
    return folder


@pytest.fixture(scope='module', params=CARRIERS)
def make(request, tiny):
    """Load each of them as the node does; the name is `make.name`."""
    made = load_carriers(replace(TRACK, track_by=request.param, track_weights=str(tiny)),
                         MaskerConfig(device='cpu'))

    def maker():
        return made()

    maker.name, maker.folder = request.param, tiny / request.param
    return maker


def carried_over(carrier, frames, planes):
    """Carry planes from the first frame to each other; return them, and the shares."""
    carrier.advance(frames[0])
    key, found = carrier.mark(), []
    for frame in frames[1:]:
        carrier.advance(frame)
        found.append(carrier.carry(key, planes))
    return found


def plain(make, frames, planes):
    """Do the same with transformers alone: the whole film at once; yield logits and scores."""
    net = MODELS[make.name].from_pretrained(make.folder).eval()
    side = {'height': 128, 'width': 128}
    processor = Sam2VideoProcessor(Sam2ImageProcessor(size=side),
                                   Sam2VideoVideoProcessor(size=side))
    film = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    session = processor.init_video_session(video=film)
    processor.add_inputs_to_inference_session(
        session, 0, [*range(len(planes))], input_masks=[plane >= .5 for plane in planes])
    for said in net.propagate_in_video_iterator(session, start_frame_idx=0):
        masks, = processor.post_process_masks([said.pred_masks], [SIZE], binarize=False)
        yield masks[:, 0].sigmoid().numpy(), said.object_score_logits.flatten().sigmoid().numpy()


def test_a_stream_is_carried_as_plain_transformers_carries_the_whole_film(make):
    """Frame by frame, and with all that is dropped on the way, to the same numbers."""
    frames, planes = film(), (box(20, 30), box(50, 80))
    found = carried_over(make(), frames, planes)
    wanted = [*plain(make, frames, planes)][1:]
    spread = 0.0
    for number, (carried, (masks, scores)) in enumerate(zip(found, wanted)):
        for plane, mask in zip(carried.planes, masks):
            assert plane.dtype == np.float32 and plane.shape == SIZE
            assert np.abs(plane - mask).max() < 1e-4, number
            spread = max(spread, float(mask.std()))
        assert carried.share == pytest.approx(scores[0], abs=1e-4)
        assert carried.followed.min() == 255
    assert spread > .05
    assert len(found) == FRAMES - 1


def test_planes_are_things_of_their_own_and_prompts_decide(make):
    frames = film(4)
    both = carried_over(make(), frames, (box(20, 30), box(50, 80)))[-1]
    alone = carried_over(make(), frames, (box(20, 30),))[-1]
    other = carried_over(make(), frames, (box(60, 10, 20, 90),))[-1]
    assert np.abs(both.planes[0] - alone.planes[0]).max() < 1e-4
    assert np.abs(both.planes[0] - both.planes[1]).max() > .01
    assert np.abs(other.planes[0] - alone.planes[0]).max() > .01
    carrier = make()
    carrier.advance(frames[0])
    key = carrier.mark()
    carrier.advance(frames[1])
    first = carrier.carry(key, (box(20, 30),))
    assert carrier.carry(key, (box(60, 10, 20, 90),)).planes[0] is not first.planes[0]
    again = carrier.carry(key, (box(20, 30),))
    assert np.array_equal(again.planes[0], first.planes[0])


def test_a_late_keyframe_goes_to_the_newest_frame_in_one_step(make):
    """As transformers does with a stream that lacks the frames between."""
    frames, plane = film(9), box(20, 30)
    carrier = make()
    carrier.advance(frames[0])
    key = carrier.mark()
    for frame in frames[1:]:
        carrier.advance(frame)
    net = MODELS[make.name].from_pretrained(make.folder).eval()
    seen = []
    carrier._net.register_forward_pre_hook(lambda *given: seen.append(1))
    late = carrier.carry(key, [plane]).planes[0]
    assert len(seen) == 2
    side = {'height': 128, 'width': 128}
    looker = Sam2ImageProcessor(size=side)
    processor = Sam2VideoProcessor(looker, Sam2VideoVideoProcessor(size=side))
    session = processor.init_video_session()
    processor.add_inputs_to_inference_session(session, 0, [0], input_masks=[plane >= .5])
    for at in (0, 8):
        pixels = looker(images=[frames[at]], return_tensors='pt')['pixel_values']
        said = net(session, frame=pixels, frame_idx=at)
    masks, = processor.post_process_masks([said.pred_masks], [SIZE], binarize=False)
    assert np.abs(late - masks[0, 0].sigmoid().numpy()).max() < 1e-4
    assert carrier.carry(key, [plane]).planes[0].std() > .01


def bytes_of_tensors():
    """Sum the memory of all tensors of this process."""
    gc.collect()
    storages = {}
    for one in gc.get_objects():
        # Exact types: isinstance asks lazy objects, which warn, and what an exported graph left
        # behind are fake tensors, which hold nothing.
        if type(one) in (torch.Tensor, torch.nn.Parameter):
            storage = one.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def test_memory_does_not_grow_with_the_stream(make):
    """Through `Tracker`, over 240 frames of one keyframe and over many keyframes."""
    frames = film(8)
    for interval in (1000, 5):
        tracker, held = Tracker(replace(TRACK, track_interval=interval), make()), []
        for number in range(120):
            tracker.see(frames[number % 8].copy(), 'take it', number / 30)
            keyframe = tracker.ask()
            if keyframe is not None:
                assert tracker.take(keyframe, Mask(box(20, 30), np.zeros(SIZE, np.float32), .9))
            if number in (24, 119):
                held.append(bytes_of_tensors())
        assert tracker.tracked.frames == (119 if interval == 1000 else 4)
        assert held[1] <= held[0]


def test_nothing_goes_over_to_another_instruction(make):
    """The session ends with the words: masks after them are those of a fresh carrier."""
    frames, empty = film(8), np.zeros(SIZE, np.float32)

    def run(carrier, old):
        tracker = Tracker(TRACK, carrier)
        for number, frame in enumerate(frames):
            words = 'the new' if number >= 4 or not old else 'the old'
            if number < 4 and not old:
                continue
            tracker.see(frame, words, number / 30)
            if number == 4:
                assert tracker.tracked is None
                assert not carrier._marks
            keyframe = tracker.ask()
            if keyframe is not None:
                plane = box(50, 80) if words == 'the new' else box(20, 30)
                assert tracker.take(keyframe, Mask(plane, empty, .9))
        return tracker.tracked.mask.target

    after = run(make(), True)
    assert np.array_equal(after, run(make(), False))
    assert after.std() > .01


def test_a_cut_drops_the_masks(make):
    tracker, frames = Tracker(replace(TRACK, track_scene_change=.4), make()), film(3)
    empty = np.zeros(SIZE, np.float32)
    tracker.see(frames[0], 'take it', 0.0)
    assert tracker.take(tracker.ask(), Mask(box(20, 30), empty, .9))
    tracker.see(frames[1], 'take it', .03)
    assert tracker.tracked is not None
    tracker.see(film(1, seed=5)[0], 'take it', .06)
    assert tracker.tracked is None


def test_what_is_not_there_is_not_looked_for(make):
    """No plane, no work; the target's own certainty is the share, and 1 where there is none."""
    frames, empty = film(3), np.zeros(SIZE, np.float32)
    carrier = make()
    handle = carrier._net.register_forward_pre_hook(lambda *given: pytest.fail('asked'))
    found = carried_over(carrier, frames, (empty, empty + .4))
    handle.remove()
    assert [one.share for one in found] == [1, 1]
    assert not found[-1].planes[0].any() and not found[-1].planes[1].any()
    found = carried_over(make(), frames, (empty, box(20, 30)))
    assert found[-1].share == 1
    assert found[-1].planes[1].any() and not found[-1].planes[0].any()


def test_the_marked_frame_itself_keeps_every_bit_and_misuse_has_names(make):
    carrier, image = make(), film(1)[0]
    with pytest.raises(ValueError, match='wanted a frame first'):
        carrier.mark()
    carrier.advance(image)
    key, soft = carrier.mark(), np.random.default_rng(0).uniform(0, 1, SIZE).astype(np.float32)
    assert carrier.advance(image) == 0
    same = carrier.carry(key, [soft])
    assert same.planes[0] is soft and same.share == 1
    with pytest.raises(ValueError, match=r'size of the frames, \[96, 128\], got \[3, 3\]'):
        carrier.carry(key, [np.zeros((3, 3), np.float32)])
    carrier.advance(np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(ValueError, match='no frame is marked 0'):
        carrier.carry(key, [soft])
    carrier.forget(key)


def test_half_precision_is_near(make, monkeypatch):
    module = module_of(make.name)
    monkeypatch.setattr(module, 'dtype_of', lambda *given: torch.bfloat16)
    half = MemoryCarrier(*module.load(str(make.folder.parent), MaskerConfig(),
                                      torch.device('cpu')))
    frames = film(3)
    wanted, found = (carried_over(carrier, frames, (box(20, 30), box(50, 80)))[-1]
                     for carrier in (make(), half))
    assert 0 < np.abs(found.planes[0] - wanted.planes[0]).mean() < .1


@pytest.mark.parametrize('name', CARRIERS)
def test_missing_weights_are_asked_for_by_a_command(name, tmp_path, monkeypatch):
    """Nothing is fetched unasked, nor by timm: the network is not even tried."""
    monkeypatch.setattr('socket.socket.connect', lambda *given: pytest.fail('tried the network'))
    for weights in ('', str(tmp_path)):
        with pytest.raises(WeightsError, match=f'track_by {name}: .*"ivm download {name}"'):
            load_carriers(replace(TRACK, track_by=name, track_weights=weights))
    module_of(name).write_random(tmp_path)
    load_carriers(replace(TRACK, track_by=name, track_weights=str(tmp_path)))
    with pytest.raises(ConfigError, match="did you mean 'edgetam'"):
        TrackConfig(track_by='edgetan')


def test_a_missing_timm_is_named(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(WeightsError, match=r'EdgeTAM needs the package timm; pip install '
                                           r'"ivm_ros\[foundation\]"'):
        load_carriers(replace(TRACK, track_by='edgetam', track_weights=str(tiny)))


def test_a_full_gpu_says_what_helps(make):
    carrier, frames = make(), film(2)

    def full(*given):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. Of')

    handle = carrier._net.register_forward_pre_hook(full)
    with pytest.raises(MemoryFullError, match='set track_by to flow'):
        carried_over(carrier, frames, [box(20, 30)])
    handle.remove()


def test_parameters_are_what_docstrings_and_pages_say():
    with torch.device('meta'):
        counts = {name: sum(value.numel() for value in net.parameters()) / 1e6 for name, net in {
            'sam2': Sam2VideoModel(config_of(tiny=False)),
            'edgetam': EdgeTamVideoModel(video_config(tiny=False))}.items()}
    page = (ROOT / 'docs' / 'results' / 'video.md').read_text()
    for name, millions in counts.items():
        module, (part,) = module_of(name), parts_of(name).values()
        assert len(Path(module.__file__).read_text().splitlines()) <= 150
        for text in (' '.join(module.__doc__.split()), page):
            assert part.repo in text and part.licence in text
            assert f'{millions:.1f} M' in text
            assert f'{part.gigabytes:g} GB' in text
        assert part.gigabytes == round(4 * millions / 1e3, 2)


@pytest.mark.parametrize('name', CARRIERS)
def test_ivm_bench_times_each_with_random_weights(name, tmp_path, capsys):
    path = tmp_path / 'bench.json'
    assert main(['bench', '--carrier', name, '--tiny', '--quick', '--json', str(path)]) == 0
    report = json.loads(path.read_text())
    assert (report['carrier'], report['made'], report['carry_ms']['n']) == (name, 'tiny', 5)
    assert report['carry_ms']['cpu'] > 1 and report['gflops'] > .01
    assert f'{report["carry_ms"]["cpu"]:.1f}' in capsys.readouterr().out
    with pytest.raises(ConfigError, match='and no weights'):
        BenchConfig(carrier=name, tiny=True, track_weights='a')
