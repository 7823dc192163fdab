"""The plush animals, each built with a ``solids.Builder``.

An animal sits or stands upright, has a big head, and looks at us along z. ``rng`` draws the identity's proportions and
the variants of its body parts.
"""

from __future__ import annotations

import random

from mmdiff_core.toyworld.bodies.body_parts import anchors, eyes, sitting_body
from mmdiff_core.toyworld.bodies.solids import Builder, Vec, on


def cat(b: Builder, rng: random.Random) -> None:
    """Build pointed ears, a small muzzle, a tail that curls up at the side."""
    head = sitting_body(b, rng, head=(0.29, 0.235, 0.23))
    ear, spread = rng.uniform(0.10, 0.15), rng.uniform(14, 26)
    x, y, _ = on(head, 38, 48)
    b.cone("plain", (x + 0.02, y + ear * 0.55, 0.0), (0.115, ear, 0.07), (0, 0, -spread), twin=True)
    b.cone("accent", (x + 0.02, y + ear * 0.45, 0.045), (0.07, ear * 0.75, 0.04), (0, 0, -spread), twin=True)
    eyes(b, head, yaw=24, pitch=8, size=0.042)
    b.ball("second", on(head, 10, -22, 0.93), (0.075, 0.06, 0.06), twin=True)
    b.ball("pink", on(head, 0, -10, 1.07), (0.034, 0.024, 0.024))
    lift = rng.uniform(0.45, 0.65)
    tail: list[Vec] = [(0.05, 0.10, -0.18), (0.27, 0.10, -0.22), (0.38, 0.24, -0.18), (0.37, lift, -0.12)]
    b.chain("plain", tail, 0.055)
    b.ball("accent", tail[-1], 0.062)


def dog(b: Builder, rng: random.Random) -> None:
    """Build ears that hang down beside the head, a long muzzle with a big nose, a tongue."""
    head = sitting_body(b, rng, head=(0.235, 0.24, 0.22))
    droop, ear = rng.uniform(10, 28), rng.uniform(0.17, 0.23)
    b.ball("accent", (0.255, head.centre[1] + 0.10 - ear * 0.55, 0.02), (0.075, ear, 0.11), (0, 0, droop), twin=True)
    eyes(b, head, yaw=22, pitch=17, size=0.042)
    snout = b.ball("second", on(head, 0, -18, 0.95), (0.125, 0.10, rng.uniform(0.13, 0.17)))
    b.ball("nose", on(snout, 0, 28, 0.98), (0.058, 0.042, 0.042))
    b.ball("tongue", on(snout, 0, -48, 0.9), (0.045, 0.06, 0.03), (-15, 0, 0))
    b.chain("plain", [(0.0, 0.16, -0.18), (0.24, 0.26, -0.28), (0.33, 0.42, -0.28)], 0.05, thin=0.85)


def rabbit(b: Builder, rng: random.Random) -> None:
    """Build two very long upright ears, big feet, two teeth, a ball of a tail."""
    head = sitting_body(b, rng, head=(0.25, 0.215, 0.215), stout=1.1)
    ear, lean = rng.uniform(0.19, 0.25), rng.uniform(4, 15)
    at: Vec = (0.10 + 0.004 * lean, head.centre[1] + 0.16 + ear * 0.85, 0.0)
    b.ball("plain", at, (0.078, ear, 0.055), (0, 0, -lean), twin=True)
    b.ball("accent", (at[0], at[1], 0.032), (0.048, ear * 0.82, 0.035), (0, 0, -lean), twin=True)
    eyes(b, head, yaw=25, pitch=10, size=0.04)
    b.ball("second", on(head, 11, -20, 0.95), (0.065, 0.052, 0.05), twin=True)
    b.ball("pink", on(head, 0, -8, 1.08), (0.032, 0.024, 0.022))
    b.box("ivory", on(head, 0, -38, 0.98), (0.034, 0.036, 0.015))
    b.ball("second", (0.0, 0.14, -0.24), 0.09)


