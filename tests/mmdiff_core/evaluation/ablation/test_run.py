"""A whole ablation at toy size: the report, going on, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mmdiff_core.backbones.toybox import Toybox
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.ablation import run as run_module
from mmdiff_core.evaluation.ablation.adapter_variants import FULL, VARIANTS
from mmdiff_core.evaluation.ablation.report import SCORES, ablation_markdown
from mmdiff_core.evaluation.ablation.run import AblationOptions, ablate
from mmdiff_core.evaluation.ablation.stage import ADAPTER, STAGE, load_variant
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny
from tests.helpers.ablation import NAMES
from tests.helpers.markdown import cells

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(options: AblationOptions) -> dict[str, dict]:
    return ablate(options)


def test_table_has_every_variant_with_its_measures(table: dict[str, dict], options: AblationOptions) -> None:
    assert json.loads((options.folder / "ablation.json").read_text())["variants"].keys() == {FULL, *NAMES}
    for name, one in table["variants"].items():
        adapter = load_variant(options.folder / "variants" / name / ADAPTER)
        assert one["parameters"] == sum(parameter.numel() for parameter in adapter.parameters())
        assert 0 < one["seconds"]["least"] <= one["seconds"]["median"] <= one["seconds"]["most"]
        everywhere = SCORES.keys() - {"apart"}  # of two subjects that were both found
        assert {one[score]["n"] for score in everywhere} == {2}  # a prompt of one, one of two subjects
        assert one["one"]["identity"]["n"] == 1
        assert one["two"]["identity"]["n"] == 2
        assert one["training"]["denoise"] > 0
        assert one["change"].keys() == (set() if name == FULL else SCORES.keys())
    assert table["upper"]["subject"]["n"] == table["base"]["text"]["n"] == 2
    assert table["about"]["steps"] == 3
    kinds = [
        {row["kind"] for line in (folder / "report" / "rows.jsonl").open() for row in json.loads(line)}
        for folder in (options.folder / "variants" / name for name in (FULL, NAMES[0]))
    ]
    assert kinds == [{"model", "upper", "lower"}, {"model"}]  # the bounds are the same for all
    with Image.open(options.folder / "ablation.png") as sheet:
        assert sheet.width > 4 * 128
        assert sheet.height > (len(NAMES) + 3) * 128
    text = (options.folder / "ablation.md").read_text()
    assert all(VARIANTS[name].title in text for name in (FULL, *NAMES))
    assert "* **image branch** " in text


def test_finished_variants_are_not_done_again(
    table: dict[str, dict],
    options: AblationOptions,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a finished variant was trained again")

    monkeypatch.setattr(run_module, "_stage", refuse)
    command = ["ablate", "--out", str(options.folder), "--model", str(options.start), "--referee", str(options.referee)]
    command += ["--batch", "4", "--scenes", "12", "--prompts", "1", "--variants"]  # the folder's steps count
    assert main([*command, *NAMES]) == 0
    assert "trained parameters" in cells(capsys.readouterr().out)[0]
    again = json.loads((options.folder / "ablation.json").read_text())
    for name, one in table["variants"].items():
        assert {**again["variants"][name], "seconds": None} == {**one, "seconds": None}
    assert main([*command, "everything"]) == BAD_INPUT
    assert "fastcomposer" in capsys.readouterr().err
    with pytest.raises(AssertionError, match="trained again"):
        main([*command, *NAMES, "rank-4"])


def test_another_budget_or_base_is_refused_and_loses_nothing(table: dict[str, dict], options: AblationOptions) -> None:
    before = (options.folder / "ablation.json").read_bytes()
    for other in (replace(options, steps=4), replace(options, steps=None, minutes=1.0), replace(options, batch=5)):
        with pytest.raises(SettingsError, match="another folder"):
            ablate(other)
    for wrong, word in (
        (replace(options, minutes=1.0), "either"),
        (replace(options, steps=0), "steps"),
        (replace(options, seed=5), "trained on"),
        (replace(options, variants=(VARIANTS["rank-4"],)), "whole method"),
    ):
        with pytest.raises(SettingsError, match=word):
            ablate(wrong)
    assert (options.folder / "ablation.json").read_bytes() == before


def test_minutes_become_steps_that_all_share(
    options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], tmp_path: Path
) -> None:
    (tmp_path / "pool").symlink_to(options.folder / "pool")
    timed = replace(options, folder=tmp_path, steps=None, minutes=0.5)
    backbone, like = base
    recipe = run_module._begin(timed, backbone, like.config)
    kept = json.loads((tmp_path / "settings.json").read_text())
    assert kept["asked"] == "0.5 minutes"
    assert kept["steps"] == recipe.stages[STAGE].steps > 1
    again = run_module._begin(replace(timed, minutes=None), backbone, like.config)
    assert again == recipe


def test_variants_generate_like_any_adapter(
    table: dict[str, dict], options: AblationOptions, base: tuple[Toybox, MMDiffAdapter]
) -> None:
    backbone, _ = base
    for name in (FULL, *NAMES):
        adapter = load_variant(options.folder / "variants" / name / ADAPTER)
        request = GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), seeds=(1,))
        *_, last = Personalizer(backbone, adapter).generate(request)
        assert last.finished is not None
        assert last.finished.image.size == (32, 32)


def test_markdown_of_the_table(table: dict[str, dict]) -> None:
    text = ablation_markdown(table)
    titles = [row[0] for row in cells(text)]
    assert titles.count("real renders") == 2
    assert VARIANTS["ip-adapter-plus"].title in titles
    assert table["about"]["whole method"] in text
    assert text.count("too few images to tell") == len(NAMES)
    assert STAGE not in table["about"]
