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
"""camera_info beside a masked picture: by hand, and by where a point in space lands."""

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from ivm_ros.nodes.camera import camera_info_for, image_size
from ivm_ros.nodes.image_player import ideal_camera

HEADER = Header(frame_id='eye')
SIZE = (480, 640)
WHOLE = (0, 0, 480, 640)


@pytest.fixture
def info() -> CameraInfo:
    """Describe a 640x480 camera of 90 degrees: f = 320."""
    return ideal_camera(SIZE, 90.0, Header(frame_id='old'))


def project(info: CameraInfo, point: tuple[float, float, float]) -> np.ndarray:
    """Return (column, row) of a point in the picture of an info, by the rules of CameraInfo."""
    column, row, depth = info.p.reshape(3, 4) @ [*point, 1]
    binning = max(1, info.binning_x), max(1, info.binning_y)
    return np.array([(column / depth - info.roi.x_offset) / binning[0],
                     (row / depth - info.roi.y_offset) / binning[1]])


def test_untouched_picture_keeps_the_info(info):
    """Same values, the picture's header, and no roi (all zero means the whole)."""
    out = camera_info_for(info, HEADER, SIZE, WHOLE, WHOLE, SIZE)
    assert out.header.frame_id == 'eye'
    assert (out.roi, out.k.tolist(), out.width) == (info.roi, info.k.tolist(), 640)
    assert info.header.frame_id == 'old'


def test_crop_is_a_roi(info):
    """A cut-out keeps K and the full size and says where it lies."""
    out = camera_info_for(info, HEADER, SIZE, (100, 50, 200, 300), (0, 0, 200, 300), (200, 300))
    assert out.roi == RegionOfInterest(y_offset=100, x_offset=50, height=200, width=300)
    assert (out.height, out.width, out.k.tolist()) == (480, 640, info.k.tolist())
    assert image_size(out) == (200, 300)


def test_half_size_halves_the_focal_length(info):
    """320x240 of 640x480: f 160, and the middle of the picture stays the principal point."""
    out = camera_info_for(info, HEADER, SIZE, WHOLE, (0, 0, 240, 320), (240, 320))
    assert out.k.tolist() == pytest.approx([160, 0, 159.5, 0, 160, 119.5, 0, 0, 1])
    assert (out.height, out.width, out.roi) == (240, 320, RegionOfInterest())


def test_crop_letterboxed_into_a_size_sees_the_same_point(info):
    """A point lands where the pixels of the crop were moved to."""
    roi, content = (100, 50, 200, 300), (56, 0, 149, 224)
    out = camera_info_for(info, HEADER, SIZE, roi, content, (261, 224))
    point = (-0.2, -0.1, 1.0)
    column, row = project(info, point)
    wanted = ((column + 0.5 - 50) * 224 / 300 - 0.5, (row + 0.5 - 100) * 149 / 200 - 0.5 + 56)
    np.testing.assert_allclose(project(out, point), wanted)


def test_camera_that_has_a_roi_and_binning_itself(info):
    """Both ways account for what the camera's driver has cut and binned already."""
    info.roi = RegionOfInterest(y_offset=40, x_offset=20, height=400, width=600)
    info.binning_x = info.binning_y = 2
    assert image_size(info) == (200, 300)
    cut = camera_info_for(info, HEADER, (200, 300), (10, 5, 50, 80), (0, 0, 50, 80), (50, 80))
    assert cut.roi == RegionOfInterest(y_offset=60, x_offset=30, height=100, width=160)
    assert (image_size(cut), cut.binning_x) == ((50, 80), 2)
    point = (0.1, 0.05, 1.0)
    small = camera_info_for(info, HEADER, (200, 300), (0, 0, 200, 300), (0, 0, 100, 150),
                            (100, 150))
    assert (small.binning_x, small.roi) == (0, RegionOfInterest())
    # Half-pixel centres: binning by 2 moves a coordinate by (0.5 - 0.25), then halving does.
    column, row = (info.p.reshape(3, 4) @ [*point, 1])[:2]
    wanted = ((column - 20 + 0.5) / 4 - 0.5, (row - 40 + 0.5) / 4 - 0.5)
    np.testing.assert_allclose(project(small, point), wanted)


def test_uncalibrated_camera_stays_uncalibrated():
    """K of zeros means unknown; it does not become a number."""
    out = camera_info_for(CameraInfo(), HEADER, SIZE, WHOLE, (0, 0, 240, 320), (240, 320))
    assert not out.k.any()
    assert not out.p.any()
