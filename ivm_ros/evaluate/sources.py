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
"""What the readers of benchmarks share: which files make a set, and what of it is not there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ivm_ros.data.shards import DatasetError, decode_image
from ivm_ros.image import check_image, ImageError


@dataclass(frozen=True)
class Source:
    """
    Where a set lies, and how much of it is wanted.

    Attributes:
        root (Path): Its folder.
        images (str): Folder of the pictures, where it is another.
        splits (tuple[str, ...]): Only these; empty: all but 'train'.
        items (int): Only the first so many pictures, or questions, of each split; 0: all.
        partition (str): Which partition of RefCOCO ('unc', 'umd', 'google'); '': the usual one.
        lost (list[dict[str, str]]):
            What could not be used, as readers find it: 'name' and 'why' of each.
    """

    root: Path
    images: str = ''
    splits: tuple[str, ...] = ()
    items: int = 0
    partition: str = ''
    lost: list[dict[str, str]] = field(default_factory=list)

    def wanted(self, there: Iterable[str]) -> list[str]:
        """
        Choose splits of those that are there.

        Raises:
            DatasetError: One that is asked for is not there, or none is left.
        """
        names = list(dict.fromkeys(there))
        if missing := [name for name in self.splits if name not in names]:
            raise DatasetError(f'{self.root} has no split {", ".join(missing)}; it has '
                               f'{", ".join(names)}')
        chosen = [name for name in names
                  if name in self.splits or (not self.splits and name != 'train')]
        if not chosen:
            raise DatasetError(f'{self.root} has the split train alone; "--splits train" '
                               'measures on it')
        return chosen

    def lose(self, name: str, why: str) -> None:
        """Write down what cannot be used."""
        self.lost.append({'name': name, 'why': why})

    def picture(self, name: str, path: Path | None) -> np.ndarray | None:
        """Read a picture, uint8 [H, W, 3] RGB; one that cannot be used is written down."""
        if path is None or not path.is_file():
            self.lose(name, 'the picture is not there')
            return None
        return self.decoded(name, path.read_bytes())

    def decoded(self, name: str, data: bytes) -> np.ndarray | None:
        """Decode a picture, uint8 [H, W, 3] RGB; one that cannot be used is written down."""
        try:
            image = decode_image(data)
            check_image(image)
        except (DatasetError, ImageError) as error:
            self.lose(name, str(error))
            return None
        return image

    def refuse(self, what: str, wanted: Sequence[str]) -> DatasetError:
        """Give the error for a folder that is not the set: it says which files were looked for."""
        return DatasetError(f'{self.root} is not {what}: looked for {", ".join(wanted)}, found '
                            f'{_there(self.root)}')

    def folder_of_images(self, *usual: str) -> Path:
        """Give the folder of the pictures: what was said, else the first usual one there."""
        if self.images:
            return Path(self.images)
        return next((path for name in usual if (path := self.root / name).is_dir()), self.root)


def _there(root: Path) -> str:
    """Say what is in a folder, in a few words."""
    if not root.is_dir():
        return 'no such folder'
    names = sorted(path.name + '/' * path.is_dir() for path in root.iterdir())
    return f'{", ".join(names[:6])}{" ..." if len(names) > 6 else ""}' or 'nothing'
