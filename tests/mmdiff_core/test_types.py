"""The request's records, and the old names that saved programs use."""

from __future__ import annotations

import pytest
from PIL import Image

from mmdiff_core import types
from mmdiff_core.results import Step
from mmdiff_core.types import Components, GenerateRequest, Recording, Subject


def test_old_keywords_are_taken_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"Subject\(strength=\.\.\.\).*write scale="):
        assert Subject("cat", (), strength=0.5) == Subject("cat", (), scale=0.5)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="components=|word_gating=|scheduler=") as warned:
        old = GenerateRequest("a cat", parts=Components(refiner=False), binding=0.5, sampler="ddim")  # type: ignore[call-arg]
    assert old == GenerateRequest("a cat", components=Components(refiner=False), word_gating=0.5, scheduler="ddim")
    assert len(warned) == 3
    assert all(warning.filename == __file__ for warning in warned)
    with pytest.warns(DeprecationWarning, match="kinds="):
        assert Recording(streams=("text",)) == Recording(kinds=("text",))  # type: ignore[call-arg]


def test_old_classes_are_the_new_ones() -> None:
    with pytest.warns(DeprecationWarning, match="write Components"):
        from mmdiff_core.types import Parts
    assert Parts is Components
    with pytest.raises(AttributeError, match="Unheard"):
        types.Unheard  # noqa: B018


def test_a_step_s_image_has_its_old_name() -> None:
    step = Step(0, 1, 1, 2, Image.new("RGB", (8, 8)), None)
    with pytest.warns(DeprecationWarning, match="Step.finished"):
        assert step.picture is None
