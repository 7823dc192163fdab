"""The ballot: a component that asks about two pictures in the browser, and the record it is fed with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import gradio as gr
from PIL import Image

from demo.compare.grid import Comparison
from demo.form.form import SubjectForm
from demo.form.prompt_words import PromptPiece, form_pieces
from demo.server.photo_files import PhotoFiles
from demo.vote.pairs import BallotState, BlindPair
from demo.vote.store import Tally, Vote, tally, variant_labels
from demo.web.cached_files import FileRecord, data_url, photo_file
from demo.web.static_files import scripts, static
from mmdiff_core.errors import MMDiffError
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.weights.model_source import shown_name

PHOTO_SIDE = 160  # pixels
PHOTOS = 4  # of a subject


class SubjectRecord(TypedDict):
    """A subject with small photos of it, as data URLs."""

    name: str
    colour: str
    photos: list[str]


class ShareRecord(TypedDict):
    """A share of the answers with its interval."""

    mean: float
    low: float
    high: float


class TallyRecord(TypedDict):
    """The answers to one question about two variants, which are lists of (key, value) labels."""

    model: str
    question: str
    first: list[list[str]]
    second: list[list[str]]
    wins: int
    losses: int
    ties: int
    share: ShareRecord | None


class AnsweredRecord(TypedDict):
    """A picture of the pair that was voted on last, and the labels of its variant."""

    picture: FileRecord
    labels: list[list[str]]


class BallotRecord(TypedDict):
    """What the browser shows. Nothing in it tells which picture of the pair that is asked about is which.

    ``pair`` names that pair, None where there is none; ``left`` counts the pairs still to be asked; ``answered`` are
    left and right of the pair that was voted on last.
    """

    pair: str | None
    pictures: list[FileRecord]
    sentence: list[PromptPiece]
    subjects: list[SubjectRecord]
    compared: bool
    left: int
    answered: list[AnsweredRecord]
    votes: int
    deletable: bool
    tally: list[TallyRecord]


def ballot() -> gr.HTML:
    """Make an empty ballot; its value is made by :func:`ballot_record`."""
    return gr.HTML(
        None,
        html_template=static("vote/ballot.html"),
        js_on_load=scripts("vote/tally", "vote/ballot"),
        apply_default_css=False,
        elem_id="ballot",
    )


def ballot_record(
    state: BallotState,
    pair: BlindPair | None,
    comparison: Comparison,
    votes: Sequence[Vote],
    deletable: bool,
    photo_files: PhotoFiles,
) -> BallotRecord:
    """Describe the pair that is asked about, and what the answers so far add up to."""
    record: BallotRecord = {
        "pair": None,
        "pictures": [],
        "sentence": [],
        "subjects": [],
        "compared": bool(comparison.cells),
        "left": len(state.left(comparison)),
        "answered": _answered(state.answered, comparison),
        "votes": len(votes),
        "deletable": deletable,
        "tally": [_tally_record(entry) for entry in tally(votes)],
    }
    if pair is not None and comparison.form is not None:
        record["pair"] = pair_name(state)
        record["pictures"] = _pictures(pair, comparison)
        record["sentence"] = form_pieces(comparison.form)
        record["subjects"] = _subjects(comparison.form.subjects, photo_files)
    return record


def pair_name(state: BallotState) -> str:
    """Name the pair that stands on the page, without saying anything about it."""
    return f"{state.run}-{state.drawn}"


def _pictures(pair: BlindPair, comparison: Comparison) -> list[FileRecord]:
    """Left and right, as files without settings inside."""
    pictures = []
    for side, name in (("left", pair.left), ("right", pair.right)):
        with Image.open(comparison.get(name).frame["image"]["path"]) as image:
            pictures.append(photo_file(image.convert("RGB"), f"{side}.png"))
    return pictures


def _answered(pair: BlindPair | None, comparison: Comparison) -> list[AnsweredRecord]:
    if pair is None:
        return []
    labels = [comparison.get(name).variant.labels for name in (pair.left, pair.right)]
    return [
        {"picture": picture, "labels": [list(label) for label in own]}
        for picture, own in zip(_pictures(pair, comparison), labels, strict=True)
    ]


def _subjects(subjects: Sequence[SubjectForm], photo_files: PhotoFiles) -> list[SubjectRecord]:
    return [
        {
            "name": subject.name,
            "colour": colour_of(subject.slot),
            "photos": _photos(subject.photos[:PHOTOS], photo_files),
        }
        for subject in subjects
    ]


def _photos(paths: Sequence[str], photo_files: PhotoFiles) -> list[str]:
    """Small; those that are no longer there are left out."""
    found = []
    for path in paths:
        try:
            photo = photo_files.load(path)
        except MMDiffError:
            continue
        photo.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
        found.append(data_url(photo))
    return found


def _tally_record(entry: Tally) -> TallyRecord:
    decided, share = entry.wins + entry.losses > 0, entry.share
    return {
        "model": shown_name(entry.model),
        "question": entry.question,
        "first": [list(label) for label in variant_labels(entry.first)],
        "second": [list(label) for label in variant_labels(entry.second)],
        "wins": entry.wins,
        "losses": entry.losses,
        "ties": entry.ties,
        "share": {"mean": share.mean, "low": share.low, "high": share.high} if decided else None,
    }
