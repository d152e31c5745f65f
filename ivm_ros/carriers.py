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
"""What carries masks from frame to frame, by its name: flow, or a model with a memory."""

from collections.abc import Callable
from functools import partial

from ivm_ros.flow import FlowCarrier
from ivm_ros.models.settings import MaskerConfig
from ivm_ros.tracker import Carrier, TrackConfig

MakeCarrier = Callable[[], Carrier]


def load_carriers(track: TrackConfig, masker: MaskerConfig = MaskerConfig()) -> MakeCarrier:
    """
    Load what `track_by` names, once for all streams.

    Args:
        track: What carries, with which weights.
        masker: Device and half precision of a model with a memory.

    Returns:
        What makes the carrier of a stream.

    Raises:
        CheckpointError, DeviceError, MemoryFullError: As `Masker` does.
    """
    if track.track_by == 'flow':
        return partial(FlowCarrier, track.track_height)
    from ivm_ros.models.memory_carrier import load_carriers as load  # imports torch

    return load(track.track_by, track.track_weights, masker, track.track_height)
