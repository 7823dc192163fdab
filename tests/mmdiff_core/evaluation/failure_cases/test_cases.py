"""The sheet of hard cases: what it asks, what its stand-ins are, and that it says what could not be judged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmdiff_core.backbones import toybox
from mmdiff_core.backbones.base import Defaults
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.evaluation.failure_cases.cases import IDENTITIES, TINY, FailureCase, draw_failure_cases, look_alikes
from mmdiff_core.evaluation.failure_cases.sheet import run_failure_case
from mmdiff_core.evaluation.failure_cases.synthetic_photos import clutter, drawn_cat, drawn_mushroom, photographed
from mmdiff_core.evaluation.toybox import suite as suite_module
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.network import Referee, save_referee
from mmdiff_core.toyworld.bodies.toys import make_toy
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, reference_scene
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD, save_vocabulary
from tests.helpers import tiny
from tests.helpers.small_referee import CONFIG, VOCABULARY

SIZE = (32, 32)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite_module, "CANDIDATES", 4)
        patch.setattr(suite_module, "DISTRACTORS", 3)
        patch.setattr(toybox, "DEFAULTS", Defaults(steps=2, guidance=2.0))
        yield


@pytest.fixture(scope="module")
def limits() -> dict[str, FailureCase]:
    return {limit.title: limit for limit in draw_failure_cases(VOCABULARY, SIZE)}


def test_look_alikes_share_colours_and_pattern() -> None:
    toys = look_alikes(("cat", "dog", "bear"), IDENTITIES)
    assert len({(*toy.attributes.colour_names[:2], toy.attributes.pattern) for toy in toys}) == 1
    assert [toy.class_name for toy in toys] == ["cat", "dog", "bear"]


def test_limits_are_the_same_each_time_and_of_unseen_toys(limits: dict[str, FailureCase]) -> None:
    again = {limit.title: limit for limit in draw_failure_cases(VOCABULARY, SIZE)}
    assert {title: limit.case for title, limit in again.items()} == {t: limit.case for t, limit in limits.items()}
    for limit in limits.values():
        scene = limit.case.scene
        assert all(toy.seed >= HELD_OUT for toy in limit.case.toys)
        assert any(words in scene.caption.text for words in BACKGROUND_WORDS[scene.background])
        assert all(name in scene.caption.text for name in scene.caption.names)
        assert len(limit.photos or limit.case.views) == limit.case.count == len(scene.caption.names)
    assert [len(limit.case.toys) for limit in limits.values()].count(3) == 2


def test_unseen_nouns_are_those_that_the_model_was_not_trained_on() -> None:
    titles = [limit.title for limit in draw_failure_cases(FIRST_WORLD, SIZE)]
    classes = {title.split("(")[1][:-1] for title in titles if title.startswith("Unseen class")}
    assert "mushroom" in classes
    assert len(classes) == 3
    assert not classes & set(FIRST_WORLD.classes)
    whole = [limit.title for limit in draw_failure_cases(WHOLE_WORLD, SIZE) if limit.title.startswith("Unseen class")]
    assert whole == ["Unseen class (mushroom)"]


def test_tiny_means_tiny(limits: dict[str, FailureCase]) -> None:
    masks = render(limits["Tiny in the photo"].case.views[0], 64).masks[:, 0]  # (P, H, W)
    assert 0 < masks.float().mean() < 0.06
    assert (masks.any(2).sum(1) / 64 < 1.5 * TINY).all()
    (box,) = limits["Tiny in the image"].regions or ()
    assert box is not None
    assert box.right - box.left == pytest.approx(TINY)


def test_stand_ins_are_far_from_renders_and_still_show_the_toy() -> None:
    rng = random.Random(1)
    toy = make_toy("cat", HELD_OUT)
    drawn = render([reference_scene(rng, toy) for _ in range(2)], 64)
    photos = photographed(random.Random(0), drawn)
    assert photos.shape == drawn.images.shape
    assert torch.equal(photos, photographed(random.Random(0), drawn))
    inside = drawn.masks[:, :1].expand_as(photos)
    error = (photos - drawn.images).abs()
    assert error[~inside].mean() > 1.5 * error[inside].mean() > 0.05
    for drawing in (drawn_cat(SIZE), drawn_mushroom((48, 32), 12.0)):
        assert 0 <= float(drawing.min()) < 0.5 < float(drawing.max()) <= 1
    assert drawn_mushroom((48, 32)).shape == (3, 32, 48)


def test_clutter_has_the_spectrum_of_natural_pictures() -> None:
    """Power falls with the square of the frequency: about a fourth per octave."""
    power = torch.fft.rfft2(clutter(random.Random(0), 128, 128).mean(0)).abs().square()
    low, high = power[0, 4:8].mean() + power[4:8, 0].mean(), power[0, 16:32].mean() + power[16:32, 0].mean()
    assert 4 < low / high < 64


@pytest.mark.slow
def test_sheet_is_judged_as_far_as_the_referee_can(limits: dict[str, FailureCase], tmp_path: Path) -> None:
    model = tiny.save_toybox(tmp_path / "model")
    save_vocabulary(VOCABULARY, model)
    save_referee(Referee(CONFIG), tmp_path / "referee.safetensors")
    command = ["failure-cases", "--model", str(model), "--referee", str(tmp_path / "referee.safetensors")]
    sheet = tmp_path / "sheets" / "limits.png"
    assert main([*command, "--images", "1", "--out", str(sheet)]) == 0
    with Image.open(sheet) as image:
        assert image.height > len(limits) * 160
    assert main([*command, "--images", "0", "--out", str(tmp_path / "none.png")]) == BAD_INPUT
    assert not (tmp_path / "none.png").exists()


@pytest.mark.slow
def test_what_is_judged_and_what_is_not(limits: dict[str, FailureCase], tmp_path: Path) -> None:
    torch.manual_seed(0)
    suite = ToyboxSuite(Personalizer.load(tiny.save_toybox(tmp_path)), Referee(CONFIG).eval(), (0,))
    rows = {title: run_failure_case(limit, suite).images[0].scores for title, limit in limits.items()}
    assert len(rows["Three look-alikes"].identity) == len(rows["Three look-alikes"].likeness) == 3
    assert len(rows["Photos unlike the world's"].identity) == 1
    for title in ("Three toys of one class (cat)", "Unseen class (mushroom)"):
        assert rows[title].identity == rows[title].likeness == []
        assert limits[title].unjudged
    mushroom = run_failure_case(limits["Unseen class (mushroom)"], suite)
    assert len(mushroom.images) == 1
    assert mushroom.images[0].image.size == SIZE
    assert not mushroom.images[0].regions.any()
