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
"""The generator's parts: things found, described, chosen and painted, by numbers worked out."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (the field's own name)

from ivm_ros.models.chooser import Choice
from ivm_ros.models.compact import at_least_one, CompactConfig, CompactNet, paint
from ivm_ros.models.outlines import basis, draw, FINE, OUTLINE, Outliner, RADIUS
from ivm_ros.models.proposals import Proposals, Proposer, top_cells

SMALL = CompactConfig(height=64, width=96, dim=32, depth=2, heads=2, proposals=6)


def proposals_of(filters: torch.Tensor, pixels: torch.Tensor) -> Proposals:
    """Make proposals of which only the masks matter, without windows."""
    nothing, channels = torch.zeros(1), filters.shape[2]
    curves = torch.zeros(6, *pixels.shape[2:])
    outlines = F.pad(filters, (0, OUTLINE - channels))
    pixels = F.pad(pixels, (0, 0, 0, 0, 0, FINE - channels))
    return Proposals(nothing, nothing, outlines, pixels, curves, *[nothing] * 5)


def test_peaks_come_best_first_and_wanted_cells_before_them():
    heat = torch.tensor([[[5.0, 4.0, 0.0, 0.0, 1.0],
                          [0.0, 0.0, 0.0, 0.0, 0.0],
                          [0.0, 0.0, 0.0, 3.0, 2.0]]])
    assert top_cells(heat, 4).tolist() == [[0, 13, 1, 4]]  # 4.0 is beside 5.0: counts as 2.0
    wanted = torch.zeros_like(heat, dtype=torch.bool)
    wanted[0, 1, 1] = True
    assert top_cells(heat, 3, wanted).tolist() == [[6, 0, 13]]


def test_things_that_touch_are_both_proposed():
    """A centre beside a hotter one comes before the cold cells of the table."""
    heat = torch.full((1, 6, 8), -6.0)
    heat[0, 2, 3], heat[0, 2, 4], heat[0, 5, 7] = 2.0, 1.0, -3.0
    assert top_cells(heat, 3).tolist() == [[2 * 8 + 3, 2 * 8 + 4, 5 * 8 + 7]]


def test_basis_is_in_picture_heights_from_the_middle():
    curves = basis(8, 12)  # [6, 8, 12]
    assert curves[1, 0, 0] == pytest.approx((0.5 / 12 - 0.5) * 1.5)
    assert curves[2, 7, 0] == pytest.approx(7.5 / 8 - 0.5)
    assert torch.allclose(curves[4], curves[1] * curves[2])


def test_a_new_window_is_a_disc_around_its_centre():
    """Before training a mask crosses zero at `RADIUS` around the cell that proposed it."""
    outliner = Outliner(96, 24, 32)
    cells = torch.tensor([[8 * 32 + 16]])  # row 8, column 16 of 24 x 32: 8.5 and 16.5 cells
    with torch.no_grad():
        outline = outliner(torch.zeros(1, 1, 96), cells)
    logits = draw(outline, torch.zeros(1, FINE, 96, 128), basis(96, 128))
    inside = logits[0, 0] > 0
    assert inside.sum().item() == pytest.approx(math.pi * (RADIUS * 96) ** 2, rel=.05)
    rows, columns = torch.nonzero(inside, as_tuple=True)
    assert rows.float().mean().item() == pytest.approx(8.5 * 4 - .5, abs=.1)
    assert columns.float().mean().item() == pytest.approx(16.5 * 4 - .5, abs=.1)


def test_places_of_a_rectangle_by_hand():
    proposer = Proposer(192, 256, 4, 32)
    shares = torch.zeros(1, 1, 48, 64)
    shares[0, 0, 24:36, 0:32] = 1  # the left half, the third quarter
    x, y, wide, high, slant, area, foot = proposer._places(shares.flatten(2))[0, 0]
    assert x.item() == pytest.approx(-1 / 3, abs=1e-3)
    assert y.item() == pytest.approx(1 / 8, abs=1e-3)
    deviation = math.sqrt(1 / 12)  # of a uniform spread of width one
    assert math.exp(2 * wide) == pytest.approx(deviation * 2 / 3, rel=.01)
    assert math.exp(2 * high) == pytest.approx(deviation / 4, rel=.01)
    assert slant.item() == pytest.approx(0, abs=1e-3)
    assert math.exp(4 * area) == pytest.approx(1 / 8, rel=.01)
    assert foot.item() == pytest.approx(1 / 8 + 2 * deviation / 4, abs=.01)


def test_what_is_meant_is_painted_and_nothing_else():
    """Of three disjoint things the first two are meant: their union, as sure as the lesser is."""
    pixels = torch.full((1, 3, 2, 3), -5.0)
    for thing in range(3):
        pixels[0, thing, :, thing] = 9.0  # each has a column
    filters = torch.eye(3)[None]
    meant = torch.tensor([[4.0, 2.0, -3.0], [-1.0, -2.0, -3.0]])
    shown, index = proposals_of(filters, pixels), torch.tensor([0, 0])
    target = paint(shown, meant, index, torch.tensor([0.0, 0.0, 1.0]))
    assert target[0].tolist() == [[4.0, 2.0, -3.0]] * 2
    assert (target[1] < 0).all()
    wider = paint(shown, meant, index, torch.tensor([-6.0, 1.0, 1.0]))  # of pixels, of things
    assert wider[0].tolist() == [[3.0, 3.0, -2.0]] * 2
    softer = paint(shown, meant, index, torch.tensor([-6.0, 1.0, 0.5]))  # the same pixels shown
    assert softer[0].tolist() == [[1.5, 1.5, -1.0]] * 2


def test_what_is_found_is_at_least_the_likeliest_thing():
    meant = torch.tensor([[-1.0, -0.5, -3.0], [-1.0, 2.0, -3.0], [-1.0, -0.5, -3.0]])
    raised = at_least_one(Choice(meant, torch.tensor([1.5, 1.5, -2.0]), meant))
    assert raised.tolist() == [[-1.0, 1.5, -3.0], [-1.0, 2.0, -3.0], [-1.0, -0.5, -3.0]]


def test_opposite_words_prefer_opposite_places():
    """What `prefer` says of a place is a product with it: left is minus right."""
    torch.manual_seed(0)
    chooser = CompactNet(SMALL).chooser
    words = torch.zeros(2, 1, 768)
    words[0, 0, 0], words[1, 0, 0] = 1, -1
    given = torch.ones(2, 1, dtype=torch.bool)
    places = torch.randn(1, 4, 7)
    nothing = torch.zeros(1)
    shown = Proposals(*[nothing] * 7, torch.zeros(1, 4, 32), places, torch.zeros(1, 4, 4, 8))
    index = torch.tensor([0, 0])
    with torch.no_grad():
        before = chooser(shown, chooser.listen(words, given), index).meant
        chooser.prefer.weight[0, 0] = 3  # along x
        after = chooser(shown, chooser.listen(words, given), index).meant
    shift = 3 * places[0, :3, 0]
    assert torch.allclose(after - before, torch.stack((shift, -shift)), atol=1e-4)


def test_a_mask_reaches_filters_and_choice_with_its_gradient():
    torch.manual_seed(0)
    net = CompactNet(SMALL)
    prediction = net(torch.randn(1, 3, 64, 96), torch.randn(2, 5, 768),
                     torch.ones(2, 5, dtype=torch.bool), torch.tensor([0, 0]))
    prediction.target.sum().backward()
    for part in (net.chooser.meant, net.chooser.text_in, net.backbone.blocks[8].conv[0][0]):
        assert part.weight.grad.abs().sum() > 0


def test_half_precision_runs_and_stays_near():
    """On the CPU with bfloat16, as a stand-in for CUDA: every type fits the next."""
    torch.manual_seed(0)
    net = CompactNet(SMALL).eval()
    given = (torch.randn(1, 3, 64, 96), torch.randn(2, 5, 768),
             torch.tensor([[True] * 5, [True] * 3 + [False] * 2]), torch.tensor([0, 0]))
    with torch.inference_mode():
        exact = net(*given)
        with torch.autocast('cpu', torch.bfloat16):
            half = net(*given)
    assert torch.allclose(half.found.float(), exact.found, atol=.05)
    assert half.target.isfinite().all()


def test_a_sentence_does_not_change_what_is_proposed():
    torch.manual_seed(0)
    net = CompactNet(SMALL).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        both = net.proposer(images, net.backbone(images))
        alone = net.proposer(images[1:], net.backbone(images[1:]))
    assert torch.equal(both.cells[1], alone.cells[0])
    assert torch.allclose(both.features[1], alone.features[0], atol=1e-5)
    assert both.features.shape == (2, 7, 32) and both.pairs.shape[:3] == (2, 7, 7)


def test_more_proposals_than_cells_are_as_many_as_cells():
    assert Proposer(64, 96, 500, 32).count == 96
