"""How processes are started: torchrun understands every command line, and a lone process does not pass for several."""

from __future__ import annotations

import pytest
from torch.distributed import run as torchrun

from mmdiff_core.cli.launcher import check_launcher
from mmdiff_core.errors import SettingsError
from tests.helpers.command_line import all_parsers, flags_of

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


@pytest.mark.parametrize("words", [("train", "toybox"), ("train", "sd"), ("evaluate", "dreambench")])
def test_torchrun_passes_every_flag_on(words: tuple[str, str]) -> None:
    """It takes what could be short for an option of its own, and refuses what could be short for two."""
    flags = flags_of(all_parsers(words[0])[words])
    assert len(flags) > 10
    for flag in flags:
        seen = torchrun.parse_args(["--nproc-per-node", "2", "-m", "mmdiff_core", *words, flag, "x"])
        assert (seen.nproc_per_node, seen.module) == ("2", True)
        assert [seen.training_script, *seen.training_script_args] == ["mmdiff_core", *words, flag, "x"]
