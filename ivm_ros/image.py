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
Pictures onto the network's canvas and planes back to the picture, without losing a pixel's place.

Both ways use half-pixel centres (a pixel's value sits in its middle), so a plane of any fixed
fraction of the canvas comes back where it belongs.
"""

from dataclasses import dataclass

import cv2
import numpy as np

Size = tuple[int, int]
"""Height and width, pixels."""

Rectangle = tuple[int, int, int, int]
"""Row and column of the top left corner, height, width; pixels."""

PADDING = 114
"""Grey of the padding: near the mean of natural pictures, as YOLO's letterbox has it."""

GRID = 4
"""Content starts and ends on multiples of this: planes of stride 1, 2 and 4 cut exactly."""

SMALLEST, LARGEST = 32, 4096

MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet's pixels, RGB in [0, 1], as backbones want them taken away."""

DEVIATION = (0.229, 0.224, 0.225)
"""Of the same."""


class ImageError(ValueError):
    """A picture has a wrong type, shape or size; the message says what was wanted and came."""


@dataclass(frozen=True)
class Letterbox:
    """
    Where a picture lies on a canvas; all sizes (height, width) in pixels.

    Attributes:
        source (tuple[int, int]): Size of the picture.
        canvas (tuple[int, int]): Size of the canvas.
        content (tuple[int, int]): Size of the scaled picture on the canvas, multiples of `GRID`.
        offset (tuple[int, int]): (row, column) of its top left corner, multiples of `GRID`.
    """

    source: Size
    canvas: Size
    content: Size
    offset: Size

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels per source pixel, (down, across); equal but for rounding to the grid."""
        return self.content[0] / self.source[0], self.content[1] / self.source[1]

    def window(self, stride: int = 1) -> tuple[slice, slice]:
        """Rows and columns of the content in a plane of 1 / stride of the canvas."""
        (top, left), (height, width) = self.offset, self.content
        return (slice(top // stride, (top + height) // stride),
                slice(left // stride, (left + width) // stride))


def check_image(image: np.ndarray) -> None:
    """
    Refuse what is not uint8 [H, W, 3] with sides of 32 to 4096 pixels.

    Raises:
        ImageError: Says what was wanted, what came and how to get there.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f'image: wanted a NumPy array uint8 [H, W, 3], got '
                         f'{type(image).__name__}; try np.asarray(image)')
    if image.dtype != np.uint8:
        hint = 'scale it to 0..255 and use .astype(np.uint8)'
        raise ImageError(f'image: wanted uint8, got {image.dtype} {list(image.shape)}; {hint}')
    if image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f'image: wanted [H, W, 3] in RGB, got {list(image.shape)}'
                         f'{_shape_hint(image.shape)}')
    height, width = image.shape[:2]
    if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
        raise ImageError(f'image: wanted sides of {SMALLEST} to {LARGEST} pixels, got '
                         f'{width} x {height} (width x height); resize it first')


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return '; a grey picture needs np.repeat(image[..., None], 3, axis=2)'
    if len(shape) == 3 and shape[2] == 4:
        return '; drop the alpha plane with image[..., :3]'
    if len(shape) == 3 and shape[0] == 3:
        return '; move the channels last with image.transpose(1, 2, 0)'
    return ''


def letterbox_of(source: Size, canvas: Size) -> Letterbox:
    """
    Fit a picture into the middle of a canvas, its aspect kept up to rounding to `GRID`.

    Args:
        source: (H, W) of the picture.
        canvas: (h, w) of the canvas, multiples of `GRID`.

    Raises:
        ImageError: A size is not positive, or the canvas no multiple of `GRID`.
    """
    if min(*source, *canvas) < 1 or canvas[0] % GRID or canvas[1] % GRID:
        raise ImageError(f'letterbox: wanted positive sizes and a canvas in multiples of {GRID}, '
                         f'got source {source}, canvas {canvas}')
    scale = min(canvas[0] / source[0], canvas[1] / source[1])
    content = [min(max(GRID, GRID * round(side * scale / GRID)), limit)
               for side, limit in zip(source, canvas, strict=True)]
    offset = [(limit - side) // (2 * GRID) * GRID
              for side, limit in zip(content, canvas, strict=True)]
    return Letterbox((source[0], source[1]), (canvas[0], canvas[1]),
                     (content[0], content[1]), (offset[0], offset[1]))


