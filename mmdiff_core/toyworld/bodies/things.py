"""Objects: a robot, vehicles and a teapot; see ``animals``.

Vehicles are built with their nose along z and turned by the heading of their class, so that a side shows.
"""

from __future__ import annotations

import random

from mmdiff_core.toyworld.bodies.solids import Anchor, Builder, Vec


def robot(b: Builder, rng: random.Random) -> None:
    """Build a box on a box, an antenna, lamps for eyes, a panel of buttons, pincers."""
    head, body = rng.uniform(0.19, 0.25), rng.uniform(0.19, 0.24)
    b.box("main", (0.0, 0.36, 0.0), (body, 0.20, 0.15))
    b.box("second", (0.0, 0.38, 0.14), (body * 0.68, 0.11, 0.035))
    for x, paint in ((-0.07, "accent"), (0.0, "lamp"), (0.07, "accent")):
        b.ball(paint, (x, 0.39, 0.175), (0.028, 0.028, 0.02))
    b.tube("steel", (0.0, 0.585, 0.0), (0.07, 0.05, 0.07))
    b.box("main", (0.0, 0.76, 0.0), (head, 0.155, 0.15))
    b.box("rubber", (0.0, 0.785, 0.135), (head * 0.78, 0.07, 0.03))
    eye = rng.uniform(0.042, 0.055)
    b.ball("lamp", (head * 0.40, 0.785, 0.165), (eye, eye, 0.025), twin=True)
    b.box("second", (0.0, 0.665, 0.145), (head * 0.5, 0.022, 0.02))
    b.tube("accent", (head + 0.025, 0.76, 0.0), (0.06, 0.03, 0.06), (0, 0, 90), twin=True)
    aerials = (0.0,) if rng.random() < 0.5 else (-0.11, 0.11)
    for x in aerials:
        b.limb("steel", (x, 0.90, 0.0), (x * 1.35, 1.02, 0.0), 0.018)
        b.ball("accent", (x * 1.35, 1.05, 0.0), 0.05)
    b.limb("steel", (body + 0.05, 0.47, 0.0), (body + 0.12, 0.29, 0.07), 0.042, twin=True)
    b.ball("plain", (body + 0.045, 0.48, 0.0), 0.07, twin=True)
    b.ball("accent", (body + 0.12, 0.25, 0.085), 0.07, twin=True)
    b.tube("steel", (0.105, 0.13, 0.0), (0.05, 0.07, 0.05), twin=True)
    b.box("accent", (0.115, 0.045, 0.04), (0.095, 0.045, 0.13), twin=True)
    b.crown = Anchor((0.0, 0.91, 0.0), head * 0.72)
    b.neck = Anchor((0.0, 0.585, 0.0), 0.15)


def car(b: Builder, rng: random.Random) -> None:
    """Build a low body, a cabin with windows, four wheels."""
    long, tall = rng.uniform(0.50, 0.58), rng.uniform(0.13, 0.17)
    b.box("main", (0.0, 0.24, 0.0), (0.25, 0.13, long))
    back = rng.uniform(-0.14, -0.02)
    b.box("second", (0.0, 0.40 + tall * 0.7, back), (0.215, tall, long * 0.56))
    b.box("glass", (0.0, 0.40 + tall * 0.75, back), (0.225, tall * 0.58, long * 0.44))
    b.box("glass", (0.0, 0.40 + tall * 0.75, back), (0.165, tall * 0.58, long * 0.585))
    b.box("second", (0.0, 0.40 + tall * 0.7, back), (0.23, tall * 0.85, 0.035))
    for z in (long * 0.60, -long * 0.60):
        b.tube("rubber", (0.23, 0.125, z), (0.135, 0.055, 0.135), (0, 0, 90), twin=True)
        b.tube("accent", (0.255, 0.125, z), (0.078, 0.045, 0.078), (0, 0, 90), twin=True)
    b.ball("lamp", (0.16, 0.27, long * 0.98), (0.058, 0.052, 0.03), twin=True)
    b.ball("tongue", (0.18, 0.27, -long * 0.98), (0.05, 0.04, 0.03), twin=True)
    b.box("steel", (0.0, 0.155, long * 0.97), (0.23, 0.035, 0.05))
    b.box("steel", (0.0, 0.155, -long * 0.97), (0.23, 0.035, 0.05))
    extra = rng.choice(("none", "rack", "wing"))
    if extra == "rack":
        b.box("accent", (0.0, 0.40 + tall * 1.85, back), (0.14, 0.06, 0.16))
    if extra == "wing":
        b.box("accent", (0.0, 0.47, -long * 0.88), (0.25, 0.022, 0.085))
        b.box("accent", (0.17, 0.41, -long * 0.86), (0.025, 0.06, 0.03), twin=True)


