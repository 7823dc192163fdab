"""More animals: birds, manes, long necks, shells, fins and arms; see ``animals``.

Those that look best in profile are built with their nose along z and turned by the heading of their class.
"""

from __future__ import annotations

import math
import random

from mmdiff_core.toyworld.bodies.body_parts import anchors, eyes, sitting_body
from mmdiff_core.toyworld.bodies.solids import Builder, Vec, on


def owl(b: Builder, rng: random.Random) -> None:
    """Build an egg with two huge round eyes in discs of feathers, tufts that point outwards, wings at the sides."""
    stout = rng.uniform(0.29, 0.34)
    body = b.ball("main", (0.0, 0.43, 0.0), (stout, 0.43, 0.26))
    b.ball("second", (0.0, 0.30, 0.075), (stout * 0.74, 0.27, 0.21))
    disc = rng.uniform(0.145, 0.17)
    at: Vec = (disc * 0.86, 0.635, 0.19)
    b.ball("accent", at, (disc, disc * 1.04, 0.075), (0, 16, 0), twin=True)
    b.ball("eye white", (at[0], at[1], at[2] + 0.045), (disc * 0.72, disc * 0.72, 0.05), (0, 12, 0), twin=True)
    b.ball("eye", (at[0] * 0.97, at[1], at[2] + 0.082), (disc * 0.40, disc * 0.42, 0.03), twin=True)
    for x in (at[0], -at[0]):
        b.ball("glint", (x * 0.97 + 0.02, at[1] + 0.035, at[2] + 0.108), 0.018)
    b.cone("beak", (0.0, 0.545, 0.275), (0.055, 0.075, 0.05), (165, 0, 0))
    tuft = rng.uniform(0.11, 0.16)
    b.cone("plain", (stout * 0.66, 0.83 + tuft * 0.45, 0.02), (0.10, tuft, 0.06), (0, 0, -28), twin=True)
    spread = rng.uniform(6, 20)
    b.ball("second", (stout + 0.015, 0.40, -0.01), (0.065, 0.27, 0.17), (0, 0, spread), twin=True)
    b.ball("beak", (0.11, 0.025, 0.17), (0.085, 0.035, 0.09), twin=True)
    anchors(b, body, neck=(0.0, 0.47, 0.0), radius=stout * 0.92)


def duck(b: Builder, rng: random.Random) -> None:
    """Build a bathtub duck: a boat of a body with a tail that points up, a round head, a flat wide beak."""
    long = rng.uniform(0.36, 0.42)
    b.ball("main", (0.0, 0.25, -0.02), (0.28, 0.25, long))
    b.cone("plain", (0.0, 0.42, -long * 0.92), (0.17, 0.16, 0.09), (-38, 0, 0))
    b.ball("second", (0.265, 0.30, -0.08), (0.06, 0.14, 0.24), (14, 0, 0), twin=True)
    b.limb("plain", (0.0, 0.36, 0.18), (0.0, 0.60, 0.24), 0.15)
    size = rng.uniform(0.205, 0.235)
    head = b.ball("plain", (0.0, 0.70, 0.25), (size, size, size))
    b.ball("accent", on(head, 0, -14, 1.20), (0.125, 0.036, 0.13), (-6, 0, 0))
    b.ball("accent", on(head, 0, -24, 1.12), (0.105, 0.03, 0.10), (8, 0, 0))
    eyes(b, head, yaw=38, pitch=16, size=0.045)
    if rng.random() < 0.5:
        b.cone("accent", (0.0, 0.94, 0.22), (0.035, 0.07, 0.035), (-25, 0, 0))
    anchors(b, head, neck=(0.0, 0.50, 0.22), radius=0.17)


def lion(b: Builder, rng: random.Random) -> None:
    """Build a mane like a sun around the face, round ears in it, a broad muzzle, a tail with a tuft."""
    head = sitting_body(b, rng, head=(0.225, 0.21, 0.20))
    x, y, z = head.centre
    reach, count = rng.uniform(0.28, 0.32), rng.choice((11, 13, 15))
    b.ball("accent", (x, y, z - 0.05), (reach, reach, 0.12))
    for i in range(count):
        turn = math.tau * (i + 0.5) / count
        at: Vec = (x + reach * math.sin(turn), y + reach * math.cos(turn), z - 0.05)
        b.ball("accent", at, (0.082, 0.15, 0.07), (0, 0, -math.degrees(turn)))
    b.ball("plain", (0.175, y + 0.185, z + 0.045), (0.075, 0.075, 0.05), twin=True)
    b.ball("second", on(head, 11, -24, 0.93), (0.085, 0.065, 0.075), twin=True)
    b.ball("nose", on(head, 0, -8, 1.07), (0.056, 0.038, 0.035))
    eyes(b, head, yaw=26, pitch=14, size=0.038)
    tail: list[Vec] = [(0.05, 0.10, -0.18), (0.34, 0.09, -0.20), (0.46, 0.22, -0.16)]
    b.chain("plain", tail, 0.04)
    b.ball("accent", (0.475, 0.27, -0.16), (0.075, 0.10, 0.075))


