"""A tiny model folder of the rendered world."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdiff_core.toyworld.scenes.vocabulary import save_vocabulary
from tests.helpers import tiny
from tests.helpers.small_referee import VOCABULARY


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.save_toybox(tmp_path_factory.mktemp("model"))
    save_vocabulary(VOCABULARY, folder)
    return folder
