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

from ivm_ros.carriers import MakeCarrier
from ivm_ros.deploy import apply, DeployConfig
from ivm_ros.image import ImageError, LARGEST, place, plain, Rectangle
from ivm_ros.nodes.convert import to_rgb
from ivm_ros.nodes.keyframes import KeyframeMasker, NoMaskYetError
from ivm_ros.nodes.model import mask_each
from ivm_ros.nodes.node_config import NodeConfig
from ivm_ros.sample import InstructionError, Mask
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
        weight (np.ndarray | None): uint8 [H, W], the size of the input, 255 where the picture
            shows it; None where no mask was applied.
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
    weight: np.ndarray | None = None
    broken: bool = False


@dataclass(frozen=True)
class Job:
    """
    A message that was taken on, and what is asked of it.

    Attributes:
        message (Image | CompressedImage): The camera's.
        node (NodeConfig): Instruction, enabled, on_fault.
        deploy (DeployConfig): How to show the mask.
        show (bool): Make the picture; False where only masks are wanted.
        tracks (bool): Masks are carried between keyframes.
        image (np.ndarray | None): uint8 [H, W, 3]; None while it is not read.
        remarks (tuple[str, ...]): What was replaced in reading it.
    """

    message: Image | CompressedImage
    node: NodeConfig
    deploy: DeployConfig
    show: bool = True
    tracks: bool = False
    image: np.ndarray | None = None
    remarks: tuple[str, ...] = ()


