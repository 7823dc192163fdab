"""A session's pictures while *Live* is on: each move of a slider is answered by one, and the last of them is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from demo.form.form import Form
from demo.viewer.frames import MovedFrame, ViewerValue
from demo.viewer.map_encoding import pack_averages
from demo.viewer.viewer import RunPresenter
from demo.web.cached_files import data_url
from demo.words.word_notes import WordReader
from mmdiff_core.results import GeneratedImage

if TYPE_CHECKING:
    from demo.server.service import Service
    from demo.viewer.history import History
    from mmdiff_core.generation.request_plan import Plan

State = Literal["shown", "superseded", "busy", "invalid", "failed"]


@dataclass(frozen=True)
class Move:
    """A slider's move: a page's moves have one ``run`` and are numbered upwards."""

    run: str
    number: int


@dataclass(frozen=True)
class MovedPicture:
    """A picture that answered a move, with all that it takes to keep it."""

    move: Move
    picture: GeneratedImage
    presenter: RunPresenter


class LiveSession:
    """Answers the moves of one session, of which only the newest counts.

    Args:
        service: the model.
        history: the session's.
        reader: knows the words that the model reads.
    """

    def __init__(self, service: Service, history: History, reader: WordReader | None = None) -> None:
        self.service, self.history, self.reader = service, history, reader
        self._newest = Move("", 0)
        self._last: MovedPicture | None = None

    def begin(self, move: Move) -> bool:
        """Let a move supersede all earlier ones; returns whether there has been no newer one."""
        if move.run == self._newest.run and move.number <= self._newest.number:
            return False
        self._newest = move
        return True

    def end(self) -> None:
        """Let no move be wanted any more."""
        self._newest = Move("", 0)

    def make(self, move: Move, form: Form, plan: Plan) -> tuple[MovedFrame | None, State]:
        """Make the picture of a move that has begun; no frame where it is superseded, or others need the model.

        Raises:
            MMDiffError: at a step, as ``Service.run``.
        """
        presenter = RunPresenter(plan.prompt, plan.words, form, self.history, self.service.origin, self.reader)
        picture = self._picture(move, plan, presenter)
        if not self._is_newest(move):
            return None, "superseded"
        if picture is None:
            return None, "busy"
        self._last = MovedPicture(move, picture, presenter)
        return moved_frame(self._last), "shown"

    def keep(self) -> ViewerValue | None:
        """Put the last picture into the history, once; returns what the viewer shows then."""
        last, self._last = self._last, None
        if last is None:
            return None
        frame = last.presenter.finish(last.picture)
        settings = last.picture.settings
        self.service.event_log.log("kept", seed=last.picture.seed, steps=settings["steps"], live=True)
        return {"run": last.presenter.run, "pictures": [frame], "kept": last.move.number}

    def _picture(self, move: Move, plan: Plan, presenter: RunPresenter) -> GeneratedImage | None:
        steps = self.service.run_giving_way(plan, lambda: self._is_newest(move), self.history.photos)
        picture = None
        for step in steps:
            presenter.previews.append(step.preview)
            picture = step.finished
        return picture

    def _is_newest(self, move: Move) -> bool:
        return self._newest == move and not self.history.is_busy


def moved_frame(moved: MovedPicture) -> MovedFrame:
    """Return what the viewer shows of a picture: its maps as a page shows them at first, over all steps and layers."""
    picture, presenter = moved.picture, moved.presenter
    prompt = "".join(piece["text"] for piece in presenter.sentence)
    return {
        "image": data_url(picture.image),
        "maps": pack_averages(picture.maps, words=True),
        "caption": ("picture_of", {"prompt": prompt, "seed": str(picture.seed)}),
        "sentence": presenter.sentence,
        "subjects": presenter.subjects,
        "run": moved.move.run,
        "move": moved.move.number,
    }
