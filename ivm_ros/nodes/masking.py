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
One frame from message to picture, whatever happens to it. Knows messages, but no node.

A frame that cannot be masked is a fault: `on_fault` says what becomes of it, and the reason
travels with the result.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from ivm_ros.deploy import apply, DeployConfig
from ivm_ros.image import ImageError, LARGEST, place, plain, Rectangle
from ivm_ros.masker import InstructionError
from ivm_ros.nodes.convert import to_rgb
from ivm_ros.nodes.keyframes import KeyframeMasker, NoMaskYetError
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.sample import Mask
from ivm_ros.tracker import TrackConfig

Outcome = Literal['masked', 'passed', 'held', 'blank', 'dropped']
Picture = tuple[np.ndarray, Rectangle, Rectangle]
"""uint8 [H', W', 3], the part of the input that it shows, and where that lies in the picture."""

NO_INSTRUCTION = 'no instruction'


class MaskError(ValueError):
    """A frame that is fine in itself cannot be masked."""


class ModelError(ValueError):
    """The model itself failed: it raised something, or hangs."""


@dataclass(frozen=True)
class Frame:
    """
    What became of one message.

    Attributes:
        outcome (Outcome): As published in `~/frame_info`.
        reason (str): Why it was not masked; '' for a plain masked frame.
        fault (bool): It could not be masked.
        broken (bool): Because the model itself failed; the next frame may fare no better.
        picture (Picture | None): What is shown; None: nothing, or only `original`.
        original (Image | CompressedImage | None): Pass this message on as it is.
        image (np.ndarray | None): uint8 [H, W, 3], the input; None if it could not be read.
        mask (Mask | None): None if it was not masked.
        remarks (tuple[str, ...]): What was replaced in reading it.
        keyframe_age (float | None): Seconds since the keyframe that the mask was carried from;
            None where it was not carried.
    """

    outcome: Outcome
    reason: str = ''
    fault: bool = False
    picture: Picture | None = None
    original: Image | CompressedImage | None = None
    image: np.ndarray | None = None
    mask: Mask | None = None
    remarks: tuple[str, ...] = ()
    keyframe_age: float | None = None
    broken: bool = False


