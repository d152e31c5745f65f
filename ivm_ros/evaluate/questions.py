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
Sets of questions about pictures, read as they are released: V*Bench, POPE, MME, EgoThink.

* V*Bench: `test_questions.jsonl`, a line a question: `image`, `text` with options "(A) ...",
  `category` (the folder of the picture), `label`, the letter that is right.
* POPE: `coco_pope_random.json`, `_popular`, `_adversarial`, a line a question: `image`, `text`,
  `label`; pictures of COCO val2014. Those of other pictures (`gqa_pope_...`) are read too.
* MME: a folder a task, a .txt beside or (`questions_answers_YN/`, `images/`) apart from each
  picture, a line a question: question, tab, Yes or No. Sets of that form are read alike.
* EgoThink: `annotations.json` a category, a list of `question`, `answer`, `image_path` (a list);
  pictures in `images/` beside it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
import re
from typing import Any, Literal

from ivm_ros.data.shards import DatasetError
from ivm_ros.evaluate.sources import Source
from ivm_ros.files import FileError, inside, MALFORMED, parse_json, read_json

Kind = Literal['choice', 'yes/no', 'open']
OPTION = re.compile(r'^\s*\(([A-Z])\)\s*(.+?)\s*$', re.MULTILINE)
HINT = re.compile(r'\s*(answer with the option|please answer yes or no).*$', re.IGNORECASE)
YES_NO = 'Answer yes or no.'
ENDINGS = ('.jpg', '.jpeg', '.png', '.JPG', '.JPEG', '.PNG')
POPE = ('random', 'popular', 'adversarial')
VSTAR = ('direct_attributes', 'relative_position')


@dataclass(frozen=True)
class Item:
    """
    One question about a picture.

    Attributes:
        split (str): Category, subset or task.
        name (str): Of the picture, unique with the question.
        path (Path | None): The picture's file; None where there is none.
        question (str): What the mask is made for: the bare question.
        prompt (str): What the model is asked, with options and how to answer.
        truth (str): The letter, 'yes' or 'no', or an answer in words.
        kind (Kind): How the answer is read.
        options (tuple[tuple[str, str], ...]): Letters and texts to choose from.
    """

    split: str
    name: str
    path: Path | None
    question: str
    prompt: str
    truth: str
    kind: Kind
    options: tuple[tuple[str, str], ...] = ()


def vstar_items(source: Source) -> Iterator[Item]:
    """
    Read V*Bench.

    Raises:
        DatasetError: It is not that set, or a line of it is broken.
    """
    path = source.root / 'test_questions.jsonl'
    if not path.is_file():
        raise source.refuse('V*Bench', [path.name, *(f'{name}/*.jpg' for name in VSTAR)])
    folder = source.folder_of_images()
    items = []
    for number, line in _lines(path):
        told = _fields(path, number, line, ('image', 'text', 'category', 'label'))
        options = tuple(OPTION.findall(told['text']))
        if told['label'] not in dict(options):
            raise DatasetError(f'{path}:{number}: label {told["label"]!r} is none of the options '
                               f'{", ".join(dict(options)) or "(none found)"}')
        question = told['text'].partition('(A)')[0].strip()
        items.append(Item(told['category'], told['image'], _inside(folder, told['image']),
                          question, told['text'], told['label'], 'choice', options))
    yield from _of_splits(source, items)


def pope_items(source: Source) -> Iterator[Item]:
    """
    Read POPE.

    Raises:
        DatasetError: It is not that set, or a line of it is broken.
    """
    names = {split: sorted(source.root.rglob(f'*_pope_{split}.json')) for split in POPE}
    if not any(names.values()):
        raise source.refuse('POPE', [f'coco_pope_{split}.json' for split in POPE])
    folder = source.folder_of_images('val2014', 'images/val2014', 'images')
    items = []
    for split, paths in names.items():
        if not paths:
            source.lose(f'coco_pope_{split}.json', 'the file of this subset is not there')
        for path in paths:
            about = path.name.partition('_pope_')[0]
            for number, line in _lines(path):
                told = _fields(path, number, line, ('image', 'text', 'label'))
                items.append(Item(
                    split if about == 'coco' else f'{about} {split}', told['image'],
                    _inside(folder, told['image']), told['text'], f'{told["text"]} {YES_NO}',
                    _yes_no(path, number, told['label']), 'yes/no'))
    yield from _of_splits(source, items)


