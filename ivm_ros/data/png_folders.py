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
Folders of PNG masks, as tools for labelling export them.

CVAT's "Segmentation mask 1.1": `labelmap.txt` (a line a class: name:red,green,blue::), colours in
`SegmentationClass`, a colour for every thing in `SegmentationObject`, pictures in `JPEGImages` if
exported with them. labelme's `labelme2voc.py`: `class_names.txt` (a line a class), numbers with a
palette in `SegmentationClass` (of older ones `SegmentationClassPNG`), pictures in `JPEGImages`.
Any other folder: a mask a picture, with its name.
"""

from pathlib import Path

import numpy as np

from ivm_ros.data.labelled import asked, Label, Labelled
from ivm_ros.data.png_masks import class_colours, class_numbers, is_coloured, plain_mask
from ivm_ros.data.shards import DatasetError, MaskError

PICTURES = ('.jpg', '.jpeg', '.png')
CLASSES = ('SegmentationClass', 'SegmentationClassPNG')
NOTHING = {'background', '_background_', '__ignore__'}
IGNORED = 255  # labelme's number for what nobody is to learn from
UNSURE = 127


class PngFolder:
    """
    Masks in PNG files, one a picture.

    Args:
        path: The folder that was exported.
        images: Folder of the pictures; '' for `JPEGImages` or `images` in it.
        is_human: People made the masks; the files do not say.
        sentence: What asks for a label, as of `labelled.asked`; of masks without names, all of it.

    Raises:
        DatasetError: A file is missing, or none has a label.
        MaskError: A mask holds what nothing names.
    """

    def __init__(self, path: Path, images: str, is_human: bool, sentence: str = '') -> None:
        self.path, self._is_human, self._sentence = path, is_human, sentence
        self._names = _colours_of(path / 'labelmap.txt') or _numbers_of(path / 'class_names.txt')
        self._palette = (path / 'labelmap.txt').is_file()
        if not self._names and (not sentence or '{}' in sentence):
            raise DatasetError(
                f'{path} holds no labelmap.txt (CVAT) and no class_names.txt (labelme), so its '
                'masks have no names: say with --sentence what all of them show')
        self._masks = next((path / name for name in CLASSES if (path / name).is_dir()), path)
        folder = Path(images) if images else next(
            (path / name for name in ('JPEGImages', 'images') if (path / name).is_dir()), None)
        if folder is None:
            raise DatasetError(f'{path} holds no pictures (JPEGImages): export them too, or say '
                               'with --images where they are')
        # Nothing is labelled in a black class mask; a black mask of a sentence is an answer.
        self._pairs = [(mask, picture_of(folder, mask.relative_to(self._masks)))
                       for mask in sorted(self._masks.rglob('*.png'))
                       if not self._names or self._classes(mask)[1]]
        if not self._pairs:
            raise DatasetError(f'{self._masks} holds no *.png with a label in it')

    def __len__(self) -> int:
        """Count the pictures with a label."""
        return len(self._pairs)

    def __getitem__(self, index: int) -> Labelled:
        """Read one picture and its masks."""
        mask, picture = self._pairs[index]
        if self._names:
            labels = self._of_classes(mask)
        else:
            labels = [Label((self._sentence,), plain_mask(mask), 'plain')]
        return Labelled(picture.name, picture.read_bytes(), tuple(labels), self._is_human,
                        f'png/{self.path.name}')

    def _of_classes(self, path: Path) -> list[Label]:
        pixels, shown = self._classes(path)
        things = self._things(path, pixels.shape)
        labels = []
        for value in shown:
            inside = pixels == value
            mask = inside.astype(np.uint8) * 255
            if not self._palette:
                mask[pixels == IGNORED] = UNSURE
            # Black is no thing.
            several = things is not None and len(np.unique(things[inside & (things > 0)])) > 1
            text, kind = asked(self._names[value], several, self._sentence)
            labels.append(Label((text,), mask, kind))
        return labels

    def _classes(self, path: Path) -> tuple[np.ndarray, list[int]]:
        """Give the class of each pixel, int32 [h, w], and which classes are labels."""
        if self._palette and is_coloured(path):
            pixels = class_colours(path)
        else:
            pixels = class_numbers(path)
            if self._palette:  # CVAT's numbers count the lines of labelmap.txt
                lines = np.array([*self._names])
                if pixels.max() >= len(lines):
                    raise MaskError(f'{path} holds class {pixels.max()}, and labelmap.txt has '
                                    f'{len(lines)} lines')
                pixels = lines[pixels]
        shown = [int(value) for value in np.unique(pixels)]
        if not self._palette:
            shown = [value for value in shown if value != IGNORED]
        for value in shown:
            if value not in self._names and value:
                name = (f'the colour ({value >> 16}, {value >> 8 & 255}, {value & 255})'
                        if self._palette else f'class {value}')
                raise MaskError(f'{path} holds {name}, which '
                                f'{"labelmap" if self._palette else "class_names"}.txt does not '
                                'name')
        return pixels, [value for value in shown
                        if value in self._names and self._names[value] not in NOTHING]

    def _things(self, path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
        """Read which thing each pixel shows, int32 [h, w], where the export tells."""
        beside = self.path / 'SegmentationObject' / path.relative_to(self._masks)
        if not beside.is_file():
            return None
        things = class_colours(beside) if is_coloured(beside) else class_numbers(beside)
        if things.shape != shape:
            raise MaskError(f'{beside} is {things.shape}, and {path} is {shape}')
        return things


def picture_of(folder: Path, mask: Path) -> Path:
    """
    Find the picture that a mask of some relative path is of: the same path, its own suffix.

    Raises:
        DatasetError: It is not there.
    """
    for suffix in (*PICTURES, *map(str.upper, PICTURES)):
        path = (folder / mask).with_suffix(suffix)
        if path.is_file():
            return path
    raise DatasetError(f'{folder} holds no picture {mask.with_suffix("")} ({", ".join(PICTURES)}) '
                       f'for the mask {mask.name}')


def _colours_of(path: Path) -> dict[int, str]:
    """Read the names of colours, in the order of their lines; empty without the file."""
    names: dict[int, str] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith('#'):
            continue
        try:
            name, colour = line.split(':')[:2]
            red, green, blue = map(int, colour.split(','))
            bytes((red, green, blue))  # each of 0 to 255, or two labels get one number
        except ValueError as error:
            raise DatasetError(f'{path}, line {number}: wanted name:red,green,blue::, got '
                               f'{line!r}') from error
        if names.setdefault(red * 65536 + green * 256 + blue, name) != name:
            raise DatasetError(f'{path}, line {number}: {name!r} has the colour of another label')
    return names


def _lines(path: Path) -> list[str]:
    """Read the lines of a table of names; none without the file."""
    if not path.is_file():
        return []
    try:
        return path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f'{path} is no text in UTF-8 ({error})') from error


def _numbers_of(path: Path) -> dict[int, str]:
    """Read the names of classes by number; empty without the file."""
    names = _lines(path)
    if names and names[0].strip() == '__ignore__':  # labels.txt, which counts from -1
        names = names[1:]
    return {number: name.strip() for number, name in enumerate(names) if name.strip()}
