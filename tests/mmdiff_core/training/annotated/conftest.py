"""An annotated folder and its shards, which no test changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.pack import pack
from tests.helpers import annotated


@pytest.fixture(scope="session")
def tom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every first segment is the same toy, with a face."""
    return annotated.folder_of_one_identity(tmp_path_factory.mktemp("data"), annotated.IN_SHARDS)


@pytest.fixture(scope="session")
def packed(tom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    pack(AnnotatedFolder(tom_folder), out, annotated.PER_SHARD)
    return out
