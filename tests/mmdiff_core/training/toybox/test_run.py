"""The whole recipe at toy size: every stage runs, learns, stops, goes on, and ends in a model that the app loads."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmdiff_core.backbones import toybox
from mmdiff_core.backbones.base import Defaults
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.errors import ModelError, SettingsError, TrainingError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.scenes.vocabulary import load_vocabulary
from mmdiff_core.training.distillation.student import STUDENT
from mmdiff_core.training.toybox import autoencoder, contrastive, create, flow_matching
from mmdiff_core.training.toybox.export_model import export_model
from mmdiff_core.training.toybox.recipes import RECIPES, STAGES
from mmdiff_core.training.toybox.run import COOLED, all_stages, cool_down, train_toybox
from mmdiff_core.training.toybox.run_datasets import DATASET
from mmdiff_core.training.toybox.run_options import RunOptions
from mmdiff_core.types import GenerateRequest, Subject
from mmdiff_core.weights.integrity import INDEX
from tests.helpers import tiny
from tests.helpers.toybox_training import RECIPE as SMALL_RECIPE
from tests.helpers.toybox_training import render_shards

pytestmark = pytest.mark.slow

STEPS = 3
RECIPE = replace(SMALL_RECIPE, sheet_every=STEPS - 1)
for _stage in STAGES:
    RECIPE = RECIPE.with_stage(_stage, steps=STEPS, batch=4, warmup=1, cool_down=0)


@pytest.fixture(scope="module", autouse=True)
def quick_sheets() -> Iterator[None]:
    """Sheets and measurements of few images, and a vocabulary of few captions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(create, "CAPTIONS_FOR_VOCABULARY", 200)
        patch.setattr(autoencoder, "HELD_OUT_IMAGES", 8)
        patch.setattr(contrastive, "GALLERY", 4)
        patch.setattr(contrastive, "GALLERIES", 2)
        patch.setattr(flow_matching, "SHEET_IMAGES", 2)
        patch.setattr(toybox, "DEFAULTS", Defaults(steps=2, guidance=2.0))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "rehearsal"
    render_shards(folder / DATASET)
    train_toybox(RECIPE, RunOptions(folder, STAGES))
    return folder


def base_alone(finished: Path, folder: Path) -> RunOptions:
    """A run of one stage, on the weights and a copy of the dataset of the whole one."""
    shutil.copytree(finished / DATASET, folder / DATASET)
    return RunOptions(folder, ("base",), init_from=finished / "model")


def folder_of(run: Path, stage: str) -> Path:
    """The folder of a stage; the student's bears the digest of the weights that it was distilled from."""
    if stage != STUDENT:
        return run / stage
    (folder,) = (run / stage).iterdir()
    return folder


def steps_of(folder: Path) -> int:
    return torch.load(folder / "state.pt", weights_only=True)["step"]


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_leaves_its_traces(finished: Path, stage: str) -> None:
    folder = folder_of(finished, stage)
    assert json.loads((folder / "result.json").read_text())
    assert losses(folder)[-1]["step"] == RECIPE.stages[stage].steps
    assert all(torch.tensor(list(line.values())).isfinite().all() for line in losses(folder))
    sheets = sorted((folder / "sheets").glob("*.png"))
    assert [sheet.stem for sheet in sheets] == [f"{STEPS - 1:07d}", f"{STEPS:07d}"]  # the last one at the stage's end
    for sheet in sheets:
        assert Image.open(sheet).convert("L").getextrema()[1] > 0


def test_constraints_are_among_the_terms(finished: Path) -> None:
    assert {"denoise", "text_map", "image_map"} <= losses(finished / "adapter")[-1].keys()


def test_run_folder_tells_its_configuration(finished: Path) -> None:
    written = json.loads((finished / "recipe.json").read_text())
    assert written["shapes"]["unet_channels"] == list(RECIPE.shapes.unet_channels)
    assert written["stages"]["base"]["lr"] == RECIPE.stages["base"].lr


def test_a_folder_keeps_to_its_recipe(finished: Path) -> None:
    before = (finished / "recipe.json").read_text()
    with pytest.raises(SettingsError, match="was started with size 32, not 192"):
        train_toybox(RECIPES["cpu"], RunOptions(finished, ("joint",)))
    assert (finished / "recipe.json").read_text() == before
    assert json.loads(before)["run"] == {"seed": 0, "device": "cpu", "started_from": None}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--steps", "-5"], "--steps must be at least 1, but is -5"),
        (["--workers", "0"], "--workers must be at least 1, but is 0"),
        (["--pool", "-4"], "--scenes must be at least 0, but is -4"),
        (["--device", "abacus"], 'The device "abacus" cannot be used here'),
        (["--stages", "encoders"], 'add "dataset" to the --stages'),
    ],
)
def test_flags_that_make_no_sense_are_named(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "toybox", "--recipe", "rehearsal", "--out", str(tmp_path / "run"), *flags]) == BAD_INPUT
    assert said in capsys.readouterr().err


def test_finished_stages_are_not_run_again(finished: Path) -> None:
    before = (finished / "base" / "state.pt").stat().st_mtime_ns
    train_toybox(RECIPE, RunOptions(finished, ("base",)))
    assert (finished / "base" / "state.pt").stat().st_mtime_ns == before


