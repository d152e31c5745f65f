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
A language model behind the OpenAI chat protocol: any server that speaks it.

Questions and answers are JSON objects. What a sentence says is data: it travels as a JSON string,
and of the answer only what fits the schema is taken, so that no sentence can change roles, files
or settings. Failures are retried a bounded number of times, then have a name.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.resources import files
import json
import os
from pathlib import Path
import re
import socket
from threading import Timer
import time
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import tyro

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.files import replace_file

Made = TypeVar('Made')
Kind = Literal['unreachable', 'slow', 'status', 'refusal', 'not JSON', 'schema', 'budget', 'gone']
LONGEST = 1 << 20  # bytes of an answer
GIVE_UP = 5  # failures in a row after which a server counts as gone
BUSY = (408, 429)  # statuses below 500 that may pass


def _flag(name: str) -> Any:
    return tyro.conf.arg(name=name, prefix_name=False)


@dataclass(frozen=True)
class LlmConfig:
    """Which language model reads sentences; none: rules read them."""

    url: Annotated[str, _flag('llm-url'), Doc(
        'Server of the OpenAI chat protocol, such as http://localhost:11434/v1; empty: none.')
    ] = ''
    model: Annotated[str, _flag('llm-model'), Doc('Name of the model at the server.')] = ''
    fallback: Annotated[Literal['grammar', 'error'], _flag('llm-fallback'), Doc(
        'When it fails: rules read the sentence, or annotation stops.')] = 'grammar'
    timeout: Annotated[float, _flag('llm-timeout'), Range(.01, 3600), Doc(
        'Seconds from question to the end of an answer.')] = 30.0
    retries: Annotated[int, _flag('llm-retries'), Range(0, 20), Doc(
        'Further tries after a failure that may pass.')] = 2
    pause: Annotated[float, _flag('llm-pause'), Range(0, 600), Doc(
        'Seconds before the first further try; doubled each time.')] = .5
    budget: Annotated[int, _flag('llm-budget'), Range(0), Doc(
        'Most questions ever sent with one cache folder; 0: no limit.')] = 100_000
    cache: Annotated[str, _flag('llm-cache'), Doc(
        'Folder of answers; empty: "llm" in the folder that is written.')] = ''
    prompts: Annotated[str, _flag('llm-prompts'), Doc(
        'File of prompts; empty: ours, annotate/assets/prompts.txt.')] = ''
    key: Annotated[str, _flag('llm-key'), Doc(
        'Environment variable that holds the key of the server.')] = 'OPENAI_API_KEY'

    def __post_init__(self) -> None:
        """Check types, ranges and the address."""
        check(self)
        if self.url and not (urlsplit(self.url).scheme in ('http', 'https')
                             and urlsplit(self.url).hostname):
            raise ConfigError(f'LlmConfig.url: wanted http://HOST:PORT/v1 or https://..., got '
                              f'{self.url!r}')
        if bool(self.url) != bool(self.model):
            raise ConfigError(f'LlmConfig: wanted both --llm-url and --llm-model, or none, got '
                              f'{self.url!r} and {self.model!r}')


class LlmError(RuntimeError):
    """A language model did not answer as it must; `kind` names how."""

    def __init__(self, kind: Kind, message: str, again: bool = True):
        """Name the failure; `again`: another try may succeed."""
        super().__init__(kind, message, again)
        self.kind, self.again = kind, again

    def __str__(self) -> str:
        """Say what happened."""
        return f'language model, {self.kind}: {self.args[1]}'


@dataclass(frozen=True)
class Question:
    """
    What is asked.

    Attributes:
        prompt (str): Section of the file of prompts.
        payload (dict[str, Any]): The user's message, sent as JSON.
        schema (dict[str, Any]): JSON schema of the answer.
    """

    prompt: str
    payload: dict[str, Any]
    schema: dict[str, Any]


