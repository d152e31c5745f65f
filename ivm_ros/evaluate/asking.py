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
Questions about the raw picture and about every masked one, to a model behind the chat protocol.

Masks are made one after the other, questions are sent side by side; the order of the results is
that of the items, whatever comes back first. All answers are on disk: a run that was stopped goes
on where it was, and a picture that masking left as it is costs nothing more.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from ivm_ros.chat import Chat, LlmError, Reply
from ivm_ros.deploy import apply, DeployConfig, MethodName
from ivm_ros.evaluate.answers import judge, read_answer
from ivm_ros.evaluate.gallery import Gallery, Shown, strip_of
from ivm_ros.evaluate.questions import Item
from ivm_ros.evaluate.sources import Source
from ivm_ros.masker import InstructionError
from ivm_ros.sample import Mask

RAW = 'raw'
FATAL = ('gone', 'budget')  # what no other item will be spared
GIVE_UP = 5  # items in a row without an answer after which a run stops


@dataclass(frozen=True)
class Outcome:
    """
    What came of one question about one picture.

    Attributes:
        text (str): The answer.
        score (float): How right it is, 0 to 1; 0 or 1 where no model judges.
        read (str | None): What was read out of it; None: nothing could be, or a model judged.
        replies (tuple[Reply, ...]): The answer, and the judgement.
    """

    text: str
    score: float
    read: str | None
    replies: tuple[Reply, ...]


@dataclass(frozen=True)
class Answered:
    """
    One item with all its outcomes.

    Attributes:
        item (Item): The question.
        outcomes (dict[str, Outcome]): By 'raw' and the names of methods.
        found (bool): Something was masked; else every method shows the raw picture.
    """

    item: Item
    outcomes: dict[str, Outcome]
    found: bool


@dataclass(frozen=True)
class Plan:
    """
    How items are asked.

    Attributes:
        chat (Chat): The model that answers.
        methods (tuple[MethodName, ...]): How the masked picture is shown, one after the other.
        deploy (DeployConfig): Everything else about that.
        judge (Chat | None): The model that judges answers in words.
        parallel (int): Items that are asked at once.
        most (int): Tokens of an answer at most; 0: the server's limit.
    """

    chat: Chat
    methods: tuple[MethodName, ...]
    deploy: DeployConfig = field(default_factory=DeployConfig)
    judge: Chat | None = None
    parallel: int = 4
    most: int = 0


@dataclass(frozen=True)
class _Sent:
    """An item under way."""

    item: Item
    image: np.ndarray
    mask: Mask
    outcomes: Future[dict[str, Outcome]]


class Asking:
    """
    Asks items by a plan; `failed` lists those without an answer afterwards.

    Args:
        plan: How.
        source: Where pictures that cannot be used are written down.
        masker: Gives a mask to a picture and a sentence, a `Masker`.
        gallery: Keeps some items: the best are those that masking put right.
    """

    def __init__(self, plan: Plan, source: Source, masker: Callable[[np.ndarray, str], Mask],
                 gallery: Gallery) -> None:
        self.plan, self.source, self.masker, self.gallery = plan, source, masker, gallery
        self.failed: list[dict[str, str]] = []
        self._row = 0

    def run(self, items: Iterable[Item]) -> Iterator[Answered]:
        """
        Ask all items; yield those that were answered, in order.

        Raises:
            LlmError: The server is gone, the budget is spent, or no item gets an answer.
        """
        pool, sent = ThreadPoolExecutor(self.plan.parallel), deque[_Sent]()
        try:
            for item in items:
                image = self.source.picture(item.name, item.path)
                if image is None:
                    continue
                try:
                    mask = self.masker(image, item.question)
                except InstructionError as error:
                    self.source.lose(item.name, str(error))
                    continue
                sent.append(_Sent(item, image, mask, pool.submit(
                    _outcomes, self.plan, item, image, mask)))
                if len(sent) > self.plan.parallel + 1:
                    yield from self._take(sent.popleft())
            while sent:
                yield from self._take(sent.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _take(self, sent: _Sent) -> Iterator[Answered]:
        """Wait for one item; keep it for the page, or write down why there is no answer."""
        try:
            outcomes = sent.outcomes.result()
        except LlmError as error:
            self._row += 1
            if error.kind in FATAL or self._row >= GIVE_UP:
                more = '' if error.kind in FATAL else f' (and {GIVE_UP - 1} items before it)'
                raise LlmError(error.kind, f'{error.args[1]}{more}. Answers so far are in '
                               f'{self.plan.chat.cache}: the same command goes on from there',
                               again=False) from error
            self.failed.append({'name': sent.item.name, 'why': str(error)})
            return
        self._row = 0
        config = replace(self.plan.deploy, method=self.plan.methods[0])
        shown = apply(sent.image, sent.mask, config)
        answered = Answered(sent.item, outcomes, shown.outcome != 'passed')
        gain = np.mean([outcomes[name].score for name in self.plan.methods]) - outcomes[RAW].score
        self.gallery.add(float(gain), lambda: Shown(sent.item.question, _note(answered), strip_of(
            sent.image, sent.mask, shown)))
        yield answered


def _outcomes(plan: Plan, item: Item, image: np.ndarray, mask: Mask) -> dict[str, Outcome]:
    """Ask about the raw picture and every masked one."""
    found = {RAW: _ask(plan, item, image)}
    for method in plan.methods:
        found[method] = _ask(plan, item, apply(
            image, mask, replace(plan.deploy, method=method)).image)
    return found


def _ask(plan: Plan, item: Item, picture: np.ndarray) -> Outcome:
    reply = plan.chat.look(picture, item.prompt, plan.most)
    if item.kind != 'open':
        read = read_answer(item, reply.text)
        return Outcome(reply.text, float(read == item.truth), read, (reply,))
    if plan.judge is None:
        raise ValueError(f'{item.name}: answers in words want a judge')
    score, said = judge(plan.judge, item, reply.text)
    return Outcome(reply.text, score, None, (reply, said))


def _note(answered: Answered) -> str:
    """Say in a line how an item came out."""
    said = '; '.join(f'{name}: {outcome.text.strip()[:60]!r} ({outcome.score:g})'
                     for name, outcome in answered.outcomes.items())
    return f'{answered.item.split}, {answered.item.name}; right: {answered.item.truth}; {said}'
