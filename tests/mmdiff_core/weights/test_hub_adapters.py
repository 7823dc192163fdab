"""Adapters by their names on the hub: in a cache that the tests make, and downloads from a stand-in of the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmdiff_core.cli.main import main
from mmdiff_core.errors import CheckpointError, ModelError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest, Subject
from mmdiff_core.weights import hub_adapters
from mmdiff_core.weights.adapter_file import save_adapter
from mmdiff_core.weights.hub import VIT_BIGG, VIT_H, find_folder
from mmdiff_core.weights.hub_adapters import find_adapter, image_encoder_for, is_adapter_name, split_hub_name
from tests.helpers import tiny
from tests.helpers.ip_adapters import ip_adapter, save_ip_adapter

COMMIT = "0" * 40
PLUS = "models/ip-adapter-plus_sd15.safetensors"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def _snapshot(cache: Path, repo: str) -> Path:
    """Make the folder of a repository's only snapshot."""
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    snapshot = root / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


def _ip_adapters(cache: Path) -> Path:
    """Put IP-Adapter-Plus and its image encoder into the cache, for the tiny Stable Diffusion."""
    snapshot, pipe = _snapshot(cache, "h94/IP-Adapter"), tiny.stable_diffusion()
    save_ip_adapter(ip_adapter("plus", pipe), snapshot / PLUS)
    pipe.image_encoder.save_pretrained(snapshot / "models" / "image_encoder")
    return snapshot


# ---------------------------------------------------------------- names


def test_a_name_is_a_repository_and_perhaps_a_file() -> None:
    assert split_hub_name("user/repo") == ("user/repo", "")
    assert split_hub_name("user/repo/folder/file.bin") == ("user/repo", "folder/file.bin")
    for name in ("repo", "/user/repo", "./user/repo", "a b/c"):
        with pytest.raises(ModelError, match="is no name on the hub, such as USER/REPO"):
            split_hub_name(name)


@pytest.mark.parametrize(
    ("file", "encoder"),
    [
        ("h94/IP-Adapter/models/ip-adapter_sd15.safetensors", VIT_H),
        ("h94/IP-Adapter/models/ip-adapter_sd15_vit-G.safetensors", VIT_BIGG),
        ("h94/IP-Adapter/sdxl_models/ip-adapter_sdxl.safetensors", VIT_BIGG),
        ("h94/IP-Adapter/sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors", VIT_H),
        ("h94/IP-Adapter-FaceID/ip-adapter-faceid_sd15.bin", None),
        ("h94/IP-Adapter-FaceID/ip-adapter-faceid-plusv2_sd15.bin", VIT_H),
        ("somebody/else/adapter.safetensors", None),
    ],
)
def test_every_released_adapter_has_its_image_encoder(file: str, encoder: str | None) -> None:
    assert image_encoder_for(file) == encoder
    assert is_adapter_name(file)


# ---------------------------------------------------------------- the cache


def test_paths_stay_paths(tmp_path: Path, cache: Path) -> None:
    assert find_adapter(tmp_path) == tmp_path
    for path in ("nothing.safetensors", "weights/adapter.safetensors", "./a/b/c.bin", "/a/b"):
        assert find_adapter(path) == Path(path)


def test_a_file_of_a_repository_is_found_with_its_image_encoder(cache: Path, tmp_path: Path) -> None:
    snapshot = _ip_adapters(cache)
    name = f"h94/IP-Adapter/{PLUS}"
    assert find_adapter(name) == snapshot / PLUS
    assert find_folder(VIT_H, "config.json") == snapshot / "models" / "image_encoder"
    pipe = tiny.stable_diffusion()
    pipe.image_encoder = None
    pipe.save_pretrained(tmp_path / "base")
    personalizer = Personalizer.load(tmp_path / "base", name)
    assert personalizer.backbone.image_encoder.fit == "crop"
    *_, last = personalizer.generate(GenerateRequest("a cat", (Subject("cat", (tiny.photo(1),)),), steps=1))
    assert last.result


def test_the_command_line_takes_the_name(cache: Path, tmp_path: Path, sd: Path) -> None:
    _ip_adapters(cache)
    tiny.photo(1).save(tmp_path / "cat.png")
    flags = ["--base", str(sd), "--adapter", f"h94/IP-Adapter/{PLUS}", "--device", "cpu", "--steps", "1"]
    subject = ["--prompt", "a cat", "--subject", f"cat={tmp_path / 'cat.png'}", "--out", str(tmp_path / "out")]
    assert main(["generate", *flags, *subject]) == 0
    assert (tmp_path / "out" / "1_seed0.png").is_file()
    out = tmp_path / "one.safetensors"
    assert main(["convert", f"h94/IP-Adapter/{PLUS}", "--out", str(out), "--base", str(sd)]) == 0
    assert out.is_file()