def test_a_student_ships_with_its_model_and_goes_with_its_weights(finished: Path, tmp_path: Path) -> None:
    """Of other weights there is another student; until it is made there is none."""
    export_model(finished / "model", tmp_path / "shipped")
    shipped = Personalizer.load(tmp_path / "shipped")
    numbers = RECIPE.distillation
    assert shipped.fast == Defaults(numbers.steps, 1.0, few=True, scheduler="distilled")
    request = GenerateRequest("a cat in the snow", (Subject("cat", (tiny.photo(1),)),), recording=None)
    *_, last = shipped.generate(shipped.in_few_steps(request))
    assert last.steps == numbers.steps
    options = RunOptions(tmp_path / "run", (STUDENT,), init_from=tmp_path / "shipped", dataset=finished / DATASET)
    train_toybox(RECIPE, options)
    (first,) = (tmp_path / "run" / STUDENT).iterdir()
    train_toybox(RECIPE.with_stage("joint", steps=1), replace(options, stages=("joint",)))
    assert Personalizer.load(tmp_path / "run" / "model").fast == toybox.FAST
    train_toybox(RECIPE.with_stage(STUDENT, steps=1), options)
    assert len({first, *(tmp_path / "run" / STUDENT).iterdir()}) == 2
    assert Personalizer.load(tmp_path / "run" / "model").fast == shipped.fast


def test_a_run_may_start_from_what_ships(finished: Path, tmp_path: Path) -> None:
    export_model(finished / "model", tmp_path / "shipped")
    options = RunOptions(tmp_path / "again", (DATASET, "base"), init_from=tmp_path / "shipped")
    assert train_toybox(replace(RECIPE, scenes=4), options).keys() == {"base"}
    personalizer = Personalizer.load(tmp_path / "again" / "model")
    assert personalizer.backbone.name == "toybox"
    assert load_vocabulary(tmp_path / "again" / "model") == RECIPE.world
    request = GenerateRequest("a cat in the snow", (Subject("cat", (tiny.photo(1),)),))
    *_, last = personalizer.generate(request)
    assert last.result is not None
    assert last.result[0].image.size == (RECIPE.size, RECIPE.size)


def test_stopped_run_goes_on_as_if_it_had_not_stopped(finished: Path, tmp_path: Path) -> None:
    """Time-limited, then continued: the step count goes on, and the schedule with it."""
    recipe = replace(RECIPE, save_every_s=0.0).with_stage("base", steps=8)
    options = replace(base_alone(finished, tmp_path), minutes=0.0)
    assert "base" not in train_toybox(recipe, options)
    assert torch.load(tmp_path / "base" / "state.pt", weights_only=True)["step"] == 0
    train_toybox(recipe, replace(options, minutes=None))
    state = torch.load(tmp_path / "base" / "state.pt", weights_only=True)
    assert state["step"] == 8


def test_a_finished_stage_goes_on_to_more_steps(finished: Path, tmp_path: Path) -> None:
    options = base_alone(finished, tmp_path)
    train_toybox(RECIPE.with_stage("base", steps=2), options)
    train_toybox(RECIPE.with_stage("base", steps=4), options)
    assert steps_of(tmp_path / "base") == 4
    train_toybox(RECIPE.with_stage("base", steps=3), options)  # it is beyond that
    assert steps_of(tmp_path / "base") == 4


def test_a_copy_cools_down_and_the_run_goes_on(finished: Path, tmp_path: Path) -> None:
    """The copy ends at a rate of zero, two steps further, as a model that ships; the run is untouched."""
    recipe = RECIPE.with_stage("joint", steps=2, cool_down=1)
    recipe = replace(recipe, stages={"joint": recipe.stages["joint"]})
    options = RunOptions(tmp_path / "run", ("joint",), init_from=finished / "model", dataset=finished / DATASET)
    with pytest.raises(TrainingError, match="nothing to cool down"):
        cool_down(recipe, options, 2)
    train_toybox(recipe, options)
    before = {path: path.read_bytes() for path in (tmp_path / "run" / "model").rglob("*") if path.is_file()}
    assert cool_down(recipe, options, 2).keys() == {"joint"}
    cooled = tmp_path / "run" / COOLED
    assert (steps_of(tmp_path / "run" / "joint"), steps_of(cooled / "joint")) == (2, 4)
    state = torch.load(cooled / "joint" / "state.pt", weights_only=True)
    assert state["optimizers"][0]["param_groups"][0]["lr"] == pytest.approx(recipe.stages["joint"].lr / 2)
    assert before == {path: path.read_bytes() for path in before}
    export_model(cooled / "model", tmp_path / "shipped")
    assert {"preview.json", "vocabulary.json"} <= {path.name for path in (tmp_path / "shipped").iterdir()}
    written = (cooled / "joint" / "state.pt").stat().st_mtime_ns
    cool_down(recipe, options, 2)  # is finished
    assert (cooled / "joint" / "state.pt").stat().st_mtime_ns == written
    train_toybox(recipe.with_stage("joint", steps=3), options)
    cool_down(recipe, options, 2)  # begins anew, as the run has gone on
    assert steps_of(cooled / "joint") == 5


