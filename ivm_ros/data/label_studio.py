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
Label Studio's "Brush labels to PNG": a grey PNG a region, named by numbers of its tasks.

`task-3-annotation-4-by-1-tag-cup-0.png`: which picture task 3 is, and that `tag` is the name of
the tool and `cup` the label, stands in the JSON export of the same project, so both are needed.
"""

from collections import defaultdict
from pathlib import Path
import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from ivm_ros.data.labelled import asked, Label, Labelled
from ivm_ros.data.png_masks import plain_mask
from ivm_ros.data.shards import DatasetError, MaskError
from ivm_ros.files import FileError, inside, MALFORMED, MOST_LABELS, read_json

REGION = re.compile(r'task-(\d+)-annotation-(\d+)-by-([^-]*)-(.+)-(\d+)\.png')
UPLOADED = re.compile(r'[0-9a-f]{8}-(?=.)')  # what uploading puts before a name


class LabelStudio:
    """
    Brush labels of a project. Regions of one label in one annotation are one mask.

    Args:
        path: Folder of the PNG export.
        tasks: The JSON export of the same project.
        images: Folder of the pictures.
        is_human: People made the masks; the files do not say.
        sentence: What asks for a label, as of `labelled.asked`.

    Raises:
        DatasetError: A file is missing, of another project, or not of its format.
    """

    def __init__(self, path: Path, tasks: Path, images: str, is_human: bool, sentence: str = ''
                 ) -> None:
        self.path, self._images = path, Path(images or path)
        self._is_human, self._sentence = is_human, sentence
        self._tasks = _read(tasks)
        regions: dict[int, list[tuple[str, str, Path]]] = defaultdict(list)
        for file in sorted(path.glob('task-*.png')):
            said = REGION.fullmatch(file.name)
            if said is None:
                raise DatasetError(f'{file}: wanted task-N-annotation-N-by-WHO-TOOL-LABEL-N.png')
            if int(said[1]) not in self._tasks:
                raise DatasetError(f'{file.name} is of task {said[1]}, which {tasks} does not '
                                   'hold: export the JSON of the same project')
            regions[int(said[1])].append((said[2], said[4], file))
        self._regions = sorted(regions.items())
        if not self._regions:
            raise DatasetError(f'{path} holds no task-*.png')

    def __len__(self) -> int:
        """Count the pictures with a label."""
        return len(self._regions)

    def __getitem__(self, index: int) -> Labelled:
        """Read one picture and the masks of all its annotations."""
        number, regions = self._regions[index]
        task = self._tasks[number]
        masks: dict[tuple[str, str], np.ndarray] = {}
        for annotation, named, file in regions:
            mask = plain_mask(file)
            for label in _labels_of(task, named):
                before = masks.setdefault((annotation, label), mask)
                if before.shape != mask.shape:
                    raise MaskError(f'{file} is {mask.shape}, another region of it {before.shape}')
                masks[annotation, label] = np.maximum(before, mask)
        labels = []
        for (_, name), mask in masks.items():
            text, kind = asked(name, False, self._sentence)
            labels.append(Label((text,), mask, kind))
        picture = self._picture(number, task)
        return Labelled(picture.name, picture.read_bytes(), tuple(labels), self._is_human,
                        f'label-studio/{self.path.name}', {'task': number})

    def _picture(self, number: int, task: dict[str, Any]) -> Path:
        """Find the picture of a task by the last part of its address."""
        names = []
        for value in (*task['data'].values(), task.get('file_upload')):
            if isinstance(value, str):
                parts = urlsplit(value)
                address = parse_qs(parts.query).get('d', [parts.path])[0]
                names.append(Path(unquote(address)).name)
        for name in [*names, *(UPLOADED.sub('', name, count=1) for name in names)]:
            try:
                path = inside(self._images, name)
            except FileError:
                continue
            if path.is_file():
                return path
        raise DatasetError(f'task {number} is about {", ".join(names)}, and {self._images} holds '
                           'none of these: say with --images where the pictures are')


def _labels_of(task: dict[str, Any], named: str) -> list[str]:
    """Take "TOOL-LABEL" or "TOOL-LABEL-LABEL" apart by what the task says was used."""
    for annotation in task['annotations']:
        for region in annotation['result']:
            value = region.get('value', {})
            labels = value.get('brushlabels') or value.get('labels') or []
            joined = '-'.join([str(region.get('from_name')), *labels])
            if labels and re.sub(r'[/\\]', '-', joined) == named:
                return [str(label) for label in labels]
    raise DatasetError(f'task {task["id"]} has no brush label {named!r}: export PNG and JSON of '
                       'the same state of the project')


def _read(path: Path) -> dict[int, dict[str, Any]]:
    """Read tasks by number."""
    try:
        tasks = read_json(path, MOST_LABELS)
        for task in tasks:
            task['data'].values()
            for annotation in task['annotations']:
                iter(annotation['result'])
        return {int(task['id']): task for task in tasks}
    except MALFORMED as error:
        raise DatasetError(f'{path} is no JSON export of Label Studio ({error!r}); "JSON-MIN" '
                           'lacks what is needed') from error
