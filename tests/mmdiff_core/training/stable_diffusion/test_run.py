"""Whole runs on a rendered annotated folder: a killed one ends as an unbroken one, two processes as one."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

from mmdiff_core.backbones import placement
from mmdiff_core.cli.main import build_parser, main
from mmdiff_core.cli.train_sd import options_from
from mmdiff_core.errors import SettingsError, TrainingError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.pack import pack
from mmdiff_core.training.optimizer import make_optimizer
from mmdiff_core.training.stable_diffusion import sample_sheet
from mmdiff_core.training.stable_diffusion.recipes import SdRecipe
from mmdiff_core.training.stable_diffusion.run import SdOptions, train_sd
from mmdiff_core.training.tensorboard import TensorBoardWriter
from mmdiff_core.types import Face, GenerateRequest, Subject
from mmdiff_core.weights.adapter_file import read_metadata
from tests.helpers import annotated, tiny
from tests.helpers.paths import ROOT

STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def quick_sheets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_sheet, "STEPS", 2)
        patch.setattr(sample_sheet, "EXAMPLES", 2)
        yield


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sd")
    return {"data": annotated.folder(root / "data"), "base": annotated.base(root / "sd"), "root": root}


def options(places: dict[str, Path], out: Path, **changes: object) -> SdOptions:
    return replace(SdOptions(out, str(places["base"]), str(places["data"]), tensorboard=False), **changes)


@pytest.fixture(scope="module")
def unbroken(places: dict[str, Path]) -> Path:
    """A run of one process with everything on."""
    out = places["root"] / "unbroken"
    recipe = annotated.recipe(steps=STEPS, batch=4, sheet_every=STEPS, validate_every=2)
    assert train_sd(recipe, options(places, out, tensorboard=True)) is not None
    return out


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(folder: Path) -> dict[int, float]:
    return {int(line["step"]): line["loss"] for line in log(folder) if "loss" in line}


def differences(one: Path, other: Path) -> float:
    first, second = (load_file(folder / "adapter.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def test_a_run_leaves_its_traces(unbroken: Path) -> None:
    lines = log(unbroken)
    assert sorted(losses(unbroken)) == [1, 2, 3]
    assert {"denoise", "text_map", "image_map"} <= lines[0].keys()
    assert [line["step"] for line in lines if "validation" in line] == [2]
    assert json.loads((unbroken / "recipe.json").read_text())["training"]["batch"] == 4
    assert json.loads((unbroken / "result.json").read_text())["parameters"] > 0
    sheet = Image.open(unbroken / "sheets" / f"{STEPS:07d}.png")
    assert sheet.height > 4 * 32  # photos, picture, made, two rows of maps
    assert sheet.convert("L").getextrema()[0] < 200


def test_tensorboard_has_numbers_and_sheets(unbroken: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(unbroken / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]
    assert events.Scalars("loss")[2].value == pytest.approx(losses(unbroken)[3])
    assert {"validation", "lr", "denoise"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Images("sheet")] == [STEPS]


def test_the_adapter_goes_with_its_base(unbroken: Path, places: dict[str, Path]) -> None:
    metadata = read_metadata(unbroken / "adapter.safetensors")
    assert metadata["recipe"] == "sd15-general"
    personalizer = Personalizer.load(places["base"], unbroken / "adapter.safetensors")
    request = GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), steps=2)
    *_, last = personalizer.generate(request)
    assert last.finished.image.size == (32, 32)


def test_a_finished_run_is_not_run_again(unbroken: Path, places: dict[str, Path]) -> None:
    before = (unbroken / "state.pt").stat().st_mtime_ns
    assert train_sd(annotated.recipe(steps=STEPS, batch=4), options(places, unbroken))
    assert (unbroken / "state.pt").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("recipe", "changes", "told"),
    [
        (annotated.recipe(steps=STEPS, batch=2), {}, "training batch 4, not 2"),
        (annotated.recipe("portrait", steps=STEPS, batch=4), {}, "recipe name sd15-general, not portrait"),
        (annotated.recipe(steps=STEPS, batch=4), {"base": "another/base"}, "not another/base"),
        (annotated.recipe(steps=STEPS, batch=4), {"data": "elsewhere"}, "not elsewhere"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_another_run_in_the_same_folder_is_refused(
    recipe: SdRecipe, changes: dict[str, str], told: str, finished: bool, unbroken: Path, places: dict[str, Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    for name in ("run.json", "recipe.json", "result.json" if finished else "state.pt"):
        shutil.copy(unbroken / name, tmp_path)
    with pytest.raises(SettingsError, match=told):
        train_sd(recipe, options(places, tmp_path, **changes))
    assert (tmp_path / "recipe.json").read_bytes() == (unbroken / "recipe.json").read_bytes()


def test_the_device_is_found_for_stable_diffusion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "choose_device", lambda name: torch.device("cuda" if name == "auto" else name))
    command = ["train", "sd", "--recipe", "sd15-general", "--base", "b", "--data", "d", "--out", "o"]
    for flags, device in (([], "cuda"), (["--device", "cpu"], "cpu")):
        assert options_from(build_parser("train").parse_args([*command, *flags])).device == device
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")  # by accelerate launch --cpu
    assert options_from(build_parser("train").parse_args(command)).device == "cpu"


KILLED = """
import os, signal, sys
from pathlib import Path
from mmdiff_core.training.trainer import Trainer
from mmdiff_core.training.stable_diffusion.run import SdOptions, train_sd
from tests.helpers import annotated

