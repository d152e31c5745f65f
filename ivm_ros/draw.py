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
"""The debug picture: heat map of the mask over the image, with the sentence written in it."""

from itertools import product

import cv2
import numpy as np

from ivm_ros.sample import Mask

FONT = cv2.FONT_HERSHEY_SIMPLEX
LINES = 3


def draw_debug(image: np.ndarray, mask: Mask | None, lines: list[str]) -> np.ndarray:
    """
    Draw what the node saw and decided.

    Args:
        image: uint8 [H, W, 3], RGB.
        mask: Of this image; None leaves the image as it is.
        lines: Written at the top; what the font lacks (it has ASCII only) becomes '?'.

    Returns:
        uint8 [H, W, 3], RGB: red where the sentence needs the pixel, green along the robot.
    """
    out = image.copy()
    if mask is not None:
        heat = cv2.applyColorMap(cv2.convertScaleAbs(mask.target, alpha=255), cv2.COLORMAP_TURBO)
        out = cv2.addWeighted(out, 0.5, cv2.cvtColor(heat, cv2.COLOR_BGR2RGB), 0.5, 0)
        arm = cv2.compare(mask.robot, np.array([0.5]), cv2.CMP_GE)
        outlines, _ = cv2.findContours(arm, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(out, outlines, -1, (0, 255, 0), 2)
    scale = max(0.4, image.shape[0] / 960)
    room = max(8, int(image.shape[1] / (19 * scale)))
    for number, line in enumerate(wrap(lines, room)):
        place = (int(8 * scale), int(30 * scale * (number + 1)))
        text = line.encode('ascii', 'replace').decode()
        # A seam of the same letters: thicker ones would be wider in OpenCV 5.
        seam = max(1, round(1.5 * scale))
        for right, down in (*product((-seam, 0, seam), repeat=2), (0, 0)):
            color = (255, 255, 255) if right == down == 0 else (0, 0, 0)
            cv2.putText(out, text, (place[0] + right, place[1] + down), FONT, scale, color,
                        max(1, round(scale)), cv2.LINE_AA)
    return out


def wrap(lines: list[str], room: int) -> list[str]:
    """Break each line into at most `LINES` of `room` characters; what is cut off ends in '...'."""
    rows = []
    for line in lines:
        line = ' '.join(line[:room * LINES + 1].split())
        parts = [line[start:start + room] for start in range(0, len(line), room)]
        if len(parts) > LINES:
            parts = [*parts[:LINES - 1], f'{parts[LINES - 1][:-3]}...']
        rows += parts
    return rows
