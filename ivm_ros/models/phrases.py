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
"""What a sentence wants masked, for generators that know things by name and no relations."""

from functools import lru_cache

from ivm_ros.language.grammar import GrammarParser


@lru_cache(256)
def phrases_of(instruction: str) -> tuple[str, ...]:
    """List the heads of what a sentence acts on and where that goes."""
    return tuple(dict.fromkeys(phrase.head or phrase.text for phrase in
                               GrammarParser().parse(instruction).phrases if phrase.wanted)
                 ) or (instruction,)
