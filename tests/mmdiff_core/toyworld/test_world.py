"""The world itself: toys, places, scenes and their captions."""

from __future__ import annotations

import random
import re
import subprocess
import sys

import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.toyworld import BACKGROUND_NAMES, CLASS_NAMES, HELD_OUT, Scene, random_scene, reference_scene, render
from mmdiff_core.toyworld.bodies.toys import make_toy
from mmdiff_core.toyworld.render.colours import COLOURS, PATTERNS
from mmdiff_core.toyworld.render.styles import PHOTO, STYLES
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS, CLASS_WORDS, STYLE_WORDS
from mmdiff_core.toyworld.scenes.layout import half_width
from mmdiff_core.toyworld.scenes.random_scenes import UNSEEN_PAIRS, UNSEEN_STYLED


def scenes(count: int, seed: int = 0, subjects: int | None = None, identities: str = "train") -> list[Scene]:
    rng = random.Random(seed)
    return [random_scene(rng, subjects, identities) for _ in range(count)]


def occurrence(text: str, name: str, nth: int) -> int:
    """Where the n-th occurrence of a name begins, counted in whole words."""
    found = list(re.finditer(rf"\b{re.escape(name)}\b", text))
    assert len(found) > nth, (text, name, nth)
    return found[nth].start()


def test_the_world_is_as_large_as_it_should_be_and_has_words_for_everything() -> None:
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES) >= 22
    assert len(set(BACKGROUND_NAMES)) == len(BACKGROUND_NAMES) >= 12
    assert len(set(STYLES)) == len(STYLES) >= 4
    assert set(CLASS_WORDS) == set(CLASS_NAMES)
    assert set(BACKGROUND_WORDS) == set(BACKGROUND_NAMES)
    assert {PHOTO, *STYLE_WORDS} == set(STYLES)


def test_a_seed_is_one_identity_and_another_seed_another() -> None:
    for class_name in CLASS_NAMES:
        assert make_toy(class_name, 5) == make_toy(class_name, 5)
        assert make_toy(class_name, 5).figure != make_toy(class_name, 6).figure


def test_an_unknown_noun_is_told_with_the_nouns_there_are() -> None:
    with pytest.raises(SettingsError, match=r"cow.*cat, dog.*rocket"):
        make_toy("cow", 1)


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_every_identity_has_three_well_separated_colours(class_name: str) -> None:
    for seed in range(50):
        attributes = make_toy(class_name, seed).attributes
        assert len(set(attributes.colour_names)) == 3
        a, b, c = (torch.tensor(COLOURS[name]) for name in attributes.colour_names)
        assert min((a - b).norm(), (a - c).norm(), (b - c).norm()) > 0.5
    assert {make_toy(class_name, seed).attributes.pattern for seed in range(60)} == set(PATTERNS)


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_toys_stand_on_the_ground_and_fit_their_height(class_name: str) -> None:
    for seed in range(20):
        solids = make_toy(class_name, seed).figure.solids
        assert min(p.centre[1] - p.reach((0, 1, 0)) for p in solids) == pytest.approx(0, abs=1e-6)
        top = max(p.centre[1] + p.reach((0, 1, 0)) for p in solids)
        assert top == pytest.approx(make_toy(class_name, seed).figure.height)
        assert 0.45 < top <= 1 + 1e-6


@pytest.mark.slow
def test_two_processes_draw_the_same_picture() -> None:
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


def test_names_are_found_in_both_captions_in_the_order_of_the_toys() -> None:
    for scene in scenes(400, 1):
        caption = scene.caption
        for text in (caption.text, caption.detailed):
            starts = [occurrence(text, n, caption.names[:i].count(n)) for i, n in enumerate(caption.names)]
            assert len(set(starts)) == len(starts)
            assert starts == sorted(starts)
        for name, placed in zip(caption.names, scene.toys, strict=True):
            assert name in CLASS_WORDS[placed.toy.class_name]


def test_detailed_captions_say_the_colours_and_short_ones_do_not() -> None:
    for scene in scenes(200, 2):
        worn = {placed.wearing.colour for placed in scene.toys if placed.wearing}
        for placed in scene.toys:
            main, second, _ = placed.toy.attributes.colour_names
            assert main in scene.caption.detailed
            assert second in scene.caption.detailed
        text = scene.caption.text
        for phrase in BACKGROUND_WORDS[scene.background]:  # "on a green hill" is no toy's colour
            text = text.replace(phrase, "")
        assert {colour for colour in COLOURS if re.search(rf"\b{colour}\b", text)} == worn


def test_nouns_have_words_of_their_own() -> None:
    words = [word for synonyms in CLASS_WORDS.values() for word in synonyms]
    assert len(set(words)) == len(words)


def test_place_and_style_words_name_one_thing_only_and_no_toy() -> None:
    words = [phrase for phrases in BACKGROUND_WORDS.values() for phrase in phrases]
    words += [phrase for before, after in STYLE_WORDS.values() for phrase in (*before, *after)]
    assert len(set(words)) == len(words)
    classes = {word for synonyms in CLASS_WORDS.values() for word in synonyms}
    assert not [(w, n) for w in words for n in classes if re.search(rf"\b{n}\b", w)]


