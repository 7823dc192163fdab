"""Blind pairs of a comparison: two pictures of one seed that differ in something else."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import combinations

from demo.compare.grid import Comparison
from demo.vote.store import CHOICES, QUESTIONS, Preference, Vote, now, variant_key
from mmdiff_core.errors import SettingsError

LEFT, RIGHT, NEITHER = "left", "right", "neither"


@dataclass(frozen=True)
class BlindPair:
    """The names of two finished pictures, at their sides of the page."""

    left: str
    right: str


@dataclass
class BallotState:
    """What a session has voted on in its last comparison, and the pair that is on the page."""

    run: str = ""
    done: set[frozenset[str]] = field(default_factory=set)
    aside: list[frozenset[str]] = field(default_factory=list)  # passed over for now, the longest ago first
    drawn: int = 0  # pairs so far
    pair: BlindPair | None = None
    answered: BlindPair | None = None  # the last one that was voted on, which may be told

    def draw(self, comparison: Comparison, chance: random.Random) -> BlindPair | None:
        """Return the pair to vote on: the last one until it is closed, else a new one; None once all are answered.

        What was put aside comes back when nothing else is left.
        """
        if comparison.run != self.run:
            self.run, self.done, self.aside = comparison.run, set(), []
            self.pair, self.answered = None, None
        left = self.left(comparison)
        if self.pair is None and left:
            new = [pair for pair in left if frozenset(pair) not in self.aside]
            self.pair = BlindPair(*chance.sample(chance.choice(new) if new else sorted(self.aside.pop(0)), 2))
            self.drawn += 1
        return self.pair

    def left(self, comparison: Comparison) -> list[tuple[str, str]]:
        """Return the pairs that are not answered yet."""
        return [pair for pair in pairs_of(comparison) if frozenset(pair) not in self.done]

    def close(self, answered: bool) -> None:
        """Take the pair from the page; ``answered``: it was voted on, else it is put aside."""
        self.answered = self.pair if answered else None
        if self.pair is not None:
            names = frozenset((self.pair.left, self.pair.right))
            self.done.add(names) if answered else self.aside.append(names)
        self.pair = None


def pairs_of(comparison: Comparison) -> list[tuple[str, str]]:
    """Return every pair that can be voted on: of one seed and of different variants.

    In a comparison with what is left out in turn only those with the picture as it is.
    """
    against = comparison.table is not None and comparison.table.against_first
    return [
        (one, other)
        for (one, a), (other, b) in combinations(comparison.cells.items(), 2)
        if a.seed == b.seed
        and variant_key(a.variant.labels) != variant_key(b.variant.labels)
        and (not against or 0 in (a.variant.column, b.variant.column))
    ]


def votes_on(pair: BlindPair, comparison: Comparison, answers: object, model: str) -> list[Vote]:
    """Return the votes of the answers to a pair, {question: "left", "right" or "neither"}; questions may be left out.

    Raises:
        SettingsError: there is no answer, or one that the page cannot give.
    """
    if not isinstance(answers, dict) or not answers:
        raise SettingsError("Answer at least one question, or take another pair.")
    sides = [(LEFT, comparison.get(pair.left)), (RIGHT, comparison.get(pair.right))]
    ranked = sorted(sides, key=lambda side: variant_key(side[1].variant.labels))
    meaning: dict[str, Preference] = {side: CHOICES[i] for i, (side, _) in enumerate(ranked)} | {NEITHER: "neither"}
    if not set(answers) <= set(QUESTIONS) or not set(map(str, answers.values())) <= set(meaning):
        raise SettingsError("The page does not fit the server any more: load it again.")
    first, second = (variant_key(cell.variant.labels) for _, cell in ranked)
    at = now()
    return [Vote(at, model, question, first, second, meaning[answers[question]], meaning[LEFT]) for question in answers]
