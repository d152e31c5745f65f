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
Sentences about a picture, with their truth.

Every sentence is unambiguous in the camera's view: a description fits exactly the things meant,
and a relation holds with a margin (`sight`). What is acted on and where it goes are targets;
what only locates is not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ivm_sim import words
from ivm_sim.objects import COLOURS, KINDS
from ivm_sim.phrases import Namer, Phrase, TRIES
from ivm_sim.sight import Thing
from ivm_sim.words import Description, pick

Rng = np.random.Generator
# Wanted shares of the kinds of sentence; what a picture does not allow is drawn anew.
SHARES = {'attribute': .24, 'plain': .12, 'pair': .20, 'all': .09, 'relation': .17,
          'superlative': .08, 'held': .30, 'absent': .10}
RELATIONAL = ('relation', 'superlative')
# A person may call one by the other's name, so 'absent' never depends on telling them apart.
ALIKE = ({'gray', 'silver', 'white'}, {'gray', 'black'}, {'orange', 'brown'}, {'orange', 'red'},
         {'orange', 'yellow'}, {'teal', 'green'}, {'teal', 'blue'}, {'purple', 'pink'},
         {'purple', 'blue'}, {'brown', 'black'}, {'red', 'pink'}, {'brown', 'red'})


@dataclass(frozen=True)
class Sentence:
    """
    One sentence and what it means in one picture.

    Attributes:
        text (str): The sentence.
        kind (str): Key of `SHARES`.
        targets (tuple[int, ...]): Ids of what the mask covers; empty when nothing is there.
        needs (bool): It takes more than a colour word to find them: a relation, two targets,
            another thing of the same colour or kind, or nothing there at all.
        detail (str): Relation or superlative used, or which way a thing is absent; else ''.
        alike (tuple[int, ...]): Ids of the targets and of what they are singled out from by size
            or place.
        anchors (tuple[int, ...]): Ids of what only says where a target is.
    """

    text: str
    kind: str
    targets: tuple[int, ...]
    needs: bool
    detail: str = ''
    alike: tuple[int, ...] = ()
    anchors: tuple[int, ...] = ()