def mme_items(source: Source) -> Iterator[Item]:
    """
    Read MME, or yes/no questions of its form.

    Raises:
        DatasetError: It is not that set, or a line of it is broken.
    """
    items = []
    for path in sorted(source.root.rglob('*.txt')):
        lines = list(_lines(path))
        if not lines or not re.fullmatch(r'[^\t]+\t\s*(yes|no)\s*', lines[0][1], re.IGNORECASE):
            continue  # notes and tables of other columns lie among the questions
        apart = path.parent.name == 'questions_answers_YN'
        task = path.parent.parent if apart else path.parent
        folder = Path(source.images) / task.name if source.images else (
            task / 'images' if apart else task)
        picture = next((other for ending in ENDINGS
                        if (other := folder / f'{path.stem}{ending}').is_file()), None)
        for number, line in lines:
            question, _, answer = line.partition('\t')
            bare = HINT.sub('', question).strip()
            items.append(Item(task.name, f'{task.name}/{path.stem}', picture, bare,
                              f'{bare} {YES_NO}', _yes_no(path, number, answer), 'yes/no'))
    if not items:
        raise source.refuse('MME', ['TASK/NAME.txt with lines "question, tab, Yes or No"',
                                    'TASK/questions_answers_YN/NAME.txt'])
    yield from _of_splits(source, items)


def egothink_items(source: Source) -> Iterator[Item]:
    """
    Read EgoThink.

    Raises:
        DatasetError: It is not that set, or a file of it is broken.
    """
    paths = sorted(source.root.rglob('annotations.json'))
    if not paths:
        raise source.refuse('EgoThink', ['CATEGORY/annotations.json', 'CATEGORY/images/*.jpg'])
    items = []
    for path in paths:
        split = path.parent.relative_to(source.root).as_posix()
        try:
            listed = read_json(path)
            for entry in listed:
                names = entry['image_path']
                names = [names] if isinstance(names, str) else names
                name = Path(str(names[0])).name if names else 'no picture named'
                items.append(Item(split, f'{split}/{name}', _inside(path.parent / 'images', name),
                                  str(entry['question']), str(entry['question']),
                                  str(entry['answer']), 'open'))
        except MALFORMED as error:
            raise DatasetError(f'{path} is no file of EgoThink: wanted a list of objects with '
                               f'image_path, question, answer ({error!r})') from error
    yield from _of_splits(source, items)


READERS: dict[str, Callable[[Source], Iterator[Item]]] = {
    'vstar': vstar_items, 'pope': pope_items, 'mme': mme_items, 'egothink': egothink_items}


def _of_splits(source: Source, items: list[Item]) -> Iterator[Item]:
    """Give the items of the splits that are wanted, of each only as many as wanted."""
    for split in source.wanted(item.split for item in items):
        yield from islice((item for item in items if item.split == split), source.items or None)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give a file's lines that are not empty, with their numbers."""
    text = path.read_bytes().decode('utf-8', 'replace')
    yield from ((number, line) for number, line in enumerate(text.splitlines(), 1)
                if line.strip())


def _fields(path: Path, number: int, line: str, names: tuple[str, ...]) -> dict[str, str]:
    """Read a line of JSON that has some fields of text."""
    try:
        told: Any = parse_json(line)
        return {name: str(told[name]) for name in names}
    except MALFORMED as error:
        raise DatasetError(f'{path}:{number}: wanted JSON with {", ".join(names)}, got '
                           f'{line[:80]!r} ({error!r})') from error


def _yes_no(path: Path, number: int, said: str) -> str:
    answer = said.strip().lower()
    if answer not in ('yes', 'no'):
        raise DatasetError(f'{path}:{number}: wanted yes or no, got {said[:80]!r}')
    return answer


def _inside(folder: Path, name: str) -> Path | None:
    """Give the path of a picture, or None where its name leads out of the folder."""
    try:
        return inside(folder, name)
    except FileError:
        return None
