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
The language model that reads sentences, or writes them.

Questions and answers are JSON objects. What a sentence says is data: it travels as a JSON string,
and of the answer only what fits the schema is taken, so that no sentence can change roles, files
or settings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
import re
from typing import Annotated, Any, Literal, TypeVar

from ivm_ros.chat import Chat
from ivm_ros.chat_server import ChatConfig, flag, LlmError
from ivm_ros.config import ConfigError, Doc

__all__ = ['Llm', 'LlmConfig', 'LlmError', 'Question', 'read_prompts']

Made = TypeVar('Made')


@dataclass(frozen=True)
class LlmConfig(ChatConfig):
    """Which language model reads sentences; none: rules read them."""

    fallback: Annotated[Literal['grammar', 'error'], flag('llm-fallback'), Doc(
        'When it fails: rules read the sentence, or annotation stops.')] = 'grammar'
    prompts: Annotated[str, flag('llm-prompts'), Doc(
        'File of prompts; empty: ours, annotate/assets/prompts.txt.')] = ''


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
        config: Server, limits and prompts.
        cache: Folder of answers where the config names none.
    """

    def __init__(self, config: LlmConfig, cache: Path):
        self.config = config
        self.prompts = read_prompts(config.prompts)
        self._chat = Chat(config, cache)

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
        return self._chat.decide(question.prompt, self.prompts[question.prompt],
                                 question.payload, question.schema, accept)[0]


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
