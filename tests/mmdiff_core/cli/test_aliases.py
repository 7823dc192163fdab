"""Command lines of the last version are read as they were meant, and answered with the new spelling."""

from __future__ import annotations

import shlex

import pytest

from mmdiff_core.cli.aliases import current_spelling, rename_flags
from tests.helpers.command_line import all_parsers, flags_of


@pytest.mark.parametrize(
    ("former", "current"),
    [
        ("limits --out x.png", "failure-cases --out x.png"),
        ("evaluate --out report/", "evaluate toybox --out report/"),
        ("evaluate --suite toybox --out report/", "evaluate toybox --out report/"),
        ("evaluate --out report/ --suite=binding --quick", "evaluate leakage --out report/ --quick"),
        ("evaluate --dataset d --suite dreambench --out o", "evaluate dreambench --dataset d --out o"),
        ("train --recipe cpu --out o --start m", "train toybox --recipe cpu --out o --init-from m"),
        ("train --within 5 --recipe=gpu --out o", "train toybox --time-budget 5 --recipe=gpu --out o"),
        (
            "train --recipe portrait --base b --data d --out o --rate=0.1 --no-board",
            "train sd --recipe portrait --base b --data d --out o --lr=0.1 --no-tensorboard",
        ),
        ("ablate --start m --out o --rate 0.1", "ablate --model m --out o --lr 0.1"),
        (
            "evaluate --suite dreambench --dataset d --out o --pictures 1",
            "evaluate dreambench --dataset d --out o --images 1",
        ),
        ("toy --noun cat", "toy --class cat"),
        (
            "generate --prompt p --strength cat=1 --binding 0.5 --sampler sde --memory none --pictures 2",
            "generate --prompt p --scale cat=1 --word-gating 0.5 --scheduler sde --offload none --images 2",
        ),
        ("evaluate --suite binding --bindings 0 1 --out o", "evaluate leakage --word-gating 0 1 --out o"),
        ("sheet --seed 1", "contact-sheets --seed 1"),
        ("showcase --pictures 1", "showcase --images 1"),
        ("presets --ways euler:4:2", "presets --candidates euler:4:2"),
        ("train-referee --check --start r --out o", "train-referee --check --init-from r --out o"),
    ],
)
def test_a_former_spelling(former: str, current: str, capsys: pytest.CaptureFixture[str]) -> None:
    new = shlex.split(current)
    assert current_spelling(shlex.split(former)) == new
    assert capsys.readouterr().err.endswith(f": python -m mmdiff_core {current}\n")
    words = next(words for words in all_parsers(new[0]) if [*words] == new[: len(words)])
    all_parsers(new[0])[words].parse_args(new[len(words) :])
    assert current_spelling(new) == new
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [[], ["train"], ["train", "--help"], ["evaluate", "-h"], ["toy", "--seed", "1"]])
def test_what_was_never_renamed_stays(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert current_spelling(arguments) == arguments
    assert capsys.readouterr().err == ""


def test_values_are_no_flags() -> None:
    assert rename_flags(["--note=--old=1", "--old=--old", "old"], {"--old": "--new"}) == [
        "--note=--old=1", "--new=--old", "old",
    ]  # fmt: skip


def test_former_flags_are_in_no_help() -> None:
    from mmdiff_core.cli.aliases import COMMANDS, FLAGS

    for words, parser in all_parsers().items():
        assert words[0] not in COMMANDS
        assert not set(flags_of(parser)) & set(FLAGS.get(words[0], {}))