def giraffe(b: Builder, rng: random.Random) -> None:
    """Build a very long neck, thin legs, two knobs on the head, a short mane."""
    neck = rng.uniform(0.94, 1.04)
    b.ball("main", (0.0, 0.43, -0.02), (0.155, 0.145, 0.25))
    _legs(b, 0.40, 0.05, x=0.10, front=0.14, back=-0.18)
    top: Vec = (0.0, neck, 0.30)
    b.limb("main", (0.0, 0.46, 0.15), top, 0.085)
    for i in range(5):
        share = 0.28 + 0.17 * i
        b.ball("second", (0.0, 0.46 + share * (neck - 0.46) + 0.01, 0.065 + share * 0.15), (0.028, 0.07, 0.05))
    head = b.ball("plain", (0.0, neck + 0.05, 0.35), (0.115, 0.105, 0.14))
    b.ball("second", (0.0, neck + 0.01, 0.46), (0.085, 0.072, 0.10))
    knob = rng.uniform(0.05, 0.08)
    b.limb("plain", (0.055, neck + 0.13, 0.31), (0.065, neck + 0.14 + knob, 0.29), 0.022, twin=True)
    b.ball("accent", (0.066, neck + 0.15 + knob, 0.288), 0.04, twin=True)
    b.ball("plain", (0.15, neck + 0.10, 0.27), (0.075, 0.035, 0.025), (0, 0, 12), twin=True)
    eyes(b, head, yaw=52, pitch=20, size=0.032)
    b.chain("plain", [(0.0, 0.48, -0.25), (0.0, 0.30, -0.33)], 0.022)
    b.ball("accent", (0.0, 0.27, -0.335), (0.04, 0.06, 0.04))
    anchors(b, head, neck=(0.0, neck - 0.14, 0.265), radius=0.098)


def unicorn(b: Builder, rng: random.Random) -> None:
    """Build a pony with a long horn on its brow, a curly mane and a flowing tail."""
    b.ball("main", (0.0, 0.43, -0.03), (0.19, 0.18, 0.29))
    _legs(b, 0.36, 0.068, x=0.115, front=0.14, back=-0.19)
    b.limb("plain", (0.0, 0.48, 0.16), (0.0, 0.76, 0.28), 0.115)
    head = b.ball("plain", (0.0, 0.82, 0.32), (0.145, 0.14, 0.16))
    snout = b.ball("plain", (0.0, 0.75, 0.46), (0.105, 0.092, 0.12))
    b.ball("nose", on(snout, 26, 14), 0.016, twin=True)
    horn = rng.uniform(0.16, 0.22)
    b.cone("accent", (0.0, 0.92 + horn * 0.75, 0.40 + horn * 0.28), (0.055, horn, 0.055), (22, 0, 0))
    b.cone("plain", (0.10, 0.985, 0.26), (0.045, 0.075, 0.03), (0, 0, -14), twin=True)
    curl = rng.uniform(0.075, 0.10)
    for y, z in ((0.97, 0.30), (0.90, 0.19), (0.79, 0.14), (0.68, 0.09), (0.57, 0.04)):
        b.ball("second", (0.0, y, z), (curl * 0.8, curl, curl))
    swish = rng.uniform(0.14, 0.24)
    b.chain("second", [(0.0, 0.50, -0.30), (0.0, 0.46, -0.43), (0.0, swish, -0.47)], 0.075, thin=0.9)
    eyes(b, head, yaw=50, pitch=14, size=0.04)


def turtle(b: Builder, rng: random.Random) -> None:
    """Build a dome of a shell with a rim, four flippers, a round head held out in front."""
    dome = rng.uniform(0.30, 0.38)
    b.ball("main", (0.0, 0.22, -0.04), (0.36, dome, 0.40))
    b.tube("accent", (0.0, 0.215, -0.04), (0.40, 0.045, 0.44))
    b.ball("second", (0.0, 0.18, -0.02), (0.33, 0.10, 0.37))
    b.ball("second", (0.29, 0.085, 0.26), (0.13, 0.08, 0.12), (0, 40, 0), twin=True)
    b.ball("second", (0.27, 0.075, -0.33), (0.11, 0.075, 0.10), (0, -40, 0), twin=True)
    lift = rng.uniform(0.30, 0.40)
    b.limb("second", (0.0, 0.20, 0.30), (0.0, lift, 0.50), 0.095)
    head = b.ball("second", (0.0, lift + 0.06, 0.54), (0.155, 0.15, 0.16))
    eyes(b, head, yaw=42, pitch=16, size=0.038)
    b.cone("second", (0.0, 0.15, -0.50), (0.06, 0.09, 0.05), (-100, 0, 0))
    anchors(b, head, neck=(0.0, lift - 0.07, 0.46), radius=0.11)