def boat(b: Builder, rng: random.Random) -> None:
    """Build a bowl of a hull with a rim, a mast with two sails and a pennant."""
    long, high = rng.uniform(0.46, 0.54), rng.uniform(0.34, 0.42)
    b.cone("main", (0.0, 0.15, 0.0), (0.15, 0.15, long * 0.62), top=1.6)
    b.tube("accent", (0.0, 0.305, 0.0), (0.25, 0.028, long * 1.02))
    b.tube("wood", (0.0, 0.318, 0.0), (0.215, 0.028, long * 0.93))
    b.tube("wood", (0.0, 0.36 + high, 0.0), (0.024, high + 0.03, 0.024))
    b.cone("second", (0.0, 0.42 + high * 0.86, -0.02), (0.028, high * 0.86, long * 0.72), (0, 0, 0))
    b.box("plain", (0.0, 0.36 + high * 2.02, -0.085), (0.014, 0.042, 0.09))
    if rng.random() < 0.5:
        b.ball("accent", (0.0, 0.36 + high * 0.75, -0.02), (0.05, 0.11, 0.11))
    if rng.random() < 0.5:
        b.box("accent", (0.0, 0.40, -long * 0.52), (0.12, 0.075, 0.12))


def rocket(b: Builder, rng: random.Random) -> None:
    """Build a slim body with a pointed nose, a round window, fins that it stands on."""
    slim, fin = rng.uniform(0.175, 0.22), rng.uniform(0.15, 0.21)
    b.tube("main", (0.0, 0.43, 0.0), (slim, 0.25, slim))
    b.cone("accent", (0.0, 0.86, 0.0), (slim, 0.19, slim))
    b.ball("accent", (0.0, 1.045, 0.0), 0.03)
    b.tube("accent", (0.0, 0.655, 0.0), (slim * 1.07, 0.026, slim * 1.07))
    b.cone("plain", (0.0, 0.145, 0.0), (slim * 0.72, 0.055, slim * 0.72), top=1.38)
    b.cone("steel", (0.0, 0.075, 0.0), (slim * 0.62, 0.05, slim * 0.62), top=0.6)
    b.tube("steel", (0.0, 0.53, slim * 0.9), (slim * 0.52, 0.035, slim * 0.52), (90, 0, 0))
    b.ball("glass", (0.0, 0.53, slim * 0.96), (slim * 0.40, slim * 0.40, 0.05))
    for spin in (90, -90, 0, 180):
        side = 1 if spin == 90 else -1 if spin == -90 else 0
        front = 1 if spin == 0 else -1 if spin == 180 else 0
        reach = slim + fin * 0.28
        b.cone("second", (side * reach, 0.19, front * reach), (fin * 0.82, 0.19, 0.035), (0, spin - 90, 0))


def steam_train(b: Builder, rng: random.Random) -> None:
    """Build a steam engine: a round boiler with a funnel and a dome, a cab at its back, three wheels a side."""
    fat, tall = rng.uniform(0.17, 0.205), rng.uniform(0.13, 0.19)
    b.tube("main", (0.0, 0.40, 0.14), (fat, 0.34, fat), (90, 0, 0))
    b.tube("accent", (0.0, 0.40, 0.46), (fat * 1.08, 0.03, fat * 1.08), (90, 0, 0))
    b.tube("steel", (0.0, 0.40, 0.485), (fat * 0.78, 0.025, fat * 0.78), (90, 0, 0))
    b.ball("lamp", (0.0, 0.40 + fat * 0.9, 0.48), (0.055, 0.055, 0.05))
    b.tube("plain", (0.0, 0.42 + fat + tall * 0.5, 0.32), (0.062, tall * 0.7, 0.062))
    b.cone("accent", (0.0, 0.42 + fat + tall * 1.2, 0.32), (0.062, 0.07, 0.062), top=1.75)
    b.ball("steel", (0.0, 0.40 + fat, 0.08), (0.085, 0.09, 0.085))
    b.box("second", (0.0, 0.49, -0.34), (0.22, 0.28, 0.19))
    b.box("glass", (0.0, 0.60, -0.34), (0.228, 0.10, 0.10))
    b.box("glass", (0.0, 0.60, -0.34), (0.13, 0.09, 0.197))
    b.box("accent", (0.0, 0.79, -0.34), (0.27, 0.04, 0.25))
    b.box("rubber", (0.0, 0.19, -0.02), (0.19, 0.055, 0.52))
    for z, radius in ((-0.36, 0.165), (0.0, 0.125), (0.30, 0.125)):
        b.tube("accent", (0.20, radius, z), (radius, 0.045, radius), (0, 0, 90), twin=True)
        b.tube("steel", (0.225, radius, z), (radius * 0.45, 0.04, radius * 0.45), (0, 0, 90), twin=True)
    b.box("steel", (0.26, 0.135, 0.14), (0.015, 0.022, 0.22), twin=True)
    b.cone("steel", (0.0, 0.11, 0.50), (0.20, 0.11, 0.13), top=0.55)


