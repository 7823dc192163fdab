"""The settings that a grid can run over, and the values that a person types."""

from __future__ import annotations

import pytest

from demo.compare.axes import MAX_VALUES, Axis
from demo.compare.variants import (
    FormRequest,
    VariantLabel,
    variant_table,
)
from demo.web.i18n import texts_of
from mmdiff_core.errors import SettingsError


def test_binding_and_sampler_are_axes_as_well(axes: dict[str, Axis], case: FormRequest) -> None:
    bound, schedulers = axes["bound"].changes("0 .5", case), axes["sampler"].changes("own, UniPC", case)
    assert [choice.change(case).request.word_gating for choice in bound] == [0, 0.5]
    assert [choice.change(case).request.scheduler for choice in schedulers] == [None, "unipc"]
    assert [choice.label for choice in schedulers] == [VariantLabel("sampler_own"), VariantLabel("sampler", "unipc")]
    assert axes["sampler"].changes(axes["sampler"].suggestion, case)
    with pytest.raises(SettingsError, match="“euler” is not a sampler here"):
        axes["sampler"].changes("euler", case)


def test_the_delay_keeps_its_part_of_the_steps(case: FormRequest, axes: dict[str, Axis]) -> None:
    (ten,) = axes["steps"].changes("10", case)
    assert (ten.change(case).request.steps, ten.change(case).request.start_step) == (10, 2)
    table = variant_table(case, [ten], axes["delay"].changes("3", case))
    assert table.variants[0].case.request.start_step == 3  # as it was asked for


def test_one_subject_s_strength_beside_that_of_all(case: FormRequest, axes: dict[str, Axis]) -> None:
    rows, columns = axes["strength_3"].changes("1.5", case), axes["strength"].changes("0.5", case)
    for table in (variant_table(case, columns, rows), variant_table(case, rows, columns)):
        assert [subject.scale for subject in table.variants[0].case.request.subjects] == [0.5, 1.5]
    gone = variant_table(case, axes["subjects"].changes("", case), axes["strength_1"].changes("2", case))
    assert [len(variant.case.request.subjects) for variant in gone.variants] == [2, 1, 1]
    with pytest.raises(SettingsError, match="no subject 2"):
        variant_table(case, axes["strength_2"].changes("1", case))


@pytest.mark.parametrize(
    ("axis", "typed", "says"),
    [
        ("strength", "", "at least one value"),
        ("strength", "1 much", "“much” is not a number"),
        ("strength", "0 3.5", "from 0 to 3"),
        ("strength", "nan", "out of range"),
        ("steps", "2.5", "not a whole number"),
        ("width", "200", "multiple of 64"),
        ("seed", "1-1000", f"“1-1000” is 1000 values: give at most {MAX_VALUES}"),
        ("strength", "1 2 3-4", "from 0 to 3"),
        ("guidance", "1–14", "“1–14” is 14 values"),
        ("seed", "1-7 11-17", f"14 values are too many: give at most {MAX_VALUES}"),
        ("seed", "5-3", "“5-3” runs backwards"),
        ("seed", "1-", "“1-” is half of a range"),
        ("seed", "a-b", "“a-b” is not a number"),
        ("strength", "0.1-0.9", "“0.1-0.9” has fractions"),
        ("seed", "-5", "out of range"),
        ("seed", "1..2-3", "“1..2” is not a number"),
    ],
)
def test_bad_values_are_named(case: FormRequest, axes: dict[str, Axis], axis: str, typed: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        axes[axis].changes(typed, case)


def test_a_range_takes_the_values_that_there_are(case: FormRequest, axes: dict[str, Axis]) -> None:
    assert [change.label.value for change in axes["guidance"].changes("1-3", case)] == ["1", "2", "3"]
    assert [change.label.value for change in axes["width"].changes("128-256", case)] == ["128", "192", "256"]


def test_every_suggestion_can_be_used(case: FormRequest, axes: dict[str, Axis]) -> None:
    for axis in axes.values():
        assert axis.changes(axis.suggestion, case), axis.key
        assert axis.key in texts_of("en")


def test_there_is_an_end_to_it(case: FormRequest, axes: dict[str, Axis]) -> None:
    seeds = axes["seed"].changes("1-12", case)
    with pytest.raises(SettingsError, match="144 pictures: ask for 143 at most"):
        variant_table(case, seeds, seeds, max_pictures=143)
    assert len(variant_table(case, seeds, seeds, max_pictures=144).variants) == 144