def fish(b: Builder, rng: random.Random) -> None:
    """Build a flat round body seen from the side, a tail in two lobes, a fin on the back, full lips."""
    high, long = rng.uniform(0.29, 0.35), rng.uniform(0.38, 0.44)
    body = b.ball("main", (0.0, 0.44, 0.0), (0.17, high, long))
    spread = rng.uniform(24, 36)
    for nod in (spread, -spread):
        b.ball("second", (0.0, 0.44 + 0.0042 * nod, -long - 0.13), (0.035, 0.10, 0.21), (nod, 0, 0))
    b.ball("second", (0.0, 0.44 + high * 0.98, -0.05), (0.03, rng.uniform(0.11, 0.15), 0.22), (-10, 0, 0))
    b.ball("second", (0.0, 0.44 - high * 0.96, -0.07), (0.03, 0.09, 0.12), (20, 0, 0))
    b.ball("second", (0.175, 0.37, -0.02), (0.03, 0.075, 0.13), (-24, -16, 0), twin=True)
    for y in (0.035, -0.035):
        b.ball("accent", (0.0, 0.42 + y, long * 0.99), (0.085, 0.04, 0.055))
    x, y, z = on(body, 38, 16, 0.96)
    b.ball("eye white", (x, y, z), (0.055, 0.088, 0.088), (0, 12, 0), twin=True)
    b.ball("eye", (x + 0.032, y, z + 0.014), (0.035, 0.052, 0.052), (0, 12, 0), twin=True)


def octopus(b: Builder, rng: random.Random) -> None:
    """Build a high bald head with big eyes on a wreath of eight arms that curl up at their ends."""
    tall, curl = rng.uniform(0.31, 0.37), rng.uniform(0.07, 0.15)
    head = b.ball("main", (0.0, 0.36 + tall * 0.85, 0.0), (0.285, tall, 0.265))
    b.ball("plain", (0.0, 0.30, 0.0), (0.20, 0.16, 0.19))
    for i in range(8):
        turn = math.radians(45 * i + 22.5)
        x, z = math.sin(turn), math.cos(turn)
        arm = [(r * x, y, r * z * 0.85) for r, y in ((0.14, 0.28), (0.32, 0.09), (0.47, 0.07), (0.56, 0.09 + curl))]
        b.chain("second", arm, 0.078, thin=0.85)
        b.ball("accent", arm[-1], 0.062)
    at = on(head, 24, -14, 0.97)
    b.ball("eye white", at, (0.085, 0.095, 0.06), (0, 20, 0), twin=True)
    b.ball("eye", (at[0] * 1.0, at[1], at[2] + 0.045), (0.048, 0.055, 0.03), (0, 15, 0), twin=True)
    b.ball("tongue", on(head, 0, -36, 0.99), (0.055, 0.03, 0.03))
    anchors(b, head, neck=(0.0, 0.40, 0.01), radius=0.20)


def snail(b: Builder, rng: random.Random) -> None:
    """Build a coiled shell on a long soft foot, a raised head with two stalks."""
    size = rng.uniform(0.29, 0.34)
    middle: Vec = (0.0, 0.13 + size, -0.12)
    b.ball("main", middle, (0.17, size, size))
    _coil(b, middle, size)
    b.limb("second", (0.0, 0.085, -0.44), (0.0, 0.085, 0.34), 0.085)
    b.ball("second", (0.0, 0.06, -0.06), (0.15, 0.06, 0.44))
    lift = rng.uniform(0.36, 0.44)
    b.chain("second", [(0.0, 0.10, 0.32), (0.0, 0.24, 0.42), (0.0, lift, 0.45)], 0.095)
    head = b.ball("second", (0.0, lift + 0.03, 0.47), (0.13, 0.125, 0.13))
    eyes(b, head, yaw=42, pitch=2, size=0.034)
    stalk = rng.uniform(0.15, 0.21)
    b.limb("second", (0.06, lift + 0.11, 0.46), (0.11, lift + 0.12 + stalk, 0.50), 0.024, twin=True)
    b.ball("accent", (0.112, lift + 0.14 + stalk, 0.503), 0.052, twin=True)


def _coil(b: Builder, middle: Vec, size: float) -> None:
    """Build both sides of a shell: a cord of the accent colour that winds inwards."""
    for side in (1, -1):
        cord: list[Vec] = []
        for i in range(12):
            turn, far = math.radians(205 - 50 * i), 0.80 - 0.72 * i / 11
            out = side * 0.17 * math.sqrt(1 - far * far)
            cord.append((out, middle[1] + far * size * math.sin(turn), middle[2] + far * size * math.cos(turn)))
        b.chain("accent", cord, 0.042)


def _legs(b: Builder, high: float, radius: float, x: float, front: float, back: float) -> None:
    """Build four legs with hooves."""
    for z in (front, back):
        b.tube("plain", (x, high / 2, z), (radius, high / 2, radius), twin=True)
        b.tube("accent", (x, 0.03, z + 0.008), (radius * 1.15, 0.035, radius * 1.15), twin=True)
