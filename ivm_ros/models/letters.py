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
"""Tokenizers of single letters, for random weights: nobody's vocabulary has to be shipped."""

from collections.abc import Mapping
from typing import Any

SPECIAL = ('<unk>', '<s>', '</s>', '<pad>', '<image>')
PRINTED = (*map(chr, range(32, 127)), '\n')
BERT = {'[PAD]': 0, '[UNK]': 100, '[CLS]': 101, '[SEP]': 102, '.': 1012, '?': 1029}
"""Ids of bert-base-uncased; Grounding DINO knows the last four of them by number."""


def letters(**words: Any) -> Any:
    """
    Make a tokenizer as LLaMA's and CLIP's are: `<s>` first, and `</s>` last where there is an end.

    Args:
        words: For `PreTrainedTokenizerFast`; with `model_max_length` sentences end in `</s>`.
    """
    known = {token: number for number, token in enumerate((*SPECIAL, *PRINTED))}
    whole = '<s> $A </s>' if 'model_max_length' in words else '<s> $A'
    return _made(known, '<unk>', whole, (('<s>', 1), ('</s>', 2)), unk_token='<unk>',
                 bos_token='<s>', eos_token='</s>', pad_token='<pad>', **words)


def bert_letters() -> Any:
    """Make a tokenizer as BERT's is, with its ids of what Grounding DINO knows by number."""
    known = {**{letter: 2000 + number for number, letter in enumerate(PRINTED)}, **BERT}
    return _made(known, '[UNK]', '[CLS] $A [SEP]', (('[CLS]', 101), ('[SEP]', 102)),
                 unk_token='[UNK]', cls_token='[CLS]', sep_token='[SEP]', pad_token='[PAD]',
                 model_max_length=512,
                 model_input_names=['input_ids', 'token_type_ids', 'attention_mask'])


def _made(known: Mapping[str, int], unknown: str, whole: str,
          special: tuple[tuple[str, int], ...], **words: Any) -> Any:
    from tokenizers import models, pre_tokenizers, processors, Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(dict(known), unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Split('', 'isolated')
    tokenizer.post_processor = processors.TemplateProcessing(
        single=whole, special_tokens=[*special])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **words)
