"""The first prompts side by side, and the time per image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.backbones.toybox import Toybox
from mmdiff_core.evaluation.ablation import side_by_side
from mmdiff_core.evaluation.ablation.side_by_side import (
    SIDE,
    draw_variant_images,
    request_of,
    shown_cases,
    time_images,
    write_comparison_sheet,
)
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.output.image_grid import GAP
from mmdiff_core.pipeline import Personalizer
from tests.helpers.small_referee import VOCABULARY


@pytest.fixture
def personalizer(base: tuple[Toybox, MMDiffAdapter]) -> Personalizer:
    return Personalizer(*base)


def test_a_request_has_the_photos_of_its_case() -> None:
    one, two = shown_cases(VOCABULARY, FIRST_SEED)
    request = request_of(two, (24, 16))
    assert request.prompt == two.scene.caption.text
    assert [subject.name for subject in request.subjects] == list(two.scene.caption.names)
    assert {photo.size for subject in request.subjects for photo in subject.photos} == {(24, 16)}
    assert request.recording is None
    assert len(request_of(one, (16, 16)).subjects) == 1


def test_images_are_drawn_once_plain_and_with_heatmaps(personalizer: Personalizer, tmp_path: Path) -> None:
    draw_variant_images(personalizer, VOCABULARY, FIRST_SEED, "image", tmp_path)
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert files.keys() == {"one_0.png", "one_0_maps.png", "two_0.png", "two_0_maps.png"}
    plain, mapped = (np.asarray(Image.open(tmp_path / f"two_0{end}.png")) for end in ("", "_maps"))
    assert plain.shape == mapped.shape
    assert (plain != mapped).mean() > 0.1
    draw_variant_images(personalizer, VOCABULARY, FIRST_SEED, "image", tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files


def test_models_take_turns(personalizer: Personalizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "ROUNDS", 2)
    turns: list[tuple[str, int]] = []
    bare = Personalizer(personalizer.backbone)

    def generate(self: Personalizer, request, photos=None):
        turns.append(("bare" if self is bare else "whole", len(request.subjects)))
        yield None

    monkeypatch.setattr(Personalizer, "generate", generate)
    times = time_images({"whole": personalizer, "bare": bare}, VOCABULARY, FIRST_SEED)
    assert turns == [("whole", 2), ("bare", 0)] * 3  # the first round warms up
    for seconds in times.values():
        assert seconds.rounds == 2
        assert 0 <= seconds.least <= seconds.median <= seconds.most


def test_a_sheet_has_a_row_for_every_variant(tmp_path: Path) -> None:
    red = Image.new("RGB", (16, 16), "red")
    for name in ("one_0", "one_0_maps", "two_0", "two_0_maps"):
        red.save(tmp_path / f"{name}.png")
    write_comparison_sheet(VOCABULARY, FIRST_SEED, (16, 16), {"a": tmp_path, "b": tmp_path}, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    assert sheet.shape[1] == 150 + GAP + 4 * (SIDE + GAP)
    assert sheet.shape[0] == 48 + GAP + 4 * (SIDE + GAP)
    generated = sheet[-2 * (SIDE + GAP) :, 150 + GAP :]
    assert ((generated == (255, 0, 0)).all(-1)).mean() > 0.95
    photos = sheet[48 + GAP : 48 + GAP + SIDE, 150 + GAP :]
    assert (photos[:, SIDE + GAP : 2 * SIDE] == 255).all()  # the first case has one subject
    assert (photos[:, :SIDE] < 255).any()
