"""The sheet of failure cases: judged as far as the referee can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmdiff_core.backbones import toybox
from mmdiff_core.backbones.base import Defaults
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.evaluation.failure_cases.cases import FailureCase, draw_failure_cases
from mmdiff_core.evaluation.failure_cases.sheet import run_failure_case
from mmdiff_core.evaluation.toybox import toybox_judge
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.network import Referee, save_referee
from mmdiff_core.toyworld.scenes.vocabulary import save_vocabulary
from tests.helpers import tiny
from tests.helpers.small_referee import CONFIG, VOCABULARY

SIZE = (32, 32)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toybox_judge, "CANDIDATES", 4)
        patch.setattr(toybox_judge, "DISTRACTORS", 3)
        patch.setattr(toybox, "DEFAULTS", Defaults(steps=2, guidance=2.0))
        yield


@pytest.fixture(scope="module")
def failures() -> dict[str, FailureCase]:
    return {failure.title: failure for failure in draw_failure_cases(VOCABULARY, SIZE)}


@pytest.mark.slow
def test_sheet_is_judged_as_far_as_the_referee_can(failures: dict[str, FailureCase], tmp_path: Path) -> None:
    model = tiny.save_toybox(tmp_path / "model")
    save_vocabulary(VOCABULARY, model)
    save_referee(Referee(CONFIG), tmp_path / "referee.safetensors")
    command = ["failure-cases", "--model", str(model), "--referee", str(tmp_path / "referee.safetensors")]
    sheet = tmp_path / "sheets" / "limits.png"
    assert main([*command, "--images", "1", "--out", str(sheet)]) == 0
    with Image.open(sheet) as image:
        assert image.height > len(failures) * 160
    assert main([*command, "--images", "0", "--out", str(tmp_path / "none.png")]) == BAD_INPUT
    assert not (tmp_path / "none.png").exists()


@pytest.mark.slow
def test_what_is_judged_and_what_is_not(failures: dict[str, FailureCase], tmp_path: Path) -> None:
    torch.manual_seed(0)
    suite = ToyboxSuite(Personalizer.load(tiny.save_toybox(tmp_path)), Referee(CONFIG).eval(), (0,))
    rows = {title: run_failure_case(failure, suite).images[0].scores for title, failure in failures.items()}
    assert len(rows["Three look-alikes"].identity) == len(rows["Three look-alikes"].likeness) == 3
    assert len(rows["Photos unlike the world's"].identity) == 1
    for title in ("Three toys of one class (cat)", "Unseen class (mushroom)"):
        assert rows[title].identity == rows[title].likeness == []
        assert failures[title].unjudged
    mushroom = run_failure_case(failures["Unseen class (mushroom)"], suite)
    assert len(mushroom.images) == 1
    assert mushroom.images[0].image.size == SIZE
    assert not mushroom.images[0].regions.any()
