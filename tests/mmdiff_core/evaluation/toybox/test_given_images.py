"""Another program's images on the suite: real renders of the cases stand for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.toybox.given_images import ImageFolder, case_name
from mmdiff_core.evaluation.toybox.run import ToyboxOptions, evaluate_images, read_toybox_scores, write_toybox_cases
from mmdiff_core.evaluation.toybox.toybox_cases import ToyboxCase, draw_toybox_cases
from mmdiff_core.evaluation.toybox.toybox_judge import MODEL, UPPER
from mmdiff_core.output.image_grid import to_image
from mmdiff_core.toyworld.render.renderer import render
from tests.helpers.small_referee import VOCABULARY

pytestmark = pytest.mark.slow

PROMPTS = {1: 1, 2: 1}


@pytest.fixture
def options(tmp_path: Path, model: Path, referee_file: Path) -> ToyboxOptions:
    return ToyboxOptions(tmp_path / "report", model, referee_file, PROMPTS, seeds=(0,))


@pytest.fixture
def cases() -> list[ToyboxCase]:
    return draw_toybox_cases(VOCABULARY, PROMPTS)


@pytest.fixture
def images(tmp_path: Path, cases: list[ToyboxCase]) -> Path:
    """Return a folder of renders, in several formats and a size of their own."""
    folder = tmp_path / "images"
    folder.mkdir()
    for case, ending in zip(cases, (".png", ".webp"), strict=True):
        to_image(render([case.scene], 48).images[0]).save(folder / f"{case_name(case)}_0{ending}", lossless=True)
    return folder


def test_the_written_cases_tell_everything(options: ToyboxOptions, cases: list[ToyboxCase]) -> None:
    assert write_toybox_cases(options) == len(cases)
    listed = json.loads((options.folder / "cases.json").read_text())
    assert [one["name"] for one in listed] == ["one_000", "two_000"]
    assert [one["prompt"] for one in listed] == [case.scene.caption.text for case in cases]
    assert listed[1]["images"] == ["two_000_0.png"]
    for one, case in zip(listed, cases, strict=True):
        assert [subject["class"] for subject in one["subjects"]] == list(case.classes)
        for subject, views in zip(one["subjects"], case.views, strict=True):
            assert subject["name"] in one["prompt"]
            photos = [Image.open(options.folder / file) for file in subject["photos"]]
            expected = [to_image(pixels) for pixels in render(views, photos[0].size[::-1]).images]
            assert [photo.tobytes() for photo in photos] == [image.tobytes() for image in expected]


def test_images_are_judged_beside_real_renders_and_without_heatmaps(options: ToyboxOptions, images: Path) -> None:
    table = evaluate_images(images, options)
    scores = read_toybox_scores(options.folder)
    assert [(one.kind, one.count) for one in scores] == [(UPPER, 1), (MODEL, 1), (UPPER, 2), (MODEL, 2)]
    assert table["two"]["peak"] is None
    assert table["two"]["iou"] is None
    assert table["two"]["place"]["n"] == 1
    assert table["upper"]["two"]["peak"]["n"] == 2
    assert set(table["about"]) == {"images", "referee", "first identity", "pictures per prompt"}
    assert (options.folder / "sheets" / "two.png").is_file()


def test_renders_as_images_are_judged_as_the_renders_are(
    options: ToyboxOptions, images: Path, cases: list[ToyboxCase]
) -> None:
    for case in cases:  # in the suite's own size, so that nothing is resized
        to_image(render([case.scene], 32).images[0]).save(images / f"{case_name(case)}_0.png")
    evaluate_images(images, options)
    by_kind = {(one.kind, one.count): one for one in read_toybox_scores(options.folder)}
    for count in PROMPTS:
        upper, given = by_kind[UPPER, count], by_kind[MODEL, count]
        assert (given.present, given.place, given.style) == (upper.present, upper.place, upper.style)
        assert given.identity == upper.identity
        assert given.likeness == pytest.approx(upper.likeness, abs=0.02)  # a PNG has whole numbers


def test_a_missing_image_is_named_before_anything_is_judged(options: ToyboxOptions, images: Path) -> None:
    next(images.glob("two*")).unlink()
    with pytest.raises(SettingsError, match=r"has no two_000_0\.png.*--write-cases"):
        evaluate_images(images, options)
    assert not options.folder.exists()


def test_other_images_are_another_evaluation(options: ToyboxOptions, images: Path, cases: list[ToyboxCase]) -> None:
    evaluate_images(images, options)
    before = ImageFolder(images, (0,)).fingerprint(cases)
    Image.new("RGB", (32, 32)).save(images / "one_000_0.png")
    assert ImageFolder(images, (0,)).fingerprint(cases) != before
    with pytest.raises(SettingsError, match="other settings"):
        evaluate_images(images, options)
    evaluate_images(images, replace(options, folder=options.folder.with_name("another")))