def test_a_repository_of_one_adapter_needs_no_file(cache: Path, sd: Path) -> None:
    snapshot = _snapshot(cache, "maker/adapter")
    save_adapter(tiny.adapter_for(tiny.stable_diffusion()), snapshot / "adapter.safetensors")
    (snapshot / "README.md").write_text("a card")
    assert find_adapter("maker/adapter") == snapshot / "adapter.safetensors"
    assert Personalizer.load(sd, "maker/adapter").adapter is not None
    shutil.move(snapshot / "adapter.safetensors", snapshot / "other.bin")
    assert find_adapter("maker/adapter") == snapshot / "other.bin"
    (snapshot / "third.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"several adapters: name one of them, maker/adapter/other.bin, maker/"):
        find_adapter("maker/adapter")


def test_what_is_not_in_the_cache_says_how_to_get_it(
    cache: Path, tmp_path: Path, sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    name = f"h94/IP-Adapter/{PLUS}"
    with pytest.raises(CheckpointError, match=rf'is not here.*models --download {name}"[.]$'):
        Personalizer.load(sd, name)
    with pytest.raises(CheckpointError, match=r'models --download maker/adapter"'):
        find_adapter("maker/adapter")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="on a machine that may use the network"):
        find_adapter(name)


# ---------------------------------------------------------------- downloads


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub that holds the released files; returns what was told and fetched, in this order."""
    sizes = {
        "h94/IP-Adapter": {
            PLUS: 98_183_288, "models/image_encoder/config.json": 560,
            "models/image_encoder/model.safetensors": 2_528_373_448, "sdxl_models/ip-adapter_sdxl.safetensors": 1,
        },
        "h94/IP-Adapter-FaceID": {"ip-adapter-faceid_sd15.bin": 96_740_574},
        "maker/adapter": {"adapter.safetensors": 3_100_000, "README.md": 10},
        "maker/model": {"model_index.json": 10, "adapter.safetensors": 3_100_000},
    }  # fmt: skip
    happened: list[str] = []

    def fetch(repo: str, file: str) -> str:
        happened.append(f"{repo}/{file}")
        return f"cache/{file}"

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_adapters, "repository_files", lambda repo: sizes[repo])
    monkeypatch.setattr(hub_adapters, "hf_hub_download", fetch)
    return happened


def test_the_size_is_told_first(hub: list[str]) -> None:
    path = hub_adapters.download_adapter(f"h94/IP-Adapter/{PLUS}", hub.append)
    assert path == Path("cache") / PLUS
    assert hub[0] == "ip-adapter-plus_sd15.safetensors (about 98 MB) and its image encoder (about 2.5 GB)"
    encoder = "h94/IP-Adapter/models/image_encoder"
    assert hub[1:] == [f"h94/IP-Adapter/{PLUS}", f"{encoder}/config.json", f"{encoder}/model.safetensors"]


def test_an_adapter_without_an_image_encoder_is_one_file(hub: list[str]) -> None:
    hub_adapters.download_adapter("h94/IP-Adapter-FaceID/ip-adapter-faceid_sd15.bin", hub.append)
    hub_adapters.download_adapter("maker/adapter", hub.append)
    assert hub == [
        "ip-adapter-faceid_sd15.bin (about 97 MB)",
        "h94/IP-Adapter-FaceID/ip-adapter-faceid_sd15.bin",
        "adapter.safetensors (about 3 MB)",
        "maker/adapter/adapter.safetensors",
    ]


def test_a_name_that_does_not_lead_to_a_file_downloads_nothing(hub: list[str]) -> None:
    with pytest.raises(ModelError, match=r'has no file "models/nothing.bin": look the name up'):
        hub_adapters.download_adapter("h94/IP-Adapter/models/nothing.bin", hub.append)
    with pytest.raises(CheckpointError, match="holds several adapters: name one of them"):
        hub_adapters.download_adapter("h94/IP-Adapter", hub.append)
    assert hub == []


def test_a_model_with_an_adapter_is_a_model(hub: list[str]) -> None:
    assert hub_adapters.is_adapter_repository("maker/adapter")
    assert not hub_adapters.is_adapter_repository("maker/model")


def test_offline_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set: unset it"):
        hub_adapters.download_adapter("maker/adapter/adapter.safetensors", print)
