"""What is changed about a request, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from demo.compare.axes import Axis
from demo.compare.variants import (
    LEAVE_OUT,
    FormRequest,
    VariantLabel,
    model_components,
    omissions,
    variant_table,
)
from mmdiff_core.types import Components
from tests.helpers.stand_in import StandIn

PHOTO = Image.new("RGB", (8, 8))


def test_each_thing_is_left_out_alone(case: FormRequest) -> None:
    choices = omissions(case, LEAVE_OUT)
    assert [choice.label for choice in choices] == [
        VariantLabel("as_composed"),
        VariantLabel("without_vision_text"),
        VariantLabel("without_refiner"),
        VariantLabel("without_image_branch"),
        VariantLabel("without_null_token"),
        VariantLabel("without_subject", "cat"),
        VariantLabel("without_subject", "robot"),
        VariantLabel("without_photos"),
    ]
    changed = [choice.change(case) for choice in choices]
    assert changed[0] == case
    assert changed[2].request.components == Components(refiner=False)
    assert [subject.name for subject in changed[5].request.subjects] == ["robot"]
    assert changed[5].form.slots == (2,)  # its colour stays
    assert changed[5].request.prompt == case.request.prompt
    assert (changed[7].request.subjects, changed[7].form.subjects) == ((), ())
    assert {variant.request.seeds for variant in changed} == {(7,)}


def test_what_changes_nothing_is_not_made_twice(case: FormRequest) -> None:
    off = replace(case, request=replace(case.request, components=Components(refiner=False)))
    assert VariantLabel("without_refiner") not in [choice.label for choice in omissions(off, LEAVE_OUT)]
    lacking = omissions(case, LEAVE_OUT, Components(null_token=False))
    assert VariantLabel("without_null_token") not in [choice.label for choice in lacking]
    alone = omissions(case, ["each_subject"])[1].change(case)
    labels = [choice.label for choice in omissions(alone, LEAVE_OUT)]
    assert labels[-1] == VariantLabel("without_subject", "robot")  # which is all photos


def test_a_table_has_every_combination(case: FormRequest, axes: dict[str, Axis]) -> None:
    table = variant_table(
        case, axes["strength"].changes("0.5, 1", case), axes["seed"].changes("3-5", case), "strength", "seed"
    )
    assert [(variant.column, variant.row) for variant in table.variants] == [
        (0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2),
    ]  # fmt: skip
    requests = [variant.case.request for variant in table.variants]
    assert [request.seeds for request in requests] == [(3,), (3,), (4,), (4,), (5,), (5,)]
    assert [subject.scale for subject in requests[2].subjects] == [0.5, 0.5]
    assert table.variants[2].labels == (VariantLabel("strength", "0.5"), VariantLabel("seed", "4"))


def test_what_the_weights_have(case: FormRequest) -> None:
    assert model_components(StandIn()) == Components()  # type: ignore[arg-type]
