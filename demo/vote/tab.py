"""The Vote tab: which of two pictures is better, asked blindly, and what the answers add up to."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from demo.compare.grid import Comparison
from demo.compare.tab import CompareTab
from demo.form.form import SubjectForm
from demo.form.prompt_words import pieces_of
from demo.server.error_messages import spoken
from demo.vote.pairs import Ballot, Pair, votes_on
from demo.vote.store import Tally, VoteBox, as_csv, labels_of, tally
from demo.web.cached_files import data_url, ordered, parcel, photo_file
from demo.web.events import SPEAKING
from demo.web.i18n import text
from demo.web.static_files import scripts, static
from mmdiff_core.encoders.photo import load_photo
from mmdiff_core.errors import MMDiffError
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.weights.model_source import shown_name

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

SHOWN = 160  # pixels a side of a photo
PHOTOS = 4  # of a subject


class VoteTab:
    """Asks about the session's last comparison.

    Args:
        personalizer: whose name goes with the answers.
        compare: where the pictures come from.
        file: where answers are kept.
        deletable: whoever sees the page may delete all of them.
    """

    title = text("vote")
    place: gr.Tab

    def __init__(self, personalizer: Personalizer, compare: CompareTab, file: Path, deletable: bool = True) -> None:
        self.model = personalizer.backbone.display_name
        self.comparison, self.comparing = compare.panel, compare.comparing
        self.box = VoteBox(file)
        self.deletable = deletable
        self.random = random.SystemRandom()

    def render(self) -> None:
        """Make the components inside the current layout."""
        gr.HTML(text("vote_head"), elem_classes="section", apply_default_css=False)
        self.state = gr.State(Ballot())
        self.ballot = gr.HTML(
            None,
            html_template=static("vote/ballot.html"),
            js_on_load=scripts("vote/tally", "vote/ballot"),
            apply_default_css=False,
            elem_id="ballot",
        )
        self.parcel = parcel("vote-parcel")

    def listen(self, page: gr.Blocks) -> None:
        """Every event shows the next pair, but for the file."""
        known = [self.state, self.comparison.comparison]
        self.place.select(self._show, known, self.ballot, **SPEAKING)
        for rested in self.comparing.rested:  # the tab may have been opened while the pictures were being made
            rested.then(self._show, known, self.ballot, **SPEAKING)
        self.ballot.vote(self._vote, known, self.ballot, **SPEAKING)
        self.ballot.skip(self._skip, known, self.ballot, **SPEAKING)
        if self.deletable:
            self.ballot.reset(self._reset, known, self.ballot, **SPEAKING)
        self.ballot.export(self._export, None, self.parcel, **SPEAKING)

    def _show(self, state: Ballot, comparison: Comparison) -> dict[str, Any]:
        with spoken():
            return self._shown(state, comparison)

    def _vote(self, state: Ballot, comparison: Comparison, event: gr.EventData) -> dict[str, Any]:
        """Answers to a pair that is no longer there, of an earlier comparison for one, are not kept."""
        with spoken():
            pair = state.draw(comparison, self.random)
            if pair is not None and event.pair == _number(state):
                self.box.put(votes_on(pair, comparison, event.answers, self.model))
                state.close()
            return self._shown(state, comparison)

    def _skip(self, state: Ballot, comparison: Comparison) -> dict[str, Any]:
        state.close()
        return self._show(state, comparison)

    def _reset(self, state: Ballot, comparison: Comparison) -> dict[str, Any]:
        with spoken():
            self.box.clear()
            return self._shown(state, comparison)

    def _export(self) -> dict[str, Any]:
        with spoken():
            return ordered(as_csv(self.box.all()).encode(), "mm-diff-votes.csv")

    def _shown(self, state: Ballot, comparison: Comparison) -> dict[str, Any]:
        """For the browser. Nothing in it tells which picture is which."""
        pair, form = state.draw(comparison, self.random), comparison.form
        asked: dict[str, Any] = {"pair": None}
        if pair is not None and form is not None:
            asked = {"pair": _number(state), "pictures": _pictures(pair, comparison)}
            asked |= {"sentence": pieces_of(form), "subjects": _subjects(form.subjects)}
        votes = self.box.all()
        return asked | {
            "compared": bool(comparison.cells),
            "left": len(state.left(comparison)),
            "votes": len(votes),
            "deletable": self.deletable,
            "tally": [_counted(entry) for entry in tally(votes)],
        }


def _number(state: Ballot) -> str:
    """Names the pair that stands on the page, and says nothing about it."""
    return f"{state.run}-{len(state.done)}"


def _pictures(pair: Pair, comparison: Comparison) -> list[dict[str, Any]]:
    """Left and right, as files without settings inside."""
    pictures = []
    for side, name in (("left", pair.left), ("right", pair.right)):
        with Image.open(comparison.get(name).shot["image"]["path"]) as image:
            pictures.append(photo_file(image.convert("RGB"), f"{side}.png"))
    return pictures


def _subjects(subjects: Sequence[SubjectForm]) -> list[dict[str, Any]]:
    return [
        {"name": subject.name, "colour": colour_of(subject.slot), "photos": _photos(subject.photos[:PHOTOS])}
        for subject in subjects
    ]


def _photos(paths: Sequence[str]) -> list[str]:
    """Small; those that are no longer there are left out."""
    found = []
    for path in paths:
        try:
            photo = load_photo(path)
        except MMDiffError:
            continue
        photo.thumbnail((SHOWN, SHOWN))
        found.append(data_url(photo))
    return found


def _counted(entry: Tally) -> dict[str, Any]:
    share = entry.share if entry.wins + entry.losses else None
    return {
        "model": shown_name(entry.model),
        "question": entry.question,
        "first": [list(label) for label in labels_of(entry.first)],
        "second": [list(label) for label in labels_of(entry.second)],
        "wins": entry.wins,
        "losses": entry.losses,
        "ties": entry.ties,
        "share": share and share.to_json(),
    }
