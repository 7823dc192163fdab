"""The Vote tab: a blind vote on which of two pictures is better, and the results."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from demo.compare.grid import Comparison
from demo.compare.tab import CompareTab
from demo.server.error_messages import user_facing_errors
from demo.vote.ballot import BallotRecord, ballot, ballot_record, pair_name
from demo.vote.pairs import BallotState, votes_on
from demo.vote.store import VoteStore, as_csv
from demo.web.download import Download, download, download_target
from demo.web.events import WITH_MESSAGES
from demo.web.i18n import text

if TYPE_CHECKING:
    from demo.server.service import Service


class VoteTab:
    """Asks about the session's last comparison.

    Args:
        service: whose model's name goes with the answers.
        compare: where the pictures come from.
        file: where answers are kept.
        deletable: anyone on the page may delete all of them.
    """

    title = text("vote")
    place: gr.Tab

    def __init__(self, service: Service, compare: CompareTab, file: Path, deletable: bool = True) -> None:
        self.model = service.backbone.display_name
        self.comparison, self.runner = compare.panel, compare.runner
        self.photo_files = service.photo_files
        self.box = VoteStore(file)
        self.deletable = deletable
        self.random = random.SystemRandom()

    def render(self) -> None:
        """Make the components inside the current layout."""
        gr.HTML(text("vote_head"), elem_classes="section", apply_default_css=False)
        self.state = gr.State(BallotState())
        self.ballot = ballot()
        self.download = download_target("vote-download")

    def listen(self, page: gr.Blocks) -> None:
        """Show the next pair after every event but the download."""
        known = [self.state, self.comparison.comparison]
        self.place.select(self._show, known, self.ballot, **WITH_MESSAGES)
        for rested in self.runner.rested:  # the tab may have been opened during the run
            rested.then(self._show, known, self.ballot, **WITH_MESSAGES)
        self.ballot.vote(self._vote, known, self.ballot, **WITH_MESSAGES)
        self.ballot.skip(self._skip, known, self.ballot, **WITH_MESSAGES)
        if self.deletable:
            self.ballot.reset(self._reset, known, self.ballot, **WITH_MESSAGES)
        self.ballot.export(self._export, None, self.download, **WITH_MESSAGES)

    def _show(self, state: BallotState, comparison: Comparison) -> BallotRecord:
        with user_facing_errors():
            return self._record(state, comparison)

    def _vote(self, state: BallotState, comparison: Comparison, event: gr.EventData) -> BallotRecord:
        """Keep the answers to the pair on the page, and none to one that is gone, such as of an earlier comparison."""
        with user_facing_errors():
            pair = state.draw(comparison, self.random)
            if pair is not None and event.pair == pair_name(state):
                self.box.put(votes_on(pair, comparison, event.answers, self.model))
                state.close(answered=True)
            return self._record(state, comparison)

    def _skip(self, state: BallotState, comparison: Comparison) -> BallotRecord:
        state.close(answered=False)
        return self._show(state, comparison)

    def _reset(self, state: BallotState, comparison: Comparison) -> BallotRecord:
        with user_facing_errors():
            self.box.clear()
            return self._record(state, comparison)

    def _export(self) -> Download:
        with user_facing_errors():
            return download(as_csv(self.box.all()).encode(), "mm-diff-votes.csv")

    def _record(self, state: BallotState, comparison: Comparison) -> BallotRecord:
        pair = state.draw(comparison, self.random)
        return ballot_record(state, pair, comparison, self.box.all(), self.deletable, self.photo_files)