class FrameMasker:
    """
    Mask messages one after the other; remembers what `hold` and tracking need.

    Args:
        masker: (uint8 [H, W, 3], instruction) -> Mask, such as `ivm_ros.masker.Masker`.
    """

    def __init__(self, masker: Callable[[np.ndarray, str], Mask]) -> None:
        self._masker = masker
        self._last_mask: tuple[str, Mask] | None = None
        self._last_picture: Picture | None = None
        self._shown_for = ''  # the instruction of that picture
        self._keyframes: KeyframeMasker | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What diagnostics show about keyframes; empty while there are none."""
        return self._keyframes.facts if self._keyframes is not None else {}

    def close(self, timeout: float = 10.0) -> bool:
        """End the thread of keyframes; False when the model did not come back in time."""
        keyframes, self._keyframes = self._keyframes, None
        return keyframes is None or keyframes.stop(timeout)

    def use(self, masker: Callable[[np.ndarray, str], Mask]) -> None:
        """Mask with another model from the next message on; one at work keeps its own."""
        self._masker = masker
        if self._keyframes is not None:
            self._keyframes.use(masker)

    def __call__(self, message: Image | CompressedImage, node: NodeConfig, deploy: DeployConfig,
                 show: bool = True, track: TrackConfig = TrackConfig()) -> Frame:
        """
        Do with one message what the settings ask for.

        Args:
            message: The camera's.
            node: Instruction, enabled, on_fault.
            deploy: How to show the mask.
            show: Make the picture; False where only masks are wanted.
            track: Whether and how masks are carried between keyframes.
        """
        remarks: list[str] = []
        image = None
        try:
            image = to_rgb(message, remarks.append)
            if not node.enabled:
                return self._pass(message, image, deploy, 'disabled')
            if not node.instruction.strip():
                raise MaskError(NO_INSTRUCTION)
            frame = self._mask(image, node.instruction, deploy, show, track)
        except NoMaskYetError as waiting:  # that is how it has to be, no fault
            frame = replace(self._fault(message, image, node, deploy, str(waiting), True),
                            fault=False)
        except Exception as error:  # noqa: BLE001 - whatever a model raises, the stream goes on
            frame = replace(
                self._fault(message, image, node, deploy, reason_of(error), track.track),
                broken=isinstance(error, ModelError))
        return replace(frame, remarks=tuple(remarks))

    def _mask(self, image: np.ndarray, instruction: str, deploy: DeployConfig,
              show: bool, track: TrackConfig) -> Frame:
        mask, age = self._find(image, instruction, track)
        if not show:
            return Frame('masked', image=image, mask=mask, keyframe_age=age)
        # A mask that was found for another sentence must not be held for this one.
        last = self._last_mask
        held = last[1] if last is not None and last[0] == instruction else None
        shown = apply(image, mask, deploy, held)
        if shown.outcome == 'masked':
            self._last_mask = instruction, mask
        self._last_picture = shown.image, shown.roi, shown.content
        self._shown_for = instruction
        reason = '' if shown.outcome == 'masked' else (
            'method none' if deploy.method == 'none' else 'not found')
        return Frame(shown.outcome, reason, False, self._last_picture, None, image, mask,
                     keyframe_age=age)

    def _find(self, image: np.ndarray, instruction: str, track: TrackConfig
              ) -> tuple[Mask, float | None]:
        """
        Return a mask and, where it was carried, seconds since its keyframe.

        Raises:
            ImageError, InstructionError, NoMaskYetError: As they do.
            ModelError: Anything else.
        """
        try:
            if not track.track:
                if self._keyframes is not None:
                    self._keyframes.reset()
                return self._masker(image, instruction), None
            if self._keyframes is None:
                self._keyframes = KeyframeMasker(self._masker, track)
            tracked = self._keyframes(image, instruction, track)
            return tracked.mask, tracked.age
        except (ImageError, InstructionError, NoMaskYetError):
            raise
        except Exception as error:
            raise ModelError(reason_of(error)) from error

    def _fault(self, message: Image | CompressedImage, image: np.ndarray | None,
               node: NodeConfig, deploy: DeployConfig, reason: str, tracks: bool) -> Frame:
        if node.on_fault == 'pass' or not node.enabled:
            return self._pass(message, image, deploy, reason, fault=True)
        # While tracking, nothing that was made for another sentence is shown for this one.
        shown = not tracks or self._shown_for == node.instruction
        if node.on_fault == 'hold' and self._last_picture is not None and shown:
            return Frame('held', reason, True, self._last_picture, None, image)
        size = self._blank_size(message, image, deploy)
        if node.on_fault == 'blank' and size is not None:
            return Frame('blank', reason, True, untouched(plain(size, deploy.color)), None, image)
        return Frame('dropped', reason, True, None, None, image)

    def _pass(self, message: Image | CompressedImage, image: np.ndarray | None,
              deploy: DeployConfig, reason: str, fault: bool = False) -> Frame:
        """Pass on as it came; brought to the output size where one is set."""
        width, height = deploy.output_size
        if not width:
            return Frame('passed', reason, fault, None if image is None else untouched(image),
                         message, image)
        if image is None:
            return Frame('dropped', f'{reason}; nothing readable to bring to the output size',
                         fault)
        shown, content = place(image, (height, width), deploy.color, deploy.fit == 'stretch')
        return Frame('passed', reason, fault, (shown, untouched(image)[1], content), None, image)

    def _blank_size(self, message: Image | CompressedImage, image: np.ndarray | None,
                    deploy: DeployConfig) -> tuple[int, int] | None:
        """Height and width of a blank picture; None where no sensible size is known."""
        if deploy.output_size != (0, 0):
            return deploy.output_size[1], deploy.output_size[0]
        if image is not None:
            return image.shape[0], image.shape[1]
        if isinstance(message, Image):
            sides = message.height, message.width
            return sides if all(0 < side <= LARGEST for side in sides) else None
        return self._last_picture[0].shape[:2] if self._last_picture is not None else None


def reason_of(error: Exception) -> str:
    """Say what went wrong; errors of ours say it themselves."""
    return str(error) if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'


def untouched(image: np.ndarray) -> Picture:
    """Show a whole image, uint8 [H, W, 3], as it is."""
    whole = (0, 0, image.shape[0], image.shape[1])
    return image, whole, whole
