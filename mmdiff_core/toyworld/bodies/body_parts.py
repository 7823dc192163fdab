"""Body parts that several animals share."""

from __future__ import annotations

import random

from mmdiff_core.toyworld.bodies.solids import Anchor, Builder, Solid, Vec, on


def sitting_body(b: Builder, rng: random.Random, head: Vec, stout: float = 1.0) -> Solid:
    """Build body, arms and feet of a sitting plush animal; return its head, whose half size is about ``head``."""
    wide, big = stout * rng.uniform(0.92, 1.08), rng.uniform(0.95, 1.07)
    b.ball("main", (0.0, 0.27, 0.0), (0.215 * wide, 0.27, 0.20))
    b.ball("second", (0.0, 0.25, 0.075), (0.15 * wide, 0.20, 0.15))
    b.limb("plain", (0.17 * wide, 0.42, 0.06), (0.22 * wide, 0.22, 0.15), 0.062, twin=True)
    b.ball("accent", (0.22 * wide, 0.20, 0.165), 0.068, twin=True)
    b.ball("plain", (0.15 * wide, 0.08, 0.13), (0.095, 0.08, 0.15), (0, 18, 0), twin=True)
    b.ball("accent", (0.18 * wide, 0.085, 0.235), (0.075, 0.075, 0.055), (0, 18, 0), twin=True)
    size: Vec = (head[0] * big, head[1] * big, head[2] * big)
    top = b.ball("main", (0.0, 0.46 + size[1], 0.03), size)
    anchors(b, top, neck=(0.0, 0.475, 0.03), radius=0.165 * wide)
    return top


def eyes(b: Builder, head: Solid, yaw: float, pitch: float, size: float, out: float = 0.985) -> None:
    """Build two shining black eyes on a head; ``out`` is their distance from its middle, 1 at the surface."""
    at = on(head, yaw, pitch, out)
    b.ball("eye", at, (size, size * 1.2, size * 0.6), (-pitch, yaw, 0), twin=True)
    x, y, z = on(head, yaw, pitch, out + 0.5 * size / head.size[2])
    for side in (x, -x):
        b.ball("glint", (side + size * 0.2, y + size * 0.5, z), size * 0.33)


def anchors(b: Builder, head: Solid, neck: Vec, radius: float) -> None:
    """Set where a hat and a scarf go."""
    x, y, z = head.centre
    b.crown = Anchor((x, y + head.size[1] * 0.88, z), head.size[0] * 0.62)
    b.neck = Anchor(neck, radius)
