"""The command that shows a prompt's maps, end to end on tiny models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdiff_core.cli.attention import SCALES
from mmdiff_core.cli.main import main
from mmdiff_core.inspection import token_maps
from mmdiff_core.output.export import read_settings
from tests.helpers import tiny
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model(request.param, tmp_path_factory.mktemp(request.param))


def _attention(base: Path, out: Path, *more: str) -> int:
    flags = ["--base", str(base), "--device", "cpu", "--steps", "2", "--prompt", "a cat on the beach"]
    return main(["attention", *flags, "--out", str(out), *more])


def test_a_stock_base_gives_the_maps_of_its_prompt(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "maps"
    assert _attention(base, out, "--words", "cat, beach", "--concepts", "dog", "--seed", "7", "8", "--per-head") == 0
    ends = [
        ".png",
        "_1_cat.png",
        "_2_beach.png",
        "_3_dog.png",
        "_figure.pdf",
        "_steps.pdf",
        "_maps.npz",
        "_report.html",
    ]
    assert {file.name for file in out.iterdir()} == {f"{n}_seed{s}{end}" for n, s in ((1, 7), (2, 8)) for end in ends}
    shown = capsys.readouterr()
    assert str(out / "2_seed8_report.html") in shown.out
    with np.load(out / "1_seed7_maps.npz") as written:
        assert written["rows"].tolist() == ["<start>", "<other words>", "cat", "beach", "<end>", "<padding>", "dog"]
        layer = next(written[name] for name in written.files if name.startswith("shares/"))
        assert layer.ndim == 5
    settings = read_settings(out / "1_seed7.png")
    assert settings["prompt"] == "a cat on the beach"

    pipe = tiny.open_stock(str(base))
    pipe.set_progress_bar_config(disable=True)
    stock = pipe(
        "a cat on the beach",
        num_inference_steps=2,
        width=32,
        height=32,
        generator=torch.Generator().manual_seed(7),
        guidance_scale=5.0 if "tokenizer_2" in pipe.components else 7.5,
    ).images[0]
    ours = np.asarray(Image.open(out / "1_seed7.png"), dtype=int)
    assert np.abs(ours - np.asarray(stock)).max() <= 1


def test_where_pixels_look_is_recorded_on_demand(base: Path, tmp_path: Path) -> None:
    assert _attention(base, tmp_path, "--self-attention", "2") == 0
    with np.load(tmp_path / "1_seed0_maps.npz") as written:
        layer, step, *size = written["self_attention_of"].tolist()
        assert layer.startswith("up_blocks.1.attentions.1.")
        assert [step, *size] == ["1", "16", "16"]
    assert '"looks": {' in (tmp_path / "1_seed0_report.html").read_text(encoding="utf-8")


def test_every_word_by_default_and_a_budget_that_says_what_it_dropped(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _attention(base, tmp_path, "--map-budget", "30KB", "--scale", "contrast") == 0
    assert len(list(tmp_path.glob("1_seed0_?_*.png"))) == 5
    assert "To stay within the memory budget, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--words", "dog"], '"dog" is not in the prompt'),
        (["--map-budget", "lots"], "write it as 200MB"),
        (["--self-attention", "3"], "There is no step 3 for --self-attention: the image has 2."),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--adapter", "adapter.safetensors"], "leave --adapter out"),
        (["--image", "gone.png"], "gone.png"),
        (
            ["--image-strength", "7", "--image", str(ROOT / "assets/example/picture.png")],
            "The image strength must be above 0 and at most 1",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    flags: list[str], said: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _attention(base, tmp_path / "out", *flags) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert not (tmp_path / "out").exists()


def test_the_scales_are_those_of_the_maps() -> None:
    assert SCALES == token_maps.SCALES
