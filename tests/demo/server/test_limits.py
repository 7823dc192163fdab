from __future__ import annotations

import argparse
from dataclasses import fields, replace

import pytest
from PIL import Image

from demo.server.limits import Limits, add_limit_flags, hosted_limits, is_hosted, lends_gpus, limits_from, local_limits
from mmdiff_core.errors import MMDiffError, SettingsError
from mmdiff_core.types import GenerateRequest, Size, Subject


def _flags(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_limit_flags(parser)
    return parser.parse_args(arguments)


def test_a_host_is_stricter_in_everything() -> None:
    assert all(getattr(hosted_limits(), each.name) < getattr(local_limits(), each.name) for each in fields(Limits))


def test_a_flag_goes_before_a_variable_and_that_before_the_default() -> None:
    environment = {"MMDIFF_UPLOAD_MB": "7", "MMDIFF_QUEUE": "3", "MMDIFF_STEPS": ""}
    limits = limits_from(_flags("--queue", "9"), False, environment)
    assert (limits.upload_mb, limits.queue, limits.steps) == (7, 9, local_limits().steps)
    assert limits_from(_flags(), True, {}) == hosted_limits()


def test_former_names_still_work() -> None:
    assert limits_from(_flags("--shelf-pictures", "3"), False, {}).history_pictures == 3
    assert limits_from(_flags(), False, {"MMDIFF_SHELF_MB": "5"}).history_mb == 5
    assert limits_from(_flags("--history-mb", "4"), False, {"MMDIFF_SHELF_MB": "5"}).history_mb == 4


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match=f'MMDIFF_QUEUE must be .* but is "{text}"'):
        limits_from(_flags(), False, {"MMDIFF_QUEUE": text})


def test_a_space_is_a_host_and_says_whether_it_lends_gpus() -> None:
    assert is_hosted({"SPACE_ID": "me/studio"})
    assert is_hosted({"MMDIFF_HOSTED": "1"})
    assert not is_hosted({"MMDIFF_HOSTED": "0"})
    assert lends_gpus({"SPACES_ZERO_GPU": "true"})
    assert not lends_gpus({})


def test_the_sizes_on_offer_end_at_the_limit() -> None:
    sizes = Size((1024, 1024), 512, 2048, 8)
    assert Limits(side=1000).within(sizes) == Size((1000, 1000), 512, 1000, 8)
    assert Limits(side=100).within(sizes) == Size((512, 512), 512, 512, 8)
    assert Limits(side=4096).within(sizes) == sizes
    shapes = replace(sizes, trained=((1024, 1024), (1216, 832)))
    assert Limits(side=1100).within(shapes).made_for == ((1024, 1024),)
    assert Limits(side=1216).within(shapes).made_for == shapes.trained


PHOTO = Image.new("RGB", (8, 8))
TOO_MUCH: dict[str, GenerateRequest] = {
    "11 characters": GenerateRequest("a" * 11),
    "12 characters": GenerateRequest("a", negative_prompt="a" * 12),
    "name of a subject": GenerateRequest("a", (Subject("b" * 11, (PHOTO,)),)),
    "3 photos": GenerateRequest("a cat", (Subject("cat", (PHOTO,) * 3),)),
    "3 pictures": GenerateRequest("a", seeds=(1, 2, 3)),
    "9 steps": GenerateRequest("a", steps=9),
    "600 pixels": GenerateRequest("a", width=600),
}


@pytest.mark.parametrize("says", TOO_MUCH)
def test_what_is_too_much_is_said_with_the_limit(says: str) -> None:
    limits = Limits(prompt_characters=10, photos=2, pictures=2, steps=8, side=512)
    with pytest.raises(MMDiffError, match=says):
        limits.check(TOO_MUCH[says])
    limits.check(GenerateRequest("a cat", (Subject("cat", (PHOTO,)),), steps=8, width=512))
