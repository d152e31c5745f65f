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
Encoded sentences on disk, for training runs that read the same ones.

A frozen encoder says the same of a sentence for ever, and on a CPU takes half of a training step
to say it. SQLite, so that several processes may read and write at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
import sqlite3

import numpy as np
import torch

PATIENCE = 60.0  # seconds to wait for another process that writes
ASKED = 500  # sentences in a query: SQLite takes a limited number of parameters


class SentenceStore:
    """
    Keeps states as float16, 18 kB for a sentence of twelve tokens.

    Args:
        path: Of the file, made where there is none.
        dim: Width of a state.

    Raises:
        StoreError: Here or later: the file is something else, torn, or cannot be written.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self.path, self.dim = path, dim
        with self._named():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, PATIENCE)
            self._file.execute('PRAGMA journal_mode = WAL')
            self._file.execute('PRAGMA synchronous = OFF')  # what is lost is encoded again
            self._file.execute('CREATE TABLE IF NOT EXISTS states '
                               '(sentence TEXT PRIMARY KEY, tokens BLOB) WITHOUT ROWID')

    def get(self, sentences: Sequence[str]) -> dict[str, torch.Tensor]:
        """Give the states, float32 [T, dim], of those sentences that are kept."""
        found: dict[str, torch.Tensor] = {}
        for start in range(0, len(sentences), ASKED):
            part = sentences[start:start + ASKED]
            marks = ', '.join('?' * len(part))
            with self._named():
                kept = self._file.execute(f'SELECT sentence, tokens FROM states '
                                          f'WHERE sentence IN ({marks})', part).fetchall()
                for sentence, blob in kept:
                    rows = np.frombuffer(blob, np.float16).reshape(-1, self.dim)
                    found[sentence] = torch.from_numpy(rows.astype(np.float32))
        return found

    def put(self, states: Mapping[str, torch.Tensor]) -> None:
        """Keep states [T, dim] of sentences; those that are there stay as they are."""
        rows = [(sentence, state.half().cpu().numpy().tobytes())
                for sentence, state in states.items()]
        with self._named(), self._file:
            self._file.executemany('INSERT OR IGNORE INTO states VALUES (?, ?)', rows)

    def __len__(self) -> int:
        """Count the sentences."""
        with self._named():
            count: int = self._file.execute('SELECT count(*) FROM states').fetchone()[0]
        return count

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Give what goes wrong with the file a name: disk full, torn, of another width, busy."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            raise StoreError(f'{self.path}: no file of encoded sentences, or no place for one '
                             f'({error}); delete it, choose another folder, or try again where '
                             'another process writes') from error


class StoreError(ValueError):
    """A file of encoded sentences cannot be used."""
