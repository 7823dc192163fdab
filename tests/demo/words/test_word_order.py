from __future__ import annotations

import pytest

from demo.words.word_order import Part, PartKind, sentence


def _parts(text: str) -> list[Part]:
    """Parts from "kind:text" words; an underscore is a blank, a capital kind a part of another language."""
    pairs = [word.partition(":") for word in text.split()]
    kinds: list[tuple[PartKind, bool, str]] = [
        (kind.lower(), kind[0].isupper(), said.replace("_", " "))  # type: ignore[misc]
        for kind, _, said in pairs
    ]
    return [Part(kind, said, foreign) for kind, foreign, said in kinds]


@pytest.mark.parametrize(
    ("parts", "english"),
    [
        ("Place:in_space Of: Toy:owl", "an owl in space"),
        ("Place:in_space sign:, Toy:owl", "in space, an owl"),
        ("place:in_space toy:owl", "in space an owl"),  # English stays as it was written
        ("Toy:cat Colour:red And:and Colour:blue", "a red and blue cat"),
        ("Toy:cat And:and Colour:red Toy:dog", "a cat and a red dog"),
        ("article:another Toy:cat", "another cat"),
        ("word:my Toy:cat", "my cat"),
        ("Toy:cat At: Toy:dog Side:behind Place:in_space", "a cat behind a dog in space"),
        ("Toy:dog Side:behind Of: Toy:cat", "a cat behind a dog"),
        ("Toy:dog Side:behind", "a dog behind"),  # half a sentence loses nothing
        ("Relation:wearing Worn:hat", "wearing a hat"),
        ("Relation:wearing Worn:hat Of: Toy:cat", "a cat wearing a hat"),
        ("Article:a", "a"),
        ("", ""),
    ],
)
def test_parts_are_put_together(parts: str, english: str) -> None:
    assert sentence(_parts(parts)) == english