class FrameMasker:
    """
    Mask the messages of one camera one after the other; remembers what `hold` and tracking need.

    `begin` and `finish` stand around a model that masks frames of several cameras together.

    Args:
        masker: (uint8 [H, W, 3], instruction) -> Mask, such as `ivm_ros.masker.Masker`.
        carrier: Makes what carries masks between keyframes; None: by flow.
    """

    def __init__(self, masker: Callable[[np.ndarray, str], Mask],
                 carrier: MakeCarrier | None = None) -> None:
        self._masker, self._carrier = masker, carrier
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

    def __call__(self, message: Image | CompressedImage, node: NodeConfig, deploy: DeployConfig,
                 show: bool = True, track: TrackConfig = TrackConfig()) -> Frame:
        """Do with one message what the settings ask for; arguments as of `begin`."""
        begun = self.begin(message, node, deploy, show, track)
        if isinstance(begun, Frame):
            return begun
        return self.finish(begun, *mask_each(self._masker, [begun.image], [node.instruction]))

    def begin(self, message: Image | CompressedImage, node: NodeConfig, deploy: DeployConfig,
              show: bool = True, track: TrackConfig = TrackConfig()) -> Job | Frame:
        """
        Take on a message.

        Args:
            message: The camera's.
            node: Instruction, enabled, on_fault.
            deploy: How to show the mask.
            show: Make the picture; False where only masks are wanted.
            track: Whether and how masks are carried between keyframes.

        Returns:
            What became of it, or, where the model is to mask it now, a job with its image for
            `finish`.
        """
        remarks: list[str] = []
        job = Job(message, node, deploy, show, track.track)
        begun: Job | Frame
        try:
            image = to_rgb(message, remarks.append)
            job = replace(job, image=image)
            begun = self._begin(job, image, track)
        except NoMaskYetError as waiting:  # that is how it has to be, no fault
            begun = replace(self._fault(job, str(waiting)), fault=False)
        except Exception as error:  # noqa: BLE001 - whatever a model raises, the stream goes on
            begun = self._fail(job, error)
        return replace(begun, remarks=tuple(remarks))

    def finish(self, job: Job, made: Mask | Exception) -> Frame:
        """Show the mask that was made for a job, or do what `on_fault` says."""
        try:
            frame = (self._show(job, made) if isinstance(made, Mask)
                     else self._fail(job, of_the_model(made)))
        except Exception as error:  # noqa: BLE001 - a mask that does not fit its picture
            frame = self._fail(job, error)
        return replace(frame, remarks=job.remarks)

    def _begin(self, job: Job, image: np.ndarray, track: TrackConfig) -> Job | Frame:
        if not job.node.enabled:
            return self._pass(job, 'disabled')
        if not job.node.instruction.strip():
            raise MaskError(NO_INSTRUCTION)
        if not job.tracks:
            if self._keyframes is not None:
                self._keyframes.reset()
            return job
        if self._keyframes is None:
            self._keyframes = KeyframeMasker(self._masker, track, self._carrier)
        try:
            tracked = self._keyframes(image, job.node.instruction, track)
        except Exception as error:
            raise of_the_model(error) from error
        return self._show(job, tracked.mask, tracked.age)

    def _show(self, job: Job, mask: Mask, age: float | None = None) -> Frame:
        """Show a mask; `age` is the time since the keyframe where it was carried, s."""
        image, instruction = np.asarray(job.image), job.node.instruction
        if not job.show:
            return Frame('masked', image=image, mask=mask, keyframe_age=age)
        # A mask that was found for another sentence must not be held for this one.
        last = self._last_mask
        held = last[1] if last is not None and last[0] == instruction else None
        shown = apply(image, mask, job.deploy, held)
        if shown.outcome == 'masked':
            self._last_mask = instruction, mask
        self._last_picture = shown.image, shown.roi, shown.content
        self._shown_for = instruction
        reason = '' if shown.outcome == 'masked' else (
            'method none' if job.deploy.method == 'none' else 'not found')
        return Frame(shown.outcome, reason, False, self._last_picture, None, image, mask,
                     keyframe_age=age, weight=shown.weight)

    def _fail(self, job: Job, error: Exception) -> Frame:
        return replace(self._fault(job, reason_of(error)), broken=isinstance(error, ModelError))

    def _fault(self, job: Job, reason: str) -> Frame:
        node, deploy, image = job.node, job.deploy, job.image
        if node.on_fault == 'pass' or not node.enabled:
            return self._pass(job, reason, fault=True)
        # While tracking, nothing that was made for another sentence is shown for this one.
        shown = not job.tracks or self._shown_for == node.instruction
        if node.on_fault == 'hold' and self._last_picture is not None and shown:
            return Frame('held', reason, True, self._last_picture, None, image)
        size = self._blank_size(job)
        if node.on_fault == 'blank' and size is not None:
            return Frame('blank', reason, True, untouched(plain(size, deploy.color)), None, image)
        return Frame('dropped', reason, True, None, None, image)

    def _pass(self, job: Job, reason: str, fault: bool = False) -> Frame:
        """Pass on as it came; brought to the output size where one is set."""
        deploy, image = job.deploy, job.image
        width, height = deploy.output_size
        if not width:
            return Frame('passed', reason, fault, None if image is None else untouched(image),
                         job.message, image)
        if image is None:
            return Frame('dropped', f'{reason}; nothing readable to bring to the output size',
                         fault)
        shown, content = place(image, (height, width), deploy.color, deploy.fit == 'stretch')
        return Frame('passed', reason, fault, (shown, untouched(image)[1], content), None, image)

    def _blank_size(self, job: Job) -> tuple[int, int] | None:
        """Height and width of a blank picture; None where no sensible size is known."""
        message, deploy, image = job.message, job.deploy, job.image
        if deploy.output_size != (0, 0):
            return deploy.output_size[1], deploy.output_size[0]
        if image is not None:
            return image.shape[0], image.shape[1]
        if isinstance(message, Image):
            sides = message.height, message.width
            return sides if all(0 < side <= LARGEST for side in sides) else None
        return self._last_picture[0].shape[:2] if self._last_picture is not None else None


def of_the_model(error: Exception) -> Exception:
    """Tell errors of the model itself from those that speak of one frame; returns either."""
    if isinstance(error, ImageError | InstructionError | NoMaskYetError):
        return error
    return ModelError(reason_of(error))


def reason_of(error: Exception) -> str:
    """Say what went wrong; errors of ours say it themselves."""
    return str(error) if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'


def untouched(image: np.ndarray) -> Picture:
    """Show a whole image, uint8 [H, W, 3], as it is."""
    whole = (0, 0, image.shape[0], image.shape[1])
    return image, whole, whole