def test_two_toys_of_one_noun_are_named_by_the_same_word() -> None:
    twins = [s for s in scenes(600, 3, subjects=2) if s.toys[0].toy.class_name == s.toys[1].toy.class_name]
    assert 0.05 < len(twins) / 600 < 0.16
    for scene in twins:
        assert scene.caption.names[0] == scene.caption.names[1]
        assert f"another {scene.caption.names[1]}" in scene.caption.text


def test_scenes_honour_the_relation_in_their_caption() -> None:
    seen = set()
    for scene in scenes(800, 4, subjects=2):
        first, second = scene.toys
        for words, holds in (
            (" left of ", first.x < second.x),
            (" right of ", first.x > second.x),
            (" in front of ", first.y > second.y),
            (" behind ", first.y < second.y),
        ):
            if words in scene.caption.text:
                seen.add(words)
                assert holds, scene.caption.text
    assert len(seen) == 4
    for scene in scenes(200, 5, subjects=3):
        if " between " in scene.caption.text:
            xs = [placed.x for placed in scene.toys]
            assert min(xs[1:]) < xs[0] < max(xs[1:])


def test_toys_are_large_and_hardly_hide_each_other() -> None:
    for count, least in ((1, 0.06), (2, 0.03), (3, 0.012)):
        drawn = scenes(40, 6, subjects=count)
        together = render(drawn, 48).masks.float().mean((2, 3))
        assert float(together.min()) > least
        for i in range(count):
            alone = render(
                [Scene((s.toys[i],), s.background, s.background_seed, s.tilt, s.caption) for s in drawn], 48
            ).masks
            shown = together[:, i] / alone[:, 0].float().mean((1, 2))
            assert float(shown.min()) > 0.4
            assert float(shown.mean()) > 0.9


def test_accessories_are_worn_in_the_scene_and_never_in_its_references() -> None:
    rng = random.Random(7)
    worn = [s for s in scenes(300, 7) if any(placed.wearing for placed in s.toys)]
    assert worn
    for scene in worn:
        for placed in scene.toys:
            if placed.wearing:
                assert (
                    f"wearing a {placed.wearing.colour} {placed.wearing.kind}".replace("a o", "an o")
                    in scene.caption.text
                )
            assert reference_scene(rng, placed.toy, scene).toys[0].wearing is None


def test_references_show_the_same_toy_elsewhere_from_another_side() -> None:
    rng = random.Random(8)
    for scene in scenes(200, 8):
        for placed in scene.toys:
            reference = reference_scene(rng, placed.toy, scene)
            assert [p.toy for p in reference.toys] == [placed.toy]
            assert reference.background != scene.background
            assert abs(reference.toys[0].yaw - placed.yaw) > 15


def test_held_out_toys_and_pairs_are_never_trained_on() -> None:
    rng = random.Random(9)
    for scene in scenes(600, 9):
        assert all(placed.toy.seed < HELD_OUT for placed in scene.toys)
        shown = [scene, *(reference_scene(rng, placed.toy, scene) for placed in scene.toys)]
        assert not {(p.toy.class_name, s.background) for s in shown for p in s.toys} & UNSEEN_PAIRS
        assert not {(p.toy.class_name, s.background, s.style) for s in shown for p in s.toys} & UNSEEN_STYLED
    unseen = scenes(900, 9, identities="held_out")
    assert all(placed.toy.seed >= HELD_OUT for scene in unseen for placed in scene.toys)
    assert {(p.toy.class_name, s.background) for s in unseen for p in s.toys} & UNSEEN_PAIRS
    assert {(p.toy.class_name, s.background, s.style) for s in unseen for p in s.toys} & UNSEEN_STYLED


def test_training_meets_every_noun_place_and_style_of_what_it_never_meets_together() -> None:
    """Otherwise what is unseen would be unknown."""
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


def test_pictures_of_every_style_are_drawn_and_their_captions_say_so() -> None:
    drawn = scenes(600, 12)
    share = {style: sum(s.style == style for s in drawn) / len(drawn) for style in STYLES}
    assert 0.3 < share[PHOTO] < 0.5
    assert min(share.values()) > 0.12
    for scene in drawn:
        for text in (scene.caption.text, scene.caption.detailed):
            named = {
                style
                for style, (before, after) in STYLE_WORDS.items()
                for words in (*before, *after)
                if re.search(rf"(^|\s){re.escape(words)}(,|\s|$)", text)
            }
            assert named == ({scene.style} - {PHOTO}), text


def test_reference_photos_are_photos() -> None:
    rng = random.Random(13)
    for scene in scenes(60, 13):
        assert reference_scene(rng, scene.toys[0].toy, scene).style == PHOTO


def test_toys_fit_the_width() -> None:
    for scene in scenes(300, 10):
        for placed in scene.toys:
            assert abs(placed.x) + 0.7 * half_width(placed.toy, placed.yaw) * placed.height < 0.5