def resize(plane: np.ndarray, size: Size) -> np.ndarray:
    """
    Resize [H, W] or [H, W, C] to `size` (h, w): means when shrinking, linear when growing.

    Shrinking halves by the mean of pairs while it can and ends with a linear step of less than
    two, which uses every pixel and takes an eighth of the time of one step by area.
    """
    height, width = plane.shape[:2]
    while height >= 2 * size[0] or width >= 2 * size[1]:
        height = height // 2 if height >= 2 * size[0] else height
        width = width // 2 if width >= 2 * size[1] else width
        plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    if (height, width) == tuple(size):
        return plane
    return cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def to_canvas(image: np.ndarray, box: Letterbox) -> np.ndarray:
    """
    Scale a picture into its place on the canvas.

    Args:
        image: uint8 [H, W, 3] of `box.source`.
        box: From `letterbox_of`.

    Returns:
        uint8 [h, w, 3] of `box.canvas`, `PADDING` around the picture. It may share memory with
        the image where nothing had to change: do not write into it.
    """
    _check_size('image', image, box.source)
    content = resize(image, box.content)
    if box.content == box.canvas:
        return content
    canvas = np.full((*box.canvas, 3), PADDING, np.uint8)
    canvas[box.window()] = content
    return canvas


def from_canvas(plane: np.ndarray, box: Letterbox) -> np.ndarray:
    """
    Bring a plane of the network back to the size of the picture, padding cut off.

    Args:
        plane: float32 [h', w'], the canvas or a half or a quarter of it.
        box: From `letterbox_of`.

    Returns:
        float32 [H, W] of `box.source`, within the values of the plane (no overshoot).

    Raises:
        ImageError: The plane's size is not a fraction of the canvas that `GRID` allows.
    """
    stride = box.canvas[0] // max(1, plane.shape[0])
    if stride < 1 or GRID % stride or box.canvas != tuple(side * stride for side in plane.shape):
        raise ImageError(f'plane: wanted the canvas {box.canvas}, a half or a quarter of it, got '
                         f'{list(plane.shape)}')
    return resize(plane[box.window(stride)], box.source)


def valid(box: Letterbox) -> np.ndarray:
    """Return bool [h, w]: True on the picture, False on the padding."""
    inside = np.zeros(box.canvas, bool)
    inside[box.window()] = True
    return inside


def plain(size: Size, color: tuple[int, int, int]) -> np.ndarray:
    """Return uint8 [h, w, 3] of one colour; cv2 fills it 60 times faster than NumPy broadcasts."""
    picture = np.empty((*size, 3), np.uint8)
    cv2.rectangle(picture, (0, 0), (size[1], size[0]), color, -1)
    return picture


def place(picture: np.ndarray, size: Size, color: tuple[int, int, int],
          stretch: bool = False) -> tuple[np.ndarray, Rectangle]:
    """
    Bring a picture to a size that is not the network's: no grid, bars of any colour.

    Args:
        picture: uint8 [H, W, 3].
        size: (h, w) of the result.
        color: Of the bars that keep the aspect.
        stretch: Fill the whole instead, whatever becomes of the aspect.

    Returns:
        uint8 [h, w, 3], contiguous, and where the picture lies in it.
    """
    scales = [size[axis] / picture.shape[axis] for axis in (0, 1)]
    scale = min(scales)
    height, width = (size if stretch or scales[0] == scales[1] else
                     [max(1, round(side * scale)) for side in picture.shape[:2]])
    content = resize(picture, (height, width))
    if (height, width) == tuple(size):
        return np.ascontiguousarray(content), (0, 0, height, width)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas = plain(size, color)
    canvas[top:top + height, left:left + width] = content
    return canvas, (top, left, height, width)


def camera_matrix(matrix: np.ndarray, roi: Rectangle, content: Rectangle) -> np.ndarray:
    """
    Carry a camera matrix over to a cropped and resized picture.

    Pixel centres lie on whole coordinates, as in ROS and OpenCV, so the principal point moves by
    half a pixel when scaled.

    Args:
        matrix: float [3, 3] (K) or [3, 4] (P) of the input picture.
        roi: The part of the input picture that is shown.
        content: Where that part lies in the picture that comes out, as of `place`.

    Returns:
        float64, the shape of `matrix`.

    Raises:
        ImageError: Wrong shape.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape not in ((3, 3), (3, 4)):
        raise ImageError(f'camera matrix: wanted [3, 3] or [3, 4], got {list(matrix.shape)}')
    down, across = content[2] / roi[2], content[3] / roi[3]
    shift = ((0.5 - roi[1]) * across - 0.5 + content[1], (0.5 - roi[0]) * down - 0.5 + content[0])
    move = np.array([[across, 0, shift[0]], [0, down, shift[1]], [0, 0, 1]])
    return move @ matrix


def _check_size(name: str, plane: np.ndarray, size: Size) -> None:
    if plane.shape[:2] != tuple(size):
        raise ImageError(f'{name}: wanted (height, width) {tuple(size)}, as its letterbox says, '
                         f'got {plane.shape[:2]}')
