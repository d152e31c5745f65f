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
"""First stage: which words of a sentence name what is acted on, where it goes, and the rest."""

from dataclasses import dataclass
from typing import get_args, Literal, Protocol

Role = Literal['target', 'destination', 'reference', 'forbidden']
ROLES: tuple[Role, ...] = get_args(Role)
WANTED: tuple[Role, ...] = ('target', 'destination')
"""Roles that a mask covers; what only locates, or is forbidden, stays out of it."""


class ParseError(ValueError):
    """A sentence cannot be read, or a phrase is none; the message says what was wanted."""


@dataclass(frozen=True)
class Phrase:
    """
    Words that name something, and what for.

    Attributes:
        text (str): The words with what locates them: 'the red cup left of the pan'.
        role (Role): 'target' is acted on, 'destination' is where it goes, 'reference' only
            locates another, 'forbidden' must be left alone.
        head (str): The same for an expert that knows no relations: 'red cup'.
        whole (bool): The words are the whole sentence, for an expert that reads sentences.
    """

    text: str
    role: Role
    head: str = ''
    whole: bool = False

    def __post_init__(self) -> None:
        """Check the role and that there are words."""
        if self.role not in ROLES:
            raise ParseError(f'role of a phrase: wanted one of {", ".join(ROLES)}, got '
                             f'{self.role!r}')
        if not self.text.strip():
            raise ParseError(f'words of a {self.role}: wanted some, got none')

    @property
    def wanted(self) -> bool:
        """A mask covers it."""
        return self.role in WANTED

    @property
    def related(self) -> bool:
        """More than its head tells which one is meant."""
        return len(self.head.split()) + 1 < len(self.text.split())


@dataclass(frozen=True)
class Parsed:
    """
    A sentence taken apart.

    Attributes:
        instruction (str): The sentence.
        phrases (tuple[Phrase, ...]): What it names, in its order; at least one.
        parser (str): What took it apart: 'grammar', or 'llm:' and the name of a model.
    """

    instruction: str
    phrases: tuple[Phrase, ...]
    parser: str

    def of(self, *roles: Role) -> tuple[Phrase, ...]:
        """List the phrases of some roles."""
        return tuple(phrase for phrase in self.phrases if phrase.role in roles)


class Parser(Protocol):
    """Takes sentences apart."""

    def parse(self, instruction: str) -> Parsed:
        """
        Take one sentence apart.

        Raises:
            ParseError: There are no words in it.
        """
        ...


def sentence_of(parsed: Parsed) -> Phrase:
    """Give the whole sentence as one phrase."""
    return Phrase(parsed.instruction, 'target', parsed.instruction, whole=True)
