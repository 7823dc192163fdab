"""The garbage collector during imports."""

from __future__ import annotations

import gc

import pytest

from demo.process.quick_imports import quick_imports


def test_it_rests_and_what_was_made_is_never_searched() -> None:
    frozen = gc.get_freeze_count()
    with quick_imports():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(made)


def test_it_works_again_after_an_import_that_fails() -> None:
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert gc.isenabled()
