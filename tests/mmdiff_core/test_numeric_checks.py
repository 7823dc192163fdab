"""Every fault is named in one sentence, and the next request finds all as it was."""

from __future__ import annotations

import gc
import shutil
import socket
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors import safe_open
from safetensors.torch import save_file

from demo.server import launch
from mmdiff_core.backbones.base import Backbone
from mmdiff_core.backbones.toybox import load_toybox
from mmdiff_core.errors import CheckpointError, GenerationError, MMDiffError, ModelError, WritingError
from mmdiff_core.numeric_checks import named_memory_errors
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from mmdiff_core.weights import hub
from tests.helpers import tiny

REQUEST = GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), steps=4, width=32, height=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_toybox(tmp_path_factory.mktemp("toybox"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Personalizer:
    return Personalizer(*load_toybox(folder))


@pytest.fixture(scope="module")
def good(model: Personalizer) -> bytes:
    return picture_of(model)


def picture_of(model: Personalizer) -> bytes:
    *_, last = model.generate(REQUEST)
    assert last.finished is not None
    return last.finished.image.tobytes()


def fail_at(monkeypatch: pytest.MonkeyPatch, model: Personalizer, step: int, fault: Any) -> None:
    """The UNet's forward number ``step`` (from 1) goes wrong; all others are as they are."""
    kind, calls = type(model.backbone), [0]
    right = kind.predict_noise

    def predict(backbone: Backbone, *given: Any) -> torch.Tensor:
        calls[0] += 1
        return fault(right(backbone, *given)) if calls[0] == step else right(backbone, *given)

    monkeypatch.setattr(kind, "predict_noise", predict)


# ---------------------------------------------------------------- in the middle of a picture


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: 12 bytes"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_is_named_and_the_next_picture_is_right(
    error: Exception, model: Personalizer, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(_: torch.Tensor) -> torch.Tensor:
        raise error

    fail_at(monkeypatch, model, 3, run_out)
    steps = model.generate(REQUEST)
    assert [next(steps).step, next(steps).step] == [1, 2]
    with pytest.raises(GenerationError, match=r"not enough memory .* use a smaller size"):
        next(steps)
    assert picture_of(model) == good


def test_the_failed_attempt_s_tensors_are_given_back() -> None:
    def attempt() -> None:
        large = torch.zeros(10)
        held.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory")

    held: list[weakref.ref[torch.Tensor]] = []
    caught: list[MMDiffError] = []
    try:
        with named_memory_errors():
            attempt()
    except GenerationError as error:
        caught.append(error)  # somebody keeps the error, as a log does
    gc.collect()
    assert caught
    assert held[0]() is None


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), named_memory_errors():
        raise RuntimeError("shapes do not match")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_run_away_are_named_by_their_step(
    number: float, model: Personalizer, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(prediction: torch.Tensor) -> torch.Tensor:
        prediction[0, 0, 0, 0] = number
        return prediction

    fail_at(monkeypatch, model, 2, spoil)
    with pytest.raises(GenerationError, match=r"at step 2: another seed, a lower guidance"):
        list(model.generate(REQUEST))
    assert picture_of(model) == good


def test_weights_that_are_to_blame_are_named(folder: Path) -> None:
    model = Personalizer(*load_toybox(folder))
    with torch.no_grad():
        model.backbone.unet.conv_out.bias[0] = float("nan")
    with pytest.raises(GenerationError, match=r"weights of the UNet are not numbers \(conv_out.bias\)"):
        list(model.generate(REQUEST))


def test_a_decoder_that_overflows_is_named(folder: Path) -> None:
    model = Personalizer(*load_toybox(folder))
    with torch.no_grad():
        model.backbone.vae.decoder.conv_out.bias[0] = float("inf")
    with pytest.raises(GenerationError, match="--dtype float32"):
        list(model.generate(REQUEST))


# ---------------------------------------------------------------- a damaged model


def spoil(file: Path, how: str) -> None:
    """Damage a file of weights."""
    if how == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
        return
    with safe_open(file, framework="pt") as read:
        metadata, tensors = read.metadata(), {name: read.get_tensor(name) for name in read.keys()}  # noqa: SIM118
    name = max(tensors, key=lambda each: tensors[each].numel())
    if how == "nan":
        tensors[name].view(-1)[0] = float("nan")
    elif how == "shape":
        tensors[name] = torch.cat([tensors[name]] * 2)
    else:
        del tensors[name]
    save_file(tensors, file, metadata)


FILES = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
    "image_encoder": "image_encoder/model.safetensors",
    "adapter": "adapter.safetensors",
}


@pytest.mark.parametrize("how", ["truncated", "nan", "shape", "missing"])
@pytest.mark.parametrize("part", FILES)
def test_a_damaged_file_is_named_when_the_model_is_opened(part: str, how: str, folder: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(folder, tmp_path / "model"))
    spoil(damaged / FILES[part], how)
    with pytest.raises((ModelError, CheckpointError)) as caught:
        load_toybox(damaged)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "\n" not in message


def test_the_app_goes_on_with_the_built_in_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mmdiff_core.backbones import registry

    monkeypatch.setattr(registry, "load_toybox", lambda *_, **__: load_toybox(folder))
    base = tiny.save_model("sd", tmp_path / "base")
    adapter = tmp_path / "adapter.safetensors"
    shutil.copy(base / "adapter.safetensors", adapter)
    spoil(adapter, "nan")
    flags = launch.parse_flags(["--base", str(base), "--adapter", str(adapter), "--device", "cpu"])
    assert launch.load_model(flags).backbone.name == "toybox"
    assert "not finite" in caplog.text
    assert "The built-in model is used instead" in caplog.text


# ---------------------------------------------------------------- the disk


def test_a_full_disk_is_named_and_the_old_picture_stays(
    model: Personalizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from mmdiff_core.output.export import write_image

    *_, last = model.generate(REQUEST)
    assert last.finished is not None
    before = {path: path.read_bytes() for path in write_image(last.finished, tmp_path, "cat")}

    def full(image: Image.Image, path: Path, *_: object, **__: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(WritingError, match="the disk is full: make room"):
        write_image(last.finished, tmp_path, "cat")
    assert {path: path.read_bytes() for path in sorted(tmp_path.iterdir())} == dict(sorted(before.items()))


# ---------------------------------------------------------------- a hub that hangs


@pytest.fixture
def hanging_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Takes every connection and never says a word."""
    lines: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    lines.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for line in lines:
            line.close()


def test_a_hub_that_hangs_is_given_up(hanging_hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hanging_hub)
    monkeypatch.setattr(hub, "TIMEOUT_S", 1)
    with pytest.raises(ModelError, match="does not answer"):
        hub.download_model("somebody/model")


def test_nothing_of_a_picture_reaches_the_hub(model: Personalizer, good: bytes) -> None:
    """Opening and drawing need no network at all: names that are not here end at once."""
    with pytest.raises(ModelError, match="models --download"):
        Personalizer.load("somebody/model")
