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
and a relation holds with a margin (`things`). What is acted on and where it goes are targets;
what only locates is not.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np

from ivm_ros.language import goals, sets, words
from ivm_ros.language.colours import COLOURS, unlike
from ivm_ros.language.nouns import ASKED_SORTS, confusable, NOUNS
from ivm_ros.language.phrases import Namer, Phrase, TRIES
from ivm_ros.language.sentence import Sentence
from ivm_ros.language.things import Thing
from ivm_ros.language.words import Description, is_plural, pick

Rng = np.random.Generator
# Wanted shares of the kinds of sentence; what a picture does not allow is drawn anew.
SHARES = {'attribute': .22, 'plain': .13, 'pair': .16, 'all': .07, 'relation': .15,
          'superlative': .07, 'held': .30, 'absent': .10, 'count': .04, 'list': .08, 'not': .09,
          'purpose': .06}
RELATIONAL = ('relation', 'superlative')
MISSPELT = .03  # share of sentences (our choice)
LONG = 5  # letters of a word that may be misspelt
# A slip in these would make another sentence of it, or one that nobody can read.
KEPT = frozenset(word for text in (*words.NUMBERS[3], *words.BUT, *chain.from_iterable(
    (*words.RELATIONS.values(), *words.SUPERLATIVES.values(), *words.SIZE_WORDS.values(),
     words.HELD, words.HELD_BARE, words.NOT_BUT, words.NOT_COLOUR, words.ALL_BUT)))
    for word in text.split()) | {*COLOURS}


