"""Annotating a folder: it continues after a stop, and reports what it dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mmdiff_core.errors import SettingsError
from mmdiff_core.training.annotate import run
from mmdiff_core.training.annotate.run import AnnotateOptions, annotate
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.format import Annotation
from mmdiff_core.types import Box, Face
from tests.helpers import tiny
from tests.helpers.fake_annotators import RULES, SIZE, FakeAnnotators, FakeFace
from tests.helpers.markdown import cells


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four good images in two subfolders, one with a caption, and two bad ones."""
    root = tmp_path / "images"
    for number, name in enumerate(("rex/1.png", "rex/2.jpg", "tom/1.png", "tom/2.webp")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        tiny.photo(number, SIZE).save(root / name)
    (root / "rex" / "2.txt").write_text("a hound beside a dog")
    tiny.photo(9, (16, 16)).save(root / "small.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    (root / "notes.md").write_text("no image")
    return root


def outcomes(images: Path, out: Path, fake: FakeAnnotators, **options: object) -> dict[str, str | None]:
    done = annotate(AnnotateOptions(images, out, **options), fake.all(), RULES)
    return {outcome.source: outcome.image_id for outcome in done}


def test_a_folder_becomes_one_to_train_on(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = outcomes(images, out, FakeAnnotators(), identities=True)
    assert done == {
        "broken.jpg": None, "rex/1.png": "000000000", "rex/2.jpg": "000000001", "small.png": None,
        "tom/1.png": "000000002", "tom/2.webp": "000000003",
    }  # fmt: skip
    folder = AnnotatedFolder(out)
    assert [annotation.caption for annotation in folder.annotations][1] == "a hound beside a dog"
    assert {name: len(places) for name, places in folder.identities.items()} == {"rex": 2, "tom": 2}
    record = folder.read(0)
    assert record.image.size == SIZE
    assert len(next(iter(record.photos.values()))) == 1  # the other image of rex


def test_the_report_tells_what_was_dropped_and_why(images: Path, tmp_path: Path) -> None:
    outcomes(images, tmp_path / "out", FakeAnnotators())
    report = (tmp_path / "out" / "report.md").read_text()
    assert "4 of 6 images were annotated" in report
    assert ["the image is too small", "1"] in cells(report)
    assert "`small.png`: 16 x 16" in report
    assert '`broken.jpg`: "broken.jpg" is not a picture' in report


def test_the_contact_sheet_is_drawn(images: Path, tmp_path: Path) -> None:
    outcomes(images, tmp_path / "out", FakeAnnotators())
    assert len(list((tmp_path / "out").glob("contact-*.png"))) == 1


def test_a_stopped_run_goes_on_where_it_was(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the third image's writing, with a line of progress cut in half."""
    out, fake = tmp_path / "out", FakeAnnotators()

    class Killed(BaseException):
        pass

    write = run._write

    def killed(folder: Path, annotation: Annotation, *rest: object) -> None:
        if annotation.image_id == "000000002":
            (folder / "00000" / "000000002.jpg").write_bytes(b"half")
            raise Killed
        write(folder, annotation, *rest)

    monkeypatch.setattr(run, "_write", killed)
    with pytest.raises(Killed):
        outcomes(images, out, fake)
    with (out / "progress.jsonl").open("a") as progress:
        progress.write('{"source": "tom/1.p')
    monkeypatch.setattr(run, "_write", write)
    first, again = len(fake.asked), FakeAnnotators()
    done = outcomes(images, out, again)
    assert list(done.values()) == [None, "000000000", "000000001", None, "000000002", "000000003"]
    assert len(again.asked) == 4  # two images, each captioned and searched
    assert first == 5
    assert len(AnnotatedFolder(out)) == 4
    assert outcomes(images, out, untouched := FakeAnnotators()) == done
    assert untouched.asked == []


def test_faces_are_written(images: Path, tmp_path: Path) -> None:
    class Finder:
        def find(self, photo: Image.Image) -> list[FakeFace]:
            return [FakeFace(Box(0.15, 0.2, 0.3, 0.4), Face((0.5,) * 512, tiny.photo(5, (16, 16))))]

    outcomes(images, tmp_path / "out", FakeAnnotators(), faces=Finder())
    record = AnnotatedFolder(tmp_path / "out").read(0)
    assert record.faces[1][0].embedding == (0.5,) * 512
    assert record.faces[1][0].crop.size == (16, 16)


def test_folders_that_cannot_be(images: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no folder"):
        outcomes(tmp_path / "none", tmp_path / "out", FakeAnnotators())
    with pytest.raises(SettingsError, match="among the images"):
        outcomes(images, images / "out", FakeAnnotators())
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="no image"):
        outcomes(tmp_path / "empty", tmp_path / "out", FakeAnnotators())
