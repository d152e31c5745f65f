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
Shapes of toys, food and tools. Each function draws one instance at its usual size, in metres.

Proportions vary with `rng`. All are our choice; what matters is that a person names the thing
from a picture 30 pixels wide.
"""

import numpy as np

from ivm_sim.parts import arc, ball, box, disc, lathe, moved, Part, prism, rod, tube, turn

Parts = list[Part]
Rng = np.random.Generator


def cube(rng: Rng) -> Parts:
    """Cube."""
    side = .052 * rng.uniform(.9, 1.15)
    return [box((side, side, side), (0, 0, side / 2))]


def sphere(rng: Rng) -> Parts:
    """Ball."""
    radius = .034 * rng.uniform(.88, 1.15)
    return [ball((radius, radius, radius), (0, 0, radius))]


def bar(rng: Rng) -> Parts:
    """Long thin square bar."""
    width = .024 * rng.uniform(.9, 1.15)
    return [box((.17 * rng.uniform(.85, 1.15), width, width), (0, 0, width / 2))]


def cylinder(rng: Rng) -> Parts:
    """Plain solid cylinder."""
    return [disc(.027 * rng.uniform(.9, 1.2), 0, .075 * rng.uniform(.75, 1.25))]


def cone(rng: Rng) -> Parts:
    """Pointed cone."""
    return [lathe([(0, 0), (.036 * rng.uniform(.9, 1.15), 0), (.002, .095 * rng.uniform(.85, 1.2)),
                   (0, .095)])]


def pyramid(rng: Rng) -> Parts:
    """Four-sided pyramid."""
    side, height = .038 * rng.uniform(.9, 1.15), .062 * rng.uniform(.85, 1.15)
    return [lathe([(0, 0), (side * 1.414, 0), (.001, height), (0, height)], sides=4)]


def ring(rng: Rng) -> Parts:
    """Thick ring lying flat."""
    radius, thick = .042 * rng.uniform(.9, 1.15), .012 * rng.uniform(.85, 1.2)
    path = arc(radius, 0, 2 * np.pi * 19 / 20, 20, (0, 0, thick), 'xy')
    return [tube(path, thick, (0, 0, 1), closed=True)]


def star(rng: Rng) -> Parts:
    """Five-pointed thick star."""
    outer = .052 * rng.uniform(.9, 1.15)
    angle = np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2, outer * rng.uniform(.42, .5), outer)
    return [prism(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), 0, .024)]


def duck(rng: Rng) -> Parts:
    """Rubber duck: body, head, beak, tail, eyes."""
    k = rng.uniform(.92, 1.1)
    body = ball((.042 * k, .031 * k, .028 * k), (0, 0, .028 * k))
    head = ball((.022 * k, .021 * k, .021 * k), (.022 * k, 0, .066 * k))
    beak = ball((.013 * k, .011 * k, .005 * k), (.045 * k, 0, .062 * k), 'beak')
    tail = rod((-.03 * k, 0, .035 * k), (-.047 * k, 0, .050 * k), .009 * k)
    eyes = [ball((.0042 * k,) * 3, (.036 * k, y * k, .073 * k), 'black') for y in (-.012, .012)]
    return [body, head, beak, tail, *eyes]


def banana(rng: Rng) -> Parts:
    """Arc that thins at both ends, with dark tips."""
    radius, bend = .085 * rng.uniform(.9, 1.1), rng.uniform(1.5, 1.9)
    path = arc(radius, np.pi / 2 - bend / 2, np.pi / 2 + bend / 2, 9, (0, -radius, .017), 'xy')
    thick = .017 * rng.uniform(.95, 1.15) * np.sin(np.linspace(.32, np.pi - .32, 9)) ** .6
    ends = [rod(path[0], path[0] + (path[0] - path[1]) * .35, .0055, 'black'),
            rod(path[-1], path[-1] + (path[-1] - path[-2]) * .5, .006, 'stem')]
    return [tube(path, thick, (0, 0, 1)), *ends]


def egg(rng: Rng) -> Parts:
    """Egg on its side: an ovoid."""
    r = .0245 * rng.uniform(.95, 1.15)
    t = np.linspace(0, np.pi, 11)
    profile = np.stack([r * np.sin(t) * (1 - .16 * np.cos(np.pi - t)),
                        1.32 * r * -np.cos(t)], 1)
    body = lathe(profile, sides=20)
    return [moved(body, (0, 0, r), turn((0, 1, 0), np.pi / 2))]


def apple(rng: Rng) -> Parts:
    """Round with a dip, a stem and a leaf."""
    r = .037 * rng.uniform(.92, 1.12)
    body = lathe([(0, .05 * r), (.45 * r, 0), (.88 * r, .45 * r), (r, 1.05 * r),
                  (.82 * r, 1.6 * r), (.45 * r, 1.82 * r), (.12 * r, 1.68 * r), (0, 1.5 * r)])
    stem = rod((0, 0, 1.5 * r), (.004, 0, 2.15 * r), .0032, 'stem')
    leaf = ball((.013, .007, .003), (.013, 0, 2.05 * r), 'leaf', turn((0, 1, 0), -.4))
    return [body, stem, leaf]


def carrot(rng: Rng) -> Parts:
    """Long cone lying down with green leaves."""
    length, r = .13 * rng.uniform(.9, 1.15), .019 * rng.uniform(.9, 1.15)
    body = moved(lathe([(0, 0), (r * .7, 0), (r, .012), (r * .7, length * .5), (.002, length),
                        (0, length)]), (-length / 2, 0, r), turn((0, 1, 0), np.pi / 2))
    leaves = [rod((-length / 2, 0, r), (-length / 2 - .035, y, r + z), .006, 'leaf')
              for y, z in ((-.014, 0), (0, .008), (.014, 0))]
    return [body, *leaves]


def mushroom(rng: Rng) -> Parts:
    """Pale stem under a coloured cap."""
    r, h = .040 * rng.uniform(.9, 1.12), .036 * rng.uniform(.85, 1.15)
    cap = lathe([(0, h), (r, h - .006), (r * .98, h + .006), (r * .75, h + .024),
                 (r * .4, h + .034), (0, h + .037)])
    ring_at = np.arange(5) * 2 * np.pi / 5
    spots = [ball((.0075, .0075, .004), (.6 * r * np.cos(a), .6 * r * np.sin(a), h + .028),
                  'paper') for a in ring_at]
    return [disc(.015, 0, h + .004, 'paper'), cap, *spots]


def hammer(rng: Rng) -> Parts:
    """Handle and a heavy cross head; the head has the colour."""
    length = .17 * rng.uniform(.9, 1.15)
    handle = rod((-length / 2, 0, .012), (length / 2 - .01, 0, .018), .0085, 'wood')
    head = box((.030, .078 * rng.uniform(.9, 1.1), .030), (length / 2, 0, .018))
    return [handle, head]


def screwdriver(rng: Rng) -> Parts:
    """Thick coloured grip, thin steel shaft."""
    length = .16 * rng.uniform(.9, 1.15)
    grip = rod((-length / 2, 0, .015), (-length * .05, 0, .015), .0145, shape='cylinder')
    return [grip, rod((-length * .05, 0, .015), (length / 2, 0, .013), .0045, 'steel')]


def book(rng: Rng) -> Parts:
    """Book, closed: coloured covers and spine, white pages."""
    x, y, z = .15 * rng.uniform(.9, 1.15), .11 * rng.uniform(.9, 1.1), .030 * rng.uniform(.8, 1.4)
    covers = [box((x, y, .004), (0, 0, .002)), box((x, y, .004), (0, 0, z - .002))]
    spine = box((x, .005, z), (0, -y / 2 + .0025, z / 2))
    pages = box((x * .96, y * .95, z - .007), (0, -.001, z / 2), 'paper')
    title = box((x * .5, y * .16, .001), (0, y * .2, z + .0004), 'paper')
    return [*covers, spine, pages, title]


def sponge(rng: Rng) -> Parts:
    """Flat soft brick with a dark scouring side."""
    x, y = .105 * rng.uniform(.9, 1.12), .068 * rng.uniform(.9, 1.12)
    # The coloured side is up: from above a scouring side would hide it.
    return [box((x, y, .026), (0, 0, .023)), box((x, y, .010), (0, 0, .005), 'scour')]


def crate(rng: Rng) -> Parts:
    """Open cardboard-like box."""
    x, y, z = (.115 * rng.uniform(.88, 1.15), .095 * rng.uniform(.88, 1.1),
               .070 * rng.uniform(.85, 1.2))
    walls = [box((x, .005, z), (0, side * y / 2, z / 2)) for side in (-1, 1)]
    walls += [box((.005, y, z), (side * x / 2, 0, z / 2)) for side in (-1, 1)]
    return [box((x, y, .006), (0, 0, .003)), *walls]


def domino(rng: Rng) -> Parts:
    """Standing tile with a bar and spots on both faces."""
    x, y, z = .040 * rng.uniform(.95, 1.1), .014, .080 * rng.uniform(.92, 1.1)
    parts = [box((x, y, z), (0, 0, z / 2)), box((x * .9, y + .002, .003), (0, 0, z / 2), 'spot')]
    for dx, dz in ((-.25, .72), (.25, .86), (-.25, .86), (.25, .72), (0, .26)):
        parts.append(rod((dx * x, -y / 2 - .001, dz * z), (dx * x, y / 2 + .001, dz * z), .0052,
                         'spot', 'cylinder'))
    return parts


def car(rng: Rng) -> Parts:
    """Toy car: body, cabin with windows, four wheels."""
    k = rng.uniform(.92, 1.12)
    body = box((.115 * k, .052 * k, .026 * k), (0, 0, .027 * k))
    cabin = box((.058 * k, .046 * k, .022 * k), (-.008 * k, 0, .050 * k), 'glass')
    roof = box((.052 * k, .046 * k, .006 * k), (-.008 * k, 0, .063 * k))
    wheels = [rod((x * k, y * k - .006, .015 * k), (x * k, y * k + .006, .015 * k), .015 * k,
                  'black', 'cylinder') for x in (-.034, .036) for y in (-.026, .026)]
    lights = [ball((.004 * k, .006 * k, .005 * k), (.057 * k, y * k, .030 * k), 'paper')
              for y in (-.017, .017)]
    return [body, cabin, roof, *wheels, *lights]


def lamp(rng: Rng) -> Parts:
    """Table lamp: foot, stem, coloured shade."""
    height = .15 * rng.uniform(.9, 1.12)
    shade = lathe([(.052, height * .58), (.054, height * .58), (.032, height), (0, height),
                   (0, height - .004), (.030, height - .004)])
    return [disc(.036, 0, .010, 'black'), disc(.006, .008, height * .9, 'steel'), shade]


def tower(rng: Rng) -> Parts:
    """Stacking toy: discs that get smaller towards the top, on a peg."""
    radii = np.linspace(.046, .020, 4) * rng.uniform(.92, 1.1)
    discs = []
    for level, radius in enumerate(radii):
        path = arc(radius - .010, 0, 2 * np.pi * 15 / 16, 16, (0, 0, .011 + .019 * level), 'xy')
        discs.append(tube(path, .0105, (0, 0, 1), closed=True))
    return [*discs, disc(.009, 0, .082, 'wood'), ball((.013,) * 3, (0, 0, .088), 'wood')]


def teddy(rng: Rng) -> Parts:
    """Sitting bear: body, head, ears, snout, arms, legs."""
    k = rng.uniform(.92, 1.12)

    def lump(radius: float, x: float, y: float, z: float, paint: str = 'main') -> Part:
        return ball((radius * k,) * 3, (x * k, y * k, z * k), paint)

    sides = (-1, 1)
    return [ball((.030 * k, .034 * k, .036 * k), (0, 0, .036 * k)), lump(.027, .004, 0, .085),
            *(lump(.011, 0, .023 * s, .107) for s in sides), lump(.012, .026, 0, .080, 'paper'),
            lump(.005, .037, 0, .084, 'black'),
            *(lump(.004, .026, .011 * s, .094, 'black') for s in sides),
            *(lump(.013, .015, .036 * s, .048) for s in sides),
            *(lump(.015, .034, .024 * s, .015) for s in sides)]
