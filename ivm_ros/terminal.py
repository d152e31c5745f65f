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
"""What strangers wrote, shown in a terminal or a log as it stands: no markup, no control codes."""

from typing import Any

from rich.console import Console
from rich.text import Text


def printable(text: object, lines: bool = False) -> str:
    """
    Spell out what a terminal or a log would not show but obey.

    Escape sequences, line ends and marks that turn the order of letters become backslash codes.

    Args:
        text: Anything; of a sentence, a name, an error.
        lines: Line ends and tabs stay.
    """
    return ''.join(
        letter if letter.isprintable() or (lines and letter in '\n\t') else
        letter.encode('unicode_escape').decode() for letter in str(text))


class PlainConsole(Console):
    """A console on which a string is what it says; what is bold comes as `rich.text.Text`."""

    def render_str(self, text: str, **words: Any) -> Text:
        """Make text of a string, without markup, names of emoji and control codes."""
        return super().render_str(printable(text, lines=True),
                                  **{**words, 'markup': False, 'emoji': False})


def marked(word: str, style: str, text: object) -> Text:
    """Give a line that begins with a word of ours in some style, such as 'bold red'."""
    return Text.assemble((word, style), ' ', printable(text))
