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
What is held out of training data, so that a split can ask for just that.

The rule stands in `ivm_ros.language`: starred nouns and words, and pairs of colour and noun by a
hash. Whoever draws data asks here what may be in it, and which sentences a split is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from ivm_ros.config import Doc
from ivm_ros.language.colours import UNSEEN
from ivm_ros.language.nouns import held_out_pair, NOUNS
from ivm_ros.language.sentence import Sentence
from ivm_ros.language.speaker import Speaker
from ivm_ros.language.things import Thing
from ivm_ros.language.words import plural_of

MORE = 4  # times as many sentences are made where only some are wanted


@dataclass(frozen=True)
class Holdout:
    """
    Which held-out things a dataset shows; training data: none.

    Attributes:
        nouns (bool): Things whose nouns training never shows.
        pairs (bool): Colours of things that training never shows.
        words (bool): Words that training never says.
    """

    nouns: Annotated[bool, Doc('Things whose nouns training never shows.')] = False
    pairs: Annotated[bool, Doc('Colours of things that training never shows.')] = False
    words: Annotated[bool, Doc('Words that training never says.')] = False

    def shows(self, noun: str, colour: str | None = None) -> bool:
        """Tell whether a thing may be in a picture."""
        if NOUNS[noun].held_out and not self.nouns:
            return False
        return self.pairs or colour is None or not held_out_pair(colour, noun)

    def asks(self, sentence: Sentence, things: Sequence[Thing]) -> bool:
        """Tell whether a sentence is about what is held out; any is where nothing is."""
        if not (self.nouns or self.pairs or self.words):
            return True
        meant = [thing for thing in things if thing.id in sentence.targets]
        if self.nouns and any(NOUNS[thing.kind].held_out and named(sentence.text, thing.kind)
                              for thing in meant):
            return True
        if self.pairs and any(thing.colour and held_out_pair(thing.colour, thing.kind)
                              and said(sentence.text, thing.colour) for thing in meant):
            return True
        return self.words and any(unseen_words(sentence.text))


def ask(speaker: Speaker, count: int, relations: float, holdout: Holdout) -> list[Sentence]:
    """Make up to `count` sentences that are about what is held out, or any where nothing is."""
    tries = count if holdout == Holdout() else MORE * count
    return [sentence for sentence in speaker.sentences(tries, relations)
            if holdout.asks(sentence, speaker.things)][:count]


def said(text: str, word: str) -> bool:
    """Tell whether a text holds a word or phrase."""
    plain = ''.join(letter if letter.isalnum() else ' ' for letter in text.lower())
    wanted = ''.join(letter if letter.isalnum() else ' ' for letter in word.lower())
    return f' {" ".join(wanted.split())} ' in f' {" ".join(plain.split())} '


def named(text: str, noun: str) -> bool:
    """Tell whether a text calls a noun by one of its words."""
    words = (*NOUNS[noun].words, *NOUNS[noun].unseen)
    return any(said(text, word) or said(text, plural_of(word)) for word in words)


def unseen_words(text: str) -> list[str]:
    """List the words of a text that training never says."""
    return [word for word in ALL_UNSEEN if said(text, word)]


_nouns = [word for noun in NOUNS.values()
          for word in (*noun.unseen, *(noun.words if noun.held_out else ()))]
ALL_UNSEEN = tuple(dict.fromkeys(
    [*_nouns, *(plural_of(word) for word in _nouns), *(w for ws in UNSEEN.values() for w in ws)]))
"""Every word for a noun or a colour that training data never holds, plurals too."""
