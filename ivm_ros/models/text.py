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
The frozen sentence encoder: all-MiniLM-L6-v2, one state per token.

Pooled vectors of this encoder hardly tell 'left of' from 'right of', and the last layer's states
of 'left' and 'right' have a cosine of .83 to .88. Its input embeddings of the two have .49. So a
token is both: its last state and its embedding, and the generator reads every token.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ivm_ros.models.checkpoint_info import file_hash
from ivm_ros.models.errors import TextEncoderError
from ivm_ros.models.sentence_store import SentenceStore
from ivm_ros.models.text_files import DIM, find_text_encoder, MAX_TOKENS

if TYPE_CHECKING:
    from ivm_ros.models.bert import Bert

EMBEDDING_SCALE = 8.0  # brings an embedding to the length of a state
CHUNK = 16  # sentences in one pass of the encoder
CACHE = 256  # sentences; 150 kB each at most


class TextEncoder:
    """
    Sentences to per-token states; the last ones are kept (bounded), so a repeated one is free.

    Args:
        folder: Folder of the encoder, '' to search.
        device: Where states are wanted.
        cache: How many sentences to keep.
        dtype: What it computes in; states are float32 anyway. bfloat16 moves a state by 1 %
            (the norm of the difference) and takes half the time on a CPU with AMX.
        kept: Folder that keeps states for later runs, as float16; '' for none.

    Attributes:
        model (Bert): What computes.
        folder (Path): Where it is from.
        hash (str): SHA-256 of its weights.
        device (torch.device): Where it is.
    """

    def __init__(self, folder: str = '', device: torch.device | str = 'cpu',
                 cache: int = CACHE, dtype: torch.dtype = torch.float32,
                 kept: str = '') -> None:
        from tokenizers import Tokenizer

        from ivm_ros.models.bert import Bert

        self.folder = find_text_encoder(folder)
        self.device = torch.device(device)
        try:
            self.hash = file_hash(self.folder / 'model.safetensors')
            self._tokenizer = Tokenizer.from_file(str(self.folder / 'tokenizer.json'))
            bert = Bert(self.folder).eval()
        except Exception as error:  # tokenizers raises bare ones
            raise TextEncoderError(f'{self.folder}: the sentence encoder is torn or another one '
                                   f'({type(error).__name__}: {error}); copy it again'
                                   ) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self.model = bert.to(self.device, dtype)
        self._cache: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._size = cache
        self._store = SentenceStore(
            Path(kept) / f'{self.hash[:12]}-{str(dtype).rpartition(".")[2]}.sqlite',
            DIM) if kept else None

    def __call__(self, sentences: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Encode sentences.

        Returns:
            States float32 [B, T, 768] and mask bool [B, T], True where there is a token.
        """
        new = [text for text in dict.fromkeys(sentences) if text not in self._cache]
        states = {text: self._cache[text] for text in sentences if text in self._cache}
        states.update(self._made(new))
        for text in sentences:
            self._cache[text] = states[text]
            self._cache.move_to_end(text)
        while len(self._cache) > self._size:
            self._cache.popitem(last=False)
        return pad_states([states[text] for text in sentences])

    def _made(self, sentences: Sequence[str]) -> dict[str, torch.Tensor]:
        """Give states of sentences that are not in memory."""
        if self._store is None:
            return dict(zip(sentences, self.encode(sentences)))
        known = self._store.get(sentences)
        missing = [text for text in sentences if text not in known]
        # Rounded at once, so that a run is the same whether or not another came before.
        new = {text: state.half().float() for text, state in zip(missing, self.encode(missing))}
        self._store.put(new)
        return new | {text: state.to(self.device) for text, state in known.items()}

    @torch.inference_mode()
    def encode(self, sentences: Sequence[str]) -> list[torch.Tensor]:
        """Encode without the cache; a list of float32 [T_i, 768]."""
        codes = [self._tokenizer.encode(text).ids for text in sentences]
        # Sentences of one length together: padding is computed like words.
        order = sorted(range(len(codes)), key=lambda index: len(codes[index]))
        states: dict[int, torch.Tensor] = {}
        for start in range(0, len(order), CHUNK):
            chunk = order[start:start + CHUNK]
            states.update(zip(chunk, self._encode_chunk([codes[index] for index in chunk])))
        return [states[index] for index in range(len(codes))]

    def _encode_chunk(self, codes: list[list[int]]) -> list[torch.Tensor]:
        length = max(map(len, codes))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in codes], device=self.device)
        mask = torch.tensor([[True] * len(row) + [False] * (length - len(row)) for row in codes],
                            device=self.device)
        states = token_states(self.model, ids, mask).float()
        return [state[:len(row)].clone() for state, row in zip(states, codes)]


def token_states(model: 'Bert', ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Give last states and input embeddings [B, T, 768] of ids int64 and mask bool [B, T]."""
    return torch.cat((model(ids, mask), EMBEDDING_SCALE * model.words(ids)), 2)


def pad_states(states: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack [T_i, 768] states into float32 [B, T, 768] and a bool mask [B, T]."""
    length = max(len(row) for row in states)
    tokens = states[0].new_zeros(len(states), length, DIM, dtype=torch.float32)
    mask = torch.zeros(len(states), length, dtype=torch.bool, device=tokens.device)
    for row, state in enumerate(states):
        tokens[row, :len(state)] = state
        mask[row, :len(state)] = True
    return tokens, mask


def words_of(vocabulary: Sequence[str], encoder: TextEncoder) -> torch.Tensor:
    """Encode words one by one, the mean of the tokens of each; float32 [W, 768]."""
    # The first and the last token only say that a text begins and ends.
    states = [state[1:-1].mean(0) for state in encoder.encode(vocabulary)]
    return torch.stack(states) if states else torch.zeros(0, DIM, device=encoder.device)
