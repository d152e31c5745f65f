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
"""Metrics of one mask, against figures worked out by hand."""

import numpy as np
import pytest

from ivm_ros.evaluate.metrics import (
    BINS, bins_of, boundary_f, calibration_error, fit_of, iou, summary, THRESHOLDS)


def square(size: int = 40, low: int = 10, high: int = 30, shift: int = 0) -> np.ndarray:
    """Draw a square, bool [size, size]."""
    mask = np.zeros((size, size), bool)
    mask[low:high, low + shift:high + shift] = True
    return mask


def test_iou_by_hand():
    seen, truth = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert np.isnan(iou(seen, truth))
    seen[:2], truth[1:3] = True, True
    assert iou(seen, truth) == pytest.approx(4 / 12)


def test_outlines_within_the_tolerance_count_as_right():
    assert boundary_f(square(), square()) == 1
    assert boundary_f(square(), square(shift=1)) == 1  # a pixel is always allowed
    assert boundary_f(square(), square(shift=12)) < .6
    assert boundary_f(square(), np.zeros((40, 40), bool)) == 0
    assert boundary_f(np.zeros((40, 40), bool), np.zeros((40, 40), bool)) == 1
    # A hole leaves the area nearly as it is and doubles the outline.
    holed = square()
    holed[19:21, 19:21] = False
    assert iou(holed, square()) > .98 and boundary_f(holed, square()) < .96


def test_a_larger_picture_allows_a_larger_slip():
    small, large = square(), square(400, 100, 300)
    assert boundary_f(large, square(400, 100, 300, 4)) == 1
    assert boundary_f(small, square(shift=4)) < 1


def test_calibration_is_perfect_where_numbers_mean_what_they_say():
    rng = np.random.default_rng(0)
    mask = rng.random((300, 300)).astype(np.float32)
    assert calibration_error(bins_of(mask, rng.random((300, 300)) < mask)) < .01
    wrong = calibration_error(bins_of(mask, np.zeros((300, 300), bool)))
    assert wrong == pytest.approx(.5, abs=.01)


def test_the_empty_part_of_pictures_does_not_hide_the_rest():
    mask = np.zeros((100, 100), np.float32)
    mask[:10, :10] = .9
    bins = bins_of(mask, np.zeros((100, 100), bool))
    assert bins.shape == (3, BINS) and bins[0].sum() == 100 ** 2
    assert calibration_error(bins) == pytest.approx(.009)
    assert calibration_error(bins, shown=True) == pytest.approx(.9)


def test_the_best_threshold_is_found_and_areas_weigh_in_the_cumulative_iou():
    truth = [square(), square(40, 18, 22)]
    masks = [np.where(inside, .25, .05).astype(np.float32) for inside in truth]
    figures = summary([fit_of(mask, inside) for mask, inside in zip(masks, truth)])
    assert figures['best_threshold'] in THRESHOLDS[:2] and figures['best_threshold_iou'] == 1
    assert figures['ciou'] == 0  # nothing is shown at 0.5
    half = [np.where(square(), 1, 0).astype(np.float32), np.zeros((40, 40), np.float32)]
    figures = summary([fit_of(mask, inside) for mask, inside in zip(half, truth)])
    assert figures['ciou'] == pytest.approx(400 / 416)
