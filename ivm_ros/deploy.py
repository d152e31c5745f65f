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
From a soft mask to the picture a policy sees; the paper calls this deployment.

The order is the paper's (code of IVM): nothing found -> a visible choice; threshold; square
dilation; blur of the edge; blend with what stands elsewhere; crop. One table, `METHODS`, says
what each method puts where the mask is 0. The extra steps are ours: `keep_robot`, `hold` and
`blank`, `output_size`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np

from ivm_ros.config import check, ConfigError, Doc, Live, Range
from ivm_ros.image import check_image, ImageError, place, plain, Rectangle, resize
from ivm_ros.sample import Mask

# glibc returns every freed picture to the system and pays its page faults anew, until it has once
# seen a larger block freed. This is that block: 5 ms a picture become 2.
np.empty(1 << 24, np.uint8).size  # noqa: B018

MethodName = Literal['overlay', 'blur', 'grayscale', 'highlight', 'crop', 'overlay_crop', 'none']
Outcome = Literal['masked', 'passed', 'held', 'blank']


@dataclass(frozen=True)
class DeployConfig:
    """How a mask becomes the picture a policy sees."""

    method: Annotated[MethodName, Live(), Doc(
        'What happens to what the sentence does not need: overlay paints it in one colour, blur '
        'and grayscale take its detail or its colour, highlight dims it, crop cuts it off, '
        'overlay_crop does both, none leaves the picture alone.')] = 'overlay'
    color: Annotated[tuple[int, int, int], Range(0, 255), Live(), Doc(
        'Red, green, blue of the overlay, of a blank picture and of letterbox bars.'
    )] = (255, 255, 255)
    threshold: Annotated[float, Range(0.0, 1.0), Live(), Doc(
        'Mask value from which a pixel counts as needed.')] = 0.5
    soft: Annotated[bool, Live(), Doc(
        'Blend by the mask as it is instead of cutting it at the threshold.')] = False
    dilation: Annotated[float, Range(0.0, 0.25), Live(), Doc(
        'Widen the mask by this fraction of the picture height (the paper: 0.05).')] = 0.02
    feather: Annotated[float, Range(0.0, 0.25), Live(), Doc(
        'Half width of the soft edge as a fraction of the picture height (the paper: 0.05). Up '
        'to the dilation, all that was in the mask stays fully visible.')] = 0.02
    blur: Annotated[float, Range(0.002, 0.5), Live(), Doc(
        'Method blur: standard deviation as a fraction of the picture height.')] = 0.06
    dim: Annotated[float, Range(0.0, 1.0), Live(), Doc(
        'Method highlight: brightness that is left to the rest.')] = 0.3
    keep_robot: Annotated[bool, Live(), Doc(
        'Show the robot whatever the sentence says. A crop goes around the target alone.')] = True
    found_threshold: Annotated[float, Range(0.0, 1.0), Live(), Doc(
        'Probability from which what the sentence names counts as in view.')] = 0.5
    on_not_found: Annotated[Literal['keep', 'hold', 'blank'], Live(), Doc(
        'When nothing is found: keep the whole picture (the paper), hold the last mask that was '
        'found (keep until there is one), or show a blank picture (and the robot, if kept).'
    )] = 'keep'
    crop_margin: Annotated[float, Range(0.0, 1.0), Live(), Doc(
        'Methods crop and overlay_crop: margin around the mask as a fraction of the picture '
        'height.')] = 0.05
    output_size: Annotated[tuple[int, int], Range(0, 4096), Doc(
        'Width and height of every picture that comes out; 0 0 leaves the size as it is.'
    )] = (0, 0)
    fit: Annotated[Literal['letterbox', 'stretch'], Doc(
        'How a picture is brought to the output size: letterbox keeps its aspect and fills up '
        'with bars, stretch fills the whole.')] = 'letterbox'

    def __post_init__(self) -> None:
        """Refuse wrong types, ranges and lengths."""
        check(self)
        if len(self.color) != 3 or not all(isinstance(value, int) for value in self.color):
            raise ConfigError(f'DeployConfig.color: wanted three whole numbers (red, green, blue) '
                              f'of 0 to 255, got {self.color!r}')
        if len(self.output_size) != 2 or (0 in self.output_size) != (self.output_size == (0, 0)):
            raise ConfigError(f'DeployConfig.output_size: wanted (width, height) in pixels, or '
                              f'(0, 0) for no change, got {self.output_size!r}')


