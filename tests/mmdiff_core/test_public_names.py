"""``from mmdiff_core import Personalizer`` and the others."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import mmdiff_core
from tests.helpers.paths import ROOT


@pytest.mark.parametrize("name", mmdiff_core.__all__)
def test_a_public_name_is_that_of_its_module(name: str) -> None:
    value = getattr(mmdiff_core, name)
    assert value is getattr(import_module(value.__module__), name)
    assert name in dir(mmdiff_core)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mmdiff_core' has no attribute 'Personaliser'"):
        _ = mmdiff_core.Personaliser  # type: ignore[attr-defined]
    assert not hasattr(mmdiff_core, "torch")


def test_the_package_is_imported_without_torch() -> None:
    code = "import sys, mmdiff_core; assert 'Subject' in dir(mmdiff_core); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
