from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "whiskers.png"
    Image.new("RGB", (64, 48), "orange").save(path)
    return str(path)
