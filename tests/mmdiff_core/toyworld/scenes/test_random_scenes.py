"""Random scenes: what they may show, what training never sees, and photos of the same toys elsewhere."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from mmdiff_core.toyworld import BACKGROUND_NAMES, CLASS_NAMES, HELD_OUT, reference_scene, toy_photos
from mmdiff_core.toyworld.render.styles import PHOTO, STYLES
from mmdiff_core.toyworld.scenes.random_scenes import UNSEEN_PAIRS, UNSEEN_STYLED, unseen
from tests.helpers.toy_scenes import scenes


@pytest.mark.slow
def test_two_processes_draw_the_same_image() -> None:
    """No string hash, which differs from process to process, may enter a scene."""
    code = (
        "import random; from mmdiff_core.toyworld import random_scene, render;"
        "s = [random_scene(random.Random(3)) for _ in range(2)]; i = render(s, 48).images;"
        "print(s[0].caption.text, int((i * 255).round().long().sum()))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]  # fmt: skip
    assert runs[0] == runs[1]
    assert runs[0].strip()


def test_references_show_the_same_toy_elsewhere_from_another_side() -> None:
    rng = random.Random(8)
    for scene in scenes(200, 8):
        for placed in scene.toys:
            reference = reference_scene(rng, placed.toy, scene)
            assert [p.toy for p in reference.toys] == [placed.toy]
            assert reference.background != scene.background
            assert abs(reference.toys[0].yaw - placed.yaw) > 15


def test_reference_photos_are_photos() -> None:
    rng = random.Random(13)
    for scene in scenes(60, 13):
        assert reference_scene(rng, scene.toys[0].toy, scene).style == PHOTO


@pytest.mark.slow
def test_held_out_toys_and_combinations_are_never_trained_on() -> None:
    rng = random.Random(9)
    for scene in scenes(600, 9):
        assert all(placed.toy.seed < HELD_OUT for placed in scene.toys)
        shown = [scene, *(reference_scene(rng, placed.toy, scene) for placed in scene.toys)]
        assert not any(unseen(p.toy.class_name, s.background, s.style) for s in shown for p in s.toys)
    held_out = scenes(900, 9, identities="held_out")
    assert all(placed.toy.seed >= HELD_OUT for scene in held_out for placed in scene.toys)
    assert {(p.toy.class_name, s.background) for s in held_out for p in s.toys} & UNSEEN_PAIRS
    assert {(p.toy.class_name, s.background, s.style) for s in held_out for p in s.toys} & UNSEEN_STYLED


@pytest.mark.slow
def test_training_sees_every_name_of_what_it_never_sees_together() -> None:
    """Otherwise an unseen combination would have an unknown part."""
    seen = [(p.toy.class_name, s.background, s.style) for s in scenes(2500, 11) for p in s.toys]
    pairs = {(class_name, background) for class_name, background, _ in seen}
    for class_name, background in UNSEEN_PAIRS:
        assert class_name in CLASS_NAMES
        assert background in BACKGROUND_NAMES
        assert len({p for n, p in pairs if n == class_name}) > len(BACKGROUND_NAMES) / 2
        assert len({n for n, p in pairs if p == background}) > len(CLASS_NAMES) / 2
    styled = {(class_name, style) for class_name, _, style in seen}
    for class_name, background, style in UNSEEN_STYLED:
        assert (class_name, background) in pairs
        assert (class_name, style) in styled
        assert style != PHOTO


def test_every_style_is_drawn_and_photos_most_often() -> None:
    drawn = scenes(600, 12)
    share = {style: sum(s.style == style for s in drawn) / len(drawn) for style in STYLES}
    assert 0.3 < share[PHOTO] < 0.5
    assert min(share.values()) > 0.12


def test_two_toys_are_now_and_then_of_one_class() -> None:
    twins = [s for s in scenes(600, 3, subjects=2) if s.toys[0].toy.class_name == s.toys[1].toy.class_name]
    assert 0.05 < len(twins) / 600 < 0.16


def test_photos_of_a_toy_are_of_one_size_and_all_different() -> None:
    photos = [np.asarray(photo) for photo in toy_photos("cat", HELD_OUT, views=3, size=32)]
    assert [photo.shape for photo in photos] == [(32, 32, 3)] * 3
    assert all((photos[i] != photos[j]).mean() > 0.5 for i in range(3) for j in range(i))
    again = toy_photos("cat", HELD_OUT, views=3, size=32)
    assert [photo.tobytes() for photo in again] == [photo.tobytes() for photo in photos]
    assert toy_photos("cat", HELD_OUT, views=1, size=16)[0].size == (16, 16)
