"""Annotating: the models through transformers, the rules with stand-ins, and a folder that goes on after a stop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor
from transformers.models.sam.processing_sam import SamProcessor

from mmdiff_core.cli.main import main
from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.training.annotate import annotators, run
from mmdiff_core.training.annotate.annotators import Detection
from mmdiff_core.training.annotate.faces import add_faces
from mmdiff_core.training.annotate.rules import Annotators, Dropped, Rules, annotate_picture, overlap, without_overlaps
from mmdiff_core.training.annotate.run import AnnotateOptions, annotate
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.format import Annotation, BoxPixels, Segment
from mmdiff_core.types import Box, Face
from tests.helpers import annotated, tiny, tiny_annotators

CAPTION = "a cat next to a dog on the beach"
CAT, DOG = (10.4, 10.0, 30.0, 50.2), (40.0, 20.0, 60.0, 60.0)
SIZE = (80, 64)
RULES = Rules(smallest_side=32)


# ---------------------------------------------------------------- the models


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("annotators")
    makers = (tiny_annotators.blip, tiny_annotators.grounding_dino, tiny_annotators.sam)
    return {make.__name__: make(root / make.__name__) for make in makers}


def test_blip_writes_words(saved: dict[str, Path]) -> None:
    caption = annotators.BlipCaptioner(saved["blip"])
    words = caption(tiny.photo(1)).split()
    assert words
    assert set(words) <= set(tiny_annotators.WORDS)
    assert caption(tiny.photo(1)).split() == words


def test_grounding_dino_finds_what_its_own_processor_finds(saved: dict[str, Path]) -> None:
    picture, phrases, threshold = tiny.photo(1, (60, 40)), ["a black cat", "dog"], 0.05
    detect = annotators.GroundingDino(saved["grounding_dino"], threshold=threshold)
    found = detect(picture, phrases)
    processor = GroundingDinoProcessor(detect.images, detect.tokenizer)
    inputs = processor(images=picture, text="a black cat. dog.", return_tensors="pt")
    with torch.no_grad():
        output = detect.model(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        output, inputs.input_ids, threshold=threshold, text_threshold=threshold, target_sizes=[(40, 60)]
    )
    assert 0 < len(found) <= len(theirs["scores"])
    boxes, scores = theirs["boxes"], theirs["scores"].tolist()
    for thing in found:
        away = (boxes - torch.tensor(thing.box)).abs().amax(1)
        nearest = int(away.argmin())
        assert away[nearest] < 1e-3
        assert thing.score <= scores[nearest] + 1e-5  # theirs counts the tokens between the phrases, too
        assert any(word in theirs["text_labels"][nearest] for word in phrases[thing.phrase].split())


def test_a_phrase_scores_by_its_best_token() -> None:
    text, spans = annotators.join_phrases(["A cat", "the dog"])
    assert text == "a cat. the dog."
    assert [text[start:end] for start, end in spans] == ["a cat", "the dog"]
    offsets = [(0, 0), (0, 1), (2, 5), (5, 6), (7, 10), (11, 14), (14, 15), (0, 0)]
    scores = torch.tensor([[0.9, 0.1, 0.2, 0.9, 0.3, 0.1, 0.9, 0.9]])
    assert [annotators._phrase_scores(scores, offsets, span).item() for span in spans] == pytest.approx([0.2, 0.3])


def test_sam_outlines_what_its_own_processor_outlines(saved: dict[str, Path]) -> None:
    picture, boxes = tiny.photo(1, (60, 40)), [(1.0, 2.0, 30.0, 30.0), (30.0, 0.0, 59.0, 39.0)]
    segment = annotators.Sam(saved["sam"])
    masks = segment(picture, boxes)
    processor = SamProcessor(segment.images)
    inputs = processor(images=picture, input_boxes=[[list(box) for box in boxes]], return_tensors="pt")
    seen = {name: inputs[name].float() for name in ("pixel_values", "input_boxes")}
    with torch.no_grad():
        output = segment.model(**seen, multimask_output=False)
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    (theirs,) = processor.post_process_masks(output.pred_masks, *sizes)
    assert len(masks) == 2
    assert not np.array_equal(masks[0], masks[1])
    for mask, other in zip(masks, theirs, strict=True):
        assert mask.shape == (40, 60)
        assert np.array_equal(mask, other[0].numpy())


def test_a_missing_model_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match="models --download Salesforce/blip"):
        annotators.BlipCaptioner()


def test_a_model_of_another_kind_is_named(saved: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="grounding_dino"):
        annotators.BlipCaptioner(saved["grounding_dino"])


# ---------------------------------------------------------------- the rules


@dataclass
class StandIn:
    """Models that see what a test says, and count their calls."""

    caption_text: str = CAPTION
    found: Sequence[Detection] = (Detection(1, 0.8, DOG), Detection(0, 0.9, CAT))
    fill: float = 1.0  # of the box
    asked: list[object] = field(default_factory=list)

    def caption(self, picture: Image.Image) -> str:
        self.asked.append(picture.size)
        return self.caption_text

    def detect(self, picture: Image.Image, phrases: Sequence[str]) -> list[Detection]:
        self.asked.append(tuple(phrases))
        return list(self.found)

    def segment(self, picture: Image.Image, boxes: Sequence[BoxPixels]) -> list[np.ndarray]:
        masks = []
        for left, top, right, bottom in boxes:
            mask = np.zeros((picture.height, picture.width), bool)
            mask[int(top) : int(top + self.fill * (bottom - top)), int(left) : int(right)] = True
            masks.append(mask)
        return masks

    def models(self) -> Annotators:
        return Annotators(self.caption, self.detect, self.segment)


def look(stand_in: StandIn, size: tuple[int, int] = SIZE, **options: object) -> tuple[Annotation, np.ndarray]:
    return annotate_picture(tiny.photo(0, size), "000000000", stand_in.models(), RULES, **options)


def test_an_annotation_as_the_official_tool_writes_it() -> None:
    stand_in = StandIn()
    annotation, ids = look(stand_in)
    assert stand_in.asked == [SIZE, ("a cat", "a dog", "the beach")]
    assert annotation == Annotation(
        "000000000",
        CAPTION,
        (Segment(1, "a cat", 0, 5, (11.0, 10.0, 30.0, 50.0)), Segment(2, "a dog", 14, 19, DOG)),
    )
    assert (ids == 1).sum() == 20 * 40
    assert ids[30, 50] == 2


def test_a_persons_caption_is_taken() -> None:
    stand_in = StandIn(found=[Detection(0, 0.9, CAT)])
    annotation, _ = look(stand_in, caption="  my  tiger\n")
    assert annotation.caption == "my tiger"
    assert stand_in.asked == [("my tiger",)]


@pytest.mark.parametrize(
    ("stand_in", "reason"),
    [
        (StandIn(caption_text=" "), "the caption is empty"),
        (StandIn(caption_text="many people"), "no noun phrase in the caption"),
        (StandIn(found=[]), "nothing was found"),
        (
            StandIn(found=[Detection(0, 0.9, CAT), Detection(1, 0.9, DOG), Detection(2, 0.9, (0, 50, 9, 60))]),
            "too many things",
        ),
        (StandIn(found=[Detection(0, 0.9, CAT), Detection(0, 0.9, DOG)]), "one phrase for several things"),
        (StandIn(found=[Detection(0, 0.9, (1, 1, 4, 4))]), "a thing is too small or fills the picture"),
        (StandIn(found=[Detection(0, 0.9, (0, 0, 80, 64))]), "a thing is too small or fills the picture"),
        (StandIn(fill=0.1), "a mask does not fit its box"),
    ],
)
def test_why_a_picture_is_dropped(stand_in: StandIn, reason: str) -> None:
    with pytest.raises(Dropped) as caught:
        look(stand_in)
    assert caught.value.reason == reason


def test_a_small_picture_costs_no_model() -> None:
    stand_in = StandIn()
    with pytest.raises(Dropped) as caught:
        look(stand_in, size=(20, 200))
    assert caught.value.reason == "the picture is too small"
    assert stand_in.asked == []


def test_overlapping_boxes_leave_the_best() -> None:
    shifted = (12.0, 10.0, 32.0, 50.0)
    kept = without_overlaps([Detection(0, 0.5, shifted), Detection(1, 0.8, DOG), Detection(0, 0.9, CAT)], 0.5)
    assert [thing.box for thing in kept] == [CAT, DOG]
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_a_smaller_thing_is_in_front() -> None:
    stand_in = StandIn(found=[Detection(0, 0.9, (0, 0, 60, 60)), Detection(1, 0.9, (10, 10, 30, 30))])
    _, ids = look(stand_in)
    assert ids[20, 20] == 2
    assert ids[50, 50] == 1


@dataclass(frozen=True)
class AFace:
    box: Box
    face: Face


def test_faces_go_to_the_segments_they_lie_in() -> None:
    annotation, ids = look(StandIn())
    crop = tiny.photo(5, (16, 16))
    faces = [
        AFace(Box(0.15, 0.2, 0.3, 0.4), Face((0.1,) * 512, crop)),  # on the cat
        AFace(Box(0.2, 0.2, 0.25, 0.3), Face((0.2,) * 512, crop)),  # a smaller one there
        AFace(Box(0.9, 0.0, 1.0, 0.1), Face((0.3,) * 512, crop)),  # on nothing
    ]
    with_faces, crops = add_faces(annotation, ids, faces)
    assert [segment.face and segment.face[0] for segment in with_faces.segments] == [0.1, None]
    assert crops == {1: crop}


# ---------------------------------------------------------------- folders


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four good pictures in two subfolders, one with a caption, and two bad ones."""
    root = tmp_path / "pictures"
    for number, name in enumerate(("rex/1.png", "rex/2.jpg", "tom/1.png", "tom/2.webp")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        tiny.photo(number, SIZE).save(root / name)
    (root / "rex" / "2.txt").write_text("a hound beside a dog")
    tiny.photo(9, (16, 16)).save(root / "small.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    (root / "notes.md").write_text("no picture")
    return root


def outcomes(pictures: Path, out: Path, stand_in: StandIn, **options: object) -> dict[str, str | None]:
    done = annotate(AnnotateOptions(pictures, out, **options), stand_in.models(), RULES)
    return {outcome.source: outcome.image_id for outcome in done}


def test_a_folder_becomes_one_to_train_on(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = outcomes(pictures, out, StandIn(), identities=True)
    assert done == {
        "broken.jpg": None, "rex/1.png": "000000000", "rex/2.jpg": "000000001", "small.png": None,
        "tom/1.png": "000000002", "tom/2.webp": "000000003",
    }  # fmt: skip
    folder = AnnotatedFolder(out)
    assert [annotation.caption for annotation in folder.annotations][1] == "a hound beside a dog"
    assert {name: len(places) for name, places in folder.identities.items()} == {"rex": 2, "tom": 2}
    record = folder.read(0)
    assert record.picture.size == SIZE
    assert len(next(iter(record.photos.values()))) == 1  # the other picture of rex


def test_the_report_tells_what_was_dropped_and_why(pictures: Path, tmp_path: Path) -> None:
    outcomes(pictures, tmp_path / "out", StandIn())
    report = (tmp_path / "out" / "report.md").read_text()
    assert "4 of 6 pictures were annotated" in report
    assert "| the picture is too small | 1 |" in report
    assert "`small.png`: 16 x 16" in report
    assert '`broken.jpg`: "broken.jpg" is not a picture' in report


def test_the_contact_sheet_shows_every_picture(pictures: Path, tmp_path: Path) -> None:
    outcomes(pictures, tmp_path / "out", StandIn())
    (sheet,) = (tmp_path / "out").glob("contact-*.png")
    shown = np.asarray(Image.open(sheet))
    assert shown.shape[1] >= 4 * 256
    for column in range(4):
        assert shown[:150, column * 258 : column * 258 + 256].std() > 5


def test_a_stopped_run_goes_on_where_it_was(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the third picture's writing, with a line of progress cut in half."""
    out, stand_in = tmp_path / "out", StandIn()

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
        outcomes(pictures, out, stand_in)
    with (out / "progress.jsonl").open("a") as progress:
        progress.write('{"source": "tom/1.p')
    monkeypatch.setattr(run, "_write", write)
    first, again = len(stand_in.asked), StandIn()
    done = outcomes(pictures, out, again)
    assert list(done.values()) == [None, "000000000", "000000001", None, "000000002", "000000003"]
    assert len(again.asked) == 4  # two pictures, each captioned and searched
    assert first == 5
    assert len(AnnotatedFolder(out)) == 4
    assert outcomes(pictures, out, untouched := StandIn()) == done
    assert untouched.asked == []


def test_faces_are_written(pictures: Path, tmp_path: Path) -> None:
    class Finder:
        def find(self, photo: Image.Image) -> list[AFace]:
            return [AFace(Box(0.15, 0.2, 0.3, 0.4), Face((0.5,) * 512, tiny.photo(5, (16, 16))))]

    outcomes(pictures, tmp_path / "out", StandIn(), faces=Finder())
    record = AnnotatedFolder(tmp_path / "out").read(0)
    assert record.faces[1][0].embedding == (0.5,) * 512
    assert record.faces[1][0].crop.size == (16, 16)


def test_folders_that_cannot_be(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no folder"):
        outcomes(tmp_path / "none", tmp_path / "out", StandIn())
    with pytest.raises(SettingsError, match="among the pictures"):
        outcomes(pictures, pictures / "out", StandIn())
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="no picture"):
        outcomes(tmp_path / "empty", tmp_path / "out", StandIn())


# ---------------------------------------------------------------- from the shell


def test_the_whole_line_with_tiny_models(
    saved: dict[str, Path], pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Random models find no cats, but every picture goes through and comes out with a reason or a record."""
    flags = ["--captioner", "blip", "--detector", "grounding_dino", "--segmenter", "sam"]
    named = [str(saved[flag]) if flag in saved else flag for flag in flags]
    out = tmp_path / "out"
    command = ["annotate", str(pictures), "--out", str(out), "--smallest", "32", "--device", "cpu", *named]
    assert main([*command, "--threshold", "0.0"]) == 0
    assert "of 6 images annotated" in capsys.readouterr().out
    lines = [json.loads(line) for line in (out / "progress.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert {line["reason"] for line in lines if line["image_id"] is None} > {"the picture is too small"}


def test_toys_to_try_with(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["annotate", "--toys", "3", "--size", "48", "--out", str(tmp_path)]) == 0
    assert len(AnnotatedFolder(tmp_path)) == 3
    assert (tmp_path / "contact-001.png").is_file()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "IMAGES or --toys"),
        (["x", "--toys", "2"], "IMAGES or --toys"),
        (["--toys", "0"], "at least 1"),
        (["x", "--threshold", "2"], "from 0 to 1"),
        (["nowhere"], "no folder"),
    ],
)
def test_bad_flags(flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["annotate", *flags, "--out", str(tmp_path)]) == 2
    assert told in capsys.readouterr().err


def test_identities_name_the_largest_thing() -> None:
    annotation, ids = look(StandIn(found=[Detection(0, 0.9, (0, 0, 10, 30)), Detection(1, 0.9, (20, 0, 60, 60))]))
    named = run.name_identity(annotation, ids, "rex")
    assert [segment.identity for segment in named.segments] == [None, "rex"]
    assert replace(named.segments[1], identity=None) == annotation.segments[1]


def test_rendered_folders_are_alike_for_a_seed(tmp_path: Path) -> None:
    one, two = (AnnotatedFolder(annotated.folder(tmp_path / name, 2)) for name in ("one", "two"))
    assert one.annotations == two.annotations