class Speaker:
    """
    Makes sentences about one picture.

    Args:
        things: All that is visible in it.
        rng: Source of randomness.
        unseen: Prefer words that training never says.
        slips: Share of sentences with a mistyped word.
        nouns: Names of nouns that may be asked for in vain; empty: all that are not held out.
    """

    def __init__(self, things: list[Thing], rng: Rng, unseen: bool = False,
                 slips: float = MISSPELT, nouns: Sequence[str] = ()):
        self.nouns = tuple(nouns) or tuple(n.name for n in NOUNS.values() if not n.held_out)
        self.things = things
        self.rng = rng
        self.names = Namer(things, rng, unseen)
        self._slips = slips
        self._makers: dict[str, Callable[[], Sentence | None]] = {
            'attribute': self._attribute, 'plain': self._plain, 'pair': self._pair,
            'all': self._all, 'relation': self._relation, 'superlative': self._superlative,
            'held': self._held, 'absent': self._absent,
            'count': partial(self._drafted, 'all', sets.counted),
            'list': partial(self._drafted, 'list', sets.listed),
            'not': self._not, 'purpose': self._purpose}

    def sentences(self, count: int, relations: float = 1.0, only: Collection[str] = ()
                  ) -> list[Sentence]:
        """
        Make up to `count` different sentences.

        Args:
            count: How many.
            relations: Weighs those by place or size.
            only: Keys of `SHARES` to keep to; none: all.
        """
        made: dict[str, Sentence] = {}
        kinds = [kind for kind in SHARES if not only or kind in only]
        shares = np.array([SHARES[kind] * (relations if kind in RELATIONAL else 1.0)
                           for kind in kinds])
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
        sorts = [name for name in NOUNS[seed.kind].sorts if name in ASKED_SORTS]
        if sorts and self.rng.random() < .35:
            asked = Description(sort=pick(sorts, self.rng))
        group = self.names.fitting(asked)
        several = bool(asked.kind or asked.sort)
        if not group or asked == Description() or (
                len(group) < 2 and (several or self.rng.random() < .6)):
            return None
        if not several:
            text = pick(words.EVERYTHING, self.rng).format(
                c=words.colour_of(asked.colour, self.rng, self.names.unseen))
            return self._sentence(text, 'all', group)
        names = {'xs': self.names.say(asked, plural=True), 'x': self.names.say(asked)}
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
        return pick(words.HELD, self.rng).format(x=self.names.say(asked))

    def _not(self) -> Sentence | None:
        maker = pick((sets.all_but, sets.all_but, sets.not_but, sets.not_but, sets.not_coloured),
                     self.rng)
        return self._drafted('not', maker)

    def _purpose(self) -> Sentence | None:
        found = [(purpose, targets) for purpose in goals.PURPOSES
                 if (targets := purpose.targets(self.things))
                 and all(thing.clear for thing in targets)]
        if not found:
            return None
        purpose, targets = pick(found, self.rng)
        return self._sentence(pick(purpose.texts, self.rng), 'purpose', targets)

    def _drafted(self, kind: str, maker: Callable[[Namer], sets.Draft | None]) -> Sentence | None:
        draft = maker(self.names)
        if draft is None:
            return None
        return self._sentence(draft.text, kind, draft.targets, draft.detail, draft.phrases,
                              draft.spared)

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
            text = pick(words.EVERYTHING, self.rng).format(
                c=words.colour_of(asked.colour, self.rng, self.names.unseen))
            return self._sentence(text, 'absent', (), 'colour')
        sort = self.rng.random()
        text = f'the {self.names.say(asked)}'
        anchor = self.names.phrase() if sort < .22 else None
        if anchor is not None:
            relation = pick(list(words.RELATIONS), self.rng)
            text += ' ' + pick(words.RELATIONS[relation], self.rng).format(a=anchor.text)
        elif sort < .30:
            text = pick(words.SUPERLATIVES[pick(list(words.SUPERLATIVES), self.rng)],
                        self.rng).format(x=self.names.say(asked))
        elif sort < .42:
            return self._absent_pair(text, detail)
        elif sort < .52:
            names = {'xs': self.names.say(asked, plural=True), 'x': self.names.say(asked)}
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
            a=moved, b=f'the {self.names.say(asked)}',
            p=pick(words.PLACES[NOUNS[asked.kind].into], self.rng))
        return self._sentence(text, 'absent', (), detail)

    def _missing(self) -> Description | None:
        """Draw a description that fits nothing in view, often one that fits by half."""
        seen = {thing.kind for thing in self.things}
        colours = {thing.colour for thing in self.things if thing.colour}
        sort = self.rng.random()
        if sort < .55 and seen:  # the kind is there, in other colours
            kind = pick(sorted(seen), self.rng)
            alike = [thing for thing in self.things if confusable(thing.kind, kind)]
            worn = {thing.colour for thing in alike if thing.colour}
            if any(thing.colour is None for thing in alike):
                return None
            free = unlike(worn, sorted(colours - worn) if self.rng.random() < .7 else COLOURS)
            return Description(kind, pick(free, self.rng)) if free else None
        if sort < .93:  # the kind is not there, its colour may be
            free = [name for name in self.nouns
                    if not any(confusable(name, kind) for kind in seen)]
            colour = (pick(sorted(colours), self.rng)
                      if colours and self.rng.random() < .6 else None)
            return Description(pick(free, self.rng), colour) if free else None
        free = (unlike(colours, COLOURS) if all(thing.colour for thing in self.things) else [])
        return Description(None, pick(free, self.rng)) if free else None

    # --- helpers -----------------------------------------------------------------------------

    def _single(self, kind: str, phrase: Phrase) -> Sentence:
        text, form = pick(words.SINGLE, self.rng).format(x=phrase.text), self.rng.random()
        if form < .08:
            text = text.replace(phrase.text, phrase.text.removeprefix('the '), 1)
        if is_plural(phrase.text):
            text = text.replace('where is', 'where are')
        return self._sentence(text, kind, (phrase.thing,), phrase.detail, (phrase,))

    def _sentence(self, text: str, kind: str, targets: Sequence[Thing], detail: str = '',
                  phrases: Sequence[Phrase] = (), spared: Sequence[Thing] = ()) -> Sentence:
        decoy = any(t.colour == other.colour or t.kind == other.kind for t in targets
                    for other in self.things if other not in targets)
        alike = {t.id for t in (*targets, *(t for phrase in phrases for t in phrase.alike))}
        anchors = {phrase.anchor.id for phrase in phrases if phrase.anchor}
        anchors |= {thing.id for thing in spared}
        return Sentence(words.finish(self._typed(text), self.rng), kind,
                        tuple(t.id for t in targets),
                        decoy or kind not in ('attribute', 'plain', 'all'), detail,
                        tuple(sorted(alike)), tuple(sorted(anchors)))

    def _typed(self, text: str) -> str:
        """Mistype a word now and then."""
        if self._slips == 0 or self.rng.random() >= self._slips:
            return text
        long = [word for word in text.split()
                if len(word) >= LONG and word.isalpha() and word not in KEPT]
        return words.misspell(text, pick(long, self.rng), self.rng) if long else text

    def _place(self, goal: Phrase) -> str:
        return sets.place(goal, self.names)
