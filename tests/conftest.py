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
"""What every test runs under: one thread, and ROS traffic that no other process can hear."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
import os
from pathlib import Path
import shutil
import subprocess
import tempfile
from threading import Lock, Thread
import time
from typing import Any

import numpy as np
import pytest

from ivm_ros.processes import reserve_domain

# Mesa's LLVM and Triton's do not live in one process when Mesa's comes first: Triton, which torch
# loads late and only in part of what it does, then dies of a segmentation fault.
with suppress(ImportError):
    import triton  # noqa: F401

# Set before anything imports torch or rclpy, and inherited by every process a test starts.
for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ[name] = '1'
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['HF_HUB_OFFLINE'] = '1'
os.environ.pop('ROS_NAMESPACE', None)
# Weights that the user has promoted are not those that are tested.
os.environ['XDG_DATA_HOME'] = os.path.join(tempfile.gettempdir(), 'ivm_ros-tests-have-none')


DOMAIN, _DOMAIN_LOCK = reserve_domain()
os.environ['ROS_DOMAIN_ID'] = str(DOMAIN)

COLOURS = {'red': (220, 30, 30), 'green': (30, 200, 40), 'blue': (30, 40, 220),
           'yellow': (230, 220, 30)}
"""Of toys."""


@pytest.fixture(scope='session')
def toys() -> Callable[[int], list[Any]]:
    """
    Give a function that makes the rows of 24 pictures of coloured squares.

    Four sentences each, one of them about what is absent; where squares lie is drawn by the seed.
    """
    from ivm_ros.data.shards import encode_image, encode_mask, Row

    def make(seed: int) -> list[Row]:
        rng, rows = np.random.default_rng(seed), []
        for number in range(24):
            image = np.full((96, 128, 3), 128, np.uint8)
            labels = np.zeros((96, 128), np.uint8)
            for label, colour in enumerate(list(COLOURS)[:3], 1):
                row, column = rng.integers(0, 72), rng.integers(0, 104)
                image[row:row + 24, column:column + 24] = COLOURS[colour]
                labels[row:row + 24, column:column + 24] = label
            robot = np.zeros((96, 128), bool)
            robot[:20, 50:60] = True
            image[robot] = 10
            labels[robot] = 0
            things = {str(label): [colour, 'block'] for label, colour in enumerate(COLOURS, 1)}
            for label, colour in enumerate(COLOURS, 1):
                mask = labels == label
                rows.append(Row(
                    f'1-{number:07d}-{label}', encode_image(image), f'pick up the {colour} block',
                    'plain' if mask.any() else 'absent', encode_mask(mask), encode_mask(robot),
                    bool(mask.any()), 'toy', 'toy',
                    extra={'things': things, 'alike': [label], 'anchors': []},
                    labels=encode_mask(labels)))
        return rows

    return make


@pytest.fixture(scope='session')
def toy_dataset(toys: Callable[[int], list[Any]], tmp_path_factory: pytest.TempPathFactory
                ) -> Path:
    """Make a dataset of 24 pictures of coloured squares, four sentences each, one absent."""
    from ivm_ros.data.shards import write_info, write_shard

    rows, folder = toys(0), tmp_path_factory.mktemp('toy')
    for shard in range(2):
        write_shard(folder / f'shard-{shard:05d}.parquet', rows[shard * 48:(shard + 1) * 48])
    write_info(folder, {'seed': 1, 'words': ['block', *COLOURS]})
    return folder


@pytest.fixture(scope='session')
def mixed_toys(toys: Callable[[int], list[Any]], tmp_path_factory: pytest.TempPathFactory
               ) -> Callable[[int, int], Path]:
    """
    Give a function that makes a dataset of bare toys, of a seed.

    People labelled the pictures from a number on. Of the other labels every second one shows
    another colour's block, which its `extra` says.
    """
    from ivm_ros.data.shards import write_info, write_shard

    def make(seed: int, human_from: int) -> Path:
        seen, bare = [row for row in toys(seed) if row.found], []
        for number, row in enumerate(seen):
            human = int(row.image_id.split('-')[1]) >= human_from
            other = seen[number - 1 if number and seen[number - 1].image_id == row.image_id
                         else number + 1]
            bad = not human and number % 2 == 0
            bare.append(replace(row, mask=other.mask if bad else row.mask, is_human=human,
                                labels=None, extra={'bad': bad}))
        folder = tmp_path_factory.mktemp('mixed')
        write_shard(folder / 'shard-00000.parquet', bare)
        write_info(folder, {'seed': 1})
        return folder

    return make


@pytest.fixture(scope='session')
def small_disk() -> Callable[[Path, str], AbstractContextManager[Path]]:
    """Give a context that mounts a disk of some size at a new folder; skips where we may not."""
    @contextmanager
    def mount(folder: Path, size: str) -> Iterator[Path]:
        folder.mkdir()
        mounted = shutil.which('mount') and subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(folder)],
            capture_output=True, check=False).returncode == 0
        if not mounted:
            pytest.skip('mounting a disk of its own takes root')
        try:
            yield folder
        finally:
            subprocess.run(['umount', '-l', str(folder)], check=False)

    return mount


@pytest.fixture(scope='session')
def shape() -> Callable[[str, int], np.ndarray]:
    """Give a function that draws an ellipse or a box of a colour, uint8 [80, 80, 4] RGBA."""
    import cv2

    rgb = {'red': (200, 20, 20), 'yellow': (240, 210, 20), 'green': (20, 140, 40),
           'blue': (30, 60, 200), 'white': (240, 240, 240), 'black': (15, 15, 15)}

    def draw(colour: str, number: int) -> np.ndarray:
        image = np.zeros((80, 80, 4), np.uint8)
        if number % 2:
            cv2.ellipse(image, (40, 40), (26, 16 + number), 0, 0, 360, (*rgb[colour], 255), -1)
        else:
            cv2.rectangle(image, (12, 20), (68, 72 - number), (*rgb[colour], 255), -1)
        return image

    return draw


@pytest.fixture(scope='session')
def cutout_folder(shape: Callable[[str, int], np.ndarray],
                  tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write cut-outs of ten nouns; melon, peach and razor are held out of training."""
    import cv2

    folder = tmp_path_factory.mktemp('cutouts')
    colours = {'apple': 'red', 'banana': 'yellow', 'duck': 'yellow', 'cup': 'white',
               'hammer': 'black', 'key': 'green', 'cube': 'blue', 'melon': 'green',
               'peach': 'red', 'razor': 'blue'}
    for number, (noun, colour) in enumerate(colours.items()):
        cv2.imwrite(str(folder / f'{noun}.png'),
                    cv2.cvtColor(shape(colour, number), cv2.COLOR_RGBA2BGRA))
    return folder


