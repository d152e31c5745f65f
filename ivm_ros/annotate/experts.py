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
Second stage: experts propose candidate masks for a picture and what its sentence names.

An expert is anything with a name and `propose`. Large models plug in by a line in `EXPERTS`, other
people's by 'package.module:function', called with no argument to make one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from importlib import import_module
import re
from typing import Protocol

import numpy as np

from ivm_ros.annotate.noise import Noise, spoil
from ivm_ros.config import ConfigError, from_dict, nearest
from ivm_ros.data.shards import decode_labels, decode_mask, ROBOT, Row
from ivm_ros.language.parse import Parsed, Phrase, sentence_of
from ivm_ros.masker import Masker, MaskerConfig
from ivm_ros.models.settings import GENERATORS
from ivm_ros.sample import Mask


class ExpertError(RuntimeError):
    """An expert's answer does not fit what was asked; the message names the expert."""


@dataclass(frozen=True)
class Candidate:
    """
    What an expert takes for the thing that a phrase names.

    Attributes:
        mask (np.ndarray): float32 [H, W] in [0, 1], the size of the picture; empty: not there.
        score (float): How sure the expert is, [0, 1].
        phrase (Phrase): Which words.
        expert (str): Its name.
        note (str): What was done to the mask, for experts that err on purpose.
    """

    mask: np.ndarray
    score: float
    phrase: Phrase
    expert: str
    note: str = ''


@dataclass(frozen=True)
class Picture:
    """
    What an expert sees.

    Attributes:
        image (np.ndarray): uint8 [H, W, 3] RGB.
        row (Row): Where it comes from: columns with the truth, where the simulator wrote it.
    """

    image: np.ndarray
    row: Row

    @cached_property
    def truth(self) -> np.ndarray | None:
        """Mask of the row, uint8 [H, W]; None: not labelled."""
        return None if self.row.mask is None else decode_mask(self.row.mask)

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Id of the thing in each pixel, uint8 [H, W]; None: the row does not say."""
        return None if self.row.labels is None else decode_labels(self.row.labels)


class Expert(Protocol):
    """Finds what phrases name."""

    name: str

    def propose(self, images: Sequence[Picture], phrases: Sequence[Parsed]
                ) -> list[list[Candidate]]:
        """
        Find what each picture's sentence names.

        Args:
            images: Pictures, sizes may differ.
            phrases: As many sentences, taken apart.

        Returns:
            Candidates of each picture: one for the whole sentence (`sentence_of`), or some for its
            phrases, of any role; none where the expert has nothing to say.
        """
        ...


class SimTruth:
    """The mask that the shard has already: the simulator's own."""

    name = 'sim-truth'

    def propose(self, images: Sequence[Picture], phrases: Sequence[Parsed]
                ) -> list[list[Candidate]]:
        """Give the mask of each row, if it has one."""
        return [[] if picture.truth is None else
                [Candidate(_unit(picture.truth), 1.0, sentence_of(parsed), self.name)]
                for picture, parsed in zip(images, phrases)]


class Whole:
    """
    A generator through `Masker`, which reads whole sentences.

    Args:
        generator: Which, and the expert's name.
        masker: Where it runs; its weights, where they are of this generator.
    """

    ending = ''

    def __init__(self, generator: str, masker: MaskerConfig):
        self.name = generator + self.ending
        self.masker = Masker(masker if masker.generator == generator else replace(
            masker, generator=generator, weights='', runtime='torch'))

    def _asked(self, parsed: Parsed) -> Sequence[Phrase]:
        return [sentence_of(parsed)]

    def propose(self, images: Sequence[Picture], phrases: Sequence[Parsed]
                ) -> list[list[Candidate]]:
        """Mask each picture by what is asked of it; not found: an empty mask."""
        asked = [self._asked(parsed) for parsed in phrases]
        masks = iter(self.masker([picture.image for picture, some in zip(images, asked)
                                  for _ in some],
                                 [phrase.text for some in asked for phrase in some]))
        return [[self._candidate(next(masks), phrase) for phrase in some] for some in asked]

    def _candidate(self, mask: Mask, phrase: Phrase) -> Candidate:
        """Score by how sure it is that something is there, and of the pixels (our choice)."""
        inside = mask.target[mask.target >= .5]
        if mask.found < .5 or not inside.size:
            return Candidate(np.zeros_like(mask.target), 1 - mask.found, phrase, self.name)
        return Candidate(mask.target, mask.found * float(inside.mean()), phrase, self.name)


class Phrases(Whole):
    """The same asked for every phrase by itself."""

    ending = '-phrases'

    def _asked(self, parsed: Parsed) -> Sequence[Phrase]:
        return parsed.phrases


