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
A parser that needs no model: reads sentences by their verbs, prepositions and negations.

It takes spaces out of what must stay together ('knife_and_fork', 'on_the_far_left'), splits off
what is denied, then steps ('pick it up and put it ...'), verbs, where things go, lists, and last
what only locates. It does not guess at sense: a goal without things ('I am thirsty') stays one
phrase, unless `ivm_ros.language.goals` knows what it takes.
"""

from collections.abc import Iterator
import re

from ivm_ros.language import grammar_words as words
from ivm_ros.language.parse import Parsed, ParseError, Phrase, Role
from ivm_ros.language.slips import mended


class GrammarParser:
    """Takes sentences apart by rules."""

    def parse(self, instruction: str) -> Parsed:
        """
        Take one sentence apart; texts of phrases are in lower case, mistyped verbs mended.

        Raises:
            ParseError: There are no words in it.
        """
        text = ' '.join(instruction.lower().replace('_', ' ').replace('\u2019', "'").split())
        text = text.strip(' .?!,;"')
        if not text:
            raise ParseError(f'instruction: wanted a sentence, got {instruction!r}')
        if text in words.GOALS:
            phrases = [Phrase(need, 'target', need) for need in words.GOALS[text]]
        else:
            phrases = list(_sentence(_one_word(words.UNITS, mended(text))))
        phrases = phrases or [Phrase(text, 'target', text)]
        return Parsed(instruction, tuple(_settled(phrases)), 'grammar')


def _one_word(units: re.Pattern[str], text: str) -> str:
    return units.sub(lambda found: found.group().replace(' ', '_'), text)


def _sentence(text: str) -> Iterator[Phrase]:
    """Split off what is denied."""
    text = _polite(text)
    for pattern in words.DENIALS:
        found = pattern.fullmatch(text)
        if found:
            yield from _sentence(found['take'])
            yield from _noun_phrases(found['leave'], 'forbidden')
            return
    found = words.REFUSAL.fullmatch(text)
    if found:
        role: Role = 'target' if found['verb'] in words.CAUTION else 'forbidden'
        yield from _noun_phrases(_without_tail(found['leave']), role)
    elif words.TABLE.fullmatch(text):
        yield Phrase('everything', 'target', 'everything')
    else:
        for step in words.STEP.split(text):
            yield from _step(_polite(step))


def _polite(text: str) -> str:
    """Take courtesies off both ends."""
    text = words.THANKS.sub('', text)
    while found := words.POLITE.match(text):
        text = text[found.end():]
    return text


def _without_tail(text: str) -> str:
    while found := words.TAIL.search(text):
        text = text[:found.start()]
    return text


def _step(text: str) -> Iterator[Phrase]:
    """Read one verb with what it acts on and where that goes."""
    stated = re.search(r' (?:goes|go|belongs?|should go) ', text)
    verb = words.VERB.match(text)
    body = text[verb.end():].strip() if verb else text
    if stated and not verb:
        body = text.replace(stated.group(), ' ', 1)
    elif not verb and not words.DETERMINER.match(text):
        known = re.search(rf'(?<= ){words.DETERMINER.pattern}', text)
        preposition = words.PREPOSITION.search(text)
        if known and not (preposition and preposition.start() < known.start()):
            body = text[known.start():]  # an unknown verb
    short = _without_tail(body)
    if words.PRONOUN.fullmatch(short):
        return
    name = 'put' if stated and not verb else verb.group() if verb else ''
    moved, goal = _destination(short, name, led_away=short != body)
    moved, _, tool = moved.partition(' with the ')
    if not words.PRONOUN.fullmatch(moved):
        yield from _noun_phrases(moved, 'target')
    if tool:
        yield from _noun_phrases(f'the {tool}', 'target')
    if goal:
        yield from _noun_phrases(goal, 'destination')


def _destination(text: str, verb: str, led_away: bool) -> tuple[str, str]:
    """Split what is moved from where it goes; '' where nothing says so."""
    found = [(re_match, _kind(re_match)) for re_match in words.PREPOSITION.finditer(text)]
    pronoun = words.PRONOUN.match(text)
    if pronoun and found:
        return text[:pronoun.end()], text[found[0][0].end():]
    kinds = [kind for _, kind in found]
    chosen = None
    if verb in (*words.PUTS, *words.MOVES, *words.BRINGS) and 'motion' in kinds:
        chosen = kinds.index('motion')
    elif verb in (*words.PUTS, *words.MOVES) and not led_away:
        chosen = _place(text, found, kinds)
        if chosen is None and kinds == ['relation'] and verb in words.PUTS[:6]:
            chosen = 0
    if chosen is None:
        return text, ''
    match = found[chosen][0]
    return text[:match.start()], text[match.end():]


def _place(text: str, found: list[tuple[re.Match[str], str]], kinds: list[str]) -> int | None:
    """
    Choose the preposition that says where things go.

    Of 'the apple on the towel in the box' it is the last, as people read it; of three the middle
    one, for what is moved and where it goes may each be located by one more.
    """
    if 'near' in kinds:
        return kinds.index('near')
    static = [index for index, kind in enumerate(kinds) if kind == 'static']
    if len(kinds) == 3 and 1 in static and ' and ' not in text[:found[1][0].start()]:
        return 1
    return static[-1] if static else None


def _kind(match: re.Match[str]) -> str:
    if match['state'] or match['relation']:
        return 'relation'
    return 'near' if match['near'] else 'motion' if match['motion'] else 'static'


def _noun_phrases(text: str, role: Role) -> Iterator[Phrase]:
    """Read a list of things, each with what locates it."""
    for item in _items(text.strip(' ,')):
        head, where = item, ''
        for found in words.PREPOSITION.finditer(item):
            if _bare(item[:found.start()]):  # but 'the nearest cup'
                head, where = item[:found.start()], item[found.end():]
                break
        bare = _bare(head)
        if not bare:
            continue
        yield Phrase(_spaced(item), role, _spaced(bare))
        if where and role != 'forbidden':  # what locates a forbidden thing may be wanted
            yield from _noun_phrases(where, 'reference')


def _items(text: str) -> list[str]:
    """Split a list; 'red and white striped cup' and 'between A and B' are none."""
    items, start = [], 0
    for found in words.NEXT.finditer(text):
        left, right = text[start:found.start()], text[found.end():]
        between = re.search(r'\b(?:between|among) (?!.* and )', left)
        listed = words.DETERMINER.match(right) or _named(left.split()[-1:])
        if left and listed and not between:
            items.append(left)
            start = found.end()
    return [item.removeprefix('both ') for item in (*items, text[start:]) if item]


def _named(last: list[str]) -> bool:
    return bool(last) and last[0].replace('_', ' ') in words.SINGULAR


def _bare(text: str) -> str:
    """Take determiners off the front."""
    while found := words.DETERMINER.match(text + ' '):
        text = text[found.end():].strip()
    return text


def _spaced(text: str) -> str:
    return text.replace('_', ' ').strip()


def _settled(phrases: list[Phrase]) -> Iterator[Phrase]:
    """Drop what is said twice or is wanted as well, and say what 'one' stands for."""
    wanted = {phrase.head for phrase in phrases if phrase.wanted}
    noun = next((_noun(phrase.head) for phrase in phrases if _noun(phrase.head)), '')
    seen: set[str] = set()
    for phrase in phrases:
        if phrase.text in seen or (phrase.role == 'reference' and phrase.head in wanted):
            continue
        seen.add(phrase.text)
        head = re.sub(r'\bones?$', noun, phrase.head) if noun else phrase.head
        head = 'everything' if re.fullmatch(words.REST, phrase.text) else head
        yield Phrase(phrase.text, phrase.role, head)


def _noun(head: str) -> str:
    """Give the known noun at the end of a head, in the singular; '' for none."""
    parts = head.split()
    return next((words.SINGULAR[' '.join(parts[start:])] for start in range(len(parts))
                 if ' '.join(parts[start:]) in words.SINGULAR), '')
