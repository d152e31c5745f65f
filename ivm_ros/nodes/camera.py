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
"""What the camera_info beside a masked picture has to say after a crop or a change of size."""

from copy import deepcopy

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from ivm_ros.image import camera_matrix, Rectangle, Size


def camera_info_for(info: CameraInfo, header: Header, source: Size, roi: Rectangle,
                    content: Rectangle, size: Size) -> CameraInfo:
    """
    Describe a masked picture as image_pipeline expects it.

    A cut-out keeps K and P of the whole camera and says where it was cut (roi); a picture whose
    size was changed gets K and P of its own and no roi. Both by the rules of CameraInfo.msg.

    Args:
        info: The camera's own.
        header: Of the picture.
        source: (height, width) of the camera's picture.
        roi: The part of the camera's picture that is shown (row, column, height, width).
        content: Where that part lies in the picture.
        size: (height, width) of the picture.
    """
    out = deepcopy(info)
    out.header = header
    binning = max(1, info.binning_y), max(1, info.binning_x)
    if content == (0, 0, roi[2], roi[3]) and size == (roi[2], roi[3]):
        if roi != (0, 0, *source):
            out.roi = RegionOfInterest(
                y_offset=info.roi.y_offset + roi[0] * binning[0],
                x_offset=info.roi.x_offset + roi[1] * binning[1],
                height=roi[2] * binning[0], width=roi[3] * binning[1],
                do_rectify=info.roi.do_rectify)
        return out
    height, width = source
    read = info.roi.y_offset, info.roi.x_offset, height * binning[0], width * binning[1]
    for name, columns in (('k', 3), ('p', 4)):
        matrix = getattr(info, name).reshape(3, columns)
        if info.width:
            matrix = camera_matrix(matrix, read, (0, 0, height, width))
        setattr(out, name, camera_matrix(matrix, roi, content).reshape(-1))
    out.height, out.width = size
    out.roi, out.binning_x, out.binning_y = RegionOfInterest(), 0, 0
    return out


def image_size(info: CameraInfo) -> Size:
    """Return (height, width) of the pictures that a camera_info goes with."""
    height, width = info.roi.height or info.height, info.roi.width or info.width
    return height // max(1, info.binning_y), width // max(1, info.binning_x)
