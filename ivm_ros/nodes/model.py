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
"""One copy of the weights for all cameras of a node."""

from collections.abc import Callable, Sequence
from typing import Any

from ivm_ros.carriers import MakeCarrier
from ivm_ros.sample import Mask


class SharedModel:
    """
    The model that all cameras call; it can be exchanged between two calls.

    Args:
        masker: Masks a picture, or a list of them; several threads call it (see `Watchdog`).
        carrier: Makes what carries masks between the keyframes of a camera; None: by flow.
    """

    def __init__(self, masker: Callable[..., Any], carrier: MakeCarrier | None = None) -> None:
        self._masker, self.carrier = masker, carrier

    def use(self, masker: Callable[..., Any]) -> None:
        """Mask with another model from the next call on; a call at work keeps its own."""
        self._masker = masker

    def __call__(self, image: Any, instruction: Any) -> Any:
        """Mask one picture by a sentence, or a list of pictures by as many."""
        return self._masker(image, instruction)


def mask_each(model: Callable[..., Any], images: Sequence[Any], instructions: Sequence[str]
              ) -> list[Mask | Exception]:
    """
    Mask pictures as one batch; where that fails one by one, so that a bad one spoils no other.

    Args:
        model: As of `SharedModel`.
        images: uint8 [H, W, 3] each.
        instructions: As many.

    Returns:
        For each picture its mask, or what the model raised.
    """
    try:
        if len(images) > 1:
            return list(model(list(images), list(instructions)))
        return [model(image, text) for image, text in zip(images, instructions)]
    except Exception as error:  # noqa: BLE001 - whatever a model raises, the streams go on
        if len(images) == 1:
            return [error]
    return [made for one in zip(images, instructions)
            for made in mask_each(model, [one[0]], [one[1]])]
