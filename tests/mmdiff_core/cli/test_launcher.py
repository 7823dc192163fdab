"""How processes are started: torchrun understands every command line, and a lone process does not pass for several."""

from __future__ import annotations

import pytest
from torch.distributed import run as torchrun

from mmdiff_core.cli.launcher import check_launcher
from mmdiff_core.cli.main import build_parser
from mmdiff_core.errors import SettingsError

LAUNCHED = {"ACCELERATE_USE_CPU": "True", "MASTER_PORT": "29500", "MASTER_ADDR": "127.0.0.1"}


def test_one_process_in_the_place_of_several_is_refused() -> None:
    with pytest.raises(SettingsError, match="torchrun --nproc-per-node N"):
        check_launcher(LAUNCHED)


@pytest.mark.parametrize(
    "environment",
    [{**LAUNCHED, "WORLD_SIZE": "2"}, {**LAUNCHED, "ACCELERATE_USE_CPU": "False"}, {"ACCELERATE_USE_CPU": "True"}, {}],
)
def test_all_other_processes_pass(environment: dict[str, str]) -> None:
    check_launcher(environment)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_torchrun_passes_every_flag_on(command: str) -> None:
    """It takes what could be short for an option of its own, and refuses what could be short for two."""
    (subparsers,) = (action for action in build_parser(command)._actions if action.dest == "command")
    flags = [
        flag
        for action in subparsers.choices[command]._actions
        if action.help != "==SUPPRESS=="
        for flag in action.option_strings
    ]
    assert len(flags) > 10
    for flag in flags:
        seen = torchrun.parse_args(["--nproc-per-node", "2", "-m", "mmdiff_core", command, flag, "x"])
        assert (seen.nproc_per_node, seen.module) == ("2", True)
        assert [seen.training_script, *seen.training_script_args] == ["mmdiff_core", command, flag, "x"]


def test_flags_of_the_last_version_are_read() -> None:
    words = ["train", "--recipe", "cpu", "--out", "x"]
    old, new = (
        build_parser("train").parse_args([*words, *flags])
        for flags in (
            ["--start", "m", "--within", "5", "--rate", "0.1", "--no-board"],
            ["--init-from", "m", "--time-budget", "5", "--lr", "0.1", "--no-tensorboard"],
        )
    )
    assert vars(old) == vars(new)
    assert build_parser("train").parse_args(words).tensorboard