class Llm:
    """
    Asks a server, and remembers its answers.

    Args:
        config: Server and limits.
        cache: Folder of answers where the config names none.
    """

    def __init__(self, config: LlmConfig, cache: Path):
        self.config = config
        self.cache = Path(config.cache) if config.cache else cache
        self.prompts = read_prompts(config.prompts)
        self._failures = 0

    def ask(self, question: Question, accept: Callable[[Any], Made]) -> Made:
        """
        Ask, or remember.

        Args:
            question: What is asked.
            accept: Turns the JSON of an answer into what is wanted; raises `LlmError`, kind
                'schema', where it does not fit.

        Raises:
            LlmError: No answer that fits, or the budget is spent.
        """
        path = self._path(question)
        try:
            return accept(json.loads(path.read_text()))
        except (OSError, ValueError, LlmError):  # not asked yet, torn, or of an older schema
            pass
        attempt = 0
        while True:
            try:
                answer = self._answer(question)
                made = accept(answer)
                break
            except LlmError as error:
                if not error.again or attempt == self.config.retries:
                    raise
            time.sleep(self.config.pause * 2 ** attempt)
            attempt += 1
        with replace_file(path) as part:
            part.write_text(json.dumps(answer))
        return made

    def _path(self, question: Question) -> Path:
        key = json.dumps([self.config.model, self.prompts[question.prompt], question.payload,
                          question.schema], sort_keys=True)
        digest = sha256(key.encode()).hexdigest()
        return self.cache / digest[:2] / f'{digest}.json'

    def _answer(self, question: Question) -> Any:
        """Send a question; a server that fails too often in a row is asked no more."""
        if self._failures >= GIVE_UP:
            raise LlmError('gone', f'{self.config.url} failed {GIVE_UP} times in a row; see that '
                           'it runs and start again', again=False)
        self._spend()
        try:
            text = self._post(self._body(question))
        except LlmError:
            self._failures += 1
            raise
        self._failures = 0
        return content_of(text)

    def _spend(self) -> None:
        """Count a question, over all processes and runs with this cache."""
        path = self.cache / 'asked'
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('ab') as asked:  # one byte a question: appending is atomic
            asked.write(b'.')
        if 0 < self.config.budget < path.stat().st_size:
            raise LlmError('budget', f'{self.config.budget} questions were sent with the cache '
                           f'{self.cache}; raise --llm-budget to go on', again=False)

    def _body(self, question: Question) -> bytes:
        return json.dumps({
            'model': self.config.model, 'temperature': 0,
            'messages': [{'role': 'system', 'content': self.prompts[question.prompt]},
                         {'role': 'user', 'content': json.dumps(question.payload)}],
            'response_format': {'type': 'json_schema', 'json_schema': {
                'name': question.prompt, 'strict': True, 'schema': question.schema}}}).encode()

    def _post(self, body: bytes) -> str:
        """Send one request; the time limit holds for all of it, however slowly bytes come."""
        url, started = urlsplit(self.config.url), time.monotonic()
        make = HTTPSConnection if url.scheme == 'https' else HTTPConnection
        connection = make(url.hostname or '', url.port, timeout=self.config.timeout)
        headers = {'Content-Type': 'application/json'}
        if key := os.environ.get(self.config.key):
            headers['Authorization'] = f'Bearer {key}'
        limit = None
        try:
            connection.connect()
            limit = Timer(self.config.timeout, _hang_up, [connection.sock])
            limit.daemon = True
            limit.start()
            connection.request('POST', f'{url.path.rstrip("/")}/chat/completions', body, headers)
            response = connection.getresponse()
            text = response.read(LONGEST + 1)
        except (OSError, HTTPException) as error:
            late = isinstance(error, TimeoutError) or (
                time.monotonic() - started >= self.config.timeout)
            raise self._slow() if late else LlmError(
                'unreachable', f'{self.config.url}: {error or type(error).__name__}') from error
        finally:
            if limit is not None:
                limit.cancel()
            connection.close()
        if time.monotonic() - started >= self.config.timeout:
            raise self._slow()
        return _checked(response.status, text)

    def _slow(self) -> LlmError:
        return LlmError('slow', f'no whole answer within {self.config.timeout:g} s')


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # closed already
        sock.shutdown(socket.SHUT_RDWR)


def _checked(status: int, text: bytes) -> str:
    said = text[:200].decode(errors='replace')
    if status != 200:
        raise LlmError('status', f'{status}: {said!r}', again=status >= 500 or status in BUSY)
    if len(text) > LONGEST:
        raise LlmError('not JSON', f'more than {LONGEST} bytes: {said!r}')
    return text.decode(errors='replace')


def content_of(text: str) -> Any:
    """
    Read what the model said out of a server's answer.

    Raises:
        LlmError: The answer is no chat completion, its content no JSON, or a refusal.
    """
    try:
        choice = json.loads(text)['choices'][0]
        message = choice['message']
        refusal, content = message.get('refusal'), message.get('content')
    except ValueError as error:
        raise LlmError('not JSON', f'{text[:200]!r}') from error
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise LlmError('schema', f'no choices[0].message in {text[:200]!r}') from error
    if refusal or choice.get('finish_reason') == 'content_filter':
        raise LlmError('refusal', f'{str(refusal)[:200]!r}', again=False)
    if not isinstance(content, str):
        raise LlmError('schema', f'wanted text, got {str(content)[:200]!r}')
    bare = re.sub(r'^\s*```(?:json)?\s*|\s*```\s*$', '', content)
    try:
        return json.loads(bare)
    except ValueError as error:
        raise LlmError('not JSON', f'{content[:200]!r}') from error


def read_prompts(path: str) -> dict[str, str]:
    """
    Read the sections of a file of prompts; '' for ours.

    Raises:
        ConfigError: No file, or a section is missing.
    """
    place = Path(path) if path else files('ivm_ros') / 'annotate' / 'assets' / 'prompts.txt'
    try:
        text = place.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'LlmConfig.prompts: {path}: {error}') from error
    parts = re.split(r'^## *(\w+) *$', text, flags=re.MULTILINE)
    prompts = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2])}
    missing = [name for name in ('simplify', 'complicate') if not prompts.get(name)]
    if missing:
        raise ConfigError(f'LlmConfig.prompts: {path} lacks the sections {", ".join(missing)} '
                          '(lines "## simplify", "## complicate")')
    return prompts
