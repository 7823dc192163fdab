"""Old names work for one version, and warn."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mmdiff_core.backbones.registry import load_backbone
from mmdiff_core.deprecation import renamed_arguments, renamed_keywords
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.weights.model_source import ModelSource


def test_a_function_takes_an_old_keyword_with_a_warning_that_says_the_new_one() -> None:
    @renamed_keywords("add", right="second")
    def add(first: int, second: int = 0) -> int:
        return first + second

    assert add(1, second=2) == 3
    with pytest.warns(DeprecationWarning, match=r"add\(right=\.\.\.\) is deprecated .* write second="):
        assert add(1, right=2) == 3


def test_a_class_takes_an_old_keyword() -> None:
    @renamed_arguments(old="new")
    @dataclass(frozen=True)
    class Record:
        new: int

    with pytest.warns(DeprecationWarning, match=r"Record\(old"):
        assert Record(old=3) == Record(new=3)


def test_saved_programs_may_say_memory() -> None:
    with pytest.warns(DeprecationWarning, match="offload="):
        assert ModelSource(memory="tiling").offload == "tiling"
    with pytest.warns(DeprecationWarning, match=r"Personalizer.load\(memory"):
        assert Personalizer.load("toybox", memory="none").backbone.name == "toybox"
    with pytest.warns(DeprecationWarning, match=r"load_backbone\(memory"):
        load_backbone(memory="none")
