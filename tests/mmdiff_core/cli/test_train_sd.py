"""From the flags of ``train sd`` and ``pack`` to what is trained and packed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.cli.train_sd import RECIPES
from mmdiff_core.training.stable_diffusion.recipes import SD_RECIPES
from tests.helpers import annotated

TRAIN = "mmdiff_core.training.stable_diffusion.run.train_sd"
COMMAND = ["train", "sd", "--recipe", "sd15-general", "--base", "b", "--data", "d", "--out", "o", "--device", "cpu"]


def test_the_help_names_every_recipe() -> None:
    assert tuple(SD_RECIPES) == RECIPES


def test_a_recipe_as_it_is(stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(TRAIN, {"loss": 1.0})
    assert main(COMMAND) == 0
    ((recipe, options),) = calls
    assert recipe == SD_RECIPES["sd15-general"]
    assert (options.base, options.data, options.folder, options.device) == ("b", "d", Path("o"), "cpu")
    assert options.tensorboard
    assert capsys.readouterr().out == "o/adapter.safetensors\n"


def test_flags_change_the_recipe(stand_in) -> None:
    calls = stand_in(TRAIN, {})
    flags = ["--steps", "40", "--batch", "2", "--lr", "0.01", "--photos", "1", "--subjects", "4", "--size", "64"]
    more = ["--accumulate", "3", "--no-checkpointing", "--save-every", "9", "--seed", "5", "--no-tensorboard"]
    assert main([*COMMAND, *flags, *more, "--adapter", "a.safetensors"]) == 0
    ((recipe, options),) = calls
    training = recipe.training
    assert (training.steps, training.batch, training.lr, training.warmup) == (40, 2, 0.01, 4)
    assert (recipe.data.photos, recipe.data.subjects) == (1, 4)
    assert (recipe.size, recipe.accumulate, recipe.checkpointing, recipe.save_every_s, recipe.seed) == (
        64,
        3,
        False,
        9,
        5,
    )
    assert (options.init_from, options.tensorboard) == (Path("a.safetensors"), False)


def test_a_run_that_stopped_says_how_it_continues(stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(TRAIN, None)
    assert main([*COMMAND, "--minutes", "0"]) == 0
    assert "the same command continues" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--recipe", "cpu"], 'no recipe "cpu". Choose among sd15-general'),
        (["--validate-every", "0"], "--validate-every must be at least 1, but is 0"),
        (["--device", "abacus"], 'device "abacus" cannot be used'),
    ],
)
def test_what_cannot_be_trained(flags: list[str], told: str, stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(TRAIN)
    assert main([*COMMAND, *flags]) == BAD_INPUT
    assert told in capsys.readouterr().err
    assert calls == []


def test_what_is_needed_and_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, told in (
        ([], "required: --base, --data"),
        (["--base", "b", "--data", "d", "--stages", "x"], "--stages x"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["train", "sd", "--recipe", "portrait", "--out", "o", *flags])
        assert told in capsys.readouterr().err


def test_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = annotated.folder(tmp_path / "data", 3)
    assert main(["pack", str(data), "--out", str(tmp_path / "shards"), "--per-shard", "2"]) == 0
    assert capsys.readouterr().out == f"2 shard(s) in {tmp_path / 'shards'}\n"
    assert len(list((tmp_path / "shards").glob("*.tar"))) == 2
    assert main(["pack", str(data), "--out", str(tmp_path / "none"), "--per-shard", "0"]) == BAD_INPUT
    assert "--per-shard must be at least 1" in capsys.readouterr().err
