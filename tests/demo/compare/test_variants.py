"""What is changed about a request, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from demo.compare.axes import MAX_VALUES, Axis, comparison_axes
from demo.compare.variants import (
    LEAVE_OUT,
    FormRequest,
    VariantLabel,
    error_about,
    labels_text,
    model_components,
    omissions,
    variant_table,
)
from demo.form.form import Form, SubjectForm
from demo.web.i18n import english
from mmdiff_core.errors import SettingsError
from mmdiff_core.types import Components, GenerateRequest, Subject
from tests.helpers.stand_in import StandIn

PHOTO = Image.new("RGB", (8, 8))


@pytest.fixture
def case() -> FormRequest:
    """A cat in the first card and a robot in the third."""
    form = Form("a cat and a robot", (SubjectForm(0, "cat", ("c.png",)), SubjectForm(2, "robot", ("r.png",))))
    subjects = (Subject("cat", (PHOTO,)), Subject("robot", (PHOTO,), 0.8))
    return FormRequest(form, GenerateRequest(form.prompt, subjects, seeds=(7,), steps=20, start_step=4, guidance=3.0))


@pytest.fixture
def axes() -> dict[str, Axis]:
    return comparison_axes(StandIn())  # type: ignore[arg-type]


def test_binding_and_sampler_are_axes_as_well(axes: dict[str, Axis], case: FormRequest) -> None:
    bound, schedulers = axes["bound"].choices("0 .5", case), axes["sampler"].choices("own, UniPC", case)
    assert [choice.change(case).request.word_gating for choice in bound] == [0, 0.5]
    assert [choice.change(case).request.scheduler for choice in schedulers] == [None, "unipc"]
    assert [choice.label for choice in schedulers] == [VariantLabel("sampler_own"), VariantLabel("sampler", "unipc")]
    assert axes["sampler"].choices(axes["sampler"].suggestion, case)
    with pytest.raises(SettingsError, match="“euler” is no sampler here"):
        axes["sampler"].choices("euler", case)


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
        case, axes["strength"].choices("0.5, 1", case), axes["seed"].choices("3-5", case), "strength", "seed"
    )
    assert [(variant.column, variant.row) for variant in table.variants] == [
        (0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2),
    ]  # fmt: skip
    requests = [variant.case.request for variant in table.variants]
    assert [request.seeds for request in requests] == [(3,), (3,), (4,), (4,), (5,), (5,)]
    assert [subject.scale for subject in requests[2].subjects] == [0.5, 0.5]
    assert table.variants[2].labels == (VariantLabel("strength", "0.5"), VariantLabel("seed", "4"))


def test_the_delay_keeps_its_part_of_the_steps(case: FormRequest, axes: dict[str, Axis]) -> None:
    (ten,) = axes["steps"].choices("10", case)
    assert (ten.change(case).request.steps, ten.change(case).request.start_step) == (10, 2)
    table = variant_table(case, [ten], axes["delay"].choices("3", case))
    assert table.variants[0].case.request.start_step == 3  # as it was asked for


def test_one_subject_s_strength_beside_that_of_all(case: FormRequest, axes: dict[str, Axis]) -> None:
    rows, columns = axes["strength_3"].choices("1.5", case), axes["strength"].choices("0.5", case)
    for table in (variant_table(case, columns, rows), variant_table(case, rows, columns)):
        assert [subject.scale for subject in table.variants[0].case.request.subjects] == [0.5, 1.5]
    gone = variant_table(case, axes["subjects"].choices("", case), axes["strength_1"].choices("2", case))
    assert [len(variant.case.request.subjects) for variant in gone.variants] == [2, 1, 1]
    with pytest.raises(SettingsError, match="no subject 2"):
        variant_table(case, axes["strength_2"].choices("1", case))


@pytest.mark.parametrize(
    ("axis", "typed", "says"),
    [
        ("strength", "", "at least one value"),
        ("strength", "1 much", "“much” is not a number"),
        ("strength", "0 3.5", "from 0 to 3"),
        ("strength", "nan", "out of range"),
        ("steps", "2.5", "not a whole number"),
        ("width", "200", "multiple of 64"),
        ("seed", "1-99", f"1 to {MAX_VALUES} values"),
        ("seed", "5-3", f"1 to {MAX_VALUES} values"),
    ],
)
def test_bad_values_are_named(case: FormRequest, axes: dict[str, Axis], axis: str, typed: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        axes[axis].choices(typed, case)


def test_every_suggestion_can_be_used(case: FormRequest, axes: dict[str, Axis]) -> None:
    for axis in axes.values():
        assert axis.choices(axis.suggestion, case), axis.key
        assert axis.key in english()


def test_there_is_an_end_to_it(case: FormRequest, axes: dict[str, Axis]) -> None:
    seeds = axes["seed"].choices("1-12", case)
    with pytest.raises(SettingsError, match="144 pictures: ask for 143 at most"):
        variant_table(case, seeds, seeds, most=143)
    assert len(variant_table(case, seeds, seeds, most=144).variants) == 144


def test_a_fault_names_its_variant() -> None:
    labels = (VariantLabel("without_subject", "cat"), VariantLabel("strength", "0.5"))
    assert labels_text(labels, english()) == "Without the photos of cat · Strength 0.5"
    error = error_about(SettingsError("too much"), labels, english())
    assert isinstance(error, SettingsError)
    assert str(error) == "Without the photos of cat · Strength 0.5: too much"


def test_what_the_weights_have(case: FormRequest) -> None:
    assert model_components(StandIn()) == Components()  # type: ignore[arg-type]
