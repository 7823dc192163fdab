"""From the flags of ``evaluate dreambench`` to what is measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmdiff_core.cli.main import main
from tests.helpers import tiny


def test_the_dreambench_suite(stand_in, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dog").mkdir()
    tiny.photo(1).save(tmp_path / "dog" / "00.jpg")
    monkeypatch.setattr("mmdiff_core.evaluation.dreambench.similarity.Evaluators.load", lambda *names: names[:2])
    model = SimpleNamespace(backbone=SimpleNamespace(unet=torch.nn.Linear(1, 1)))
    monkeypatch.setattr(model.backbone.unet, "dtype", torch.float32, raising=False)
    loaded = stand_in("mmdiff_core.cli.evaluate_dreambench.load_from_flags", model)
    calls = stand_in("mmdiff_core.evaluation.dreambench.run.evaluate_dreambench")
    command = ["evaluate", "dreambench", "--dataset", str(tmp_path), "--out", "o", "--device", "cpu", "--base", "b"]
    assert main([*command, "--clip", "c", "--images", "2", "--pairs", "7", "--guidance", "3"]) == 0
    assert main([*command, "--quick"]) == 0
    assert [args.base for (args,) in loaded] == ["b", "b"]
    (_, evaluators, options, about), (_, _, quick, _) = calls
    assert evaluators == ("c", "facebook/dino-vits16")
    assert (options.images, options.pairs, options.guidance, options.prompts) == (2, 7, 3.0, None)
    assert (about["model"], about["dtype"], about["device"]) == ("b", "float32", "cpu")
    assert (quick.images, quick.pairs, quick.prompts) == (1, 2, 2)
