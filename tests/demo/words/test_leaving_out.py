from __future__ import annotations

import pytest

from demo.words.leaving_out import leave_out
from demo.words.word_notes import WordReader
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD

READER = WordReader(FIRST_WORLD)


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        ("a cat on chess", "a cat"),
        ("a cat playing chess", "a cat"),
        ("a cat in the dark forest", "a cat in the forest"),
        ("a cat playing with a red ball in the snow", "a cat in the snow"),
        ("a cat on a blue skateboard", "a cat"),
        ("a cat on the sofa in the bedroom", "a cat in the bedroom"),
        ("a cat and a dragon", "a cat"),
        ("a dragon and a cat", "a cat"),
        ("a dragon next to a cat on the beach", "a cat on the beach"),
        ("a dragon in the snow", "in the snow"),
        ("a cat to the left of a dragon", "a cat"),
        ("a cat with a sword and a dog", "a cat and a dog"),
        ("an angry cat", "a cat"),
        ("cute cat on the beach", "a cat on the beach"),
        ("a photo of my dog next to his owl-like elephant", "a photo of a dog next to an elephant"),
        ("my red cat", "a red cat"),
        ("another cute cat", "another cat"),
        ("a cat, a dragon, a dog", "a cat, a dog"),
        ("a cat wearing a golden crown", "a cat"),
        ("a cat in the style of van gogh", "a cat"),
        ("an oil painting of a cat", "a cat"),
        ("a cat 🏖️ on the beach", "a cat on the beach"),
        (
            "masterpiece, best quality, a cat next to a robot, cinematic lighting, in the snow",
            "a cat next to a robot, in the snow",
        ),
        ("dragon", ""),
        ("a dragon", ""),
    ],
)
def test_what_belongs_to_unknown_words_goes_with_them(prompt: str, kept: str) -> None:
    assert READER.known is not None
    assert leave_out(prompt, list(READER.unknown(prompt)), READER.known) == kept
