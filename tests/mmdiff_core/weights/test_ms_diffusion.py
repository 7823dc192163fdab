"""MS-Diffusion's checkpoint: every tensor has its place, and what does not fit is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from mmdiff_core.backbones.loading import layers_of
from mmdiff_core.cli.main import main
from mmdiff_core.errors import CheckpointError
from mmdiff_core.weights.adapter_file import load_adapter
from mmdiff_core.weights.any_adapter import open_adapter, read_foreign
from mmdiff_core.weights.ms_diffusion import ms_diffusion_names
from tests.helpers import tiny
from tests.helpers.ms_adapters import ms_adapter


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionXLPipeline:
    return tiny.stable_diffusion_xl()


@pytest.fixture
def tables(pipe: StableDiffusionXLPipeline) -> dict[str, Any]:
    return ms_adapter(pipe)


@pytest.fixture
def file(tables: dict[str, Any], tmp_path: Path) -> Path:
    torch.save(tables, tmp_path / "ms_adapter.bin")
    return tmp_path / "ms_adapter.bin"


def test_every_tensor_has_its_place(pipe: StableDiffusionXLPipeline, tables: dict[str, Any], file: Path) -> None:
    assert read_foreign(file).kind == "ms-diffusion"
    adapter = open_adapter(file, layers_of(pipe)).adapter
    names = ms_diffusion_names(adapter)
    expected = {f"{table}/{name}" for table in ("image_proj", "ms_adapter") for name in tables[table]}
    assert sorted(names.values()) == sorted(expected)
    for ours, theirs in names.items():
        table, name = theirs.split("/")
        assert torch.equal(adapter.state_dict()[ours], tables[table][name]), ours
    config = adapter.config
    assert (config.unconditional, config.null_token, config.photo_fit) == ("none", False, "crop")
    assert config.phrase_width == 32


def test_convert_writes_one_file_of_ours(
    pipe: StableDiffusionXLPipeline, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe.save_pretrained(tmp_path / "base")
    flags = ["--out", str(tmp_path / "ours.safetensors"), "--base", str(tmp_path / "base")]
    assert main(["convert", str(file), *flags]) == 0
    assert "tensors converted" in capsys.readouterr().out
    own = open_adapter(file, layers_of(pipe)).adapter
    converted = load_adapter(tmp_path / "ours.safetensors")
    assert converted.config == own.config
    assert all(torch.equal(x, own.state_dict()[name]) for name, x in converted.state_dict().items())


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda t: t["image_proj"].pop("grounding_latents"), "There is no tensor .*grounding_latents"),
        (lambda t: t["image_proj"].pop("norm_out.bias"), "1 missing"),
        (lambda t: t["ms_adapter"].update({"99.to_k_ip.weight": torch.zeros(2, 80)}), "1 unknown"),
        (lambda t: t.update(optimizer={}), "something that it should not: optimizer"),
    ],
)
def test_what_does_not_fit_is_told(
    pipe: StableDiffusionXLPipeline, tables: dict[str, Any], tmp_path: Path, spoil, told: str
) -> None:
    spoil(tables)
    torch.save(tables, tmp_path / "ms_adapter.bin")
    with pytest.raises(CheckpointError, match=told):
        open_adapter(tmp_path / "ms_adapter.bin", layers_of(pipe))
