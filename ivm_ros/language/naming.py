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
"""What a word of a label says of a thing: itself, its synonyms, what it is a sort of."""

from functools import cache

from ivm_ros.language.colours import COLOURS
from ivm_ros.language.nouns import NOUNS


@cache
def names_for(word: str) -> tuple[str, ...]:
    """
    List the words that fit a thing which a label calls by one word.

    Args:
        word: A key of `NOUNS` or `COLOURS`, or any other word, which then stands for itself.

    Returns:
        Words, without those that training never says; none for a noun that it never shows.
    """
    if word not in NOUNS:
        return word, *COLOURS.get(word, ())
    noun = NOUNS[word]
    return () if noun.held_out else tuple(dict.fromkeys((*noun.words, *noun.sorts)))


def all_names() -> tuple[str, ...]:
    """List all words for things and colours that training may say."""
    return tuple(dict.fromkeys(name for word in (*NOUNS, *COLOURS) for name in names_for(word)))
