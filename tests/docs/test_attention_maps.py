"""The page on attention maps, followed with a tiny model in place of the real one."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdiff_core import record_attention
from mmdiff_core.backbones import toybox
from mmdiff_core.inspection.token_maps import SCALES
from tests.helpers import tiny
from tests.helpers.documents import blocks, read
from tests.helpers.markdown import cells
from tests.helpers.paths import DOCS

PAGE = read(DOCS / "attention_maps.md")
BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.save_model("sd", tmp_path / BASE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(toybox, "FOLDER", tiny.save_toybox(tmp_path / "toybox"))
    monkeypatch.setattr(toybox.load_toybox, "__defaults__", (tmp_path / "toybox", *toybox.load_toybox.__defaults__[1:]))
    return tmp_path


@pytest.mark.slow
def test_the_programs_do_what_they_say(place: Path) -> None:
    """One after the other, as a reader types them."""
    three_lines, concepts, looks, step_by_step, photos = blocks(PAGE, "python")
    names: dict[str, object] = {}
    exec(three_lines, names)
    assert names["where"].shape == names["maps"][0].size
    plain = np.asarray(names["image"])
    exec(concepts, names)
    assert np.array_equal(np.asarray(names["image"]), plain)
    assert names["dog"].std() > 0
    exec(looks, names)
    assert names["around"].sum() == pytest.approx(1, abs=1e-2)
    exec(step_by_step, names)
    assert (place / "preview.png").is_file()
    assert names["inspected"].tokens.concepts == ("dog",)
    for number in (1, 2):
        tiny.photo(number).save(place / f"cat{number}.png")
    exec(photos, names)
    assert 0 < names["its_first_token"].mean() < names["second_photo"].mean()


@pytest.mark.slow
def test_the_questions_of_the_table_are_answered() -> None:
    pipe = tiny.stable_diffusion()
    pipe.set_progress_bar_config(disable=True)
    with record_attention(pipe, per_head=True) as maps:
        pipe("a black cat and a cat", num_inference_steps=15, num_images_per_prompt=2)
    name, other = list(maps[0].layers)[:2]
    scope = {"maps": maps, "name": name, "other": other}
    asked = [code for row in cells(PAGE) for code in row[-1].split("`")[1::2] if code.startswith("maps.at(")]
    assert len(asked) >= 7
    for code in asked:
        assert eval(code, scope).ndim == 2, code


@pytest.mark.slow
def test_the_notebook_runs_from_its_first_cell_to_its_last() -> None:
    """On the built-in model itself, as a reader runs it."""
    cells_ = json.loads(read(DOCS / "attention_maps.ipynb"))["cells"]
    programs = [("".join(cell["source"]), cell["outputs"]) for cell in cells_ if cell["cell_type"] == "code"]
    assert len(programs) >= 10
    names: dict[str, object] = {}
    for program, outputs in programs:
        *lines, last = ast.parse(program).body
        shows = isinstance(last, ast.Expr)
        exec(compile(ast.Module(lines if shows else [*lines, last], []), "cell", "exec"), names)
        assert shows == bool(outputs), "its outputs are saved with it"
        if shows:
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            assert isinstance(value, Image.Image) == ("image/png" in outputs[0]["data"]), program
    assert (names["folder"] / "beach_report.html").is_file()


def test_every_scale_and_array_is_described(tmp_path: Path) -> None:
    for scale in SCALES:
        assert f"| `{scale}` |" in PAGE
    pipe = tiny.stable_diffusion()
    with record_attention(pipe) as maps:
        pipe("a cat", num_inference_steps=1)
    maps[0].to_npz(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as written:
        for name in written.files:
            assert f"| `{name.split('/')[0]}" in PAGE, name
