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
Shapes of dishes and vessels. Each function draws one instance at its usual size, in metres.

Proportions vary with `rng`, so that a network sees many mugs and not one. All are our choice.
"""

import numpy as np

from ivm_sim.parts import arc, ball, box, disc, lathe, moved, Part, rod, tube, turn

Parts = list[Part]
Rng = np.random.Generator


def vessel(bottom: float, top: float, height: float, wall: float = .004,
           belly: float = 0.0, paint: str = 'main') -> Part:
    """Make an open round vessel; `belly` bulges its wall outwards by that many metres."""
    t = np.linspace(0, 1, 6)
    outside = bottom + (top - bottom) * t + belly * np.sin(np.pi * t * .8)
    inside = np.maximum(outside - wall, .002)
    floor = min(2 * wall, height / 2)
    up = [(0, 0), *zip(outside, height * t)]
    down = [*zip(inside, floor + (height - floor) * t)][::-1]
    return lathe([*up, *down, (0, floor)], paint)


def cup(rng: Rng) -> Parts:
    """Tumbler: no handle, wider at the top."""
    top = .039 * rng.uniform(.9, 1.15)
    return [vessel(top * rng.uniform(.6, .75), top, .105 * rng.uniform(.9, 1.15))]


def mug(rng: Rng) -> Parts:
    """Straight or bellied mug with one handle."""
    radius, height = .040 * rng.uniform(.92, 1.12), .090 * rng.uniform(.85, 1.15)
    grip = height * rng.uniform(.30, .36)
    path = arc(1.0, -np.pi / 2, np.pi / 2, 9) * (grip * rng.uniform(.85, 1.15), 1, grip)
    handle = tube(path + (radius - .004, 0, height * .52), rng.uniform(.0055, .0075))
    taper = rng.uniform(.82, 1.0)
    return [vessel(radius * taper, radius, height, belly=rng.uniform(0, .006)), handle]


def bowl(rng: Rng) -> Parts:
    """Wide, round and low."""
    radius, height = .075 * rng.uniform(.9, 1.15), .055 * rng.uniform(.85, 1.2)
    t = np.linspace(0, 1, 7)
    outside = radius * (.42 + .58 * np.sin(t * np.pi / 2) ** .8)
    inside = outside - .004
    down = [*zip(inside, .010 + (height - .010) * t)][::-1]
    return [lathe([(0, 0), *zip(outside, height * t), *down, (0, .010)])]


def plate(rng: Rng) -> Parts:
    """Flat with a raised rim."""
    radius, height = .105 * rng.uniform(.9, 1.15), .016 * rng.uniform(.9, 1.3)
    inner = radius * rng.uniform(.58, .68)
    return [lathe([(0, 0), (inner, 0), (radius, height), (radius - .002, height + .003),
                   (inner, .005), (0, .005)], sides=32)]


def tray(rng: Rng) -> Parts:
    """Flat rectangle with four low walls."""
    x, y, z = .26 * rng.uniform(.9, 1.1), .17 * rng.uniform(.9, 1.15), .024
    walls = [box((x, .008, z), (0, side * y / 2, z / 2)) for side in (-1, 1)]
    walls += [box((.008, y, z), (side * x / 2, 0, z / 2)) for side in (-1, 1)]
    return [box((x, y, .006), (0, 0, .003)), *walls]


def pan(rng: Rng) -> Parts:
    """Frying pan: low, wide, one long handle."""
    radius, height = .085 * rng.uniform(.9, 1.15), .036 * rng.uniform(.9, 1.2)
    length = radius * rng.uniform(1.35, 1.7)
    handle = box((length, .022, .011), (radius + length / 2 - .006, 0, height * .85 + .004),
                 rng.choice(['black', 'main', 'wood']), turn((0, 1, 0), -.12))
    return [vessel(radius * .84, radius, height), disc(radius * .80, .006, .0095, 'dark'), handle]


def pot(rng: Rng) -> Parts:
    """Cooking pot: deep, two short handles."""
    radius, height = .078 * rng.uniform(.9, 1.12), .095 * rng.uniform(.85, 1.15)
    paint = rng.choice(['black', 'main'])
    path = arc(.024, -np.pi / 2, np.pi / 2, 7, plane='xy')
    path = path * (1.1, 1, 1) + (radius - .003, 0, height * .8)
    handle = tube(path, .0065, (0, 0, 1), paint)
    other = moved(handle, quat=turn((0, 0, 1), np.pi))
    return [vessel(radius * .96, radius, height), handle, other]


def lid(rng: Rng) -> Parts:
    """Pot lid: a dome with a knob."""
    radius = .075 * rng.uniform(.9, 1.15)
    dome = lathe([(0, 0), (radius, 0), (radius, .006), (radius * .85, .018), (radius * .5, .030),
                  (0, .034)])
    return [dome, disc(.006, .030, .045, 'black'), ball((.014, .014, .009), (0, 0, .050), 'black')]


def kettle(rng: Rng) -> Parts:
    """Round body, spout, arched handle over the top."""
    radius, height = .062 * rng.uniform(.95, 1.1), .095 * rng.uniform(.9, 1.1)
    body = lathe([(0, 0), (radius, 0), (radius * 1.05, height * .25), (radius * .9, height * .65),
                  (radius * .5, height), (0, height * 1.02)])
    spout = rod((radius * .8, 0, height * .42), (radius * 1.6, 0, height * .98), .011)
    path = arc(1.0, .25, np.pi - .25, 9) * (radius * .85, 1, height * .62) + (0, 0, height * .78)
    return [body, spout, tube(path, .007, paint='black'),
            ball((.011, .011, .011), (0, 0, height * 1.06), 'black')]


def bottle(rng: Rng) -> Parts:
    """Body, shoulder, neck, cap."""
    radius, height = .033 * rng.uniform(.9, 1.15), .19 * rng.uniform(.88, 1.12)
    body = lathe([(0, 0), (radius, 0), (radius, height * .58), (radius * .8, height * .68),
                  (radius * .38, height * .78), (radius * .36, height * .94), (0, height * .94)])
    label = disc(radius * 1.02, height * .2, height * .45, 'paper')
    cap = disc(radius * .44, height * .92, height, rng.choice(['black', 'paper', 'main']))
    return [body, cap, label] if rng.random() < .6 else [body, cap]


def can(rng: Rng) -> Parts:
    """Drink or food can: silver ends, coloured wall."""
    radius, height = .033 * rng.uniform(.95, 1.2), .105 * rng.uniform(.8, 1.15)
    ends = [disc(radius * .92, low, low + .008, 'steel') for low in (0, height - .008)]
    stripe = [disc(radius * 1.02, height * .42, height * .58, 'paper')] * int(rng.random() < .4)
    return [disc(radius, .005, height - .006), *ends, *stripe]


def jar(rng: Rng) -> Parts:
    """Bellied body with a wide dark lid."""
    radius, height = .042 * rng.uniform(.92, 1.1), .092 * rng.uniform(.85, 1.15)
    body = lathe([(0, 0), (radius * .9, 0), (radius, height * .15), (radius, height * .7),
                  (radius * .72, height * .82), (0, height * .82)])
    return [body, disc(radius * .82, height * .80, height, rng.choice(['black', 'wood', 'steel']))]


def spoon(rng: Rng) -> Parts:
    """Oval head and a thin handle."""
    length = .17 * rng.uniform(.9, 1.15)
    head = lathe([(0, 0), (.017, .003), (.022, .009), (.020, .010), (.014, .005), (0, .004)])
    head = moved(head, (length / 2 - .02, 0, 0))
    stretch = np.array([1.35, 1, 1])
    centre = np.array([length / 2 - .02, 0, 0])
    vertices = (head.vertices - centre) * stretch + centre
    head = Part('mesh', vertices=vertices, faces=head.faces, chunks=(vertices,))
    path = [(-length / 2, 0, .006), (-length / 4, 0, .009), (length / 6, 0, .012),
            (length / 2 - .045, 0, .008)]
    return [head, tube(path, [.0062, .0055, .0048, .0045])]


def fork(rng: Rng) -> Parts:
    """Thin handle, flat neck, four tines."""
    length = .17 * rng.uniform(.9, 1.15)
    neck = length / 2 - .058
    handle = rod((-length / 2, 0, .006), (neck, 0, .008), .0055)
    tines = [box((.046, .0046, .006), (length / 2 - .021, y, .008))
             for y in (-.0165, -.0055, .0055, .0165)]
    return [handle, box((.022, .038, .006), (neck + .012, 0, .008)), *tines]


def candle(rng: Rng) -> Parts:
    """Wax cylinder with wick and flame."""
    radius, height = .024 * rng.uniform(.85, 1.3), .085 * rng.uniform(.8, 1.3)
    flame = ball((.0085, .0085, .018), (0, 0, height + .020), 'flame')
    return [disc(radius, 0, height), disc(.002, height, height + .010, 'black'), flame]


def basket(rng: Rng) -> Parts:
    """Open vessel with one high arched handle."""
    radius, height = .068 * rng.uniform(.92, 1.12), .062 * rng.uniform(.9, 1.2)
    path = arc(1.0, 0, np.pi, 11) * (radius * .97, 1, height * 1.5) + (0, 0, height * .95)
    band = lathe([(radius * 1.02, height * .8), (radius * 1.05, height * .8),
                  (radius * 1.06, height), (radius * .95, height)], 'dark')
    return [vessel(radius * .82, radius, height), tube(path, .0065), band]
