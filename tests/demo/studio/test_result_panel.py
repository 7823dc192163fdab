"""What the viewer asks the server for, and what a saved image puts back into the fields."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from demo.studio.generate import GenerationRunner
from demo.viewer.history import History
from mmdiff_core.output.export import png_info
from tests.helpers.stand_in import Values


@pytest.fixture
def finished(generation: GenerationRunner, values: Values) -> tuple[History, dict[str, Any]]:
    """A run's history, and the frame of its image."""
    (checked,) = generation.check(values)
    history = values[generation.result.history]
    updates = generation.run(checked[generation.actions.planned], history)
    *_, last = (update for update in updates if isinstance(update, gr.HTML))
    return history, last.value["pictures"][0]


def _event(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


@pytest.mark.slow
def test_a_zip_holds_the_image_its_settings_and_how_to_make_it_again(
    generation: GenerationRunner, finished: tuple[History, dict[str, Any]]
) -> None:
    history, frame = finished
    packed = generation.result._pack(history, _event(name=frame["name"], kind="text", scale="share"))
    with zipfile.ZipFile(packed["file"]["path"]) as archive:
        names = archive.namelist()
    assert {"settings.json", "reproduce.py", "reproduce.sh", "mm-diff-4.png"} <= set(names)


def test_what_the_page_cannot_ask_for_is_refused(
    generation: GenerationRunner, finished: tuple[History, dict[str, Any]]
) -> None:
    history, frame = finished
    for event in (_event(name="none", kind="text"), _event(name=frame["name"], kind="soul")):
        with pytest.raises(gr.Error):
            generation.result._pack(history, event)
    with pytest.raises(gr.Error):
        generation.result._animate(history, _event(name=frame["name"], kind="text", format="exe"))


def _kept(generation: GenerationRunner) -> dict[Any, Any]:
    return {generation.form.compose.undo.stack: (), generation.result.history: History()}


def test_advice_goes_into_the_fields_that_there_are(generation: GenerationRunner) -> None:
    generation.result.form = generation.form
    cards = generation.form.compose.cards
    change = {"start_step": 2, "strengths": {"1": 0.5, "9": 0.5}, "prompt": "no advice"}
    update = generation.result._advise(_kept(generation), _event(change=change, seed=7))
    settings = generation.form.settings
    assert (update[settings.start_step], update[cards[1].strength], update[settings.seed]) == (2, 0.5, "7")
    assert generation.form.compose.prompt not in update


def test_a_saved_image_fills_the_fields(
    generation: GenerationRunner, finished: tuple[History, dict[str, Any]], tmp_path: Path
) -> None:
    history, frame = finished
    picture = history.get(frame["name"]).picture
    picture.image.save(tmp_path / "saved.png", pnginfo=png_info(picture.settings))
    generation.result.form = generation.form
    update = generation.result._restore({generation.result.open: str(tmp_path / "saved.png")} | _kept(generation))
    compose = generation.form.compose
    assert update[compose.prompt] == "a cat and a robot"
    assert [update[card.name] for card in compose.cards[:2]] == ["cat", "robot"]
    assert update[generation.form.linked] == []  # what a link has filled in is no longer there
    (tmp_path / "other.png").write_bytes(b"no picture")
    with pytest.raises(gr.Error):
        generation.result._restore({generation.result.open: str(tmp_path / "other.png")} | _kept(generation))


def test_a_picture_of_another_program_gives_what_the_fields_can_hold(
    generation: GenerationRunner, tmp_path: Path
) -> None:
    info = PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 9007199254740993, Size: 64x64")
    Image.new("RGB", (64, 64)).save(tmp_path / "other.png", pnginfo=info)
    generation.result.form = generation.form
    update = generation.result._restore({generation.result.open: str(tmp_path / "other.png")} | _kept(generation))
    settings = generation.form.settings
    assert update[generation.form.compose.prompt] == "a cat"
    assert (update[settings.seed], update[settings.steps], update[settings.guidance]) == ("9007199254740993", 20, 7)
    toast = update[generation.form.compose.undo.toast].value  # the one place for it, so that files do not pile up
    assert toast["said"] == (
        "Taken over from another program's picture: prompt, steps, guidance, seed. "
        "Not taken over: Sampler Euler a, Size 64x64. Its subjects need photos and names here."
    )
