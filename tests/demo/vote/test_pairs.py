"""Blind pairs: which there are, and what an answer to one means."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from demo.compare.variants import VariantLabel
from demo.vote.pairs import BallotState, BlindPair, pairs_of, votes_on
from mmdiff_core.errors import SettingsError
from tests.helpers.votes import finished_comparison


def test_pairs_share_the_seed_and_differ_in_something(tmp_path: Path) -> None:
    grid = finished_comparison([VariantLabel("strength", value) for value in ("0.5", "1", "1.5")], [1, 2], tmp_path)
    pairs = pairs_of(grid)
    assert len(pairs) == 3 + 3
    assert all(grid.cells[one].seed == grid.cells[other].seed for one, other in pairs)
    columns = [VariantLabel("as_composed"), VariantLabel("without_refiner"), VariantLabel("without_null_token")]
    assert pairs_of(finished_comparison(columns, [1], tmp_path, against_first=True)) == [
        ("as_composed-1", "without_refiner-1"),
        ("as_composed-1", "without_null_token-1"),
    ]


def test_sides_are_by_chance_and_every_pair_comes_once(tmp_path: Path) -> None:
    comparison = finished_comparison([VariantLabel("strength", value) for value in ("0.5", "1", "1.5")], [1], tmp_path)
    chance, firsts = random.Random(1), set()
    for _ in range(20):
        ballot, seen = BallotState(), []
        while pair := ballot.draw(comparison, chance):
            assert ballot.draw(comparison, chance) == pair  # it stays until it is done with
            seen.append(frozenset((pair.left, pair.right)))
            firsts.add((pair.left, pair.right))
            ballot.close(answered=True)
        assert len(seen) == len(set(seen)) == 3
    assert len(firsts) == 6
    comparison.run = "another"
    assert ballot.draw(comparison, chance) is not None


def test_a_pair_that_is_put_aside_comes_back_after_the_others(tmp_path: Path) -> None:
    comparison = finished_comparison([VariantLabel("strength", value) for value in ("0.5", "1", "1.5")], [1], tmp_path)
    ballot, chance = BallotState(), random.Random(1)

    def next_pair() -> frozenset[str]:
        pair = ballot.draw(comparison, chance)
        assert pair is not None
        return frozenset((pair.left, pair.right))

    first = next_pair()
    ballot.close(answered=False)
    second = next_pair()
    ballot.close(answered=False)
    third = next_pair()
    assert len({first, second, third}) == len(ballot.left(comparison)) == 3  # all can still be voted on
    ballot.close(answered=True)
    assert next_pair() == first
    ballot.close(answered=False)
    assert next_pair() == second
    ballot.close(answered=True)
    assert next_pair() == first
    ballot.close(answered=False)
    assert next_pair() == first  # there is no other
    ballot.close(answered=True)
    assert ballot.draw(comparison, chance) is None


@pytest.mark.parametrize("names", [("as_composed-1", "without_refiner-1"), ("without_refiner-1", "as_composed-1")])
def test_an_answer_names_the_variant_not_the_side(tmp_path: Path, names: tuple[str, str]) -> None:
    comparison = finished_comparison([VariantLabel("as_composed"), VariantLabel("without_refiner")], [1], tmp_path)
    side = "left" if names[0].startswith("as") else "right"
    answers = {"subject": side, "better": "neither"}
    subject, better = votes_on(BlindPair(*names), comparison, answers, "toybox")
    assert (subject.first, subject.second, subject.choice) == ("as_composed", "without_refiner", "first")
    assert better.choice == "neither"
    assert subject.left_side == ("first" if side == "left" else "second")


@pytest.mark.parametrize("answers", [{}, None, "left", {"better": "up"}, {"price": "left"}])
def test_what_no_page_can_answer_is_refused(tmp_path: Path, answers: object) -> None:
    comparison = finished_comparison([VariantLabel("as_composed"), VariantLabel("without_refiner")], [1], tmp_path)
    with pytest.raises(SettingsError):
        votes_on(BlindPair(*comparison.cells), comparison, answers, "toybox")
