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
"""What a language model is asked, in both directions of the paper, and what of it is taken."""

from collections.abc import Sequence
import re
from typing import Any

from ivm_ros.annotate.llm import Llm, LlmError, Question
from ivm_ros.language.grammar import GrammarParser
from ivm_ros.language.parse import Parsed, ParseError, Phrase, ROLES

MOST = 12  # phrases of a sentence
LONGEST = 300  # characters of a sentence that a model writes, or of a phrase
PLAIN = re.compile(r"[^\W_]+(?:[ '-][^\W_]+){0,5}")
"""Words that need not stand in the sentence: one to six, no signs, so no path and no address."""

_FIELDS = ('text', 'role', 'name')
PHRASES: dict[str, Any] = {
    'type': 'object', 'additionalProperties': False, 'required': ['phrases'],
    'properties': {'phrases': {'type': 'array', 'minItems': 1, 'maxItems': MOST, 'items': {
        'type': 'object', 'additionalProperties': False, 'required': list(_FIELDS),
        'properties': {'text': {'type': 'string'}, 'name': {'type': 'string'},
                       'role': {'type': 'string', 'enum': list(ROLES)}}}}}}
INSTRUCTIONS: dict[str, Any] = {
    'type': 'object', 'additionalProperties': False, 'required': ['instructions'],
    'properties': {'instructions': {'type': 'array', 'items': {'type': 'string'}}}}


class LlmParser:
    """
    Takes sentences apart by a language model.

    Args:
        llm: The model; its config says what happens when it fails.
    """

    def __init__(self, llm: Llm):
        self.llm = llm
        self.rules = GrammarParser()

    def parse(self, instruction: str) -> Parsed:
        """
        Take one sentence apart: a complex one becomes phrases that experts understand.

        Raises:
            ParseError: There are no words in it.
            LlmError: The model fails and the config says 'error'.
        """
        if not instruction.strip():
            raise ParseError(f'instruction: wanted a sentence, got {instruction!r}')
        question = Question('simplify', {'instruction': instruction}, PHRASES)
        try:
            phrases = self.llm.ask(question, lambda said: phrases_of(said, instruction))
        except LlmError as error:
            if self.llm.config.fallback == 'error':
                raise
            parsed = self.rules.parse(instruction)
            return Parsed(instruction, parsed.phrases, f'grammar (language model: {error.kind})')
        return Parsed(instruction, phrases, f'llm:{self.llm.config.model}')


def phrases_of(said: Any, instruction: str) -> tuple[Phrase, ...]:
    """
    Take phrases from an answer.

    Raises:
        LlmError: It does not fit the schema, or its words are neither the sentence's nor plain.
    """
    items = _only(said, 'phrases')
    if not 1 <= len(items) <= MOST:
        raise LlmError('schema', f'wanted 1 to {MOST} phrases, got {len(items)}')
    phrases = []
    for item in items:
        if not isinstance(item, dict) or {*item} != {*_FIELDS} or not all(
                isinstance(value, str) for value in item.values()):
            raise LlmError('schema', f'wanted {", ".join(_FIELDS)} as texts, got '
                           f'{str(item)[:200]}')
        text, role, name = (' '.join(item[field].split()) for field in _FIELDS)
        if role not in ROLES:
            raise LlmError('schema', f'role: wanted one of {", ".join(ROLES)}, got {role!r}')
        own = text.lower() in ' '.join(instruction.lower().split()) and len(text) <= LONGEST
        if not text or not (own or PLAIN.fullmatch(text)) or not PLAIN.fullmatch(name):
            raise LlmError('schema', 'wanted words of the sentence or up to six plain ones, got '
                           f'{text[:80]!r}, {name[:80]!r}')
        phrases.append(Phrase(text, role, name))
    return tuple(phrases)


def complicate(llm: Llm, phrases: Sequence[Phrase], count: int) -> tuple[str, ...]:
    """
    Write complex instructions for what has a label already.

    Args:
        llm: The model.
        phrases: What the label covers, and what it must not.
        count: How many instructions.

    Raises:
        LlmError: The model fails.
    """
    things = [{'name': phrase.head or phrase.text, 'role': phrase.role} for phrase in phrases
              if phrase.role != 'reference']
    question = Question('complicate', {'things': things, 'count': count}, INSTRUCTIONS)
    return llm.ask(question, lambda said: instructions_of(said, count))


def instructions_of(said: Any, count: int) -> tuple[str, ...]:
    """
    Take instructions from an answer.

    Raises:
        LlmError: Not as many different printable sentences as asked for.
    """
    items = _only(said, 'instructions')
    texts = [' '.join(item.split()) for item in items if isinstance(item, str)]
    good = [text for text in dict.fromkeys(texts) if 0 < len(text) <= LONGEST
            and text.isprintable()]
    if len(good) < count or len(items) != len(texts):
        raise LlmError('schema', f'wanted {count} different sentences of at most {LONGEST} '
                       f'characters, got {len(good)} in {str(said)[:200]}')
    return tuple(good[:count])


def _only(said: Any, name: str) -> list[Any]:
    """Give the list that is an object's only field."""
    if not isinstance(said, dict) or {*said} != {name} or not isinstance(said[name], list):
        raise LlmError('schema', f'wanted an object with the list {name!r} alone, got '
                       f'{str(said)[:200]}')
    items: list[Any] = said[name]
    return items