@dataclass(frozen=True)
class Deployment:
    """
    What became of one picture.

    Attributes:
        image (np.ndarray): uint8 [H', W', 3]; it may share memory with the input: do not write.
        roi (Rectangle): The part of the input that is shown, in pixels of the input.
        content (Rectangle): Where that part lies in `image`; the rest of `image` is bars.
        outcome (Outcome):
            'masked'; 'passed': the whole picture, as nothing was found or the method is none;
            'held': masked by an earlier mask; 'blank'.
        weight (np.ndarray): uint8 [H, W], the size of the input: its weight, 255 = fully shown.
    """

    image: np.ndarray
    roi: Rectangle
    content: Rectangle
    outcome: Outcome
    weight: np.ndarray

    @property
    def alpha(self) -> np.ndarray:
        """Weight of the input in the picture, float32 [H, W] in [0, 1]."""
        return self.weight * np.float32(1 / 255)


@dataclass(frozen=True)
class Method:
    """
    One way to show a mask.

    Attributes:
        background (Callable | None):
            Makes uint8 [H, W, 3], what stands where the mask is 0, out of the picture, as an
            array of its own that is written into; None = the picture itself.
        crops (bool): Cut the picture to the box of the target.
    """

    background: Callable[[np.ndarray, DeployConfig], np.ndarray] | None = None
    crops: bool = False


def paint(image: np.ndarray, config: DeployConfig) -> np.ndarray:
    """Return a picture of one colour, uint8 [H, W, 3]."""
    return plain((image.shape[0], image.shape[1]), config.color)


