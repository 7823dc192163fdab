"""One model under several settings of the request, on tiny models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.result_folder import weights_fingerprint
from mmdiff_core.evaluation.toybox.request_comparison import ComparedModel, claim_comparison, run_comparison
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, draw_toybox_cases
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import tiny

SETTINGS = {"off": {"word_gating": 0.0}, "on": {"word_gating": 1.0}}


@pytest.fixture
def compared(tmp_path: Path, model: Path, referee_file: Path) -> ComparedModel:
    return claim_comparison(tmp_path / "out", model, referee_file, "cpu")


def test_every_setting_reaches_the_requests(compared: ComparedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    generate = compared.personalizer.generate

    def watched(request, photos=None):
        asked.append(request.word_gating)
        return generate(request, photos)

    monkeypatch.setattr(compared.personalizer, "generate", watched)
    cases = draw_toybox_cases(compared.backbone.vocabulary, {2: 1})
    scores = run_comparison(compared, cases, SETTINGS, (0,), FIRST_SEED)
    assert asked == [0.0, 1.0]
    assert (
        [row.prompt for row in scores["off"]] == [row.prompt for row in scores["on"]] == [cases[0].scene.caption.text]
    )


def test_a_later_start_goes_on_behind_a_torn_line(compared: ComparedModel) -> None:
    cases = draw_toybox_cases(compared.backbone.vocabulary, {2: 2})
    whole = run_comparison(compared, cases, SETTINGS, (0,), FIRST_SEED)
    file = compared.folder / "rows-on.jsonl"
    kept = file.read_text()
    file.write_text(kept.splitlines(keepends=True)[0] + '[{"torn')
    assert run_comparison(compared, cases, SETTINGS, (0,), FIRST_SEED) == whole
    assert file.read_text() == kept
    assert [row.number for row in run_comparison(compared, cases[:1], SETTINGS, (0,), FIRST_SEED)["on"]] == [0]


def test_a_given_adapter_takes_the_place_of_the_models_own(tmp_path: Path, model: Path, referee_file: Path) -> None:
    adapter = tmp_path / "adapter.safetensors"
    weights = tiny.adapter_for(tiny.stable_diffusion(), seed=3)
    save_adapter(weights, adapter, {})
    compared = claim_comparison(tmp_path / "out", model, referee_file, "cpu", adapter)
    used = compared.personalizer.adapter.state_dict()
    assert all(torch.equal(x, weights.state_dict()[name]) for name, x in used.items())
    kept = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert kept["adapter"] == weights_fingerprint(adapter)
    with pytest.raises(SettingsError, match="other settings"):
        claim_comparison(tmp_path / "out", model, referee_file, "cpu")
