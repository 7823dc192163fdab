"""From the flags of ``evaluate`` to what is measured; each suite knows its own flags alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdiff_core.backbones.toybox import FOLDER
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.evaluation.pointing.run import QUICK_SCENES, SCENES
from mmdiff_core.evaluation.toybox import conflict_suite, leakage_suite
from mmdiff_core.evaluation.toybox.suite import Sampling
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, PROMPTS, QUICK_PROMPTS, SEEDS
from mmdiff_core.referee.network import FILE

TOYBOX = "mmdiff_core.evaluation.toybox.run.evaluate_toybox"
LEAKAGE = "mmdiff_core.evaluation.toybox.leakage_suite.evaluate_leakage"
CONFLICTS = "mmdiff_core.evaluation.toybox.conflict_suite.evaluate_conflicts"


@pytest.fixture(autouse=True)
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("report.toybox_markdown", "leakage_suite.leakage_markdown", "conflict_suite.conflicts_markdown"):
        monkeypatch.setattr(f"mmdiff_core.evaluation.toybox.{path}", lambda table: f"{table}\n")


def test_the_toybox_suite(stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(TOYBOX, "a table")
    assert main(["evaluate", "toybox", "--out", "report", "--device", "cpu"]) == 0
    quick_flags = ["--quick", "--model", "m", "--referee", "r", "--seed", "900001"]
    assert main(["evaluate", "toybox", "--out", "o", *quick_flags]) == 0
    assert main(["evaluate", "toybox", "--out", "o", "--prompts", "5"]) == 0
    whole, quick, five = (options for (options,) in calls)
    assert (whole.folder, whole.model, whole.referee, whole.device) == (Path("report"), FOLDER, FILE, "cpu")
    assert (whole.prompts, whole.seeds, whole.seed) == (
        PROMPTS,
        SEEDS,
        FIRST_SEED,
    )
    assert (quick.model, quick.referee, quick.seed) == (Path("m"), Path("r"), 900_001)
    assert (quick.prompts, quick.seeds) == (QUICK_PROMPTS, SEEDS[:1])
    assert five.prompts == {1: 5, 2: 5, 3: 2}
    assert capsys.readouterr().out == "a table\n" * 3


def test_the_toybox_suite_for_another_program(stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    written = stand_in("mmdiff_core.evaluation.toybox.run.write_toybox_cases", 5)
    judged = stand_in("mmdiff_core.evaluation.toybox.run.evaluate_images", "a table")
    assert main(["evaluate", "toybox", "--out", "o", "--write-cases", "--prompts", "2"]) == 0
    assert capsys.readouterr().out == f"{Path('o') / 'cases.json'}: 5 cases, 2 image(s) of each to make\n"
    assert main(["evaluate", "toybox", "--out", "o", "--images", "theirs"]) == 0
    assert capsys.readouterr().out == "a table\n"
    assert written[0][0].prompts == {1: 2, 2: 2, 3: 1}
    assert judged[0][0] == Path("theirs")
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "toybox", "--out", "o", "--images", "theirs", "--write-cases"])


def test_the_toybox_suite_samples_as_it_is_told(stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(TOYBOX, "a table")
    assert main(["evaluate", "toybox", "--out", "o"]) == 0
    assert main(["evaluate", "toybox", "--out", "o", "--fast", "--steps", "3", "--no-bounds"]) == 0
    assert main(["evaluate", "toybox", "--out", "o", "--scheduler", "unipc", "--guidance", "2"]) == 0
    usual, fast, other = (options for (options,) in calls)
    assert (usual.sampling, usual.bounds) == (Sampling(), True)
    assert (fast.sampling, fast.bounds) == (Sampling(steps=3, fast=True), False)
    assert other.sampling == Sampling(guidance=2.0, scheduler="unipc")
    assert main(["evaluate", "toybox", "--out", "o", "--images", "theirs", "--fast"]) == BAD_INPUT
    assert "With --images the images are there already" in capsys.readouterr().err


def test_the_suite_of_pointing(stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in("mmdiff_core.evaluation.pointing.run.evaluate_pointing", "a table\n")
    assert main(["evaluate", "pointing", "--out", "o"]) == 0
    assert main(["evaluate", "pointing", "--out", "o", "--quick", "--model", "m", "--device", "cpu"]) == 0
    assert main(["evaluate", "pointing", "--out", "o", "--prompts", "5"]) == 0
    whole, quick, five = (options for (options,) in calls)
    assert (whole.model, whole.scenes) == (FOLDER, SCENES)
    assert (quick.model, quick.scenes, quick.device) == (Path("m"), QUICK_SCENES, "cpu")
    assert five.scenes == {1: 3, 2: 5, 3: 3}
    assert capsys.readouterr().out == "a table\n" * 3


def test_the_leakage_suite(stand_in) -> None:
    calls = stand_in(LEAKAGE, "a table")
    assert main(["evaluate", "leakage", "--out", "o"]) == 0
    assert main(["evaluate", "leakage", "--out", "o", "--quick", "--adapter", "a"]) == 0
    whole, quick = (options for (options,) in calls)
    assert (whole.model, whole.adapter, whole.prompts) == (FOLDER, None, leakage_suite.PROMPTS)
    assert (quick.adapter, quick.prompts, quick.seeds) == (
        Path("a"),
        QUICK_PROMPTS[2],
        SEEDS[:1],
    )


def test_the_suite_of_conflicts(stand_in) -> None:
    calls = stand_in(CONFLICTS, "a table")
    assert main(["evaluate", "conflicts", "--out", "o"]) == 0
    assert main(["evaluate", "conflicts", "--out", "o", "--quick", "--model", "m"]) == 0
    assert main(["evaluate", "conflicts", "--out", "o", "--prompts", "3"]) == 0
    whole, quick, three = (options for (options,) in calls)
    assert (whole.model, whole.prompts, whole.seeds) == (FOLDER, conflict_suite.PROMPTS, SEEDS)
    assert (quick.model, quick.prompts, quick.seeds) == (Path("m"), QUICK_PROMPTS[2], SEEDS[:1])
    assert three.prompts == 3


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["toybox", "--out", "o", "--base", "b"], "unrecognized arguments: --base b"),
        (["toybox", "--out", "o", "--adapter", "a"], "unrecognized arguments: --adapter a"),
        (["leakage", "--out", "o", "--pairs", "2"], "unrecognized arguments: --pairs 2"),
        (["dreambench", "--out", "o"], "required: --dataset"),
        (["photos", "--out", "o"], "choose from"),
    ],
)
def test_flags_of_other_suites_are_not_known(command: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", *command])
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("suite_name", ["toybox", "leakage", "conflicts", "pointing"])
def test_too_few_prompts(suite_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", suite_name, "--out", "o", "--prompts", "0"]) == BAD_INPUT
    assert "--prompts must be at least 1, but is 0" in capsys.readouterr().err
