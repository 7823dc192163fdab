"""From the flags of ``annotate`` to what is annotated or rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdiff_core.cli.annotate import face_finder
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.training.annotate import annotators
from mmdiff_core.training.annotate.run import AnnotationOutcome
from tests.helpers import tiny


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
    assert (options.pictures, options.out, options.identities, options.faces) == (tmp_path, Path("o"), True, None)
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