def airplane(b: Builder, rng: random.Random) -> None:
    """Build a round body with raised wings, a propeller at the nose, a fin and two little wings at the tail."""
    span, sweep = rng.uniform(0.27, 0.31), rng.uniform(0, 12)
    b.ball("main", (0.0, 0.42, 0.0), (0.17, 0.175, 0.50))
    b.ball("accent", (0.0, 0.42, 0.44), (0.125, 0.13, 0.11))
    b.ball("steel", (0.0, 0.42, 0.56), (0.045, 0.045, 0.05))
    spin = rng.uniform(20, 70)
    b.box("rubber", (0.0, 0.42, 0.57), (0.034, 0.23, 0.014), (0, 0, spin))
    b.ball("glass", (0.0, 0.55, 0.12), (0.115, 0.12, 0.17))
    b.ball("second", (span + 0.10, 0.44, 0.06), (span, 0.04, 0.185), (0, sweep, 14), twin=True)
    b.ball(
        "accent", (0.10 + span * 1.86, 0.435 + span * 0.24, 0.06 - span * sweep / 60), (0.07, 0.045, 0.12), twin=True
    )
    b.ball("second", (0.0, 0.60, -0.45), (0.035, rng.uniform(0.19, 0.23), 0.13), (-18, 0, 0))
    b.ball("second", (0.15, 0.46, -0.45), (0.17, 0.03, 0.095), (0, 0, 6), twin=True)
    b.limb("steel", (0.10, 0.30, 0.16), (0.17, 0.16, 0.18), 0.022, twin=True)
    b.tube("rubber", (0.18, 0.11, 0.18), (0.095, 0.04, 0.095), (0, 0, 90), twin=True)


def teapot(b: Builder, rng: random.Random) -> None:
    """Build a round pot with a lid and a knob, a spout on one side and a handle on the other."""
    wide, high = rng.uniform(0.30, 0.35), rng.uniform(0.27, 0.32)
    b.tube("second", (0.0, 0.035, 0.0), (wide * 0.68, 0.04, wide * 0.68))
    b.ball("main", (0.0, 0.05 + high, 0.0), (wide, high, wide))
    rim = 0.05 + high * 1.90
    b.tube("accent", (0.0, rim - 0.01, 0.0), (wide * 0.58, 0.025, wide * 0.58))
    b.ball("second", (0.0, rim + 0.015, 0.0), (wide * 0.54, 0.095, wide * 0.54))
    b.ball("accent", (0.0, rim + 0.145, 0.0), 0.062)
    spout: list[Vec] = [(wide * 0.75, 0.24, 0.0), (wide + 0.13, 0.34, 0.0), (wide + 0.20, 0.56, 0.0)]
    b.chain("plain", spout, 0.085, thin=0.8)
    b.ball("second", (wide + 0.205, 0.585, 0.0), (0.075, 0.03, 0.075))
    reach = -wide - rng.uniform(0.19, 0.24)
    grip: list[Vec] = [
        (-wide * 0.72, 0.53, 0.0),
        (reach * 0.92, 0.56, 0.0),
        (reach, 0.38, 0.0),
        (-wide * 0.85, 0.20, 0.0),
    ]
    b.chain("accent", grip, 0.048)