class Noisy:
    """
    Truth with errors of known rates, for study.

    Args:
        settings: Rates of `ivm_ros.annotate.noise.Noise` and a seed: 'wrong=.2,box=.1,seed=3'.
    """

    def __init__(self, settings: str):
        self.name = f'noisy:{settings}'
        values = _numbers(self.name, settings)
        self.seed = int(values.pop('seed', 0))
        self.noise = from_dict(Noise, values)

    def propose(self, images: Sequence[Picture], phrases: Sequence[Parsed]
                ) -> list[list[Candidate]]:
        """Spoil the mask of each row, by the seed and the row's id alone."""
        return [[] if picture.truth is None else
                [self._one(picture.truth, picture, sentence_of(parsed))]
                for picture, parsed in zip(images, phrases)]

    def _one(self, truth: np.ndarray, picture: Picture, phrase: Phrase) -> Candidate:
        inside, row = truth > 127, picture.row
        labels = inside.astype(np.uint8) if picture.labels is None else picture.labels
        targets = [int(label) for label in np.unique(labels[inside]) if label not in (0, ROBOT)]
        digest = int.from_bytes(sha256(row.id.encode()).digest()[:8], 'big')
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, digest]))
        mask, note = spoil(truth, labels, targets, row.extra.get('alike', []), self.noise, rng)
        return Candidate(_unit(mask), 1.0, phrase, self.name, note)


def _of_generator(kind: type[Whole], name: str, settings: str, masker: MaskerConfig) -> Expert:
    return kind(name, masker)


EXPERTS: dict[str, Callable[[str, MaskerConfig], Expert]] = {
    'sim-truth': lambda settings, masker: SimTruth(),
    **{name + kind.ending: partial(_of_generator, kind, name)
       for name in GENERATORS for kind in (Whole, Phrases)},
    'noisy': lambda settings, masker: Noisy(settings)}


def split_names(text: str) -> tuple[str, ...]:
    """
    Split 'sim-truth,noisy:wrong=.2,box=.1,compact': settings belong to the expert before them.

    Raises:
        ConfigError: None, one twice, or an unknown one, with the known names.
    """
    names: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(','))):
        if names and re.fullmatch(r'\w+=.*', part):
            names[-1] += f',{part}'
        else:
            names.append(part)
    for name in names:
        kind, _, settings = name.partition(':')
        if settings and kind != 'noisy' and re.fullmatch(r'[\w.]+:\w+', name):
            continue  # a function of a module
        if kind not in EXPERTS or bool(settings) != (kind == 'noisy'):
            raise ConfigError(f'no expert {name!r}{nearest(kind, EXPERTS)}; there are '
                              f'{", ".join(EXPERTS)} (noisy:wrong=.2,seed=1), and yours by '
                              'package.module:function')
    if not names or len({*names}) < len(names):
        raise ConfigError(f'experts: wanted some, each once, got {text!r}')
    return tuple(names)


def make_expert(name: str, masker: MaskerConfig) -> Expert:
    """
    Make an expert by its name.

    Raises:
        ConfigError: Its settings, or the module that it names, are not there.
    """
    kind, _, settings = name.partition(':')
    if kind in EXPERTS:
        return EXPERTS[kind](settings, masker)
    try:
        made: Expert = getattr(import_module(kind), settings)()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f'expert {name!r}: {error}') from error
    return made


def ask(expert: Expert, images: Sequence[Picture], phrases: Sequence[Parsed]
        ) -> list[list[Candidate]]:
    """
    Ask an expert and check what it says.

    Raises:
        ExpertError: Not as many answers as pictures, or a mask of another size, type or range.
    """
    answers = expert.propose(images, phrases)
    if len(answers) != len(images):
        raise ExpertError(f'expert {expert.name}: wanted candidates of {len(images)} pictures, '
                          f'got {len(answers)}')
    for picture, candidates in zip(images, answers):
        for candidate in candidates:
            _check(expert.name, candidate, picture)
    return answers


def _check(name: str, candidate: Candidate, picture: Picture) -> None:
    mask, size = candidate.mask, picture.image.shape[:2]
    if mask.shape != size or mask.dtype != np.float32:
        raise ExpertError(f'expert {name}, row {picture.row.id}: wanted a mask float32 {size}, '
                          f'got {mask.dtype} {mask.shape}')
    if not (mask.min() >= 0 and mask.max() <= 1 and 0 <= candidate.score <= 1):  # refuses NaN too
        raise ExpertError(f'expert {name}, row {picture.row.id}: wanted mask and score in [0, 1], '
                          f'got {mask.min()} to {mask.max()}, score {candidate.score}')


def _numbers(name: str, settings: str) -> dict[str, float]:
    pairs: Iterable[list[str]] = (item.split('=', 1) for item in settings.split(','))
    try:
        return {key.strip(): float(value) for key, value in pairs}
    except ValueError as error:
        raise ConfigError(f'expert {name!r}: wanted rates such as wrong=.2,box=.1,seed=3') from (
            error)


def _unit(mask: np.ndarray) -> np.ndarray:
    """Turn uint8 into float32 in [0, 1]."""
    return mask.astype(np.float32) / 255
