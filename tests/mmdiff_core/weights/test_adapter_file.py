"""An adapter's file: everything comes back, and nothing that does not fit gets in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmdiff_core.backbones.processors import install
from mmdiff_core.errors import CheckpointError
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.weights.adapter_file import load_adapter, read_metadata, save_adapter
from tests.helpers.parts import adapter_for, condition_for, latents, photo_features, run, tiny_unet


@pytest.fixture(scope="module")
def adapter() -> MMDiffAdapter:
    return adapter_for(tiny_unet())


@pytest.fixture
def file(adapter: MMDiffAdapter, tmp_path: Path) -> Path:
    path = tmp_path / "adapter.safetensors"
    save_adapter(adapter, path, {"recipe": "rehearsal"})
    return path


def test_a_round_trip_changes_no_output(adapter: MMDiffAdapter, file: Path) -> None:
    unet, loaded = tiny_unet(), load_adapter(file)
    install(unet)
    assert loaded.config == adapter.config
    with torch.no_grad():
        outputs = [run(unet, latents(), condition_for(a, unet, a.embed(photo_features()))) for a in (adapter, loaded)]
    assert torch.equal(*outputs)


def test_half_precision_files_load_in_full(adapter: MMDiffAdapter, tmp_path: Path) -> None:
    save_adapter(adapter, tmp_path / "half.safetensors", dtype=torch.float16)
    assert {x.dtype for x in load_file(tmp_path / "half.safetensors").values()} == {torch.float16}
    exact, loaded = adapter.state_dict(), load_adapter(tmp_path / "half.safetensors").state_dict()
    assert all(torch.equal(x, exact[name].half().float()) for name, x in loaded.items())


def test_metadata(file: Path, adapter: MMDiffAdapter) -> None:
    metadata = read_metadata(file)
    assert metadata["recipe"] == "rehearsal"
    assert json.loads(metadata["config"])["rank"] == adapter.config.rank


def test_a_failed_save_leaves_the_old_file(file: Path, adapter: MMDiffAdapter) -> None:
    before = file.read_bytes()
    with pytest.raises(TypeError):
        save_adapter(adapter, file, {"number": 3})  # safetensors takes strings only
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("token_projector.norm.bias"), "1 missing .token_projector.norm.bias."),
        (lambda t: t.update(stranger=torch.zeros(2)), "1 unknown .stranger."),
        (lambda t: t.update({"token_projector.norm.bias": torch.zeros(5)}), "1 of another shape"),
        (lambda t: t["token_projector.norm.bias"].fill_(float("nan")), "1 not finite"),
    ],
)
def test_tensors_that_do_not_fit(file: Path, spoil, message: str) -> None:
    tensors, metadata = load_file(file), read_metadata(file)
    spoil(tensors)
    save_file(tensors, file, metadata)
    with pytest.raises(CheckpointError, match=message):
        load_adapter(file)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no adapter file"), (b"hello", "cannot be read"), (b"", "cannot be read")]
)
def test_what_is_not_a_file_of_tensors(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "adapter.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_adapter(path)


def test_what_is_not_an_adapter(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="not an MM-Diff adapter"):
        load_adapter(tmp_path / "other.safetensors")


def test_a_configuration_of_another_version(file: Path) -> None:
    metadata = read_metadata(file)
    config = json.dumps(json.loads(metadata["config"]) | {"colour": 3})
    save_file(load_file(file), file, metadata | {"config": config})
    with pytest.raises(CheckpointError, match="unknown fields: colour"):
        load_adapter(file)
