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
`~/reload`: the weights of a running node give way to those on disk, between two frames.

Loading takes a second or more, so it happens in a thread of its own while frames go on with the
old weights; what fails to load, or to mask a first picture, never reaches a frame.
"""

from collections.abc import Callable
import concurrent.futures
from threading import Thread

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.nodes.watchdog import Watchdog


def load_masker(config: MaskerConfig, limit: Callable[[], float]) -> Watchdog:
    """
    Load a model and mask a first picture: the first call is slow, better now than on a frame.

    Args:
        config: What to load.
        limit: As `Watchdog` has it.

    Raises:
        ValueError: As `Masker` does.
    """
    masker = Masker(config)
    cv2.setNumThreads(masker.threads)  # as torch: a team here would fight it
    watched = Watchdog(masker, limit)
    watched(np.zeros((480, 640, 3), np.uint8), 'pick up the cup')
    return watched


def load_while(alive: Callable[[], bool], load: Callable[[], Watchdog]) -> Watchdog:
    """
    Load in a thread that is left to itself when ROS shuts down: to import torch takes seconds.

    Args:
        alive: Tells that somebody still wants the model.
        load: Loads it.

    Raises:
        KeyboardInterrupt: Nobody does.
        Exception: What loading raises.
    """
    made: concurrent.futures.Future[Watchdog] = concurrent.futures.Future()

    def work() -> None:
        try:
            made.set_result(load())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            made.set_exception(error)

    Thread(target=work, name='load', daemon=True).start()
    while not concurrent.futures.wait([made], .05).done:
        if not alive():
            raise KeyboardInterrupt
    return made.result()


class Reload:
    """
    The service; rclpy takes `answer` as its callback.

    Args:
        node: Its executor goes on with other work meanwhile.
        load: Loads a model, in whatever thread it is called.
        current: Gives the model in use, None where none is loaded.
        use: Takes the new one; called by the executor.
    """

    def __init__(self, node: Node, load: Callable[[], Watchdog],
                 current: Callable[[], Watchdog | None], use: Callable[[Watchdog], None]) -> None:
        self._node, self._load, self._current, self._use = node, load, current, use

    async def answer(self, request: Trigger.Request, response: Trigger.Response
                     ) -> Trigger.Response:
        """Load the weights and use them; say which, or why not."""
        old = self._current()
        if old is None:
            response.success = False
            response.message = 'no weights are loaded yet: configure loads them'
            return response
        new = await self._start()
        response.success, response.message = self._finish(old, new or 'loading was given up')
        if response.success:  # rclpy wants one severity a line of source
            self._node.get_logger().info(f'reload: {response.message}')
        else:
            self._node.get_logger().error(f'reload: {response.message}')
        return response

    def _start(self) -> 'Future[Watchdog | str]':  # quoted: no generic in Jazzy
        """Start loading; the result is the model, or a sentence that says why there is none."""
        future: Future[Watchdog | str] = Future()

        def work() -> None:
            made: Watchdog | str
            try:
                made = self._load()
            except Exception as error:  # noqa: BLE001 - the old weights stay, whatever it is
                known = isinstance(error, ValueError)
                made = str(error) if known else f'{type(error).__name__}: {error}'
            future.set_result(made)
            if self._node.executor is not None:
                self._node.executor.wake()

        Thread(target=work, name='reload', daemon=True).start()
        return future

    def _finish(self, old: Watchdog, new: Watchdog | str) -> tuple[bool, str]:
        if isinstance(new, str):
            return False, f'the weights in use stay ({_short(old)}): {new}'
        if self._current() is not old:
            return False, 'the node was configured anew meanwhile, nothing is changed'
        self._use(new)
        return True, f'weights {new.info["weights"]} ({_short(old)} before, {_short(new)} now)'


def _short(masker: Watchdog) -> str:
    return str(masker.info['sha256'])[:12]
