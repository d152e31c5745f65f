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
"""Rows to labelled rows: the stages in their order, reading and writing beside the experts."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ivm_ros.annotate.experts import ask, Candidate, make_expert, Picture
from ivm_ros.annotate.fuse import fuse, Fused, Rule
from ivm_ros.annotate.llm import Llm, LlmConfig, LlmError
from ivm_ros.annotate.llm_tasks import complicate, LlmParser
from ivm_ros.data.shards import DatasetError, decode_image, encode_mask, Row
from ivm_ros.language.grammar import GrammarParser
from ivm_ros.language.parse import Parsed, ParseError, Parser
from ivm_ros.masker import MaskerConfig

TRUTH = ('things', 'alike', 'anchors', 'targets', 'detail', 'needs')
"""Entries of `extra` that tell the truth, which a label by experts must not carry."""


BEHIND = 2
"""Batches that experts may be ahead of writing: what they proposed is kept so long."""


class _Job(NamedTuple):
    picture: Picture
    parsed: Parsed


class _Reading(NamedTuple):
    """A batch by place: what experts are asked, and rows that are done without them."""

    jobs: dict[int, _Job]
    done: dict[int, Row]


class Labeller:
    """
    Labels rows.

    Args:
        experts: Their names.
        rule: How their masks become one.
        masker: What the compact experts run with.
        llm: The language model that reads sentences, if any.
        cache: Folder of its answers.
        rewrites: Sentences that it adds for each row that has something to show.
    """

    def __init__(self, experts: Sequence[str], rule: Rule, masker: MaskerConfig, llm: LlmConfig,
                 cache: Path, rewrites: int = 0):
        self.experts = [make_expert(name, masker) for name in experts]
        self.rule = rule
        self.rewrites = rewrites
        self.llm = Llm(llm, cache) if llm.url else None
        self.parser: Parser = LlmParser(self.llm) if self.llm else GrammarParser()
        self._images: dict[bytes, np.ndarray] = {}  # of the last batch: rows about one adjoin
        self._annotator = f'{"+".join(experts)} ({rule})'

    def label(self, rows: Sequence[Row], batch: int) -> Iterator[Row]:
        """
        Label rows in their order; those that people labelled stay as they are.

        A row whose picture or sentence cannot be read, or that no expert has an answer for, gets
        no mask, and `extra` says why. Reading and writing go on beside the experts, so that one
        on a GPU does not wait for them.

        Args:
            rows: Any number.
            batch: How many the experts get at once.

        Raises:
            ExpertError: An expert's answer does not fit.
            LlmError: The language model fails, and its config says 'error'.
        """
        parts = [rows[start:start + batch] for start in range(0, len(rows), batch)]
        with ThreadPoolExecutor(1) as before, ThreadPoolExecutor(1) as after:
            ahead = deque(before.submit(self._read, part) for part in parts[:1])
            behind: deque[Future[list[Row]]] = deque()
            for number in range(len(parts)):
                reading = ahead.popleft().result()
                ahead.extend(before.submit(self._read, part)
                             for part in parts[number + 1:number + 2])
                answers = self._candidates([*reading.jobs.values()])
                behind.append(after.submit(self._finish, parts[number], reading, answers))
                if len(behind) > BEHIND:
                    yield from behind.popleft().result()
            for task in behind:
                yield from task.result()

    def _read(self, rows: Sequence[Row]) -> _Reading:
        """Decode pictures and take sentences apart."""
        reading = _Reading({}, {})
        images = {row.image: self._images[row.image] for row in rows if row.image in self._images}
        for place, row in enumerate(rows):
            if row.is_human:
                reading.done[place] = row
                continue
            try:
                if row.image not in images:
                    images[row.image] = decode_image(row.image)
                reading.jobs[place] = _Job(Picture(images[row.image], row),
                                           self.parser.parse(row.instruction))
            except (DatasetError, ParseError) as error:
                reading.done[place] = self._row(row, None, {'error': str(error)})
        self._images = images
        return reading

    def _finish(self, rows: Sequence[Row], reading: _Reading,
                answers: Sequence[Sequence[Candidate]]) -> list[Row]:
        """Fuse what the experts said, and put rows in order again."""
        done = reading.done | {place: self._fused(job, candidates) for (place, job), candidates
                               in zip(reading.jobs.items(), answers)}
        made = []
        for place in range(len(rows)):
            made.append(done[place])
            if self.rewrites:
                made += self._rewritten(done[place], reading.jobs.get(place))
        return made

    def _candidates(self, jobs: Sequence[_Job]) -> list[list[Candidate]]:
        """Ask all experts; return what they propose for each job."""
        if not jobs:
            return []
        pictures, phrases = zip(*jobs)
        answers = [ask(expert, pictures, phrases) for expert in self.experts]
        return [[candidate for some in each for candidate in some] for each in zip(*answers)]

    def _fused(self, job: _Job, candidates: Sequence[Candidate]) -> Row:
        fused = fuse(candidates, job.parsed, self.rule)
        said: dict[str, Any] = {
            'phrases': [{'text': phrase.text, 'role': phrase.role, 'name': phrase.head}
                        for phrase in job.parsed.phrases], 'parser': job.parsed.parser}
        scores: dict[str, list[float]] = {}
        for candidate in candidates:
            if candidate.phrase.wanted:
                scores.setdefault(candidate.expert, []).append(candidate.score)
        said['scores'] = {name: round(sum(some) / len(some), 4) for name, some in scores.items()}
        notes = {candidate.expert: candidate.note for candidate in candidates if candidate.note}
        if notes:
            said['notes'] = notes
        if fused is None:
            return self._row(job.picture.row, None, {**said, 'error': 'no expert has an answer'})
        return self._row(job.picture.row, fused,
                         {**said, 'agreement': round(fused.agreement, 4)})

    def _row(self, row: Row, fused: Fused | None, said: dict[str, Any]) -> Row:
        extra = {name: value for name, value in row.extra.items() if name not in TRUTH}
        mask = None if fused is None else cv2.convertScaleAbs(fused.mask, alpha=255)
        return replace(
            row, mask=None if mask is None else encode_mask(mask),
            found=None if mask is None else bool(mask.max() > 127), annotator=self._annotator,
            score=0.0 if fused is None else fused.score, extra={**extra, **said}, labels=None)

    def _rewritten(self, row: Row, job: _Job | None) -> Iterator[Row]:
        """Give the label of a row to complex sentences about the same things."""
        if self.llm is None or row.mask is None or not row.found:
            return
        try:
            parsed = job.parsed if job else self.parser.parse(row.instruction)
            texts = complicate(self.llm, parsed.phrases, self.rewrites)
        except ParseError:
            return
        except LlmError:
            if self.llm.config.fallback == 'error':
                raise
            return
        for number, text in enumerate(texts, 1):
            yield replace(row, id=f'{row.id}w{number}', instruction=text,
                          extra={**row.extra, 'rewritten': row.instruction,
                                 'writer': f'llm:{self.llm.config.model}'})
