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
"""What a fuzzer changes in files: bytes, values of JSON; decided by the bytes it gives."""

from copy import deepcopy
import json
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**80, 1e308, float('inf'), float('nan'), .5, '', 'x',
    '\0', '../x', '/etc/passwd', 'x' * 300, '\udcff', [], {}, [[]], [None], {'a': 1}, [1, 2, 3],
    [[0, 0, 1e12, 0, 1e12, 1e12]], {'counts': [0, 5], 'size': [9, 9]}, b''.hex())


class Choices:
    """Decisions out of bytes; when they are used up, the first of everything."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def below(self, count: int) -> int:
        """Choose a number from 0 to count - 1."""
        size = 1 if count <= 256 else 4
        part = self._data[self._place:self._place + size]
        self._place += size
        return int.from_bytes(part, 'little') % count

    def rest(self) -> bytes:
        """Give all that is left."""
        return self._data[self._place:]

    @property
    def left(self) -> bool:
        """Whether bytes are left."""
        return self._place < len(self._data)


def edited(document: Any, choices: Choices) -> Any:
    """Exchange, delete or repeat up to eight values of a JSON document."""
    document = deepcopy(document)
    for _ in range(8):
        if not choices.left:
            break
        place = document
        for _ in range(8):
            if not isinstance(place, dict | list) or not place:
                break
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = keys[choices.below(len(keys))]
            if not isinstance(place[key], dict | list) or choices.below(4) == 0:
                _exchange(place, key, choices)
                break
            place = place[key]
    return document


def _exchange(place: Any, key: Any, choices: Choices) -> None:
    way = choices.below(8)
    if way == 0:
        del place[key]
    elif way == 1 and isinstance(place, list):
        place.append(deepcopy(place[key]))
    elif way == 2:
        place[key] = [place[key]]
    else:
        place[key] = deepcopy(ODD[choices.below(len(ODD))])


def patched(data: bytes, choices: Choices) -> bytes:
    """Exchange up to sixteen bytes of a file, or cut it off."""
    out = bytearray(data)
    if choices.below(8) == 7:
        del out[choices.below(len(out) + 1):]
    for _ in range(16):
        if not (choices.left and out):
            break
        out[choices.below(len(out))] = choices.below(256)
    return bytes(out)


def dumped(document: Any) -> bytes:
    """Spell JSON; lone halves of characters stay escapes."""
    return json.dumps(document).encode()
