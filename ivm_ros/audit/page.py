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
"""The page that labels are judged on: one file, everything inside, nothing asked of a network."""

from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import cv2
import numpy as np

from ivm_ros.audit.sample import Item
from ivm_ros.data.shards import decode_sample

LONGEST = 640  # pixels of the longer side, of the picture at most, of the outline always
WEBP_QUALITY = 85
DARK = 115  # of 255: how much darker it is outside the mask
GREEN = (60, 235, 90)


def page_of(items: Sequence[Item], dataset: str, sample: str, seed: int) -> str:
    """
    Write the page.

    Of where labels are from it says nothing: reviewers are not to know.

    Args:
        items: Labels in the order in which they are shown.
        dataset: Identity of the dataset.
        sample: Identity of the sample.
        seed: That it was drawn with.

    Raises:
        DatasetError: A picture or a mask is broken.
    """
    import jinja2

    text = (files('ivm_ros.audit') / 'page.html.j2').read_text(encoding='utf-8')
    jinja = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    told = {'dataset': dataset, 'sample': sample, 'seed': seed,
            'items': [_shown(item) for item in items]}
    return jinja.from_string(text).render(told=told, nonce=sample[:24], count=len(items))


def _shown(item: Item) -> dict[str, Any]:
    """Give what a reviewer sees of a label."""
    sample = decode_sample(item.row)
    mask = np.zeros(sample.image.shape[:2], np.uint8) if sample.mask is None else sample.mask
    return {'id': sample.id, 'text': sample.instruction, 'found': sample.found is not False,
            'share': f'{(mask > 127).mean():.1%}', 'picture': _picture(sample.image),
            'mask': _outline(mask)}


def _picture(image: np.ndarray) -> str:
    """Encode a picture uint8 [H, W, 3]; it becomes no larger than needed."""
    if max(image.shape) > LONGEST:
        image = cv2.resize(image, _size(image), interpolation=cv2.INTER_AREA)
    flags = [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY]
    data = cv2.imencode('.webp', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1]
    return f'data:image/webp;base64,{b64encode(data.tobytes()).decode()}'


def _outline(mask: np.ndarray) -> str:
    """Draw what lies over the picture: dark outside the mask uint8 [H, W], and its outline."""
    large = cv2.resize(mask, _size(mask), interpolation=cv2.INTER_LINEAR)
    inside = (large > 127).astype(np.uint8)
    layer = np.zeros((*inside.shape, 4), np.uint8)
    layer[inside == 0] = (0, 0, 0, DARK)
    outlines = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(layer, outlines, -1, (0, 0, 0, 255), 5)
    cv2.drawContours(layer, outlines, -1, (*GREEN[::-1], 255), 2)
    data = cv2.imencode('.png', layer, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    return f'data:image/png;base64,{b64encode(data.tobytes()).decode()}'


def _size(picture: np.ndarray) -> tuple[int, int]:
    """Give (width, height) whose longer side is `LONGEST`."""
    height, width = picture.shape[:2]
    scale = LONGEST / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))
