"""``models`` lists and downloads, ``convert`` accounts for every tensor of the official release."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmdiff_core.backbones.registry import AvailableModel
from mmdiff_core.cli.main import main
from mmdiff_core.cli.models import account, describe_model
from tests.helpers import single_files


def test_models_are_listed(sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(sd.parent)]) == 0
    told = capsys.readouterr().out
    assert "use it with --model toybox" in told
    assert f"use it with --base {sd}" in told
    assert "python -m mmdiff_core models --download stable-diffusion-v1-5/stable-diffusion-v1-5" in told
    assert main(["models", str(tmp_path / "nothing")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_files_and_cached_adapters_are_listed(
    hub_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released = "models--h94--IP-Adapter"
    snapshot = hub_cache.parents[2] / released / "snapshots" / ("1" * 40)
    (snapshot / "models" / "image_encoder").mkdir(parents=True)
    for name in ("models/ip-adapter_sd15.safetensors", "models/image_encoder/model.safetensors"):
        save_file({"image_proj.proj.weight": torch.zeros(1)}, snapshot / name)
    file = single_files.write_file(single_files.sdxl(), tmp_path / "own" / "dream.safetensors")
    save_file({"lora_unet": torch.zeros(1)}, tmp_path / "own" / "style.safetensors")
    assert main(["models", str(file.parent)]) == 0
    told = capsys.readouterr().out
    assert f"{file}\n    Stable Diffusion XL, one file (folder, " in told
    assert f"use it with --base {file}" in told
    assert "maker/model\n    MM-Diff's weights (hub cache, " in told
    assert "use it with --adapter maker/model" in told
    assert "use it with --adapter h94/IP-Adapter/models/ip-adapter_sd15.safetensors" in told
    assert "style.safetensors" not in told
    assert "image_encoder/model.safetensors" not in told


def test_nothing_is_downloaded_when_offline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["models", "--download", "somebody/something"]) == 2
    assert "HF_HUB_OFFLINE is set: unset it" in capsys.readouterr().err


def test_a_download_prints_its_folder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("mmdiff_core.weights.hub.download_model", lambda name: Path("cache") / name)
    monkeypatch.setattr("mmdiff_core.weights.insightface_models.download_faces", lambda: Path("faces"))
    monkeypatch.setattr("mmdiff_core.weights.hub_adapters.is_adapter_repository", lambda name: name == "maker/adapter")
    monkeypatch.setattr(
        "mmdiff_core.weights.hub_adapters.download_adapter", lambda name, tell: (tell("a file (3 MB)"), Path(name))[1]
    )
    assert main(["models", "--download", "maker/model"]) == 0
    assert main(["models", "--download", "insightface/buffalo_l"]) == 0
    assert capsys.readouterr().out == "cache/maker/model\nfaces\n"
    assert main(["models", "--download", "maker/adapter"]) == 0
    assert main(["models", "--download", "h94/IP-Adapter/models/ip-adapter_sd15.safetensors"]) == 0
    told = capsys.readouterr()
    assert told.out == "maker/adapter\nh94/IP-Adapter/models/ip-adapter_sd15.safetensors\n"
    assert told.err == "Fetching a file (3 MB).\n" * 2


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (AvailableModel("m", "Title", "folder", True, True, 2 * 10**9), "use it with --model m"),
        (AvailableModel("m", "Title", "hub cache", True, False, 10**9), "use it with --base m"),
        (AvailableModel("m", "Title", "folder", True, False, 5, helper=True), "used by default with --adapter"),
        (
            AvailableModel("m", "Title", "hub", False, False, how_to_get="get m"),
            "on this machine; to get it: get m",
        ),
        (AvailableModel("m", "Title", "folder", False, False, 5, "cut off", "copy it"), "cut off; to get it: copy it"),
    ],
)
def test_a_model_is_described_by_what_to_do_with_it(model: AvailableModel, line: str) -> None:
    title, use = describe_model(model).splitlines()[1:]
    assert title.startswith("    Title (")
    assert use.endswith(line)


def test_an_official_file_is_one_that_exists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "is a folder: give --out the name of a file" in capsys.readouterr().err
    assert main(["convert", str(tmp_path), "--out", str(tmp_path / "adapter.safetensors")]) == 2
    assert "unet_adapter_weights.bin" in capsys.readouterr().err


def test_every_tensor_is_counted_with_its_part() -> None:
    shapes = {"unet_adapter/0.up": (2, 3), "unet_adapter/0.down": (3, 2), "custom/mm_fuse_one/fc1.weight": (5,)}
    shapes["text_encoder_adapter/text_encoder_2.layers.up"] = (4,)
    assert account({name: torch.zeros(shape) for name, shape in shapes.items()}).splitlines() == [
        "custom/mm_fuse_one: 1 tensors, 5 numbers",
        "text_encoder_adapter/text_encoder_2: 1 tensors, 4 numbers",
        "unet_adapter: 2 tensors, 12 numbers",
        "all 4 tensors converted",
    ]