def blur(image: np.ndarray, config: DeployConfig) -> np.ndarray:
    """
    Blur by about a Gaussian, uint8 [H, W, 3].

    Halved first while 1.5 pixels of deviation are left: wide kernels cost what narrow ones do.
    """
    deviation = config.blur * image.shape[0]
    small = image
    while deviation >= 3 and min(small.shape[:2]) >= 4:
        small = resize(small, (small.shape[0] // 2, small.shape[1] // 2))
        deviation /= 2
    small = cv2.GaussianBlur(small, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)
    return resize(small, (image.shape[0], image.shape[1]))


def grayscale(image: np.ndarray, config: DeployConfig) -> np.ndarray:
    """Return the luminance (ITU-R BT.601) in three equal planes, uint8 [H, W, 3]."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def dim(image: np.ndarray, config: DeployConfig) -> np.ndarray:
    """Return the picture at a fraction of its brightness, uint8 [H, W, 3]."""
    return cv2.convertScaleAbs(image, alpha=config.dim)


METHODS: dict[MethodName, Method] = {
    'overlay': Method(paint),
    'blur': Method(blur),
    'grayscale': Method(grayscale),
    'highlight': Method(dim),
    'crop': Method(crops=True),
    'overlay_crop': Method(paint, crops=True),
    'none': Method(),
}


def apply(image: np.ndarray, mask: Mask, config: DeployConfig,
          last: Mask | None = None) -> Deployment:
    """
    Show of a picture what its mask asks for.

    Args:
        image: uint8 [H, W, 3], RGB.
        mask: What the sentence needs, the size of the image.
        config: How to show it.
        last: The last mask that was found, for `on_not_found = hold`; scaled if its size differs.

    Raises:
        ImageError: The image is not one, or the mask has another size.
    """
    check_image(image)
    for name, plane in (('target', mask.target), ('robot', mask.robot)):
        if plane.shape != image.shape[:2]:
            raise ImageError(f'mask.{name}: wanted the size of its image, '
                             f'{list(image.shape[:2])}, got {list(plane.shape)}')
    outcome, target = _choose(mask, config, last)
    whole = (0, 0, image.shape[0], image.shape[1])
    if outcome == 'passed':
        picture, content = _fit(image, config)
        return Deployment(picture, whole, content, outcome, np.full(whole[2:], 255, np.uint8))
    method = METHODS['overlay'] if outcome == 'blank' else METHODS[config.method]
    weight = _weigh(target, mask.robot, config)
    roi = _box(target, config) if method.crops else whole
    shown = _blend(image, method.background(image, config), weight) if method.background else image
    picture, content = _fit(shown[roi[0]:roi[0] + roi[2], roi[1]:roi[1] + roi[3]], config)
    return Deployment(picture, roi, content, outcome, weight)


def _choose(mask: Mask, config: DeployConfig, last: Mask | None) -> tuple[Outcome, np.ndarray]:
    """Return what to do and by which target plane, float32 [H, W]."""
    if config.method == 'none':
        return 'passed', mask.target
    if mask.found >= config.found_threshold and mask.target.max() >= config.threshold:
        return 'masked', mask.target
    if config.on_not_found == 'blank':
        return 'blank', np.zeros_like(mask.target)
    if config.on_not_found == 'hold' and last is not None:
        height, width = mask.target.shape
        return 'held', resize(last.target, (height, width))
    return 'passed', mask.target


def _weigh(target: np.ndarray, robot: np.ndarray, config: DeployConfig) -> np.ndarray:
    """Weight of the input, uint8 [H, W] (255 = 1): threshold, square dilation, box blur."""
    seen = _level(np.maximum(target, robot) if config.keep_robot else target, config)
    reach = round(config.dilation * target.shape[0])
    if reach:
        seen = cv2.dilate(seen, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    edge = 2 * round(config.feather * target.shape[0]) + 1
    if edge > 1:
        seen = cv2.blur(seen, (edge, edge), borderType=cv2.BORDER_REPLICATE)
    return seen


def _level(plane: np.ndarray, config: DeployConfig) -> np.ndarray:
    if not config.soft:
        return _needed(plane, config)
    return cv2.multiply(plane, np.array([255.0]), dtype=cv2.CV_8U)


def _needed(plane: np.ndarray, config: DeployConfig) -> np.ndarray:
    """Return uint8 [H, W], 255 from the threshold on."""
    return cv2.compare(plane, np.array([config.threshold]), cv2.CMP_GE)


def _blend(image: np.ndarray, background: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """
    Mix in uint8; equal inputs come out unchanged, others within one grey level.

    It is mixed in the background's memory: a picture of 4K takes 25 MB.
    """
    planes = cv2.merge([weight] * 3)
    shown = cv2.multiply(image, planes, scale=1 / 255)
    cv2.multiply(background, cv2.bitwise_not(planes, dst=planes), dst=background, scale=1 / 255)
    return cv2.add(shown, background, dst=shown)


def _box(target: np.ndarray, config: DeployConfig) -> Rectangle:
    """Box of the target, as far as dilation and feather show it, and the margin."""
    height, width = target.shape
    grow = sum(round(part * height)
               for part in (config.dilation, config.feather, config.crop_margin))
    left, top, across, down = cv2.boundingRect(_needed(target, config))
    bottom, right = min(height, top + down + grow), min(width, left + across + grow)
    top, left = max(0, top - grow), max(0, left - grow)
    return top, left, bottom - top, right - left


def _fit(picture: np.ndarray, config: DeployConfig) -> tuple[np.ndarray, Rectangle]:
    """Bring to the output size; return the picture, contiguous, and where its content lies."""
    if config.output_size == (0, 0):
        return np.ascontiguousarray(picture), (0, 0, picture.shape[0], picture.shape[1])
    width, height = config.output_size
    return place(picture, (height, width), config.color, stretch=config.fit == 'stretch')
