from __future__ import annotations

import pytest

from demo.form.browser_draft import read_draft, save_script

KEPT = {
    "model": "toybox",
    "prompt": "a cat",
    "count": 2,
    "name-1": "cat",
    "strength-1": 0.5,
    "photos-1": ["/tmp/x.png"],
    "name-2": None,
    "strength-2": None,
    "photos-2": [],
    "steps": 9,
    "width": None,
    "parts": ["vision_text", "image_branch"],
}


def test_what_a_browser_kept_becomes_a_record_like_a_picture_s() -> None:
    assert read_draft(KEPT, "toybox") == {
        "prompt": "a cat",
        "count": 2,
        "steps": 9,
        "parts": {"vision_text": True, "refiner": False, "image_branch": True, "null_token": False},
        "subjects": [
            {"name": "cat", "strength": 0.5, "photos": ["/tmp/x.png"]},
            {"name": "", "strength": 1.0, "photos": []},
        ],
    }


@pytest.mark.parametrize("kept", [None, [], "text", {}, {"count": 99}, {"count": "2"}])
def test_what_cannot_be_read_fills_nothing_in(kept: object) -> None:
    assert "subjects" not in read_draft(kept, "toybox")


def test_the_script_names_every_field() -> None:
    assert '["prompt", "photos-1"]' in save_script(["prompt", "photos-1"], "toybox")


def test_another_model_s_numbers_are_left_out() -> None:
    other = read_draft(KEPT, "sd15")
    assert "steps" not in other
    assert other["prompt"] == "a cat"
    assert "steps" not in read_draft({key: value for key, value in KEPT.items() if key != "model"}, "toybox")
