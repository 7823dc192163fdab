"""What the tests of Compare share: the tab around a stand-in, and filled fields."""

from __future__ import annotations

import pytest
from PIL import Image

from demo.compare.axes import Axis, comparison_axes
from demo.compare.run import ComparisonRunner
from demo.compare.variants import (
    FormRequest,
)
from demo.form.form import Form, SubjectForm
from mmdiff_core.types import GenerateRequest, Subject
from tests.helpers.compare_tab import comparison_runner, filled_fields
from tests.helpers.stand_in import StandIn, Values


@pytest.fixture
def runner() -> ComparisonRunner:
    return comparison_runner(StandIn())


@pytest.fixture
def values(runner: ComparisonRunner, photo: str) -> Values:
    return filled_fields(runner, photo)


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
