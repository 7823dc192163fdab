"""Whole runs on a rendered annotated folder: a killed one ends as an unbroken one, two processes as one."""

from __future__ import annotations

import json
import shutil
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
from safetensors.torch import load_file, save_file

from mmdiff_core.cli.main import main
from mmdiff_core.errors import CheckpointError, ModelError, SettingsError, TrainingError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.pack import pack
from mmdiff_core.training.stable_diffusion import sample_sheet
from mmdiff_core.training.stable_diffusion.recipes import SdRecipe
from mmdiff_core.training.stable_diffusion.run import SdOptions, open_adapter, open_base, train_sd
from mmdiff_core.training.trainer import Trainer
from mmdiff_core.types import Face, GenerateRequest, Subject
from mmdiff_core.weights.adapter_file import read_metadata, save_adapter
from tests.helpers import annotated, tiny
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def quick_sheets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_sheet, "STEPS", 2)
        patch.setattr(sample_sheet, "EXAMPLES", 2)
        yield


def options(folders: dict[str, Path], out: Path, **changes: object) -> SdOptions:
    return replace(SdOptions(out, str(folders["sd"]), str(folders["data"]), tensorboard=False), **changes)


@pytest.fixture(scope="module")
def unbroken(folders: dict[str, Path]) -> Path:
    """A run of one process with everything on."""
    out = folders["root"] / "unbroken"
    recipe = annotated.recipe(steps=STEPS, batch=4, sheet_every=STEPS, validate_every=2)
    assert train_sd(recipe, options(folders, out, tensorboard=True)) is not None
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


def test_the_adapter_goes_with_its_base(unbroken: Path, folders: dict[str, Path]) -> None:
    metadata = read_metadata(unbroken / "adapter.safetensors")
    assert metadata["recipe"] == "sd15-general"
    personalizer = Personalizer.load(folders["sd"], unbroken / "adapter.safetensors")
    request = GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), steps=2)
    *_, last = personalizer.generate(request)
    assert last.finished.image.size == (32, 32)