def bear(b: Builder, rng: random.Random) -> None:
    """Build round ears wide apart on a round head, a broad body with a round belly."""
    head = sitting_body(b, rng, head=(0.25, 0.225, 0.22), stout=1.18)
    ear = rng.uniform(0.082, 0.108)
    x, y, _ = on(head, 90, 45)
    b.ball("plain", (x + 0.01, y + 0.02, 0.0), (ear, ear, 0.055), twin=True)
    b.ball("accent", (x + 0.01, y + 0.02, 0.035), (ear * 0.62, ear * 0.62, 0.035), twin=True)
    eyes(b, head, yaw=21, pitch=13, size=0.034)
    muzzle = b.ball("second", on(head, 0, -18, 0.92), (0.12, 0.095, rng.uniform(0.08, 0.10)))
    b.ball("nose", on(muzzle, 0, 22, 1.0), (0.046, 0.034, 0.03))


def penguin(b: Builder, rng: random.Random) -> None:
    """Build one egg without a neck, a white front, flippers, a beak, flat feet."""
    stout = rng.uniform(0.27, 0.32)
    body = b.ball("main", (0.0, 0.45, 0.0), (stout, 0.43, 0.25))
    head = b.ball("plain", (0.0, 0.78, 0.02), (stout * 0.80, 0.22, 0.21))
    b.ball("ivory", (0.0, 0.37, 0.085), (stout * 0.78, 0.34, 0.19))
    b.ball("ivory", on(head, 19, -6, 0.64), (0.105, 0.125, 0.10), twin=True)
    eyes(b, head, yaw=19, pitch=4, size=0.038, out=1.1)
    b.cone("beak", on(head, 0, -12, 1.18), (0.065, rng.uniform(0.08, 0.12), 0.045), (90, 0, 0))
    spread = rng.uniform(12, 34)
    b.ball(
        "second", (body.size[0] + 0.02 + spread * 0.002, 0.47, 0.02), (0.055, 0.21, 0.105), (0, 0, spread), twin=True
    )
    b.ball("accent", (0.13, 0.03, 0.14), (0.115, 0.04, 0.15), (0, 15, 0), twin=True)
    if rng.random() < 0.5:
        b.cone("accent", (0.0, 1.04, -0.02), (0.05, 0.09, 0.05), (-20, 0, 0))
    anchors(b, head, neck=(0.0, 0.62, 0.02), radius=stout * 0.88)


def frog(b: Builder, rng: random.Random) -> None:
    """Build a wide flat head with eyes on top of it, a wide mouth, knees out to the sides."""
    wide = rng.uniform(0.31, 0.36)
    b.ball("main", (0.0, 0.26, 0.0), (0.25, 0.25, 0.22))
    b.ball("second", (0.0, 0.23, 0.07), (0.18, 0.20, 0.17))
    head = b.ball("main", (0.0, 0.56, 0.04), (wide, 0.19, 0.25))
    b.ball("second", (0.0, 0.515, 0.075), (wide * 0.86, 0.125, 0.225))
    b.ball("tongue", (0.0, 0.545, 0.092), (wide * 0.84, 0.026, 0.225))
    eye = rng.uniform(0.095, 0.12)
    at: Vec = (wide * 0.56, 0.74, 0.06)
    b.ball("plain", at, (eye, eye, eye), twin=True)
    b.ball("eye white", (at[0], at[1] + 0.01, at[2] + eye * 0.35), eye * 0.78, twin=True)
    b.ball("eye", (at[0], at[1] + 0.01, at[2] + eye * 0.86), (eye * 0.42, eye * 0.5, eye * 0.32), twin=True)
    b.ball("plain", (0.30, 0.15, 0.02), (0.11, 0.16, 0.17), (0, 0, -24), twin=True)
    b.ball("accent", (0.34, 0.03, 0.17), (0.13, 0.04, 0.15), (0, 25, 0), twin=True)
    b.limb("plain", (0.17, 0.36, 0.14), (0.12, 0.07, 0.25), 0.05, twin=True)
    b.ball("accent", (0.12, 0.03, 0.28), (0.075, 0.035, 0.075), twin=True)
    anchors(b, head, neck=(0.0, 0.40, 0.03), radius=0.22)


