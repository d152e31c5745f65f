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
"""A sentence with its truth in one picture."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sentence:
    """
    One sentence and what it means in one picture.

    Attributes:
        text (str): The sentence.
        kind (str): Key of `speaker.SHARES`.
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
