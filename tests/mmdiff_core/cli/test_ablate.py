"""From the flags of ``ablate`` to what is compared."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from mmdiff_core.backbones.toybox import FOLDER
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.evaluation.ablation.adapter_variants import VARIANTS

ABLATE = "mmdiff_core.evaluation.ablation.run.ablate"


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmdiff_core.evaluation.ablation.report.ablation_markdown", lambda table: f"{table}\n")


def test_everything_by_default(stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(ABLATE, "a table")
    assert main(["ablate", "--out", "o"]) == 0
    ((options,),) = calls
    assert (options.folder, options.start, options.device) == (Path("o"), FOLDER, "cpu")
    assert options.variants == tuple(VARIANTS.values())
    assert (options.steps, options.minutes, options.batch) == (None, None, 48)
    assert capsys.readouterr().out == "a table\n"


def test_flags(stand_in) -> None:
    calls = stand_in(ABLATE)
    flags = ["--variants", "no-constraints", "--model", "m", "--minutes", "5", "--lr", "0.1", "--scenes", "8"]
    assert main(["ablate", "--out", "o", *flags]) == 0
    ((options,),) = calls
    assert [variant.name for variant in options.variants] == ["full", "no-constraints"]
    assert (options.start, options.minutes) == (Path("m"), 5.0)
    numbers = [getattr(options, field.name) for field in fields(options)]
    assert 0.1 in numbers  # the learning rate
    assert 8 in numbers  # scenes


def test_a_variant_that_does_not_exist(stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    calls = stand_in(ABLATE)
    assert main(["ablate", "--out", "o", "--variants", "no-such-thing"]) == BAD_INPUT
    assert "no-such-thing" in capsys.readouterr().err
    assert calls == []
