"""Tiny models on disk, made once; a test that breaks one copies it first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers import tiny


@pytest.fixture(scope="session")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model("sd", tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model("sdxl", tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="session")
def toybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_toybox(tmp_path_factory.mktemp("toybox"))


@pytest.fixture
def copied(sd: Path, tmp_path: Path) -> Path:
    """A folder to break."""
    return Path(shutil.copytree(sd, tmp_path / "model"))


@pytest.fixture
def hub_cache(sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of "maker/model", the tiny model, in a hub cache laid out as the hub does: links to blobs."""
    root = tmp_path / "hub"
    repository = root / "models--maker--model"
    snapshot = repository / "snapshots" / ("0" * 40)
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "blobs").mkdir()
    for index, path in enumerate(sorted(path for path in sd.rglob("*") if path.is_file())):
        link = snapshot / path.relative_to(sd)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, repository / "blobs" / str(index))
        link.symlink_to(repository / "blobs" / str(index))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root))
    return snapshot
