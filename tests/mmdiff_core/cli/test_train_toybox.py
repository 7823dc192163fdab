"""From the flags of ``train toybox`` and ``export`` to what is trained and written."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.cli.train_toybox import RECIPES, STAGES
from mmdiff_core.training.toybox import recipes
from mmdiff_core.training.toybox.run import all_stages

TRAIN = "mmdiff_core.training.toybox.run.train_toybox"


def test_the_help_names_every_recipe_and_stage() -> None:
    assert tuple(recipes.RECIPES) == RECIPES
    assert ("dataset", *recipes.STAGES) == STAGES


def test_a_recipe_as_it_is(stand_in) -> None:
    calls = stand_in(TRAIN)
    assert main(["train", "toybox", "--recipe", "cpu", "--out", "run"]) == 0
    ((recipe, options),) = calls
    assert recipe == recipes.RECIPES["cpu"]
    assert (options.folder, options.device, options.seed, options.init_from) == (Path("run"), "cpu", 0, None)
    assert options.stages == all_stages(recipe)
    assert options.workers >= 1


def test_flags_change_every_stage(stand_in) -> None:
    calls = stand_in(TRAIN)
    flags = ["--steps", "7", "--batch", "3", "--time-budget", "5", "--scenes", "0", "--workers", "2", "--seed", "9"]
    more = ["--stages", "joint", "decoder", "--init-from", "assets/toybox", "--minutes", "1.5"]
    assert main(["train", "toybox", "--recipe", "cpu", "--out", "run", *flags, *more]) == 0
    ((recipe, options),) = calls
    assert {(stage.steps, stage.batch, stage.time_budget) for stage in recipe.stages.values()} == {(7, 3, 5.0)}
    assert recipe.scenes == 0
    assert (options.stages, options.init_from) == (("joint", "decoder"), Path("assets/toybox"))
    assert (options.minutes, options.workers, options.seed) == (1.5, 2, 9)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--recipe", "portrait"], 'no recipe "portrait". Choose among rehearsal, cpu, gpu'),
        (["--batch", "0"], "--batch must be at least 1, but is 0"),
        (["--time-budget", "-1"], "--time-budget must be at least 0"),
        (["--out", __file__], "--out must be a folder"),
    ],
)
def test_what_cannot_be_trained(flags: list[str], told: str, stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(TRAIN)
    assert main(["train", "toybox", "--recipe", "cpu", "--out", "run", *flags]) == BAD_INPUT
    assert told in capsys.readouterr().err
    assert calls == []


def test_flags_of_stable_diffusion_are_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "toybox", "--recipe", "cpu", "--out", "run", "--data", "x"])
    assert "unrecognized arguments: --data x" in capsys.readouterr().err


def test_export(stand_in) -> None:
    calls = stand_in("mmdiff_core.training.toybox.export_model.export_model", 5_000_000)
    assert main(["export", "--model", "run/model", "--out", "shipped"]) == 0
    assert calls == [(Path("run/model"), Path("shipped"))]
