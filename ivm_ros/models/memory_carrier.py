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
Masks carried from frame to frame by a model with a memory: SAM 2, EdgeTAM (`tracker.Carrier`).

A keyframe's planes are the prompts of a session of transformers, one object each; the frames after
it are seen through what the session remembers of it and of the last few frames. Nothing outlives
its keyframe, and of a stream of hours the session holds no more than of one of a second.

A keyframe that comes late goes to the newest frame in one step, without the frames between.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ivm_ros.flow import Carried, FlowCarrier
from ivm_ros.models.device import choose_device
from ivm_ros.models.errors import MemoryFullError
from ivm_ros.models.registry import module_of
from ivm_ros.models.settings import MaskerConfig

SEEN = .5  # mask value that counts as part of a thing: prompts are black and white


def load_carriers(name: str, weights: str, config: MaskerConfig, height: int = 96
                  ) -> Callable[[], 'MemoryCarrier']:
    """
    Load a model with a memory, once for all streams.

    Args:
        name: Of `CARRIERS`.
        weights: Folder of the weights; '': what "ivm download" fetched.
        config: Device, half precision.
        height: As `MemoryCarrier` has it.

    Returns:
        What makes a carrier for a stream.

    Raises:
        WeightsError: Weights or a package are missing, or weights are torn or of another model.
        DeviceError: CUDA is asked for and absent.
        MemoryFullError: The GPU does not hold it.
    """
    device = choose_device(config.device)
    try:
        net, session, looker = module_of(name).load(weights, config, device)
        _warm_up(MemoryCarrier(net, session, looker, height))
    except torch.OutOfMemoryError as error:
        raise MemoryFullError(f'track_by {name} does not fit into the memory of {device}; set '
                              'track_by to flow, or free the GPU') from error
    return lambda: MemoryCarrier(net, session, looker, height)


def _warm_up(carrier: 'MemoryCarrier') -> None:
    """Carry a plane once: the first call is slow, better now than on a frame."""
    image, plane = np.zeros((480, 640, 3), np.uint8), np.ones((480, 640), np.float32)
    carrier.advance(image)
    key = carrier.mark()
    carrier.advance(image.copy())
    carrier.carry(key, [plane])


class MemoryCarrier:
    """
    Follows a stream of pictures of one size, and brings planes from marked frames to the newest.

    Planes come back as the model draws them, soft; what was below a half in the marked frame is
    not carried.

    Args:
        net: `Sam2VideoModel` or `EdgeTamVideoModel`, on its device.
        session: Class of its sessions.
        looker: What prepares pictures for it.
        height: Of the small grey picture whose flow tells a cut, pixels.
    """

    def __init__(self, net: Any, session: Any, looker: Any, height: int = 96) -> None:
        self._net, self._session, self._looker = net, session, looker
        # No memory says that the scene is another one; the flow does, and costs little beside it.
        self._flow = FlowCarrier(height)
        self._frame: _Frame | None = None
        self._count = self._next = 0
        self.side: int = net.config.image_size  # of the square that prompts are drawn in
        self._marks: dict[int, _Mark] = {}

    def advance(self, image: np.ndarray) -> float:
        """
        Go on to the next frame; the array of the newest frame again is no other frame.

        Args:
            image: uint8 [H, W, 3]; of another size than before, all marks are forgotten.

        Returns:
            The share of the picture that the flow did not follow; 0 at first.
        """
        before = self._frame
        if before is None or image is not before.image:
            if before is not None and image.shape != before.image.shape:
                self._marks.clear()
            self._frame = _Frame(image, self._count)
            self._count += 1
        return self._flow.advance(image)

    def mark(self) -> int:
        """
        Remember the newest frame; return what `carry` and `forget` know it by.

        Raises:
            ValueError: There is no frame yet.
        """
        if self._frame is None:
            raise ValueError('mark: wanted a frame first, got none; call advance')
        self._marks[self._next] = _Mark(self._frame)
        self._next += 1
        return self._next - 1

    def forget(self, key: int) -> None:
        """Remember a marked frame no longer; one that is not remembered is no error."""
        self._marks.pop(key, None)

    def carry(self, key: int, planes: Sequence[np.ndarray]) -> Carried:
        """
        Bring planes from a marked frame to the newest.

        Args:
            key: From `mark`.
            planes: Each float32 [H, W] in [0, 1], of the size of the frames.

        Returns:
            The planes, followed everywhere; share: how sure the model is that the first one's
            thing is in view, 1 where there was none.

        Raises:
            ValueError: The frame is not remembered, or a plane has another size.
            MemoryFullError: CUDA memory ran out.
        """
        mark, frame = self._marks.get(key), self._frame
        if mark is None or frame is None:
            raise ValueError(f'carry: no frame is marked {key}; marked are {[*self._marks]}')
        size = frame.image.shape[:2]
        for plane in planes:
            if plane.shape != size:
                raise ValueError(f'carry: wanted planes of the size of the frames, {[*size]}, '
                                 f'got {[*plane.shape]}')
        if mark.frame is frame:
            return Carried(tuple(planes), np.full(size, 255, np.uint8), 1.0)
        try:
            return mark.carry(planes, frame, self)
        except torch.OutOfMemoryError as error:
            raise MemoryFullError(f'memory of {self._net.device} is full while masks are carried; '
                                  'set track_by to flow, or free the GPU') from error

    @torch.inference_mode()
    def step(self, session: Any, frame: '_Frame', at: int) -> Any:
        """Let the model see a frame in a session, as the one of that number; return its words."""
        if frame.seen is None:
            pixels = self._looker(images=[frame.image], return_tensors='pt')['pixel_values']
            frame.pixels = pixels.to(self._net.device, self._net.dtype)
        else:
            session.cache.cache_vision_features(at, frame.seen)
        said = self._net(session, frame=frame.pixels, frame_idx=at)
        seen = session.cache.get_vision_features(at)
        # The finer levels' positions are not looked at, and take four times the rest.
        frame.seen = {**seen, 'vision_pos_embeds': seen['vision_pos_embeds'][-1:]}
        self._prune(session, at)
        return said

    def open(self) -> Any:
        """Open a session."""
        device = self._net.device
        return self._session(dtype=self._net.dtype, inference_device=device,
                             inference_state_device=device, video_storage_device=device)

    def _prune(self, session: Any, at: int) -> None:
        """Drop what no later frame looks at: all but the keyframe, short memories, pointers."""
        session.cache.clear_all()
        session.processed_frames.pop(at)
        config = self._net.config
        for index, kept in session.output_dict_per_obj.items():
            session.mask_inputs_per_obj[index].clear()
            session.frames_tracked_per_obj[index].clear()
            later = kept['non_cond_frame_outputs']
            for number, said in [*later.items()]:
                if number < at + 2 - config.max_object_pointers_in_encoder:
                    del later[number]
                elif number < at + 2 - config.num_maskmem:  # its pointer stays
                    said.pop('maskmem_features', None)
                    said.pop('maskmem_pos_enc', None)
            for said in (*kept['cond_frame_outputs'].values(), *later.values()):
                said.pop('high_res_masks', None)
                said.pop('pred_masks', None)