@pytest.fixture(scope='session')
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write weights of a tiny network that has learnt nothing: masks of it mean nothing."""
    import torch

    from ivm_ros.models.checkpoint import save_checkpoint
    from ivm_ros.models.compact import CompactConfig, CompactNet
    from ivm_ros.models.checkpoint_info import file_hash
    from ivm_ros.models.text_files import find_text_encoder

    path = tmp_path_factory.mktemp('weights') / 'small.safetensors'
    torch.manual_seed(0)
    encoder = file_hash(find_text_encoder() / 'model.safetensors')
    save_checkpoint(path, CompactNet(CompactConfig(96, 128, 32, 1, 2)),
                    {'name': 'x', 'sha256': encoder}, {}, {})
    return path


class ChatServer:
    """
    A server of the OpenAI chat protocol on loopback.

    `answer` gets the request and gives the content of the answer, or (status, whole body). Kept
    are the `requests`, and the `most` that were under way at once.
    """

    def __init__(self, answer: Callable[[dict], str | tuple[int, str]], seconds: float) -> None:
        self.requests, self.most, self.now, lock = [], 0, 0, Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                with lock:
                    server.requests.append(body)
                    server.now += 1
                    server.most = max(server.most, server.now)
                time.sleep(seconds)
                said = answer(body)
                status, text = said if isinstance(said, tuple) else (200, json.dumps({
                    'object': 'chat.completion', 'choices': [
                        {'index': 0, 'finish_reason': 'stop',
                         'message': {'role': 'assistant', 'content': said}}],
                    'usage': {'prompt_tokens': 100, 'completion_tokens': 3}}))
                with lock:  # before the last byte: the client sends its next question after it
                    server.now -= 1
                self.send_response(status)
                self.send_header('Content-Length', str(len(text.encode())))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.http.daemon_threads = True
        self.url = f'http://127.0.0.1:{self.http.server_address[1]}/v1'
        Thread(target=self.http.serve_forever, kwargs={'poll_interval': .01}, daemon=True).start()


@pytest.fixture
def serve() -> Iterator[Callable[..., ChatServer]]:
    """Give a function that starts a `ChatServer` with an answer to every request."""
    servers: list[ChatServer] = []

    def start(answer: Callable[[dict], str | tuple[int, str]], seconds: float = 0) -> ChatServer:
        servers.append(ChatServer(answer, seconds))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


@pytest.fixture(scope='session')
def picture_in() -> Callable[[dict], np.ndarray]:
    """Give a function that decodes the picture of a request, uint8 [H, W, 3] RGB."""
    import cv2

    def decode(body: dict) -> np.ndarray:
        url = next(part['image_url']['url'] for part in body['messages'][-1]['content']
                   if part['type'] == 'image_url')
        head, _, data = url.partition(',')
        assert head == 'data:image/jpeg;base64'
        pixels = np.frombuffer(b64decode(data), np.uint8)
        return cv2.cvtColor(cv2.imdecode(pixels, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    return decode
