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
One request to a server of the OpenAI chat protocol, and every way in which it can fail.

Failures have a name; whether another try may help is said with them.
"""

from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
import os
import socket
from threading import Timer
import time
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import tyro

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.files import parse_json

Kind = Literal['unreachable', 'slow', 'status', 'refusal', 'not JSON', 'schema', 'budget', 'gone']
LONGEST = 1 << 20  # bytes of an answer
BUSY = (408, 429)  # statuses below 500 that may pass


def flag(name: str) -> Any:
    """Name the option of a field, whatever it is nested in."""
    return tyro.conf.arg(name=name, prefix_name=False)


@dataclass(frozen=True)
class ChatConfig:
    """Which model is asked, and how patiently."""

    url: Annotated[str, flag('llm-url'), Doc(
        'Server of the OpenAI chat protocol, such as http://localhost:11434/v1; empty: none.')
    ] = ''
    model: Annotated[str, flag('llm-model'), Doc('Name of the model at the server.')] = ''
    timeout: Annotated[float, flag('llm-timeout'), Range(.01, 3600), Doc(
        'Seconds from question to the end of an answer.')] = 30.0
    retries: Annotated[int, flag('llm-retries'), Range(0, 20), Doc(
        'Further tries after a failure that may pass.')] = 2
    pause: Annotated[float, flag('llm-pause'), Range(0, 600), Doc(
        'Seconds before the first further try; doubled each time.')] = .5
    budget: Annotated[int, flag('llm-budget'), Range(0), Doc(
        'Most questions ever sent with one cache folder; 0: no limit.')] = 100_000
    cache: Annotated[str, flag('llm-cache'), Doc(
        'Folder of answers; empty: "llm" in the folder that is written.')] = ''
    key: Annotated[str, flag('llm-key'), Doc(
        'Environment variable that holds the key of the server.')] = 'OPENAI_API_KEY'

    def __post_init__(self) -> None:
        """Check types, ranges and the address."""
        check(self)
        name = type(self).__name__
        if self.url and not (urlsplit(self.url).scheme in ('http', 'https')
                             and urlsplit(self.url).hostname):
            raise ConfigError(f'{name}.url: wanted http://HOST:PORT/v1 or https://..., got '
                              f'{self.url!r}')
        if bool(self.url) != bool(self.model):
            raise ConfigError(f'{name}: wanted both --llm-url and --llm-model, or none, got '
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
class Reply:
    """
    What a model said.

    Attributes:
        text (str): Its words.
        asked (int | None): Tokens of the question, pictures among them; None: the server is mum.
        said (int | None): Tokens of the answer.
        remembered (bool): It was on disk and nothing was sent.
    """

    text: str
    asked: int | None = None
    said: int | None = None
    remembered: bool = False


def post(config: ChatConfig, body: bytes) -> str:
    """
    Send one request; the time limit holds for all of it, however slowly bytes come.

    Raises:
        LlmError: The server is not there, too slow, or answers another status than 200.
    """
    url, started = urlsplit(config.url), time.monotonic()
    make = HTTPSConnection if url.scheme == 'https' else HTTPConnection
    connection = make(url.hostname or '', url.port, timeout=config.timeout)
    headers = {'Content-Type': 'application/json'}
    if key := os.environ.get(config.key):
        headers['Authorization'] = f'Bearer {key}'
    limit = None
    try:
        connection.connect()
        limit = Timer(config.timeout, _hang_up, [connection.sock])
        limit.daemon = True
        limit.start()
        connection.request('POST', f'{url.path.rstrip("/")}/chat/completions', body, headers)
        response = connection.getresponse()
        text = response.read(LONGEST + 1)
    except (OSError, HTTPException) as error:
        late = isinstance(error, TimeoutError) or (
            time.monotonic() - started >= config.timeout)
        raise _slow(config) if late else LlmError(
            'unreachable', f'{config.url}: {error or type(error).__name__}') from error
    finally:
        if limit is not None:
            limit.cancel()
        connection.close()
    if time.monotonic() - started >= config.timeout:
        raise _slow(config)
    return _checked(response.status, text)


def _slow(config: ChatConfig) -> LlmError:
    return LlmError('slow', f'no whole answer within {config.timeout:g} s')


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


def reply_of(text: str) -> Reply:
    """
    Read what the model said out of a server's answer.

    Raises:
        LlmError: The answer is no chat completion, or a refusal.
    """
    try:
        told = parse_json(text)
        choice = told['choices'][0]
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
    usage = told.get('usage')
    usage = usage if isinstance(usage, dict) else {}
    asked, said = (count if isinstance(count := usage.get(name), int) else None
                   for name in ('prompt_tokens', 'completion_tokens'))
    return Reply(content, asked, said)
