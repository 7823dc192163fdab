from __future__ import annotations

import pytest

from demo.words.english import several, tidy, with_article


def test_articles() -> None:
    names = ("owl", "Elephant", "cat", "unicorn", "European", "hour", "")
    assert [with_article(name) for name in names] == [
        *("an owl", "an Elephant", "a cat", "a unicorn", "a European", "an hour", "a ")
    ]


@pytest.mark.parametrize(
    ("prompt", "tidied"),
    [
        ("a owl and an cat", "an owl and a cat"),
        ("An cat", "A cat"),
        ("a cat ， on the beach 。", "a cat, on the beach."),
        (", , a cat,, a dog ,", "a cat, a dog"),
        ("a cat  on   the beach", "a cat on the beach"),
        ("a (cat:1.3) in the snow", "a (cat:1.3) in the snow"),
    ],
)
def test_blanks_signs_and_articles(prompt: str, tidied: str) -> None:
    assert tidy(prompt) == tidied


def test_two_of_a_name() -> None:
    assert several("owl", 2) == "an owl and another owl"