train = Trainer._train
def killed(self, parts):
    if self.step == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return train(self, parts)
Trainer._train = killed
out, base, data = sys.argv[1:]
recipe = annotated.recipe(steps=3, batch=4, save_every_s=0.0)
train_sd(recipe, SdOptions(Path(out), base, data, tensorboard=False))
"""


def test_a_killed_run_goes_on_as_if_it_had_not_been(unbroken: Path, places: dict[str, Path], tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(places["base"]), str(places["data"])]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 2
    assert not (tmp_path / "adapter.safetensors").exists()
    assert train_sd(annotated.recipe(steps=STEPS, batch=4), options(places, tmp_path)) is not None
    assert differences(unbroken, tmp_path) == 0
    assert losses(tmp_path)[3] == losses(unbroken)[3]


def test_two_processes_are_as_one(places: dict[str, Path], tmp_path: Path) -> None:
    """Half the batch each: the same losses at every step and the same weights in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one, two = tmp_path / "one", tmp_path / "two"
    flags = ["train", "sd", "--recipe", "sd15-general", "--base", str(places["base"]), "--data", str(places["data"]),
             "--steps", "3", "--lr", "0.01", "--log-every", "1", "--validate-every", "2", "--precision", "no",
             "--no-tensorboard", "--device", "cpu"]  # fmt: skip
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port), "-m",
              "mmdiff_core"]  # fmt: skip
    process = subprocess.run(
        [*launch, *flags, "--device", "cpu", "--batch", "2", "--out", str(two)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert main([*flags, "--batch", "4", "--out", str(one)]) == 0
    assert sorted(losses(two)) == [1, 2, 3]
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    validation, other = ([line["validation"] for line in log(out) if "validation" in line] for out in (one, two))
    assert len(validation) == 1
    assert validation == pytest.approx(other, abs=1e-5)
    assert differences(one, two) < 5e-4  # of steps of 0.01 each, from losses that differ in their last digits


def test_small_batches_add_up_to_a_large_one(unbroken: Path, places: dict[str, Path], tmp_path: Path) -> None:
    assert train_sd(annotated.recipe(steps=STEPS, batch=2, accumulate=2), options(places, tmp_path)) is not None
    assert losses(tmp_path) == pytest.approx(losses(unbroken), abs=1e-5)
    assert differences(unbroken, tmp_path) < 1e-4


def test_half_precision(places: dict[str, Path], tmp_path: Path) -> None:
    AcceleratorState._reset_state()  # the precision of a process is decided once
    recipe = annotated.recipe(steps=2, precision="bf16", half_base=True, sheet_every=2, validate_every=2)
    assert train_sd(recipe, options(places, tmp_path)) is not None
    assert {tensor.dtype for tensor in load_file(tmp_path / "adapter.safetensors").values()} == {torch.float32}
    assert len(list((tmp_path / "sheets").glob("*.png"))) == 1
    assert all(value < 3 for value in losses(tmp_path).values())
    AcceleratorState._reset_state()


def test_shards_and_another_folder_to_validate_on(places: dict[str, Path], tmp_path: Path) -> None:
    pack(AnnotatedFolder(places["data"]), tmp_path / "shards", per_shard=3)
    recipe = annotated.recipe(steps=2, validate_every=1)
    made = options(places, tmp_path / "out", data=str(tmp_path / "shards"), validation=places["data"])
    assert train_sd(recipe, made) is not None
    assert sum("validation" in line for line in log(tmp_path / "out")) == 2


def test_portraits(places: dict[str, Path], tmp_path: Path) -> None:
    """A whole run of the face variant, its sheet included, and a picture with what it wrote."""
    data = annotated.folder(tmp_path / "data", 3)
    for number, file in enumerate(sorted(data.rglob("*.json"))):
        values = json.loads(file.read_text())
        segment = values["segments"][0]
        segment |= {"identity": "tom", "face": [0.04] * 512}
        file.write_text(json.dumps(values))
        tiny.photo(number, (16, 16)).save(file.with_name(f"{file.stem}.face{segment['id']}.png"))
    base = annotated.base(tmp_path / "sdxl", "sdxl")
    recipe = annotated.recipe("portrait", steps=1, sheet_every=1, validate_every=1)
    assert train_sd(recipe, options(places, tmp_path / "out", base=str(base), data=str(data))) is not None
    assert len(list((tmp_path / "out" / "sheets").glob("*.png"))) == 1
    assert "validation" in log(tmp_path / "out")[-1]
    face = Face((0.04,) * 512, tiny.photo(1, (16, 16)))
    subject = Subject("robot", (tiny.photo(2),), faces=(face,))
    personalizer = Personalizer.load(base, tmp_path / "out" / "adapter.safetensors")
    *_, last = personalizer.generate(GenerateRequest("a robot", (subject,), steps=1))
    assert last.finished.maps.at("robot", "image").shape


def test_from_the_shell(places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The recipe at its own sizes, on the tiny base: interrupted by its minutes, then finished, then gone on from."""
    command = ["train", "sd", "--recipe", "sd15-general", "--base", str(places["base"]), "--data", str(places["data"]),
               "--out", str(tmp_path / "out"), "--steps", "1", "--batch", "1", "--precision", "no"]  # fmt: skip
    assert main([*command, "--minutes", "0"]) == 0
    assert "the same command continues" in capsys.readouterr().err
    assert main(command) == 0
    adapter = tmp_path / "out" / "adapter.safetensors"
    assert str(adapter) in capsys.readouterr().out
    again = [part.replace(str(tmp_path / "out"), str(tmp_path / "again")) for part in command]
    assert main([*again, "--adapter", str(adapter), "--no-tensorboard", "--device", "cpu"]) == 0
    assert not (tmp_path / "again" / "tensorboard").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--base", "x", "--data", "y", "--steps", "0"], "--steps must be at least 1"),
        (["--base", "x", "--data", "y", "--recipe", "cpu"], 'no recipe "cpu"'),
        (["--base", "nowhere", "--data", "y"], "nowhere"),
    ],
)
def test_what_a_person_can_put_right(
    flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["train", "sd", "--recipe", "sd15-general", "--out", str(tmp_path), *flags]) == 2
    assert told in capsys.readouterr().err


def test_missing_data_is_said_before_any_work(places: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no folder"):
        train_sd(annotated.recipe(), options(places, tmp_path, data=str(tmp_path / "none")))


def test_the_small_optimiser_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    parameter = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(SettingsError, match="pip install bitsandbytes"):
        make_optimizer([parameter], annotated.recipe().training, eight_bit=True)


def test_the_small_optimiser_trains() -> None:
    pytest.importorskip("bitsandbytes")
    parameter = torch.nn.Parameter(torch.ones(4096))
    optimizer = make_optimizer([parameter], replace(annotated.recipe().training, lr=0.1), eight_bit=True)
    parameter.square().sum().backward()
    optimizer.step()
    assert (parameter < 1).all()


def test_tensorboard_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match="requirements-train"):
        TensorBoardWriter(tmp_path, 0)