def test_the_recipe_for_a_gpu_goes_on_from_a_model_and_ends_by_the_clock(finished: Path, tmp_path: Path) -> None:
    """At toy size and on a CPU: one command that trains, then the export; the rest is as for a GPU."""
    recipe = replace(RECIPES["gpu"], size=RECIPE.size, reference=RECIPE.reference, shapes=RECIPE.shapes, scenes=4)
    recipe = recipe.with_stage("joint", batch=4, warmup=1, time_budget=0.02, steps=10**6)
    options = RunOptions(tmp_path / "run", all_stages(recipe))
    with pytest.raises(SettingsError, match="add --init-from assets/toybox"):
        train_toybox(recipe, options)
    export_model(finished / "model", tmp_path / "shipped")
    assert train_toybox(recipe, replace(options, init_from=tmp_path / "shipped")).keys() == {"joint"}
    assert 0 < steps_of(tmp_path / "run" / "joint") < 10**6
    export_model(tmp_path / "run" / "model", tmp_path / "again")
    assert Personalizer.load(tmp_path / "again").backbone.name == "toybox"


def test_a_model_of_other_sizes_is_refused_before_any_work(finished: Path, tmp_path: Path) -> None:
    options = RunOptions(tmp_path / "run", ("joint",), init_from=finished / "model")
    with pytest.raises(SettingsError, match=r"has vae block_out_channels \[8, 16, 16\]"):
        train_toybox(RECIPES["cpu"], options)
    (tmp_path / "half").mkdir()
    shutil.copy(finished / "model" / INDEX, tmp_path / "half")
    with pytest.raises(SettingsError, match="has vae block_out_channels None"):
        train_toybox(RECIPE, replace(options, init_from=tmp_path / "half"))
    with pytest.raises(ModelError, match="is not a model folder"):
        train_toybox(RECIPE, replace(options, init_from=tmp_path))
    assert not (tmp_path / "run").exists()


def test_a_stage_finishes_within_its_minutes(finished: Path, tmp_path: Path) -> None:
    """By the clock, long before its last step, and with a decayed learning rate."""
    recipe = RECIPE.with_stage("base", steps=1_000_000, time_budget=0.01)
    assert "base" in train_toybox(recipe, base_alone(finished, tmp_path))
    state = torch.load(tmp_path / "base" / "state.pt", weights_only=True)
    assert 0 < state["step"] < 1_000_000
    assert state["share"] >= 1
    assert state["optimizers"][0]["param_groups"][0]["lr"] < 0.5 * recipe.stages["base"].lr


def test_ctrl_c_saves_and_the_next_start_continues(finished: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmdiff_core", "train", "toybox", "--recipe", "rehearsal", "--out", str(tmp_path)]
    command += ["--init-from", str(finished / "model"), "--stages", "base", "--steps"]
    shutil.copytree(finished / DATASET, tmp_path / DATASET)
    log = tmp_path / "base" / "log.jsonl"
    process = subprocess.Popen([*command, "100000"], stderr=subprocess.PIPE, text=True, env={**os.environ})
    deadline = time.monotonic() + 300
    while not log.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    stopped = torch.load(tmp_path / "base" / "state.pt", weights_only=True)["step"]
    assert stopped >= losses(tmp_path / "base")[-1]["step"]
    assert main([*command[3:], str(stopped + 2)]) == 0
    assert torch.load(tmp_path / "base" / "state.pt", weights_only=True)["step"] == stopped + 2


def test_half_written_state_does_not_replace_a_good_one(finished: Path, tmp_path: Path) -> None:
    options = base_alone(finished, tmp_path)
    train_toybox(RECIPE.with_stage("base", steps=4), options)
    (tmp_path / "base" / "result.json").unlink()
    left = tmp_path / "base" / ".state.pt.killed.temp"
    left.mkdir()
    (left / "state.pt").write_bytes(b"half")
    train_toybox(RECIPE.with_stage("base", steps=6), options)
    assert torch.load(tmp_path / "base" / "state.pt", weights_only=True)["step"] == 6
    assert not left.exists()


def test_exploding_gradient_is_named(finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    recipe = RECIPE.with_stage("base", lr=1e30, warmup=0)
    with pytest.raises(TrainingError, match="base"):
        train_toybox(recipe, base_alone(finished, tmp_path))


def test_a_recipe_has_its_stages_in_order() -> None:
    own = ("autoencoder", "whole-images", "encoders", "joint", STUDENT)
    assert all_stages(RECIPES["cpu"]) == (DATASET, *own)
    assert all_stages(replace(RECIPES["cpu"], scenes=0)) == own


def test_samples_may_be_rendered_anew(finished: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, scenes=0).with_stage("joint", steps=1)
    assert train_toybox(recipe, RunOptions(tmp_path, ("joint",), init_from=finished / "model"))
    assert not (tmp_path / DATASET).exists()


def test_unknown_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no stage polish"):
        train_toybox(RECIPE, RunOptions(tmp_path, ("polish",)))
