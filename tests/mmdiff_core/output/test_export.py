"""Images as files: with their settings inside, their overlays and maps, and everything in one zip."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdiff_core.errors import PhotoError
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.output.export import (
    OVERLAY_SIDE,
    archive,
    informative_kind,
    parameters_line,
    png_info,
    read_settings,
    write_image,
)
from mmdiff_core.output.figures import overview_figure
from mmdiff_core.results import GeneratedImage
from tests.mmdiff_core.output.conftest import SETTINGS


def test_the_zip_is_complete(generated: GeneratedImage, previews: list[Image.Image]) -> None:
    with zipfile.ZipFile(io.BytesIO(archive(generated, previews, notes={"note.txt": "hello"}))) as packed:
        assert sorted(packed.namelist()) == [
            *("figure.pdf", "figure.png", "mm-diff-3.png", "mm-diff-3_1_cat.png", "mm-diff-3_2_dog.png"),
            *("mm-diff-3_maps.npz", "note.txt", "settings.json", "steps.pdf", "steps.png"),
        ]
        assert json.loads(packed.read("settings.json")) == SETTINGS
        assert packed.read("figure.pdf").startswith(b"%PDF")
        assert np.load(io.BytesIO(packed.read("mm-diff-3_maps.npz")))["text/mid"].shape == (12, 2, 3, 4)


def test_overlays_show_a_map_that_tells_something(generated: GeneratedImage) -> None:
    """Of one subject without a null token the image map is 1 everywhere; before the delay is over it is nothing."""
    assert generated.maps is not None
    assert informative_kind(generated.maps) == "image"
    text = generated.maps.records[5].kinds["text"]

    def with_maps(**kinds: torch.Tensor) -> AttentionMaps:
        return AttentionMaps(("cat", "dog"), (StepMaps(0, "mid", (3, 4), {"text": text, **kinds}),))  # type: ignore[dict-item]

    flat = torch.ones_like(text)
    assert informative_kind(with_maps(image=flat, influence=text)) == "influence"
    assert informative_kind(with_maps(image=0 * flat, influence=0 * flat)) == "text"
    assert informative_kind(with_maps()) == "text"


def test_without_maps_there_is_nothing_to_draw(generated: GeneratedImage) -> None:
    bare = GeneratedImage(generated.image, 3, None, (), SETTINGS)
    with zipfile.ZipFile(io.BytesIO(archive(bare))) as packed:
        assert sorted(packed.namelist()) == ["mm-diff-3.png", "settings.json"]


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


def test_the_parameters_are_as_other_programs_write_them() -> None:
    assert parameters_line(SETTINGS).splitlines() == [
        "a cat, a dog", "Steps: 12, CFG scale: 3.0, Seed: 3, Size: 32x24, Model: toybox",
    ]  # fmt: skip
    assert "Negative prompt: snow" in parameters_line({**SETTINGS, "negative_prompt": "snow"})


def test_files_are_named_after_the_subjects(generated: GeneratedImage, tmp_path: Path) -> None:
    files = write_image(generated, tmp_path, "x", "text", ["#FF0000", "#0000FF"])
    assert [file.name for file in files] == ["x.png", "x_1_cat.png", "x_2_dog.png", "x_maps.npz"]
    assert read_settings(files[0]) == SETTINGS


def test_files_of_subjects_with_one_name_are_numbered(generated: GeneratedImage, tmp_path: Path) -> None:
    alike = replace(generated, words=tuple(replace(word, text="cat") for word in generated.words))
    files = write_image(alike, tmp_path, "x", "text")
    assert [file.name for file in files[1:3]] == ["x_1_cat-1.png", "x_2_cat-2.png"]
    assert [axes.get_title() for axes in overview_figure(alike, "text").axes][1:3] == ["cat 1 (word)", "cat 2 (word)"]


def test_an_overlay_is_large_and_opens_as_settings(generated: GeneratedImage, tmp_path: Path) -> None:
    """In the picture's own pixels the outline of a small model's picture would be a band."""
    _, cat, dog, _ = write_image(generated, tmp_path, "x", "text", ["#FF0000", "#0000FF"])
    with Image.open(cat) as red, Image.open(dog) as blue:
        assert max(red.size) >= OVERLAY_SIDE
        assert red.size[0] / red.size[1] == generated.image.width / generated.image.height
        assert red.convert("RGB").tobytes() != blue.convert("RGB").tobytes()
    assert read_settings(cat) == read_settings(dog) == SETTINGS