def test_a_finished_run_is_not_run_again(unbroken: Path, folders: dict[str, Path]) -> None:
    before = (unbroken / "state.pt").stat().st_mtime_ns
    assert train_sd(annotated.recipe(steps=STEPS, batch=4), options(folders, unbroken))
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
    recipe: SdRecipe, changes: dict[str, str], told: str, finished: bool, unbroken: Path, folders: dict[str, Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    for name in ("run.json", "recipe.json", "result.json" if finished else "state.pt"):
        shutil.copy(unbroken / name, tmp_path)
    with pytest.raises(SettingsError, match=told):
        train_sd(recipe, options(folders, tmp_path, **changes))
    assert (tmp_path / "recipe.json").read_bytes() == (unbroken / "recipe.json").read_bytes()


def test_a_killed_run_goes_on_as_if_it_had_not_been(
    unbroken: Path, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps; see ``test_trainer`` for a kill in the middle of a save."""

    class Killed(BaseException):
        pass

    def killed(self: Trainer, parts: list[object]) -> dict[str, torch.Tensor]:
        if self.step == 2:
            raise Killed
        return train(self, parts)

    train = Trainer.train_step
    recipe = annotated.recipe(steps=STEPS, batch=4, save_every_s=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", killed)
        with pytest.raises(Killed):
            train_sd(recipe, options(folders, tmp_path))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 2
    assert not (tmp_path / "adapter.safetensors").exists()
    assert train_sd(annotated.recipe(steps=STEPS, batch=4), options(folders, tmp_path)) is not None
    assert differences(unbroken, tmp_path) == 0
    assert losses(tmp_path)[3] == losses(unbroken)[3]


def test_two_processes_are_as_one(folders: dict[str, Path], tmp_path: Path) -> None:
    """Half the batch each: the same losses at every step and the same weights in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one, two = tmp_path / "one", tmp_path / "two"
    flags = ["train", "sd", "--recipe", "sd15-general", "--base", str(folders["sd"]), "--data", str(folders["data"]),
             "--steps", "2", "--lr", "0.01", "--log-every", "1", "--validate-every", "2", "--precision", "no",
             "--no-tensorboard", "--device", "cpu"]  # fmt: skip
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port), "-m",
              "mmdiff_core"]  # fmt: skip
    command = [*launch, *flags, "--batch", "2", "--out", str(two)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    assert main([*flags, "--batch", "4", "--out", str(one)]) == 0
    assert sorted(losses(two)) == [1, 2]
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    validation, other = ([line["validation"] for line in log(out) if "validation" in line] for out in (one, two))
    assert len(validation) == 1
    assert validation == pytest.approx(other, abs=1e-5)
    assert differences(one, two) < 5e-4  # of steps of 0.01 each, from losses that differ in their last digits


def test_small_batches_add_up_to_a_large_one(unbroken: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    assert train_sd(annotated.recipe(steps=STEPS, batch=2, accumulate=2), options(folders, tmp_path)) is not None
    assert losses(tmp_path) == pytest.approx(losses(unbroken), abs=1e-5)
    assert differences(unbroken, tmp_path) < 1e-4


def test_half_precision(folders: dict[str, Path], tmp_path: Path) -> None:
    AcceleratorState._reset_state()  # the precision of a process is decided once
    recipe = annotated.recipe(steps=2, precision="bf16", half_base=True, sheet_every=2, validate_every=2)
    assert train_sd(recipe, options(folders, tmp_path)) is not None
    assert {tensor.dtype for tensor in load_file(tmp_path / "adapter.safetensors").values()} == {torch.float32}
    assert len(list((tmp_path / "sheets").glob("*.png"))) == 1
    assert all(value < 3 for value in losses(tmp_path).values())
    AcceleratorState._reset_state()


def test_shards_and_another_folder_to_validate_on(folders: dict[str, Path], tmp_path: Path) -> None:
    pack(AnnotatedFolder(folders["data"]), tmp_path / "shards", per_shard=3)
    recipe = annotated.recipe(steps=2, validate_every=1)
    made = options(folders, tmp_path / "out", data=str(tmp_path / "shards"), validation=folders["data"])
    assert train_sd(recipe, made) is not None
    assert sum("validation" in line for line in log(tmp_path / "out")) == 2


def test_portraits(folders: dict[str, Path], tmp_path: Path) -> None:
    """A whole run of the face variant, its sheet included, and a picture with what it wrote."""
    data, base = annotated.folder_of_one_identity(tmp_path / "data", 3), folders["sdxl"]
    recipe = annotated.recipe("portrait", steps=1, sheet_every=1, validate_every=1)
    assert train_sd(recipe, options(folders, tmp_path / "out", base=str(base), data=str(data))) is not None
    assert len(list((tmp_path / "out" / "sheets").glob("*.png"))) == 1
    assert "validation" in log(tmp_path / "out")[-1]
    face = Face((0.04,) * 512, tiny.photo(1, (16, 16)))
    subject = Subject("robot", (tiny.photo(2),), faces=(face,))
    personalizer = Personalizer.load(base, tmp_path / "out" / "adapter.safetensors")
    *_, last = personalizer.generate(GenerateRequest("a robot", (subject,), steps=1))
    assert last.finished.maps.at("robot", "image").shape


def test_missing_data_is_said_before_any_work(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no folder"):
        train_sd(annotated.recipe(), options(folders, tmp_path, data=str(tmp_path / "none")))


def test_a_run_stops_after_its_minutes_and_starts_from_an_adapter(folders: dict[str, Path], tmp_path: Path) -> None:
    recipe, whole = annotated.recipe(steps=1, batch=1), options(folders, tmp_path / "first")
    assert train_sd(recipe, replace(whole, minutes=0.0)) is None
    assert torch.load(tmp_path / "first" / "state.pt", weights_only=True)["step"] == 0
    assert train_sd(recipe, whole) is not None
    adapter = tmp_path / "first" / "adapter.safetensors"
    assert train_sd(recipe, options(folders, tmp_path / "second", init_from=adapter)) is not None
    first, second = (load_file(tmp_path / name / "adapter.safetensors") for name in ("first", "second"))
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 0.1  # a step away from it
    assert not (tmp_path / "second" / "tensorboard").exists()


def test_a_base_of_another_kind_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="sdxl-general is for a StableDiffusionXLPipeline"):
        annotated.make_tiny_stage(folders, annotated.recipe("sdxl-general"), "sd")


def test_a_size_that_the_base_cannot_do_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="from 16 to 128"):
        annotated.make_tiny_stage(folders, annotated.recipe(size=500), "sd")


@pytest.mark.parametrize("converted", [False, True])
def test_training_does_not_go_on_from_an_ip_adapter(folders: dict[str, Path], tmp_path: Path, converted: bool) -> None:
    path = tmp_path / "ip.safetensors"
    if converted:
        save_adapter(tiny.adapter_for(tiny.open_stock(str(folders["sd"])), own_image_weights=True), path)
    else:
        save_file({"image_proj.proj.weight": torch.zeros(1)}, path)
    recipe, wrong = annotated.recipe(), options(folders, tmp_path / "out", init_from=path)
    backbone = open_base(recipe, wrong, "cpu", torch.float32)
    with pytest.raises(SettingsError, match=r"is an IP-Adapter or .*: training cannot go on from it: leave --adapter"):
        open_adapter(recipe, wrong, backbone)


def test_an_adapter_for_another_base_is_refused(folders: dict[str, Path]) -> None:
    recipe = annotated.recipe()
    wrong = options(folders, folders["root"] / "out", init_from=folders["sdxl"] / "adapter.safetensors")
    backbone = open_base(recipe, wrong, "cpu", torch.float32)
    with pytest.raises(CheckpointError, match="another model"):
        open_adapter(recipe, wrong, backbone)
