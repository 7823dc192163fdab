from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdiff_core.errors import PhotoError
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.output.animation import animated, growth_frames
from mmdiff_core.output.export import archive, png_info, read_settings, telling_stream
from mmdiff_core.output.figures import MOST_COLUMNS, overview_figure, steps_figure
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import Word

SETTINGS = {
    "model": "toybox",
    "prompt": "a cat, a dog",
    "negative_prompt": "",
    "seed": 3,
    "steps": 12,
    "guidance": 3.0,
    "width": 32,
    "height": 24,
}


@pytest.fixture(scope="module")
def picture() -> GeneratedImage:
    """Twelve steps; the first has no image map. The cat's maps grow from 0 at its left column."""
    records = []
    for step in range(12):
        maps = torch.zeros(2, 3, 4)
        maps[0, :, 0], maps[1, :, 3] = step / 12, 0.5
        kinds = {"text": maps.half()} | ({"image": maps.half()} if step else {})
        records.append(StepMaps(step, "mid", (3, 4), kinds))
    words = (Word(0, "cat", 2, 5), Word(1, "dog", 9, 12))
    return GeneratedImage(
        Image.new("RGB", (32, 24), "grey"), 3, AttentionMaps(("cat", "dog"), tuple(records)), words, SETTINGS
    )


PREVIEWS = [Image.new("RGB", (8, 6), (20 * step, 0, 0)) for step in range(12)]


def test_the_zip_is_complete(picture: GeneratedImage) -> None:
    with zipfile.ZipFile(io.BytesIO(archive(picture, PREVIEWS, notes={"note.txt": "hello"}))) as packed:
        assert sorted(packed.namelist()) == [
            *("figure.pdf", "figure.png", "mm-diff-3.png", "mm-diff-3_1_cat.png", "mm-diff-3_2_dog.png"),
            *("mm-diff-3_maps.npz", "note.txt", "settings.json", "steps.pdf", "steps.png"),
        ]
        assert json.loads(packed.read("settings.json")) == SETTINGS
        assert packed.read("figure.pdf").startswith(b"%PDF")
        assert np.load(io.BytesIO(packed.read("mm-diff-3_maps.npz")))["text/mid"].shape == (12, 2, 3, 4)


def test_overlays_show_a_map_that_tells_something(picture: GeneratedImage) -> None:
    """Of one subject without a null token the image map is 1 everywhere; before the delay is over it is nothing."""
    assert picture.maps is not None
    assert telling_stream(picture.maps) == "image"
    text = picture.maps.records[5].kinds["text"]

    def with_maps(**kinds: torch.Tensor) -> AttentionMaps:
        return AttentionMaps(("cat", "dog"), (StepMaps(0, "mid", (3, 4), {"text": text, **kinds}),))  # type: ignore[dict-item]

    flat = torch.ones_like(text)
    assert telling_stream(with_maps(image=flat, influence=text)) == "influence"
    assert telling_stream(with_maps(image=0 * flat, influence=0 * flat)) == "text"
    assert telling_stream(with_maps()) == "text"


def test_without_maps_there_is_nothing_to_draw(picture: GeneratedImage) -> None:
    bare = GeneratedImage(picture.image, 3, None, (), SETTINGS)
    with zipfile.ZipFile(io.BytesIO(archive(bare))) as packed:
        assert sorted(packed.namelist()) == ["mm-diff-3.png", "settings.json"]


def test_the_overview_has_a_panel_and_a_bar_per_subject(picture: GeneratedImage) -> None:
    figure = overview_figure(picture, "text")
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["seed 3", "cat (word)", "dog (word)"]
    assert len(figure.axes) == 3 + 2
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), picture.maps.at("cat", "text"))


def test_the_steps_run_from_first_to_last_on_one_scale(picture: GeneratedImage) -> None:
    figure = steps_figure(picture, PREVIEWS, "image")
    first, *_, last = (axes.get_title() for axes in figure.axes[:MOST_COLUMNS])
    assert (first, last) == ("step 1", "step 12")
    cats = figure.axes[MOST_COLUMNS : 2 * MOST_COLUMNS]
    assert len(cats[0].images) == 0  # a step that has no image map stays empty
    for axes in cats[1:]:
        assert axes.images[0].get_clim() == pytest.approx((0, 11 / 12), abs=1e-3)


def test_frames_show_the_maps_in_the_colours_asked_for(picture: GeneratedImage) -> None:
    frames = growth_frames(picture, PREVIEWS, "text", ["#00FF00", "#0000FF"], opacity=1.0)
    assert len(frames) == 13
    width, height = frames[5].size
    assert (width, height) == (2 * 384, 288)
    assert frames[5].getpixel((5, 5)) == (100, 0, 0)  # the preview alone
    assert frames[5].getpixel((width // 2 + 5, 140)) == (0, 255, 0)
    assert frames[5].getpixel((width - 5, 140)) == (0, 0, 255)


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_an_animation_moves_and_rests_on_the_last_frame(picture: GeneratedImage, kind: str) -> None:
    frames = growth_frames(picture, PREVIEWS[:3], "text")
    with Image.open(io.BytesIO(animated(frames, kind))) as moving:
        assert (moving.format, moving.n_frames) == (kind.upper(), 4)
        moving.seek(3)
        moving.load()
        assert moving.info["duration"] == 1600


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n torn"])
def test_a_file_that_is_no_picture_is_named_without_its_folder(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "torn.png"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"torn\.png") as raised:
        read_settings(path)
    assert str(tmp_path) not in str(raised.value)


def test_only_settings_of_this_program_are_read(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4))
    image.save(tmp_path / "own.png", pnginfo=png_info(SETTINGS))
    assert read_settings(tmp_path / "own.png") == SETTINGS
    info = png_info(SETTINGS)
    info.add_text("mmdiff", "[1, 2")
    image.save(tmp_path / "forged.png", pnginfo=info)
    image.save(tmp_path / "plain.png")
    for name in ("forged", "plain"):
        with pytest.raises(PhotoError, match="carries no settings"):
            read_settings(tmp_path / f"{name}.png")