class Speaker:
    """Makes sentences about one picture."""

    def __init__(self, things: list[Thing], rng: Rng):
        """Take what `sight.see` found in the picture."""
        self.things = things
        self.rng = rng
        self.names = Namer(things, rng)
        self._makers = {
            'attribute': self._attribute, 'plain': self._plain, 'pair': self._pair,
            'all': self._all, 'relation': self._relation, 'superlative': self._superlative,
            'held': self._held, 'absent': self._absent}

    def sentences(self, count: int, relations: float = 1.0) -> list[Sentence]:
        """Make up to `count` different sentences; `relations` weighs those by place or size."""
        made: dict[str, Sentence] = {}
        kinds = list(SHARES)
        shares = np.array([share * (relations if kind in RELATIONAL else 1.0)
                           for kind, share in SHARES.items()])
        for _ in range(count * 3):
            if len(made) == count:
                break
            kind = str(self.rng.choice(kinds, p=shares / shares.sum()))
            tries = (self._makers[kind]() for _ in range(TRIES))
            sentence = next((found for found in tries if found), None)
            if sentence is not None:
                made.setdefault(sentence.text.lower().strip('.?'), sentence)
        return list(made.values())

    # --- kinds of sentence -------------------------------------------------------------------

    def _attribute(self) -> Sentence | None:
        phrase = self.names.named(self.names.any(self.names.clear), plain=.0)
        return self._single('attribute', phrase) if phrase else None

    def _plain(self) -> Sentence | None:
        phrase = self.names.named(self.names.any(self.names.clear), plain=1.0)
        if phrase is None:
            return None
        return self._single('attribute' if phrase.detail == 'size' else 'plain', phrase)

    def _relation(self) -> Sentence | None:
        phrase = self.names.related()
        return self._single('relation', phrase) if phrase else None

    def _superlative(self) -> Sentence | None:
        phrase = self.names.superlative_phrase()
        return self._single('superlative', phrase) if phrase else None

    def _pair(self) -> Sentence | None:
        moved, goal = self.names.phrase(), self.names.phrase(goal=True)
        if moved is None or goal is None or moved.thing is goal.thing:
            return None
        if moved.thing.on == goal.thing.id or goal.thing.on == moved.thing.id:
            return None
        text = pick(words.PAIR, self.rng).format(a=moved.text, b=goal.text, p=self._place(goal))
        return self._sentence(text, 'pair', (moved.thing, goal.thing),
                              ' '.join(filter(None, (moved.detail, goal.detail))),
                              (moved, goal))

    def _all(self) -> Sentence | None:
        seed = self.names.any(self.names.clear)
        if seed is None:
            return None
        sort = self.rng.random()
        asked = Description(seed.kind if sort > .35 else None,
                            seed.colour if sort < .65 else None)
        group = self.names.fitting(asked)
        if len(group) < 2 and (asked.kind or self.rng.random() < .6):
            return None
        if asked.kind is None:
            text = pick(words.EVERYTHING, self.rng).format(
                c=words.colour_of(asked.colour, self.rng))
            return self._sentence(text, 'all', group)
        names = {'xs': asked.noun(self.rng, plural=True), 'x': asked.noun(self.rng)}
        goal = self.names.phrase(goal=True) if self.rng.random() < .35 else None
        if goal is None or goal.thing in group or any(t.on == goal.thing.id for t in group):
            return self._sentence(pick(words.ALL, self.rng).format(**names), 'all', group)
        text = pick(words.ALL_TO, self.rng).format(**names, b=goal.text, p=self._place(goal))
        return self._sentence(text, 'all', (*group, goal.thing), 'goal', (goal,))

    def _held(self) -> Sentence | None:
        held = [thing for thing in self.names.clear if thing.held]
        if not held:
            return None
        text = self._held_text(Description(held[0].kind if self.rng.random() < .3 else None))
        goal = self.names.phrase(goal=True) if self.rng.random() < .25 else None
        if goal is not None and goal.thing is not held[0]:
            text = pick(words.PAIR, self.rng).format(a=text, b=goal.text, p=self._place(goal))
            return self._sentence(text, 'held', (held[0], goal.thing), 'goal', (goal,))
        return self._sentence(pick(words.HELD_SINGLE, self.rng).format(x=text), 'held', held)

    def _held_text(self, asked: Description) -> str:
        if asked.kind is None and self.rng.random() < .3:
            return pick(words.HELD_BARE, self.rng)
        return pick(words.HELD, self.rng).format(x=asked.noun(self.rng))

    # --- absent ------------------------------------------------------------------------------

    def _absent(self) -> Sentence | None:
        if self.rng.random() < .06 and not any(thing.held for thing in self.things):
            text = pick(words.HELD_SINGLE, self.rng).format(x=self._held_text(Description()))
            return self._sentence(text, 'absent', (), 'held')
        asked = self._missing()
        if asked is None:
            return None
        detail = 'half' if asked.kind in {t.kind for t in self.things} else 'whole'
        if asked.kind is None:
            template = pick(words.EVERYTHING, self.rng)
            return self._sentence(template.format(c=words.colour_of(asked.colour, self.rng)),
                                  'absent', (), 'colour')
        sort = self.rng.random()
        text = f'the {asked.noun(self.rng)}'
        anchor = self.names.phrase() if sort < .22 else None
        if anchor is not None:
            relation = pick(list(words.RELATIONS), self.rng)
            text += ' ' + pick(words.RELATIONS[relation], self.rng).format(a=anchor.text)
        elif sort < .30:
            text = pick(words.SUPERLATIVES[pick(list(words.SUPERLATIVES), self.rng)],
                        self.rng).format(x=asked.noun(self.rng))
        elif sort < .42:
            return self._absent_pair(text, detail)
        elif sort < .52:
            names = {'xs': asked.noun(self.rng, plural=True), 'x': asked.noun(self.rng)}
            return self._sentence(pick(words.ALL, self.rng).format(**names), 'absent', (), detail)
        text = pick(words.SINGLE, self.rng).format(x=text)
        sentence = self._sentence(text, 'absent', (), detail)
        return sentence if anchor is None else replace(sentence, anchors=(anchor.thing.id,))

    def _absent_pair(self, moved: str, detail: str) -> Sentence | None:
        """Both are absent: with one in view the right answer would be open to debate."""
        asked = self._missing()
        if asked is None or asked.kind is None:
            return None
        text = pick(words.PAIR, self.rng).format(
            a=moved, b=f'the {asked.noun(self.rng)}',
            p=pick(words.PLACES[KINDS[asked.kind].into], self.rng))
        return self._sentence(text, 'absent', (), detail)

    def _missing(self) -> Description | None:
        """Draw a description that fits nothing in view, often one that fits by half."""
        seen = {thing.kind for thing in self.things}
        colours = {thing.colour for thing in self.things}
        sort = self.rng.random()
        if sort < .55 and seen:  # the kind is there, in other colours
            kind = pick(sorted(seen), self.rng)
            worn = {thing.colour for thing in self.things if thing.kind == kind}
            free = unlike(worn, sorted(colours - worn) if self.rng.random() < .7 else COLOURS)
            return Description(kind, pick(free, self.rng)) if free else None
        if sort < .93:  # the kind is not there, its colour may be
            free = [kind for kind in KINDS if kind not in seen and not seen & {
                *KINDS[kind].like, *(k for k in seen if kind in KINDS[k].like)}]
            colour = (pick(sorted(colours), self.rng)
                      if colours and self.rng.random() < .6 else None)
            return Description(pick(free, self.rng), colour) if free else None
        free = unlike(colours, COLOURS)
        return Description(None, pick(free, self.rng)) if free else None

    # --- helpers -----------------------------------------------------------------------------

    def _single(self, kind: str, phrase: Phrase) -> Sentence:
        text, form = pick(words.SINGLE, self.rng).format(x=phrase.text), self.rng.random()
        if form < .08:
            text = text.replace(phrase.text, phrase.text.removeprefix('the '), 1)
        return self._sentence(text, kind, (phrase.thing,), phrase.detail, (phrase,))

    def _sentence(self, text: str, kind: str, targets: Sequence[Thing],
                  detail: str = '', phrases: Sequence[Phrase] = ()) -> Sentence:
        decoy = any(t.colour == other.colour or t.kind == other.kind for t in targets
                    for other in self.things if other not in targets)
        alike = {t.id for t in (*targets, *(t for phrase in phrases for t in phrase.alike))}
        anchors = {phrase.anchor.id for phrase in phrases if phrase.anchor}
        return Sentence(words.finish(text, self.rng), kind, tuple(t.id for t in targets),
                        decoy or kind not in ('attribute', 'plain', 'all'), detail,
                        tuple(sorted(alike)), tuple(sorted(anchors)))

    def _place(self, goal: Phrase) -> str:
        return pick(words.PLACES[goal.thing.into], self.rng)


def unlike(worn: set[str], candidates: Iterable[str]) -> list[str]:
    """Return the candidates that nobody would confuse with the colours worn."""
    return [colour for colour in candidates if colour not in worn
            and not any(colour in pair and pair & worn for pair in ALIKE)]
