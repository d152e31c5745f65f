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
A slow model behind a fast stream: keyframes in a thread of their own, masks carried between them.

The tracker belongs to the thread of the stream; the model's thread only gets keyframes and leaves
its masks in a queue. Knows neither node nor messages.
"""

from collections import deque
from collections.abc import Callable
from threading import Lock
import time

import numpy as np

from ivm_ros.carriers import MakeCarrier
from ivm_ros.nodes.batches import Batches
from ivm_ros.sample import Mask
from ivm_ros.tracker import Keyframe, TrackConfig, Tracked, Tracker

STREAM = 'stream'  # the one name among the worker's: its newest keyframe waits


class NoMaskYetError(ValueError):
    """A frame came before the first mask for its instruction, or its scene, was there."""


class KeyframeMasker:
    """
    Give each frame a mask at once; the model masks some of them meanwhile.

    Args:
        masker: (uint8 [H, W, 3], instruction) -> Mask; called in a thread of its own.
        config: `track_height` counts now, all else with each frame.
        carrier: Makes what carries masks; None: by flow.
    """

    def __init__(self, masker: Callable[[np.ndarray, str], Mask], config: TrackConfig,
                 carrier: MakeCarrier | None = None) -> None:
        self._masker = masker
        self._tracker = Tracker(config, carrier() if carrier is not None else None)
        self._done: deque[tuple[Keyframe, Mask | Exception]] = deque()
        self._lock = Lock()
        self._facts = {'keyframes': '0'}
        self._count = 0
        self._worker = Batches[Keyframe](lambda items: self._work(items[STREAM]),
                                         lambda name: None, lambda: 0.0, lambda: (STREAM,))

    @property
    def facts(self) -> dict[str, str]:
        """What diagnostics show; from any thread."""
        with self._lock:
            return dict(self._facts)

    def __call__(self, image: np.ndarray, instruction: str, config: TrackConfig) -> Tracked:
        """
        Mask the next frame of the stream.

        Raises:
            NoMaskYetError: There is no mask to carry to this frame; one is being made.
            Exception: What the model raised on a keyframe, once; the next one is asked for.
        """
        self._tracker.use(config)
        self._tracker.see(image, instruction, time.monotonic())
        error = self._collect()
        keyframe = self._tracker.ask()
        if keyframe is not None:
            self._worker.put({STREAM: keyframe})
        tracked = self._tracker.tracked
        self._note(tracked)
        if error is not None:
            raise error
        if tracked is None:
            raise NoMaskYetError('no mask yet: the model is at work on a keyframe')
        return tracked

    def reset(self) -> None:
        """Forget all masks: frames go another way now."""
        self._tracker.reset()
        self._note(None)

    def stop(self, timeout: float = 10.0) -> bool:
        """End the model's thread; False when the model did not come back in `timeout` seconds."""
        return self._worker.stop(timeout)

    def _collect(self) -> Exception | None:
        """Take what the model has finished; return what it failed with."""
        error = None
        while self._done:
            keyframe, made = self._done.popleft()
            if isinstance(made, Mask):
                self._tracker.take(keyframe, made)
            elif self._tracker.fail(keyframe):
                error = made
        return error

    def _work(self, keyframe: Keyframe) -> None:
        begin = time.monotonic()
        made: Mask | Exception
        try:
            made = self._masker(keyframe.image, keyframe.instruction)
        except Exception as error:  # noqa: BLE001 - the stream's thread deals with it
            made = error
        with self._lock:
            self._count += 1
            self._facts |= {'keyframes': str(self._count),
                            'keyframe_ms': f'{1e3 * (time.monotonic() - begin):.1f}'}
        self._done.append((keyframe, made))

    def _note(self, tracked: Tracked | None) -> None:
        with self._lock:
            self._facts |= {
                'keyframe_age_ms': '' if tracked is None else f'{1e3 * tracked.age:.1f}',
                'keyframe_confidence': '' if tracked is None else f'{tracked.confidence:.2f}'}
