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
"""Mistyped words that carry a sentence: verbs at its start and prepositions, not names."""

from functools import cache

from ivm_ros.language.grammar_words import BRINGS, MOVES, OTHERS, PUTS, SINGULAR

FEWEST = 4  # letters of a word that is mended; shorter ones are too much alike
OPENING = frozenset(word for verb in (*PUTS, *MOVES, *BRINGS, *OTHERS) for word in verb.split()
                    if len(word) > FEWEST) | {'could', 'would', 'please'}
PLACES = frozenset(('inside', 'beside', 'close', 'behind', 'front', 'nearest', 'closest'))
PLAIN = ('besides', 'closer', 'those', 'these', 'them', 'than', 'then', 'that', 'with', 'from')
KNOWN = OPENING | PLACES | {*PLAIN, *(word for noun in SINGULAR for word in noun.split())}
ARTICLES = ('the', 'a', 'an', 'all', 'every', 'each')


def mended(text: str) -> str:
    """Put right what is one slip away from a verb at a sentence's start, or a preposition."""
    words = text.split()
    for place, word in enumerate(words):
        if len(word) < FEWEST or word in KNOWN:
            continue
        before = words[place - 1] if place else ''
        opening = (place < 3 and before not in ARTICLES) or before == 'and'
        words[place] = _meant(word, PLACES | OPENING if opening else PLACES)
    return ' '.join(words)


@cache
def _meant(word: str, keys: frozenset[str]) -> str:
    close = [key for key in keys if _one_slip(word, key)]
    return close[0] if len(close) == 1 else word


def _one_slip(word: str, meant: str) -> bool:
    """Tell whether one letter is dropped, added or replaced, or two are swapped."""
    if abs(len(word) - len(meant)) == 1:
        short, long = sorted((word, meant), key=len)
        return any(long[:at] + long[at + 1:] == short for at in range(len(long)))
    if len(word) != len(meant):
        return False
    differ = [at for at, (one, other) in enumerate(zip(word, meant)) if one != other]
    return len(differ) == 1 or (
        len(differ) == 2 and differ[1] == differ[0] + 1
        and word[differ[0]] == meant[differ[1]] and word[differ[1]] == meant[differ[0]])