def elephant(b: Builder, rng: random.Random) -> None:
    """Build huge flat ears, a trunk, tusks, legs like pillars."""
    b.ball("main", (0.0, 0.33, -0.02), (0.27, 0.26, 0.25))
    for z, x in ((0.12, 0.15), (-0.14, 0.17)):
        b.tube("plain", (x, 0.13, z), (0.095, 0.13, 0.095), twin=True)
        b.tube("accent", (x, 0.025, z + 0.012), (0.102, 0.03, 0.102), twin=True)
    head = b.ball("main", (0.0, 0.66, 0.10), (0.22, 0.215, 0.20))
    ear = rng.uniform(0.17, 0.23)
    b.ball("plain", (0.19 + ear * 0.75, 0.70, 0.02), (ear, ear * 1.18, 0.045), (0, 12, 10), twin=True)
    b.ball("accent", (0.19 + ear * 0.75, 0.69, 0.045), (ear * 0.74, ear * 0.9, 0.04), (0, 12, 10), twin=True)
    eyes(b, head, yaw=30, pitch=16, size=0.034)
    curl, swing = rng.uniform(0.0, 0.16), rng.uniform(-0.08, 0.08)
    trunk: list[Vec] = [(0.0, 0.62, 0.28), (0.0, 0.47, 0.38), (swing, 0.32, 0.41), (swing * 1.5, 0.22 + curl / 2, 0.48)]
    b.chain("plain", trunk, 0.075, thin=0.86)
    b.cone("ivory", (0.115, 0.50, 0.33), (0.032, rng.uniform(0.07, 0.11), 0.032), (130, 0, 0), twin=True)
    b.limb("plain", (0.0, 0.40, -0.25), (0.06, 0.20, -0.33), 0.025)
    anchors(b, head, neck=(0.0, 0.49, 0.05), radius=0.22)


def dinosaur(b: Builder, rng: random.Random) -> None:
    """Build a long snout with teeth, a row of spikes from head to tail, a heavy tail, tiny arms."""
    b.ball("main", (0.0, 0.36, 0.0), (0.21, 0.27, 0.24))
    b.ball("second", (0.0, 0.34, 0.085), (0.155, 0.22, 0.18))
    b.limb("plain", (0.0, 0.50, 0.05), (0.0, 0.70, 0.13), 0.135)
    head = b.ball("main", (0.0, 0.80, 0.16), (0.175, 0.165, 0.20))
    snout = b.ball("plain", (0.0, 0.755, 0.36), (0.135, 0.095, rng.uniform(0.15, 0.20)))
    b.ball("second", (0.0, 0.71, 0.34), (0.125, 0.065, 0.15))
    b.ball("nose", on(snout, 24, 35), 0.016, twin=True)
    eyes(b, head, yaw=48, pitch=22, size=0.036)
    b.limb("plain", (0.17, 0.46, 0.13), (0.17, 0.38, 0.26), 0.042, twin=True)
    b.ball("plain", (0.17, 0.17, 0.0), (0.105, 0.18, 0.15), twin=True)
    b.ball("accent", (0.17, 0.045, 0.08), (0.10, 0.05, 0.15), twin=True)
    tail: list[Vec] = [(0.0, 0.26, -0.12), (0.0, 0.17, -0.34), (0.0, 0.15, -0.54), (0.0, 0.20, -0.74)]
    b.chain("plain", tail, 0.145, thin=0.66)
    spike = rng.uniform(0.085, 0.125)
    spine = ((0.99, 0.08, 10), (0.86, -0.09, -45), (0.68, -0.12, -60), (0.50, -0.25, -65), (0.35, -0.39, -50))
    for y, z, nod in (*spine, (0.29, -0.58, -20)):
        b.cone("accent", (0.0, y, z), (0.075, spike, 0.035), (nod, 0, 0))
    anchors(b, head, neck=(0.0, 0.60, 0.09), radius=0.15)
