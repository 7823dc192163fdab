"""From the flags of ``annotate`` to what is annotated or rendered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdiff_core.cli.annotate import face_finder
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.training.annotate import annotators
from mmdiff_core.training.annotate.run import AnnotationOutcome
from tests.helpers import tiny, tiny_annotators


def test_toys_are_annotated_without_any_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "--toys", "2", "--size", "48", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"2 annotated images in {tmp_path / 'out'}\n"
    assert (tmp_path / "out" / "contact-001.png").is_file()


def test_flags(stand_in, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.photo(1).save(tmp_path / "1.png")
    for name in ("BlipCaptioner", "GroundingDino", "Sam"):
        monkeypatch.setattr(annotators, name, lambda *arguments: arguments)
    outcomes = [AnnotationOutcome("1.png", image_id="1"), AnnotationOutcome("2.png", None, "too small")]
    calls = stand_in("mmdiff_core.training.annotate.run.annotate", outcomes)
    flags = ["--captioner", "mine", "--threshold", "0.5", "--subjects", "3", "--smallest", "64", "--identities"]
    assert main(["annotate", str(tmp_path), "--out", "o", "--device", "cpu", *flags]) == 0
    ((options, trio, rules),) = calls
    assert (options.images, options.out, options.identities, options.faces) == (tmp_path, Path("o"), True, None)
    assert (trio.caption, trio.segment) == (("mine", "cpu"), (annotators.SEGMENTER, "cpu"))
    assert trio.detect == (annotators.DETECTOR, "cpu", 0.5)
    assert (rules.smallest_side, rules.subjects) == (64, 3)
    assert "1 of 2 images annotated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "IMAGES or --toys"),
        (["folder", "--toys", "2"], "IMAGES or --toys"),
        (["folder", "--threshold", "2"], "--threshold must be from 0 to 1"),
        (["--toys", "0"], "--toys at least 1"),
    ],
)
def test_what_cannot_be_annotated(flags: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "--out", "o", *flags]) == BAD_INPUT
    assert told in capsys.readouterr().err


def test_faces_are_found_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmdiff_core.encoders.face.InsightFaces", lambda device: ("finder", device))
    assert face_finder("cuda:1") == ("finder", "cuda:1")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images that can be annotated, one that is too small, and one that is damaged."""
    root = tmp_path / "images"
    root.mkdir()
    for number in range(2):
        tiny.photo(number, (80, 64)).save(root / f"{number}.png")
    tiny.photo(9, (16, 16)).save(root / "small.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    return root


def test_every_image_gets_a_record_or_a_reason(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Random models find no cats."""
    flags = []
    for flag, make in {
        "--captioner": tiny_annotators.blip,
        "--detector": tiny_annotators.grounding_dino,
        "--segmenter": tiny_annotators.sam,
    }.items():
        flags += [flag, str(make(tmp_path / flag[2:]))]
    out = tmp_path / "out"
    command = ["annotate", str(images), "--out", str(out), "--smallest", "32", "--device", "cpu", *flags]
    assert main([*command, "--threshold", "0.0"]) == 0
    assert "of 4 images annotated" in capsys.readouterr().out
    lines = [json.loads(line) for line in (out / "progress.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    reasons = {line["source"]: line["reason"] for line in lines if line["image_id"] is None}
    assert reasons["small.png"] == "the image is too small"
    assert reasons["broken.jpg"] == "the image cannot be read"
