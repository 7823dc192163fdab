"""Regions and binding through the whole line, and what is said about bad ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmdiff_core.errors import SettingsError
from mmdiff_core.generation.regions import read_regions, region_box
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import Box, GenerateRequest, Subject
from tests.helpers import tiny

CAT, ROBOT = tiny.cat_and_robot()
REQUEST = GenerateRequest(
    prompt="a cat next to a robot on the beach",
    subjects=(CAT, ROBOT),
    seeds=(5,),
    steps=2,
    guidance=4.0,
    start_step=1,
    width=48,
    height=32,
)


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def personalizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    return tiny.personalizer(request.param, tmp_path_factory.mktemp(request.param))


def _picture(personalizer: Personalizer, request: GenerateRequest) -> GeneratedImage:
    *_, last = personalizer.generate(request)
    assert last.finished is not None
    return last.finished


def _with_regions(cat: Box | Image.Image | None, robot: Box | Image.Image | None) -> GenerateRequest:
    return replace(REQUEST, subjects=(replace(CAT, region=cat), replace(ROBOT, region=robot)))


def _pixels(picture: GeneratedImage) -> np.ndarray:
    return np.asarray(picture.image, dtype=int)


def test_subjects_stay_in_their_boxes(personalizer: Personalizer) -> None:
    picture = _picture(personalizer, _with_regions(Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)))
    finest = next(layer for layer, size in picture.maps.layers.items() if size == (16, 24))
    for stream in ("image", "influence"):
        cat, robot = (picture.maps.at(name, stream, layer=finest) for name in ("cat", "robot"))
        assert cat[:, 12:].max() == robot[:, :12].max() == 0
        assert cat[:, :12].min() > 0
        assert robot[:, 12:].min() > 0
    assert picture.maps.at("cat", "text").min() > 0
    assert np.abs(_pixels(picture) - _pixels(_picture(personalizer, REQUEST))).max() > 0
    assert [s["region"] for s in picture.settings["subjects"]] == [[0, 0, 0.5, 1], [0.5, 0, 1, 1]]


def test_a_mask_is_a_region_too(personalizer: Personalizer) -> None:
    mask = Image.new("RGB", (300, 200), "black")
    mask.paste("white", (0, 0, 150, 200))
    drawn = _picture(personalizer, _with_regions(mask, None))
    boxed = _picture(personalizer, _with_regions(Box(0, 0, 0.5, 1), None))
    assert np.abs(_pixels(drawn) - _pixels(boxed)).max() <= 1
    finest = next(layer for layer, size in drawn.maps.layers.items() if size == (16, 24))
    assert drawn.maps.at("robot", "image", layer=finest).min() > 0  # may be anywhere


def test_everywhere_is_nowhere_in_particular(personalizer: Personalizer) -> None:
    free = _picture(personalizer, REQUEST)
    everywhere = _picture(personalizer, _with_regions(Box(0, 0, 1, 1), None))
    assert np.abs(_pixels(free) - _pixels(everywhere)).max() <= 1


def test_binding_changes_the_picture_and_moves_the_maps(personalizer: Personalizer) -> None:
    free = _picture(personalizer, REQUEST)
    bound = _picture(personalizer, replace(REQUEST, word_gating=1.0))
    assert np.abs(_pixels(free) - _pixels(bound)).max() > 0
    assert bound.settings["binding"] == 1.0
    layer = next(iter(bound.maps.layers))
    inside = []
    for picture in (free, bound):
        text, image = (picture.maps.at("cat", stream, step=1, layer=layer) for stream in ("text", "image"))
        inside.append(image[text >= np.median(text)].sum() / image.sum())
    assert inside[1] > inside[0] + 0.1  # more of it where the word is seen


def test_binding_off_is_exactly_what_it_was(personalizer: Personalizer) -> None:
    free, off = (_picture(personalizer, request) for request in (REQUEST, replace(REQUEST, word_gating=0.0)))
    assert np.array_equal(_pixels(free), _pixels(off))


def test_interleaved_requests_do_not_share_regions(personalizer: Personalizer) -> None:
    boxed = _with_regions(Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1))
    alone = [_pixels(_picture(personalizer, request)) for request in (REQUEST, boxed)]
    pairs = list(zip(personalizer.generate(REQUEST), personalizer.generate(boxed), strict=True))
    assert all(np.array_equal(_pixels(step.finished), x) for step, x in zip(pairs[-1], alone, strict=True))


# ---------------------------------------------------------------- reading


def test_boxes_are_read_exactly() -> None:
    subjects = (Subject("cat", (), region=Box(0.125, 0, 0.5, 0.5)), Subject("robot", ()))
    regions = read_regions(subjects, (4, 2))
    assert regions.shape == (1, 2, 2, 4)
    assert torch.allclose(regions[0, 0], torch.tensor([[0.5, 1, 0, 0], [0, 0, 0, 0]]), atol=1e-6)
    assert (regions[0, 1] == 1).all()
    assert read_regions((Subject("cat", ()),), (4, 2)) is None


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Box(0.5, 0, 0.5, 1), 'box of "cat" must lie in the image'),
        (Box(0, 0, 1.5, 1), "all from 0 to 1, but is"),
        (Box(float("nan"), 0, 1, 1), "must lie in the image"),
        (Image.new("L", (8, 8)), 'region of "cat" is empty'),
    ],
)
def test_bad_regions_are_refused(personalizer: Personalizer, region: Box | Image.Image, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        personalizer.plan(_with_regions(region, None))


@pytest.mark.parametrize("binding", [-0.1, 1.1, float("nan")])
def test_bad_binding_is_refused(personalizer: Personalizer, binding: float) -> None:
    with pytest.raises(SettingsError, match="word gating must be from 0 to 1"):
        personalizer.plan(replace(REQUEST, word_gating=binding))


def test_the_box_around_a_region() -> None:
    mask = Image.new("L", (40, 20), 0)
    mask.paste(255, (10, 5, 30, 15))
    assert region_box(mask) == (0.25, 0.25, 0.75, 0.75)
    assert region_box(Box(0.0, 0.1, 0.5, 1.0)) == (0.0, 0.1, 0.5, 1.0)
    assert region_box(None) == (0.0, 0.0, 0.0, 0.0)
