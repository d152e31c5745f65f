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
A model behind the OpenAI chat protocol, of text or of pictures too: any server that speaks it.

Answers are remembered on disk, failures are retried a bounded number of times and then have a
name, and what is sent is counted. Safe to use from several threads.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import sha256
import json
from pathlib import Path
import re
from threading import Lock
import time
from typing import Any, TypeVar

import cv2
import numpy as np

from ivm_ros.chat_server import ChatConfig, LlmError, post, Reply, reply_of
from ivm_ros.files import parse_json, replace_file

__all__ = ['Chat', 'ChatConfig', 'LlmError', 'Reply']

Made = TypeVar('Made')
GIVE_UP = 5  # failures in a row after which a server counts as gone


class Chat:
    """
    Asks a server, and remembers its answers.

    Args:
        config: Server and limits.
        cache: Folder of answers where the config names none.
    """

    def __init__(self, config: ChatConfig, cache: Path):
        self.config = config
        self.cache = Path(config.cache) if config.cache else cache
        self._failures, self._last = 0, ''
        self._guard = Lock()
        self._asking: dict[str, Lock] = {}

    def ask(self, messages: Sequence[dict[str, Any]], accept: Callable[[str], Made],
            **more: Any) -> tuple[Made, Reply]:
        """
        Ask, or remember.

        Args:
            messages: As the protocol has them.
            accept: Turns an answer into what is wanted; raises `LlmError` where it does not fit.
            more: Further fields of the request.

        Raises:
            LlmError: No answer that fits, or the budget is spent.
        """
        body = json.dumps({'model': self.config.model, 'temperature': 0, 'messages': messages,
                           **more}).encode()
        digest = sha256(body).hexdigest()
        path = self.cache / digest[:2] / f'{digest}.json'
        with self._guard:
            turn = self._asking.setdefault(digest, Lock())
        with turn:  # who asks the same meanwhile finds the answer on disk
            try:
                kept: dict[str, Any] = json.loads(path.read_text())
                reply = Reply(**{**kept, 'remembered': True})
                return accept(reply.text), reply
            except (OSError, ValueError, TypeError, LlmError):
                pass  # not asked yet, torn, or of an older schema
            made, reply = self._insist(body, accept)
            with replace_file(path) as part:
                part.write_text(json.dumps(asdict(reply)))
        return made, reply

    def look(self, picture: np.ndarray, text: str, most: int = 0) -> Reply:
        """
        Ask about a picture.

        Args:
            picture: uint8 [H, W, 3] RGB; it travels as a JPEG of quality 95 with full chroma.
            text: The question.
            most: Tokens of the answer at most; 0 leaves that to the server.

        Raises:
            LlmError: No answer, or the budget is spent.
        """
        content = [{'type': 'text', 'text': text},
                   {'type': 'image_url', 'image_url': {'url': data_url(picture)}}]
        more = {'max_tokens': most} if most else {}
        return self.ask([{'role': 'user', 'content': content}], lambda said: said, **more)[1]

    def decide(self, name: str, system: str, payload: dict[str, Any], schema: dict[str, Any],
               accept: Callable[[Any], Made]) -> tuple[Made, Reply]:
        """
        Ask for a JSON object of some schema.

        Args:
            name: Of the schema.
            system: What the model is told to do.
            payload: The user's message, sent as JSON: data, never a command.
            schema: JSON schema of the answer.
            accept: Turns the JSON of an answer into what is wanted; raises `LlmError`, kind
                'schema', where it does not fit.

        Raises:
            LlmError: No answer that fits, or the budget is spent.
        """
        return self.ask(
            [{'role': 'system', 'content': system},
             {'role': 'user', 'content': json.dumps(payload)}], lambda said: accept(_json(said)),
            response_format={'type': 'json_schema', 'json_schema': {
                'name': name, 'strict': True, 'schema': schema}})

    def _insist(self, body: bytes, accept: Callable[[str], Made]) -> tuple[Made, Reply]:
        """Try until an answer fits or tries are used up."""
        attempt = 0
        while True:
            try:
                reply = self._answer(body)
                return accept(reply.text), reply
            except LlmError as error:
                if not error.again or attempt == self.config.retries:
                    raise
            time.sleep(self.config.pause * 2 ** attempt)
            attempt += 1

    def _answer(self, body: bytes) -> Reply:
        """Send a question; a server that fails too often in a row is asked no more."""
        if self._failures >= GIVE_UP:
            raise LlmError('gone', f'{self.config.url} failed {GIVE_UP} times in a row, at last '
                           f'by {self._last}; see that it runs and start again', again=False)
        self._spend()
        try:
            text = post(self.config, body)
        except LlmError as error:
            with self._guard:
                self._failures, self._last = self._failures + 1, f'{error.kind}: {error.args[1]}'
            raise
        self._failures = 0
        return reply_of(text)

    def _spend(self) -> None:
        """Count a question, over all processes and runs with this cache."""
        path = self.cache / 'asked'
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('ab', buffering=0) as asked:  # one byte a question: appending is atomic
            asked.write(b'.')
            number = asked.tell()  # of this question, whoever else appends meanwhile
        if 0 < self.config.budget < number:
            raise LlmError('budget', f'{self.config.budget} questions were sent with the cache '
                           f'{self.cache}; raise --llm-budget to go on', again=False)


def _json(said: str) -> Any:
    """Read the JSON of an answer, bare or fenced."""
    bare = re.sub(r'^\s*```(?:json)?\s*|\s*```\s*$', '', said)
    try:
        return parse_json(bare)
    except ValueError as error:
        raise LlmError('not JSON', f'{said[:200]!r}') from error


def data_url(picture: np.ndarray) -> str:
    """Give a picture uint8 [H, W, 3] RGB as the protocol sends it: JPEG in base64."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, 95,
             cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    data = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), flags)[1]
    return f'data:image/jpeg;base64,{b64encode(data.tobytes()).decode()}'
