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
"""What a user can set on `ivm_node` beyond the model and the deployment."""

from dataclasses import dataclass
import re
from typing import Annotated, Literal

from ivm_ros.config import check, ConfigError, Doc, Live, Range
from ivm_ros.deploy import MethodName


@dataclass(frozen=True)
class NodeConfig:
    """How the node listens, publishes and deals with trouble."""

    instruction: Annotated[str, Live(), Doc(
        'What the policy is told to do; a message on the topic instruction replaces it. Without '
        'one no frame can be masked, and on_fault says what happens.')] = ''
    enabled: Annotated[bool, Live(), Doc(
        'Mask the stream; off = pass every frame on. The service ~/enable sets this too.')] = True
    on_fault: Annotated[Literal['pass', 'hold', 'blank', 'drop', 'stop'], Live(), Doc(
        'What becomes of a frame that cannot be masked: pass it on as it came, hold (show the '
        'last picture again; drop until there is one), blank (one colour) or drop; stop drops '
        'it too and, where the model itself failed or hangs, deactivates the node.')] = 'pass'
    watchdog: Annotated[float, Range(0.0, 3600.0), Live(), Doc(
        'Seconds that the model may be at one frame, or at a batch of them; or 5 times as long '
        'as it usually is if that is more. A frame that takes longer goes as on_fault says, and '
        'so do all others until the model comes back. 0 = wait for ever.')] = 0.4
    cameras: Annotated[tuple[str, ...], Doc(
        'Names of the cameras that share this node and its model, such as [front, wrist]; the '
        'topics and parameters of each are under its name. Empty: one camera without a name.'
    )] = ()
    batch_window: Annotated[float, Range(0.0, 1000.0), Live(), Doc(
        'Several cameras: milliseconds that a frame waits for frames of the others, so that the '
        'model masks them together; it goes at once when each masked camera has one.')] = 10.0
    sync_slop: Annotated[float, Range(0.0, 10.0), Live(), Doc(
        'Several cameras: 0 = each frame for itself; else only sets are masked, a frame of every '
        'masked camera with stamps at most so many seconds apart.')] = 0.0
    max_rate: Annotated[float, Range(0.0, 1000.0), Live(), Doc(
        'Frames per second that are taken of a camera, the others are skipped; 0 = all.')] = 0.0
    depth_input: Annotated[bool, Doc(
        'Read depth (16UC1 or 32FC1, registered to the image) and publish masked/depth; of a '
        'node with several cameras: for each of them.')] = False
    depth_slop: Annotated[float, Range(0.0, 1.0), Live(), Doc(
        'Seconds that the stamps of a depth image and its picture may lie apart.')] = 0.0
    autostart: Annotated[bool, Doc(
        'Configure and activate at start, without a lifecycle manager.')] = True
    compressed_input: Annotated[bool, Doc(
        'Read image/compressed instead of image.')] = False
    compressed_output: Annotated[bool, Doc(
        'Publish masked/image/compressed (JPEG) as well.')] = False
    jpeg_quality: Annotated[int, Range(1, 100), Live(), Doc(
        'Quality of masked/image/compressed.')] = 90
    mask_encoding: Annotated[Literal['mono8', '32FC1'], Live(), Doc(
        'Encoding of mask and robot_mask: 0 to 255, or 0.0 to 1.0.')] = 'mono8'
    reliability: Annotated[Literal['auto', 'reliable', 'best_effort'], Doc(
        'QoS of the camera subscriptions: auto asks for reliable and takes best effort where the '
        'camera offers no more.')] = 'auto'
    output_reliability: Annotated[Literal['reliable', 'best_effort'], Doc(
        'QoS that masked images and masks are offered with.')] = 'reliable'
    depth: Annotated[int, Range(1, 100), Doc(
        'QoS history depth of all image topics. The node works on the newest frame anyway; the '
        'others let a busy machine catch up without losses (10 frames are 9 MB at 640x480). Of '
        'pictures that are so large fewer wait on the way in, 64 MiB in all.'
    )] = 10
    stale_after: Annotated[float, Range(0.1, 3600.0), Live(), Doc(
        'Seconds without a frame after which diagnostics warn.')] = 2.0
    diagnostics_period: Annotated[float, Range(0.1, 60.0), Doc(
        'Seconds between two messages on /diagnostics.')] = 1.0

    def __post_init__(self) -> None:
        """Refuse wrong types, ranges, choices and names."""
        check(self)
        for name in self.cameras:
            if not isinstance(name, str) or not re.fullmatch('[A-Za-z][A-Za-z0-9_]*', name):
                raise ConfigError(f'NodeConfig.cameras: wanted names of letters, digits and _ '
                                  f'that begin with a letter, got {name!r}')
        if len(set(self.cameras)) < len(self.cameras):
            raise ConfigError(f'NodeConfig.cameras: wanted each name once, got {self.cameras}')


@dataclass(frozen=True)
class CameraConfig:
    """What one of several cameras has of its own; all else it has from the node."""

    method: Annotated[Literal['', MethodName], Live(), Doc(
        "How this camera's mask is shown; empty: by the parameter method of the node.")] = ''
    mask: Annotated[bool, Live(), Doc(
        'Mask this camera; off = its frames pass on as they came, without waiting for a model. '
        'The paper leaves the wrist camera unmasked.')] = True
    instruction: Annotated[str, Live(), Doc(
        'What this camera is masked by; a message on its topic instruction replaces it. Empty: '
        'the instruction of the node.')] = ''
    max_rate: Annotated[float, Range(-1.0, 1000.0), Live(), Doc(
        'Frames per second that are taken of this camera; 0 = all, -1: by the parameter max_rate '
        'of the node.')] = -1.0
    depth_input: Annotated[bool, Doc(
        'Read the depth image of this camera and publish it masked; so does the parameter '
        'depth_input of the node.')] = False

    def __post_init__(self) -> None:
        """Refuse wrong types, ranges and choices."""
        check(self)
