"""An adapter on the hub: uploaded to a stand-in that is a local cache, and opened from there by its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError

from mmdiff_core.errors import ModelError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.weights import adapter_card

NAME = "maker/adapter"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """A hub whose repositories are the snapshots of a local cache; returns the repositories that were made."""
    made: list[tuple[str, bool]] = []

    class LocalHub:
        def __init__(self, endpoint: str) -> None:
            self.root = tmp_path / "hub" / f"models--{NAME.replace('/', '--')}"

        def create_repo(self, name: str, private: bool, exist_ok: bool) -> None:
            made.append((name, private))
            (self.root / "refs").mkdir(parents=True, exist_ok=exist_ok)
            (self.root / "refs" / "main").write_text("0" * 40)

        def upload_folder(self, repo_id: str, folder_path: str, commit_message: str) -> str:
            assert repo_id == NAME
            return str(shutil.copytree(folder_path, self.root / "snapshots" / ("0" * 40), dirs_exist_ok=True))

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(adapter_card, "HfApi", LocalHub)
    return made


def test_what_was_uploaded_is_opened_by_its_name(hub: list[tuple[str, bool]], sd: Path) -> None:
    trained = Personalizer.load(sd, sd / "adapter.safetensors")
    folder = Path(str(trained.push_to_hub(NAME, "maker/base", license="apache-2.0", private=True)))
    assert hub == [(NAME, True)]
    again = Personalizer.load(sd, NAME).adapter
    assert again.config == trained.adapter.config
    assert all(torch.equal(x, trained.adapter.state_dict()[name]) for name, x in again.state_dict().items())
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "adapter.safetensors"]


def test_the_card_says_what_it_is_and_how_to_use_it(hub: list[tuple[str, bool]], sd: Path) -> None:
    trained = Personalizer.load(sd, sd / "adapter.safetensors")
    folder = Path(str(trained.push_to_hub(NAME, "maker/base", license="apache-2.0")))
    card = ModelCard.load(folder / "README.md")
    assert (card.data.base_model, card.data.license, card.data.pipeline_tag) == (
        "maker/base", "apache-2.0", "text-to-image",
    )  # fmt: skip
    assert f"python -m mmdiff_core models --download {NAME}" in card.text
    assert f"--base maker/base --adapter {NAME}" in card.text
    assert "| components | vision-augmented text, SE-Refiner, image branch, null token |" in card.text
    assert "| tokens per photo | 4 |" in card.text
    trained.push_to_hub(NAME)
    assert ModelCard.load(folder / "README.md").data.base_model == sd.name, "not its folder, which is private"


def test_what_cannot_be_shared_is_refused(
    hub: list[tuple[str, bool]], sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="loaded without an adapter: load one"):
        Personalizer.load(sd).push_to_hub(NAME)
    trained = Personalizer.load(sd, sd / "adapter.safetensors")
    with pytest.raises(ModelError, match=r'"a/b/c" cannot be uploaded: check the name, USER/REPO'):
        trained.push_to_hub("a/b/c")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("403 Forbidden")

    monkeypatch.setattr(adapter_card.HfApi, "create_repo", refuse)
    with pytest.raises(ModelError, match=r'hf auth login" with a token that may write. \(403 Forbidden\)$'):
        trained.push_to_hub(NAME)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set: unset it"):
        trained.push_to_hub(NAME)
    assert issubclass(HfHubHTTPError, OSError), "so that it is one of those that are named"
    assert hub == []