class _Frame:
    """A frame of the stream: uint8 [H, W, 3], its number, and what the model sees in it."""

    def __init__(self, image: np.ndarray, number: int) -> None:
        self.image, self.number = image, number
        self.pixels: torch.Tensor | None = None
        self.seen: dict[str, Any] | None = None


class _Mark:
    """A marked frame, and the session that its planes began."""

    def __init__(self, frame: _Frame) -> None:
        self.frame = frame
        self._planes: tuple[np.ndarray, ...] = ()
        self._shown: list[int] = []
        self._session: Any = None
        self._carried: tuple[_Frame, Carried] | None = None

    def carry(self, planes: Sequence[np.ndarray], frame: _Frame, by: MemoryCarrier) -> Carried:
        """Bring planes to a later frame; those of before go on, others begin anew."""
        if [*map(id, planes)] != [*map(id, self._planes)]:
            self._begin(tuple(planes), by)
        if self._carried is None or self._carried[0] is not frame:
            self._carried = frame, self._go_on(frame, by)
        return self._carried[1]

    def _begin(self, planes: tuple[np.ndarray, ...], by: MemoryCarrier) -> None:
        self._planes, self._carried, self._session = planes, None, by.open()
        # What is not there is not looked for: the model would find something.
        self._shown = [number for number, plane in enumerate(planes) if (plane >= SEEN).any()]
        if not self._shown:
            return
        side = by.side
        for number in self._shown:
            prompt = torch.from_numpy(planes[number] >= SEEN)[None, None].float()
            prompt = functional.interpolate(prompt, (side, side), mode='bilinear', antialias=True)
            self._session.add_mask_inputs(self._session.obj_id_to_idx(number), 0,
                                          (prompt >= .5).float())
        self._session.obj_with_new_inputs = [*self._shown]
        by.step(self._session, self.frame, 0)

    def _go_on(self, frame: _Frame, by: MemoryCarrier) -> Carried:
        size = frame.image.shape[:2]
        carried = [np.zeros(size, np.float32) for _ in self._planes]
        share = 1.0
        if self._shown:
            said = by.step(self._session, frame, frame.number - self.frame.number)
            drawn = functional.interpolate(said.pred_masks.float(), size, mode='bilinear')
            for number, plane in zip(self._shown, drawn[:, 0].sigmoid().cpu().numpy()):
                carried[number] = plane
            if self._shown[0] == 0:
                share = float(said.object_score_logits.flatten()[0].float().sigmoid())
        return Carried(tuple(carried), np.full(size, 255, np.uint8), share)
