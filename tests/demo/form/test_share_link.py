from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from PIL import Image, ImageOps

from demo.form.examples import HELD_OUT, render_toy
from demo.form.share_link import MAX_LENGTH, link_query, read_link, toy_of, toy_photos
from demo.web.cached_files import photo_path

TOY = HELD_OUT + 5
RECORD: dict[str, Any] = {
    "prompt": "a cat & a “Ding~Dong” + 100 % <b>猫</b>",
    "negative_prompt": "blurry",
    "seed": 2**63 - 1,
    "steps": 12,
    "guidance": 2.5,
    "start_step": 0,
    "width": 96,
    "height": 96,
    "parts": {"vision_text": True, "refiner": False, "image_branch": True, "null_token": True},
    "sampler": None,
    "binding": 0.5,
    "clip_skip": 0,
    "guidance_rescale": 0,
    "balance_photos": True,
}


@pytest.fixture
def toy() -> list[str]:
    return [photo_path(photo) for photo in render_toy("cat", TOY).photos]


def _opened(query: str) -> dict[str, Any]:
    link = read_link(query)
    assert link is not None
    return dict(link.record)


def test_a_link_holds_everything_but_photos(toy: list[str], tmp_path: Path) -> None:
    own = tmp_path / "own.png"
    Image.new("RGB", (64, 64)).save(own)
    subjects = [
        {"name": "cat", "strength": 1.5, "photos": toy},
        {"name": "Ding~Dong", "strength": 1.0, "photos": [str(own)]},
    ]
    query, lacking = link_query({**RECORD, "subjects": subjects}, "Toybox")
    assert lacking == ["Ding~Dong"]
    assert str(tmp_path) not in query
    link = read_link(query)
    assert link is not None
    record = dict(link.record)
    assert {name: record[name] for name in RECORD} == RECORD
    assert record["subjects"][0] == {"name": "cat", "strength": 1.5, "photos": toy}  # the same files: the same pixels
    assert record["subjects"][1] == {"name": "Ding~Dong", "strength": 1.0, "photos": []}
    assert link.without_photos == ("Ding~Dong",)
    assert link.messages((), "Toybox")[1:] == ["Photos are not in a link; add those of “Ding~Dong”."]
    assert "another model, “Toybox”; here “SDXL”" in link.messages((), "SDXL")[-1]


def test_a_toy_is_known_by_its_photos_however_they_lie(toy: list[str], tmp_path: Path) -> None:
    assert toy_of(toy) == f"cat-{TOY}"
    assert toy_of(toy[::-1][:2]) == f"cat-{TOY}-21"
    assert toy_photos(f"cat-{TOY}-21") == toy[::-1][:2]
    other = photo_path(render_toy("cat", TOY + 1).photos[0])
    redrawn = tmp_path / "redrawn.png"
    with Image.open(toy[0]) as photo:
        ImageOps.invert(photo.convert("RGB")).save(redrawn)
    for photos in ([], [*toy, other], [*toy, str(redrawn)], [str(tmp_path / "gone.png")]):
        assert toy_of(photos) == ""


def test_a_page_without_a_link_is_left_alone() -> None:
    assert read_link("") is read_link("?__theme=dark") is read_link(None) is read_link({"prompt": "x"}) is None


@pytest.mark.parametrize(
    "query",
    ["?prompt=", f"?prompt={'x' * MAX_LENGTH}", "?prompt=x&" + "a=1&" * 100, "?myprompt=1"],
)
def test_a_damaged_link_is_said_to_be_one(query: str) -> None:
    link = read_link(query)
    assert link is not None
    assert link.record == {}
    assert link.messages((), "Toybox") == ["The link is damaged or too long: ask for it again."]


def test_values_of_all_kinds_are_read_without_harm() -> None:
    """They stay as they are, shortened, for the fields to refuse."""
    hostile = {"seed": "1e999", "steps": "nan", "guidance": "9" * 400, "width": "-1", "clip_skip": "../../etc"}
    others = {"prompt": "x\0y", "sampler": "<script>" * 50, "without": "all,refiner"}
    record = _opened("?" + urlencode({**hostile, **others}))
    assert record["prompt"] == "xy"  # no box in the field
    assert [record[name] for name in hostile] == ["1e999", "nan", "9" * 40, -1, "../../etc"]
    assert len(record["sampler"]) == 40
    assert [part for part, on in record["parts"].items() if not on] == ["refiner"]
    assert record["subjects"] == [{"name": "", "strength": 1.0, "photos": []}]


@pytest.mark.parametrize(
    ("subject", "read"),
    [
        ("cat", ("cat", 1)),
        ("cat~~", ("cat", 1)),
        ("cat~2~unicorn-1-999", ("cat", 2)),
        ("cat~2~/etc/passwd", ("cat", 2)),
        (f"cat~x~cat-{10**30}", ("cat", "x")),
        ("n" * 999 + "~1~", ("n" * 200, 1)),
    ],
)
def test_a_subject_without_a_toy_has_no_photos(subject: str, read: tuple[str, object]) -> None:
    given = _opened(f"?prompt=a+cat&subject={quote(subject)}")["subjects"][0]
    assert (given["name"], given["strength"]) == read
    assert given["photos"] == []


def test_what_means_nothing_is_named_unless_other_sites_added_it() -> None:
    query = "?prompt=a+cat&strength=NaN&without=refiner,magic&__theme=dark&utm_source=x&fbclid=y"
    link = read_link(query)
    assert link is not None
    assert "Not taken over: seed NaN, strength NaN, without magic." in link.messages(["seed NaN"], "Toybox")
    assert read_link("?prompt=a+cat&without=refiner").unknown == ()  # type: ignore[union-attr]
